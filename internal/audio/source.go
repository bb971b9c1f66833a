package audio

import (
	"io"
	"time"
)

// The house format. Everything in this package that takes or gives []int16 without a rate means it.
const (
	Rate          = 8000 // samples per second
	FrameSamples  = 160  // samples per frame
	FrameDuration = 20 * time.Millisecond
)

// Source gives sound frame by frame. A source belongs to one reader.
//
// ReadFrame fills dst (commonly FrameSamples long) and returns how many samples are sound; the source has set the rest of dst to zero.
// The last frame may be short. When nothing is left it returns 0 and [io.EOF]; any other error ends the sound too.
type Source interface {
	ReadFrame(dst []int16) (n int, err error)
}

// Samples is the count of samples that last d, rounded down.
func Samples(d time.Duration) int {
	return int(d * Rate / time.Second)
}

// Duration is how long n samples last.
func Duration(n int) time.Duration {
	return time.Duration(n) * time.Second / Rate
}

type sampleSource struct{ rest []int16 }

// FromSamples plays samples once. They are read, never written, so that many sources may share them.
func FromSamples(samples []int16) Source {
	return &sampleSource{rest: samples}
}

func (s *sampleSource) ReadFrame(dst []int16) (int, error) {
	n := copy(dst, s.rest)
	clear(dst[n:])
	if n == 0 && len(s.rest) == 0 {
		return 0, io.EOF
	}
	s.rest = s.rest[n:]
	return n, nil
}

type silence struct{ left int }

// Silence lasts d; a negative d never ends.
func Silence(d time.Duration) Source {
	if d < 0 {
		return &silence{left: -1}
	}
	return &silence{left: Samples(d)}
}

func (s *silence) ReadFrame(dst []int16) (int, error) {
	clear(dst)
	if s.left < 0 {
		return len(dst), nil
	}
	if s.left == 0 {
		return 0, io.EOF
	}
	n := min(s.left, len(dst))
	s.left -= n
	return n, nil
}

type concat struct{ rest []Source }

// Concat plays the sources one after the other without a gap.
func Concat(sources ...Source) Source {
	return &concat{rest: append([]Source(nil), sources...)}
}

func (c *concat) ReadFrame(dst []int16) (int, error) {
	filled := 0
	for len(c.rest) > 0 && filled < len(dst) {
		n, err := c.rest[0].ReadFrame(dst[filled:])
		filled += n
		if err == io.EOF {
			c.rest = c.rest[1:]
			continue
		}
		if err != nil {
			clear(dst[filled:])
			return filled, err
		}
	}
	clear(dst[filled:])
	if filled == 0 && len(dst) > 0 {
		return 0, io.EOF
	}
	return filled, nil
}

type loop struct {
	open    func() (Source, error)
	current Source
	left    int // passes not begun; negative: endless
	heard   bool
}

// Loop plays what open returns, times times without a gap between passes; 0 times is endless.
// A pass that gives no sample at all ends the loop, so that an endless loop over nothing cannot hang its reader.
func Loop(open func() (Source, error), times int) Source {
	if times <= 0 {
		times = -1
	}
	return &loop{open: open, left: times}
}

func (l *loop) ReadFrame(dst []int16) (int, error) {
	filled := 0
	for filled < len(dst) {
		more, err := l.ready()
		if err != nil || !more {
			clear(dst[filled:])
			if err == nil && filled == 0 {
				err = io.EOF
			}
			return filled, err
		}
		n, err := l.current.ReadFrame(dst[filled:])
		filled += n
		l.heard = l.heard || n > 0
		if err == io.EOF {
			l.endPass()
			continue
		}
		if err != nil {
			clear(dst[filled:])
			return filled, err
		}
	}
	return filled, nil
}

// ready opens the next pass when none is being played; false means that no pass is left.
func (l *loop) ready() (bool, error) {
	if l.current != nil {
		return true, nil
	}
	if l.left == 0 {
		return false, nil
	}
	if l.left > 0 {
		l.left--
	}
	source, err := l.open()
	if err != nil {
		l.left = 0
		return false, err
	}
	l.current, l.heard = source, false
	return true, nil
}

func (l *loop) endPass() {
	l.current = nil
	if !l.heard {
		l.left = 0
	}
}

// ReadAll reads a source that ends into memory, at most limit of sound; [ErrTooLong] when there is more.
func ReadAll(s Source, limit time.Duration) ([]int16, error) {
	var all []int16
	frame := make([]int16, FrameSamples)
	for most := Samples(limit); ; {
		n, err := s.ReadFrame(frame)
		all = append(all, frame[:n]...)
		if len(all) > most {
			return all[:most], ErrTooLong
		}
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
	}
}
