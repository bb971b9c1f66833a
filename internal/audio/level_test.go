package audio

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestMixHoldsAtFullScale(t *testing.T) {
	dst := make([]int16, 5)
	Mix(dst, []int16{30000, -30000, 100}, []int16{30000, -30000, -50, 7})
	if want := []int16{32767, -32768, 50, 7, 0}; !slices.Equal(dst, want) {
		t.Fatalf("%v, want %v", dst, want)
	}
	own := []int16{1, 2, 3}
	Mix(own, own, []int16{10, 10})
	if want := []int16{11, 12, 3}; !slices.Equal(own, want) {
		t.Fatalf("in place %v, want %v", own, want)
	}
}

func TestLevelOfFullScaleIsZero(t *testing.T) {
	s := make([]int16, Rate)
	for i := range s {
		s[i] = int16(32767 * math.Sin(2*math.Pi*float64(i)/8))
	}
	if l := Level(s); math.Abs(l) > 0.01 {
		t.Errorf("full scale is %.3f dBFS", l)
	}
	for i := range s {
		s[i] /= 10
	}
	if l := Level(s); math.Abs(l+20) > 0.05 {
		t.Errorf("a tenth is %.3f dBFS", l)
	}
	if Level(nil) != Floor || Level(make([]int16, 10)) != Floor {
		t.Error("silence has a level")
	}
}

func toneFor(level float64, d time.Duration, hz ...float64) []int16 {
	s := make([]int16, Samples(d))
	Tone(level, d, hz...).ReadFrame(s)
	return s
}

func TestSilenceIsMeasuredFromTheEndOfSound(t *testing.T) {
	var s SilenceDetector
	quiet, loud := make([]int16, FrameSamples), toneFor(-20, FrameDuration, 400)
	for range 10 {
		s.Feed(quiet)
	}
	if s.Heard() {
		t.Fatal("heard something in silence")
	}
	if got := s.Feed(quiet); got != 220*time.Millisecond {
		t.Fatalf("silent for %v, want 220ms", got)
	}
	s.Feed(loud)
	if got := s.Feed(loud); got != 0 || !s.Heard() {
		t.Fatalf("in speech: %v", got)
	}
	s.Feed(loud)
	if got := s.Feed(quiet); got != 20*time.Millisecond {
		t.Fatalf("after speech: %v", got)
	}
}

func TestClickDoesNotEndASilence(t *testing.T) {
	var s SilenceDetector
	quiet, loud := make([]int16, FrameSamples), toneFor(-20, FrameDuration, 400)
	s.Feed(quiet)
	if got := s.Feed(loud); got != 40*time.Millisecond {
		t.Fatalf("in the click: %v", got)
	}
	if got := s.Feed(quiet); got != 60*time.Millisecond || s.Heard() {
		t.Fatalf("after the click: %v", got)
	}
}

func TestTrimLeavesTheSoundWithItsGuards(t *testing.T) {
	all := slices.Concat(make([]int16, Rate), toneFor(-20, 300*time.Millisecond, 500), make([]int16, 3*Rate))
	got := Trim(all, 0)
	if d := Duration(len(got)); d < 395*time.Millisecond || d > 410*time.Millisecond {
		t.Fatalf("%v left of 300 ms", d)
	}
	if &got[0] != &all[Rate-trimGuard] {
		t.Fatal("begins elsewhere")
	}
	if got := Trim(make([]int16, Rate), -50); len(got) != 0 {
		t.Fatalf("%d samples of silence left", len(got))
	}
}

func TestToneLevelTellsFrequenciesApart(t *testing.T) {
	s := toneFor(-10, time.Second, 400)
	if a, b := ToneLevel(s, 400), ToneLevel(s, 430); a < 0.999 || b > 0.01 {
		t.Fatalf("%.4f at 400 Hz, %.4f at 430 Hz", a, b)
	}
	if ToneLevel(make([]int16, 100), 400) != 0 {
		t.Fatal("tone in silence")
	}
}
