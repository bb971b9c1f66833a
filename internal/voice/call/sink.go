package call

import (
	"time"

	"github.com/opentact/opentact/internal/audio"
)

// sink turns the time line into a WAV: mixed or as two channels, and trimmed when asked.
type sink struct {
	wav      *audio.WAVWriter
	channels int
	trim     bool
	begun    bool       // there was sound
	pending  [2][]int16 // a pause that may be the end; at most trimPending samples
	more     int        // samples of the pause beyond it; they become plain silence
	zero     [audio.FrameSamples]int16
	mixed    [audio.FrameSamples]int16
}

func (s *sink) chunk(k chunk) error {
	for gap := k.gap; gap > 0; gap -= audio.FrameSamples {
		n := min(gap, audio.FrameSamples)
		if err := s.frame(s.zero[:n], s.zero[:n]); err != nil {
			return err
		}
	}
	return frames(k, s.frame)
}

// frames cuts the sound of a chunk.
func frames(k chunk, fn func(left, right []int16) error) error {
	for at := 0; at < len(k.left); at += audio.FrameSamples {
		to := min(at+audio.FrameSamples, len(k.left))
		var right []int16
		if to <= len(k.right) {
			right = k.right[at:to]
		}
		if err := fn(k.left[at:to], right); err != nil {
			return err
		}
	}
	return nil
}

func (s *sink) frame(left, right []int16) error {
	first, second := left, right
	if s.channels == 1 && len(right) > 0 {
		first = s.mixed[:len(left)]
		audio.Mix(first, left, right)
		second = nil
	}
	if !s.trim {
		return s.put(first, second)
	}
	if audio.Level(first) < audio.DefaultSilence && (len(second) == 0 || audio.Level(second) < audio.DefaultSilence) {
		s.pause(first, second)
		return nil
	}
	if err := s.resume(); err != nil {
		return err
	}
	s.begun = true
	return s.put(first, second)
}

func (s *sink) put(first, second []int16) error {
	if s.channels == 1 {
		return s.wav.Write(first)
	}
	return s.wav.Write(first, second)
}

// pause keeps silence back until it is known not to be the end; silence at the beginning is dropped.
func (s *sink) pause(first, second []int16) {
	if !s.begun {
		return
	}
	if len(s.pending[0])+len(first) > trimPending {
		s.more += len(first)
		return
	}
	s.pending[0] = append(s.pending[0], first...)
	if s.channels == 2 {
		s.pending[1] = append(s.pending[1], second...)
		s.pending[1] = append(s.pending[1], s.zero[:len(first)-len(second)]...)
	}
}

func (s *sink) resume() error {
	if len(s.pending[0]) > 0 {
		if err := s.put(s.pending[0], s.pending[1]); err != nil {
			return err
		}
		s.pending[0], s.pending[1] = s.pending[0][:0], s.pending[1][:0]
	}
	for ; s.more > 0; s.more -= min(s.more, audio.FrameSamples) {
		n := min(s.more, audio.FrameSamples)
		if err := s.put(s.zero[:n], s.zero[:n]); err != nil {
			return err
		}
	}
	return nil
}

func (s *sink) close() error { return s.wav.Close() }

// quiet is how long what the caller says has been silent with a chunk.
func quiet(d *audio.SilenceDetector, k chunk) time.Duration {
	var lasted time.Duration
	var zero [audio.FrameSamples]int16
	for gap := k.gap; gap > 0; gap -= audio.FrameSamples {
		lasted = d.Feed(zero[:min(gap, audio.FrameSamples)])
	}
	_ = frames(k, func(left, _ []int16) error {
		lasted = d.Feed(left)
		return nil
	})
	return lasted
}
