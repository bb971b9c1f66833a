package audio

import (
	"math"
	"time"
)

// Floor is the level given for frames without any sound, dBFS.
const Floor = -100.0

// Mix writes the sum of a and b to dst, held at full scale where it would overload. The shorter of a and b counts as silence after its
// end; dst beyond both is set to zero. dst may be a or b.
func Mix(dst, a, b []int16) {
	both := min(len(dst), len(a), len(b))
	x, y, z := dst[:both], a[:both], b[:both]
	for i := range x {
		x[i] = saturate(int32(y[i]) + int32(z[i]))
	}
	longer := a
	if len(b) > len(a) {
		longer = b
	}
	n := both
	if len(longer) > both {
		n += copy(dst[both:], longer[both:])
	}
	clear(dst[n:])
}

func saturate(v int32) int16 {
	return int16(max(math.MinInt16, min(math.MaxInt16, v)))
}

// Level is the power of the samples in dBFS, where 0 is a sine of full scale (AES17); silence gives [Floor].
func Level(samples []int16) float64 {
	if len(samples) == 0 {
		return Floor
	}
	const fullScale = 32767.0 * 32767.0 / 2
	power := energy(samples) / float64(len(samples)) / fullScale
	if power <= 0 {
		return Floor
	}
	return max(Floor, 10*math.Log10(power))
}

func energy(samples []int16) float64 {
	sum := int64(0)
	for _, s := range samples {
		sum += int64(s) * int64(s)
	}
	return float64(sum)
}

// DefaultSilence is the level below which a telephone line is taken to be silent, dBFS: above line noise and comfort noise
// (-50 and less), below quiet speech (about -35).
const DefaultSilence = -45.0

// minSound is how long sound has to last to end a silence, so that clicks of the line do not.
const minSound = 40 * time.Millisecond

// SilenceDetector measures how long a line has been silent, by the frames fed to it. The zero value uses [DefaultSilence].
type SilenceDetector struct {
	Threshold float64 // dBFS; 0 means DefaultSilence

	silent, sound time.Duration
	heard         bool
}

// Feed takes the next frame and returns how long the silence has lasted with it: 0 while there is sound. A click shorter
// than 40 ms counts as silence.
func (s *SilenceDetector) Feed(frame []int16) time.Duration {
	threshold := s.Threshold
	if threshold == 0 {
		threshold = DefaultSilence
	}
	d := Duration(len(frame))
	if Level(frame) < threshold {
		if s.sound < minSound {
			s.silent += s.sound
		}
		s.sound = 0
		s.silent += d
		return s.silent
	}
	s.sound += d
	if s.sound < minSound {
		return s.silent + s.sound
	}
	s.heard, s.silent = true, 0
	return 0
}

// Heard tells whether there was any sound since the start.
func (s *SilenceDetector) Heard() bool { return s.heard }

// The shape of Trim: blocks of 10 ms are judged, and 50 ms are left standing around the sound so that soft beginnings and ends survive.
const (
	trimBlock = Rate / 100
	trimGuard = Rate / 20
)

// Trim returns samples without the silence at both ends, as a slice of the same memory; threshold in dBFS, 0 means [DefaultSilence].
// It returns an empty slice when there is only silence.
func Trim(samples []int16, threshold float64) []int16 {
	if threshold == 0 {
		threshold = DefaultSilence
	}
	first, last := -1, 0
	for at := 0; at < len(samples); at += trimBlock {
		end := min(at+trimBlock, len(samples))
		if Level(samples[at:end]) < threshold {
			continue
		}
		if first < 0 {
			first = at
		}
		last = end
	}
	if first < 0 {
		return samples[:0]
	}
	return samples[max(0, first-trimGuard):min(len(samples), last+trimGuard)]
}
