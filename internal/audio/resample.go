package audio

import "math"

// The rates that files may have. Below the first no speech is left; above the second nobody records.
const (
	MinRate = 4000
	MaxRate = 192000
)

// The low-pass filter of the resampler: sinc under a Kaiser window (beta 8: about 80 dB), resampleHalf zero crossings on each side, which makes
// the transition 0.16 of the band wide; its middle lies at resampleCutoff so that it ends at the new Nyquist frequency.
const (
	resampleHalf   = 32
	resampleBeta   = 8.0
	resampleCutoff = 0.92
	resamplePhases = 1024 // most filters kept; ratios that need more take the nearest (noise at about -60 dB)
)

// Resample changes in from one rate (Hz) to another by a polyphase windowed sinc. Equal rates give a copy; it returns nil for
// rates outside MinRate to MaxRate.
func Resample(in []int16, from, to int) []int16 {
	if !rateOK(from) || !rateOK(to) {
		return nil
	}
	if from == to {
		return append([]int16(nil), in...)
	}
	r := newResampler(from, to)
	out := make([]int16, 0, int(int64(len(in))*int64(to)/int64(from))+1)
	return r.finish(r.push(in, out))
}

// Linear changes the rate by straight lines between samples. Going up it leaves the mirror images of the band, which pocketsphinx
// wants to hear (its model was trained on wide-band speech); for listening take [Resample].
func Linear(in []int16, from, to int) []int16 {
	if !rateOK(from) || !rateOK(to) {
		return nil
	}
	n := int(int64(len(in)) * int64(to) / int64(from))
	out := make([]int16, n)
	for i := range out {
		at := int64(i) * int64(from)
		k, rest := int(at/int64(to)), at%int64(to)
		a := int64(in[k])
		b := a
		if k+1 < len(in) {
			b = int64(in[k+1])
		}
		out[i] = int16(a + (b-a)*rest/int64(to))
	}
	return out
}

func rateOK(rate int) bool { return rate >= MinRate && rate <= MaxRate }

// resampler works on a stream: memory is the filter and a little more than its length of input, whatever the sound's length.
type resampler struct {
	from, to int64
	half     int // taps on each side of the output instant, in input samples
	phases   int64
	taps     [][]float32 // by phase, 2*half each
	window   []float32   // input not yet passed by
	start    int64       // index in the input of window[0]
	read     int64       // samples pushed
	made     int64       // samples given
}

func newResampler(from, to int) *resampler {
	g := gcd(from, to)
	r := &resampler{from: int64(from / g), to: int64(to / g)}
	crossings := min(1, float64(to)/float64(from))
	r.half = int(math.Ceil(resampleHalf / crossings))
	r.phases = min(r.to, resamplePhases)
	r.taps = make([][]float32, r.phases)
	kernel := newKernel()
	for p := range r.taps {
		r.taps[p] = kernel.taps(r.half, float64(p)/float64(r.phases), crossings)
	}
	r.window = make([]float32, r.half) // silence before the first sample
	r.start = -int64(r.half)
	return r
}

// kernel is the windowed sinc from its middle outwards, kernelStep points to each zero crossing.
type kernel [resampleHalf*kernelStep + 2]float64

const kernelStep = 512

func newKernel() *kernel {
	k := new(kernel)
	top := bessel0(resampleBeta)
	for i := range resampleHalf*kernelStep + 1 {
		x := float64(i) / kernelStep
		edge := x / resampleHalf
		k[i] = sinc(resampleCutoff*x) * bessel0(resampleBeta*math.Sqrt(1-edge*edge)) / top
	}
	return k
}

// at is the kernel x zero crossings away from its middle, by a straight line between points (an error below -100 dB).
func (k *kernel) at(x float64) float64 {
	x = math.Abs(x) * kernelStep
	i := int(x)
	if i > resampleHalf*kernelStep {
		return 0
	}
	return k[i] + (k[i+1]-k[i])*(x-float64(i))
}

// taps are the weights of 2*half input samples for an output instant that lies shift (0 to 1) after sample half-1; crossings is how many zero
// crossings fit one input sample. Their sum is 1.
func (k *kernel) taps(half int, shift, crossings float64) []float32 {
	values, sum := make([]float64, 2*half), 0.0
	for i := range values {
		values[i] = k.at((float64(i-half+1) - shift) * crossings)
		sum += values[i]
	}
	taps := make([]float32, 2*half)
	for i, v := range values {
		taps[i] = float32(v / sum)
	}
	return taps
}

func (r *resampler) push(in []int16, out []int16) []int16 {
	for _, s := range in {
		r.window = append(r.window, float32(s))
	}
	r.read += int64(len(in))
	return r.drain(out)
}

// finish gives what the filter still holds, so that the whole has exactly read*to/from samples.
func (r *resampler) finish(out []int16) []int16 {
	total := r.read * r.to / r.from
	r.window = append(r.window, make([]float32, r.half+1)...)
	out = r.drain(out)
	if extra := r.made - total; extra > 0 {
		out = out[:len(out)-int(extra)]
	}
	return out
}

func (r *resampler) drain(out []int16) []int16 {
	for {
		at := r.made * r.from
		index, rest := at/r.to, at%r.to
		phase := rest * r.phases / r.to
		first := int(index - r.start - int64(r.half) + 1)
		if first+2*r.half > len(r.window) {
			break
		}
		taps, window := r.taps[phase], r.window[first:first+2*r.half]
		sum := float32(0)
		for i, t := range taps {
			sum += t * window[i]
		}
		out = append(out, toInt16(float64(sum)))
		r.made++
	}
	r.forget()
	return out
}

// forget drops the input that no later output needs.
func (r *resampler) forget() {
	drop := int(r.made*r.from/r.to - r.start - int64(r.half) + 1)
	drop = min(drop, len(r.window))
	if drop <= 0 {
		return
	}
	n := copy(r.window, r.window[drop:])
	r.window = r.window[:n]
	r.start += int64(drop)
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// bessel0 is the modified Bessel function of order zero by its power series.
func bessel0(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > 1e-12*sum; k++ {
		term *= (x / (2 * k)) * (x / (2 * k))
		sum += term
	}
	return sum
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
