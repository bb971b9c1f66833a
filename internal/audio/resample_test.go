package audio

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func sine(rate int, hz float64, seconds float64) []int16 {
	s := make([]int16, int(float64(rate)*seconds))
	for i := range s {
		s[i] = int16(math.Round(10000 * math.Sin(2*math.Pi*hz*float64(i)/float64(rate))))
	}
	return s
}

func TestResampledSineStaysItself(t *testing.T) {
	for _, from := range []int{11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000, 8001, 6000, 44099} {
		for _, hz := range []float64{300, 1000, 2400} {
			t.Run(fmt.Sprintf("%d/%.0f", from, hz), func(t *testing.T) {
				out := Resample(sine(from, hz, 1), from, Rate)
				if distance(len(out), Rate) > 1 {
					t.Fatalf("%d samples for one second", len(out))
				}
				worst := 0
				want := sine(Rate, hz, 1)
				for i := 400; i < 7600; i++ {
					worst = max(worst, distance(int(out[i]), int(want[i])))
				}
				if worst > 25 { // -52 dB of 10000; the exact ratios stay below 5
					t.Fatalf("off by up to %d of 10000", worst)
				}
			})
		}
	}
}

func TestSoundAboveTheNewBandIsGone(t *testing.T) {
	for _, hz := range []float64{4100, 5000, 7000, 15000} {
		out := Resample(sine(44100, hz, 1), 44100, Rate)
		if l := Level(out[400:7600]); l > -70 {
			t.Errorf("%.0f Hz comes through at %.1f dBFS", hz, l)
		}
	}
}

func TestResamplingUpAddsNoImages(t *testing.T) {
	out := Resample(sine(Rate, 1000, 1), Rate, 16000)
	want := sine(16000, 1000, 1)
	for i := 800; i < 15200; i++ {
		if distance(int(out[i]), int(want[i])) > 5 {
			t.Fatalf("sample %d is %d, want %d", i, out[i], want[i])
		}
	}
}

func TestStreamedResamplingEqualsTheWhole(t *testing.T) {
	in := sine(22050, 700, 0.5)
	want := Resample(in, 22050, Rate)
	r := newResampler(22050, Rate)
	var got []int16
	for i := 0; i < len(in); i += 37 {
		got = r.push(in[i:min(i+37, len(in))], got)
	}
	if got = r.finish(got); !slices.Equal(got, want) {
		t.Fatal("pieces give another result")
	}
}

func TestResampleOfOddInputs(t *testing.T) {
	if got := Resample(nil, 44100, Rate); len(got) != 0 {
		t.Errorf("nothing became %d samples", len(got))
	}
	if got := Resample([]int16{100}, 44100, Rate); len(got) != 0 {
		t.Errorf("one sample became %d", len(got))
	}
	if Resample(make([]int16, 10), 0, Rate) != nil || Linear(make([]int16, 10), Rate, 1<<30) != nil {
		t.Error("rates without sense are taken")
	}
	same := []int16{1, 2}
	if got := Resample(same, Rate, Rate); !slices.Equal(got, same) || &got[0] == &same[0] {
		t.Error("equal rates do not give a copy")
	}
}

func TestLinearDrawsStraightLines(t *testing.T) {
	if got := Linear([]int16{0, 100, -100}, Rate, 16000); !slices.Equal(got, []int16{0, 50, 100, 0, -100, -100}) {
		t.Fatalf("%v", got)
	}
	if got := Linear([]int16{0, 10, 20, 30}, 16000, Rate); !slices.Equal(got, []int16{0, 20}) {
		t.Fatalf("%v", got)
	}
}
