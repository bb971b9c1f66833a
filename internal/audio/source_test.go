package audio

import (
	"errors"
	"io"
	"math"
	"slices"
	"testing"
	"time"
)

func frames(t *testing.T, s Source, count int) []int16 {
	t.Helper()
	out := make([]int16, 0, count*FrameSamples)
	for range count {
		frame := make([]int16, FrameSamples)
		n, err := s.ReadFrame(frame)
		if err != nil {
			t.Fatalf("after %d samples: %v", len(out), err)
		}
		out = append(out, frame[:n]...)
	}
	return out
}

func counting(n int) []int16 {
	s := make([]int16, n)
	for i := range s {
		s[i] = int16(i + 1)
	}
	return s
}

func TestLastFrameIsShortAndItsRestIsSilent(t *testing.T) {
	s := FromSamples(counting(200))
	frame := make([]int16, FrameSamples)
	if n, err := s.ReadFrame(frame); n != 160 || err != nil {
		t.Fatalf("first frame %d, %v", n, err)
	}
	n, err := s.ReadFrame(frame)
	if n != 40 || err != nil || frame[39] != 200 || frame[40] != 0 || frame[159] != 0 {
		t.Fatalf("last frame %d, %v, %v", n, err, frame)
	}
	if n, err := s.ReadFrame(frame); n != 0 || err != io.EOF || frame[0] != 0 {
		t.Fatalf("end %d, %v, %v", n, err, frame[0])
	}
}

func TestLoopHasNoGapAndEnds(t *testing.T) {
	open := func() (Source, error) { return FromSamples(counting(100)), nil }
	all, err := ReadAll(Loop(open, 3), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if want := slices.Concat(counting(100), counting(100), counting(100)); !slices.Equal(all, want) {
		t.Fatalf("%d samples, want 300 without gaps", len(all))
	}
	if got := frames(t, Loop(open, 0), 500); len(got) != 500*160 || got[79999] != 100 {
		t.Fatalf("endless loop gave %d samples", len(got))
	}
}

func TestEndlessLoopOverNothingEnds(t *testing.T) {
	s := Loop(func() (Source, error) { return FromSamples(nil), nil }, 0)
	if n, err := s.ReadFrame(make([]int16, 160)); n != 0 || err != io.EOF {
		t.Fatalf("%d, %v", n, err)
	}
}

func TestErrorOfALoopedSourceIsReported(t *testing.T) {
	gone := errors.New("gone")
	s := Loop(func() (Source, error) { return nil, gone }, 0)
	if _, err := s.ReadFrame(make([]int16, 160)); !errors.Is(err, gone) {
		t.Fatalf("%v", err)
	}
	if _, err := s.ReadFrame(make([]int16, 160)); err != io.EOF {
		t.Fatalf("second read %v", err)
	}
}

func TestConcatJoinsInsideAFrame(t *testing.T) {
	all, err := ReadAll(Concat(FromSamples(counting(3)), Silence(time.Millisecond), FromSamples(nil), FromSamples(counting(2))), time.Second)
	if want := []int16{1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2}; err != nil || !slices.Equal(all, want) {
		t.Fatalf("%v, %v", all, err)
	}
}

func TestReadAllStopsAtItsLimit(t *testing.T) {
	all, err := ReadAll(Silence(-1), time.Second)
	if len(all) != Rate || !errors.Is(err, ErrTooLong) {
		t.Fatalf("%d, %v", len(all), err)
	}
}

func TestToneHasItsFrequencyLevelAndLength(t *testing.T) {
	all, err := ReadAll(Tone(-10, 500*time.Millisecond, 440), time.Second)
	if err != nil || len(all) != 4000 {
		t.Fatalf("%d samples, %v", len(all), err)
	}
	if all[0] != 0 {
		t.Errorf("begins with a click of %d", all[0])
	}
	if p := ToneLevel(all, 440); p < 0.999 {
		t.Errorf("%.4f of the energy at 440 Hz", p)
	}
	if level := Level(all); math.Abs(level-(-13.17)) > 0.05 {
		t.Errorf("-10 dBm0 measured as %.2f dBFS, want -13.17", level)
	}
}

func TestLoudChordDoesNotOverload(t *testing.T) {
	all, _ := ReadAll(Tone(3, time.Second, 440, 480, 620), 2*time.Second)
	sum := ToneLevel(all, 440) + ToneLevel(all, 480) + ToneLevel(all, 620)
	if sum < 0.999 {
		t.Fatalf("%.4f of the energy in the chord: the rest is distortion", sum)
	}
	if all, _ = ReadAll(Tone(0, time.Second, 0, 4000, -3), 2*time.Second); Level(all) != Floor || len(all) != Rate {
		t.Fatal("frequencies that cannot be heard are heard")
	}
}

func TestToneKeepsItsLevelForAnHour(t *testing.T) {
	s := Tone(-10, -1, 440)
	frame := make([]int16, Rate)
	for range 3600 {
		s.ReadFrame(frame)
	}
	if level := Level(frame); math.Abs(level-(-13.17)) > 0.01 {
		t.Fatalf("level %.3f dBFS after an hour", level)
	}
}

func TestRingbackHasItsCadence(t *testing.T) {
	all := frames(t, Ringback(), 400) // 8 s
	if p := ToneLevel(all[:16000], 440) + ToneLevel(all[:16000], 480); p < 0.999 {
		t.Errorf("%.3f of the first 2 s are ringback", p)
	}
	if l := Level(all[16000:48000]); l != Floor {
		t.Errorf("pause is at %.1f dBFS", l)
	}
	if p := ToneLevel(all[48000:], 440); p < 0.49 {
		t.Errorf("second ring missing: %.3f", p)
	}
	busy := frames(t, Busy(), 50)
	if p := ToneLevel(busy[:4000], 480) + ToneLevel(busy[:4000], 620); p < 0.999 || Level(busy[4000:]) != Floor {
		t.Errorf("busy tone: %.3f, then %.1f dBFS", p, Level(busy[4000:]))
	}
}

func TestCadenceWithoutStepsIsSilentAndEnds(t *testing.T) {
	if n, err := Cadence(Pattern{Level: -10, Freqs: []float64{440}}).ReadFrame(make([]int16, 160)); n != 0 || err != io.EOF {
		t.Fatalf("%d, %v", n, err)
	}
}

func TestBeepIsHeardAtOneKilohertz(t *testing.T) {
	all, _ := ReadAll(Beep(250*time.Millisecond), time.Second)
	if p := ToneLevel(all, 1000); p < 0.999 || len(all) != 2000 {
		t.Fatalf("%.3f of %d samples", p, len(all))
	}
}
