package audio

import "math"

// ToneLevel is the fraction (0 to about 1) of the energy of samples that lies at hz, by the Goertzel algorithm. A pure sine of
// that frequency gives 1, silence 0. The longer the samples, the narrower the band: Rate/len(samples) Hz.
func ToneLevel(samples []int16, hz float64) float64 {
	total := energy(samples)
	if total == 0 {
		return 0
	}
	coefficient := 2 * math.Cos(2*math.Pi*hz/Rate)
	last, before := 0.0, 0.0
	for _, s := range samples {
		last, before = float64(s)+coefficient*last-before, last
	}
	power := last*last + before*before - coefficient*last*before
	return 2 * power / (float64(len(samples)) * total)
}
