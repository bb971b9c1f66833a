package audio

import (
	"io"
	"math"
	"time"
)

// peak0dBm0 is the amplitude of a sine of 0 dBm0. The overload point of the coders lies at +3.14 dBm0 (A-law) and
// +3.17 dBm0 (mu-law), ITU-T G.711 §4; the linear full scale is taken as +3.17 dBm0.
const peak0dBm0 = 22746.0

// Levels of the sounds made here, in dBm0 for each frequency.
const (
	ringbackLevel = -19.0 // T1.401: audible ring, -19 dBm0 a frequency
	busyLevel     = -24.0 // T1.401: line busy, -24 dBm0 a frequency
	musicLevel    = -22.0 // below speech, which is about -20 dBm0
	dtmfLevel     = -9.0  // within 0 to -25 dBm of ITU-T Q.24
	beepLevel     = -12.0
	beepHz        = 1000.0 // "record tone" of answering machines
)

type oscillator struct{ twoCos, last, before float64 }

type tone struct {
	oscillators []oscillator
	left        int // negative: endless
}

// Tone sounds the frequencies (Hz) together for d, each at level dBm0; a negative d never ends. Where the sum would overload, the
// level of all is lowered together. Frequencies outside 0 to Rate/2 are not heard.
func Tone(level float64, d time.Duration, freqs ...float64) Source {
	t := &tone{left: -1}
	if d >= 0 {
		t.left = Samples(d)
	}
	heard := 0
	for _, hz := range freqs {
		if hz > 0 && hz < Rate/2 {
			heard++
		}
	}
	amplitude := peak0dBm0 * math.Pow(10, level/20)
	amplitude = min(amplitude, math.MaxInt16/float64(max(heard, 1)))
	for _, hz := range freqs {
		if hz <= 0 || hz >= Rate/2 {
			continue
		}
		// The recurrence s[n] = 2cos(w)s[n-1] - s[n-2] starts one step before zero, so the tone begins without a click.
		w := 2 * math.Pi * hz / Rate
		t.oscillators = append(t.oscillators, oscillator{
			twoCos: 2 * math.Cos(w), last: -amplitude * math.Sin(w), before: -amplitude * math.Sin(2*w),
		})
	}
	return t
}

func (t *tone) ReadFrame(dst []int16) (int, error) {
	if t.left == 0 {
		clear(dst)
		return 0, io.EOF
	}
	n := len(dst)
	if t.left > 0 {
		n = min(n, t.left)
		t.left -= n
	}
	for i := range dst[:n] {
		sum := 0.0
		for k := range t.oscillators {
			o := &t.oscillators[k]
			o.last, o.before = o.twoCos*o.last-o.before, o.last
			sum += o.last
		}
		dst[i] = toInt16(sum)
	}
	clear(dst[n:])
	return n, nil
}

func toInt16(v float64) int16 {
	v = math.RoundToEven(v)
	return int16(max(math.MinInt16, min(math.MaxInt16, v)))
}

// Pattern is a tone that comes and goes.
type Pattern struct {
	Level float64         // dBm0 of each frequency
	Freqs []float64       // Hz, sounded together
	Steps []time.Duration // on, off, on, off …
	Times int             // passes through Steps; 0 is endless
}

// Cadence plays the pattern. Without steps nothing is heard.
func Cadence(p Pattern) Source {
	return Loop(func() (Source, error) {
		parts := make([]Source, 0, len(p.Steps))
		for i, d := range p.Steps {
			d = max(d, 0)
			if i%2 == 0 {
				parts = append(parts, Tone(p.Level, d, p.Freqs...))
			} else {
				parts = append(parts, Silence(d))
			}
		}
		return Concat(parts...), nil
	}, p.Times)
}

// Ringback is the North American audible ring: 440 and 480 Hz, 2 s on, 4 s off, endless.
func Ringback() Source {
	return Cadence(Pattern{ringbackLevel, []float64{440, 480}, []time.Duration{2 * time.Second, 4 * time.Second}, 0})
}

// Busy is the North American busy tone: 480 and 620 Hz, 500 ms on and off, endless.
func Busy() Source {
	return Cadence(Pattern{busyLevel, []float64{480, 620}, []time.Duration{500 * time.Millisecond, 500 * time.Millisecond}, 0})
}

// HoldMusic is a quiet phrase of single notes, endless. Each note holds whole periods, so that it ends at zero, without a click; none is a frequency of
// a key or of a call progress tone.
func HoldMusic() Source {
	const note, rest = 400 * time.Millisecond, 800 * time.Millisecond
	return Loop(func() (Source, error) {
		var phrase []Source
		for _, hz := range []float64{522.5, 660, 785, 660, 587.5, 587.5, 495, 522.5, 660, 785, 880, 785, 660, 587.5, 522.5} {
			phrase = append(phrase, Tone(musicLevel, note, hz))
		}
		return Concat(append(phrase, Silence(rest))...), nil
	}, 0)
}

// Beep is a tone of 1000 Hz for d, as before a recording.
func Beep(d time.Duration) Source {
	return Tone(beepLevel, d, beepHz)
}

// DTMFTone is the pair of tones of key (0-9, *, #, A-D, a-d; ITU-T Q.23) for d. Other keys are silence of that length.
func DTMFTone(key byte, d time.Duration) Source {
	row, col, ok := dtmfFreqs(key)
	if !ok {
		return Silence(d)
	}
	return Tone(dtmfLevel, d, row, col)
}

func dtmfFreqs(key byte) (row, col float64, ok bool) {
	if key >= 'a' && key <= 'd' {
		key -= 'a' - 'A'
	}
	for i := range dtmfKeys {
		if dtmfKeys[i] == key {
			return dtmfHz[i/4], dtmfHz[4+i%4], true
		}
	}
	return 0, 0, false
}
