package audio

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// keyPress is a key with the liberties a line takes.
type keyPress struct {
	key       byte
	length    time.Duration
	level     float64 // dBm0 of the row
	twist     float64 // dB, column over row
	offset    float64 // of both frequencies
	noise     float64 // dBFS, 0 for none
	lead      int     // samples of silence before it
	interrupt time.Duration
}

func (k keyPress) sound() []int16 {
	row, col, _ := dtmfFreqs(k.key)
	n := Samples(k.length)
	out := make([]int16, k.lead+n+800)
	low := peak0dBm0 * math.Pow(10, k.level/20)
	high := low * math.Pow(10, k.twist/20)
	random := rand.New(rand.NewPCG(1, uint64(k.key)))
	noise := 0.0
	if k.noise != 0 {
		noise = 32767 / math.Sqrt2 * math.Pow(10, k.noise/20)
	}
	gap := Samples(k.interrupt)
	for i := range out {
		v := noise * random.NormFloat64()
		at := i - k.lead
		if at >= 0 && at < n && (gap == 0 || at < n/2 || at >= n/2+gap) {
			p := 2 * math.Pi * float64(at) / Rate * (1 + k.offset)
			v += low*math.Sin(p*row) + high*math.Sin(p*col+1)
		}
		out[i] = toInt16(v)
	}
	return out
}

func detect(samples []int16) string {
	d := NewDTMFDetector()
	keys := ""
	for frame := range slices.Chunk(samples, FrameSamples) {
		keys += string(d.Feed(frame))
	}
	return keys
}

func TestEveryKeyIsFoundWhereverItBegins(t *testing.T) {
	for i := range dtmfKeys {
		for lead := 0; lead < 40; lead += 3 {
			press := keyPress{key: dtmfKeys[i], length: 40 * time.Millisecond, level: -9, lead: 160 + lead}
			if got := detect(press.sound()); got != string(dtmfKeys[i]) {
				t.Errorf("40 ms of %c at %d: found %q", dtmfKeys[i], lead, got)
			}
		}
	}
}

// Limits of ITU-T Q.24 table 1 (the widest of the administrations that the network has to serve).
func TestKeysWithinTheLimitsAreFound(t *testing.T) {
	base := keyPress{length: 60 * time.Millisecond, level: -9, lead: 200}
	for name, change := range map[string]func(*keyPress){
		"loud":              func(k *keyPress) { k.level = -3 },
		"soft":              func(k *keyPress) { k.level = -27 },
		"high group louder": func(k *keyPress) { k.twist = 4 },
		"low group louder":  func(k *keyPress) { k.twist = -8 },
		"sharp":             func(k *keyPress) { k.offset = 0.015 },
		"flat":              func(k *keyPress) { k.offset = -0.015 },
		"sharp and twisted": func(k *keyPress) { k.offset, k.twist = 0.015, -6 },
		"noisy":             func(k *keyPress) { k.noise = -30 },
		"interrupted":       func(k *keyPress) { k.length, k.interrupt = 130*time.Millisecond, 10*time.Millisecond },
		"long":              func(k *keyPress) { k.length = 3 * time.Second },
	} {
		for i := range dtmfKeys {
			press := base
			press.key = dtmfKeys[i]
			change(&press)
			if got := detect(press.sound()); got != string(dtmfKeys[i]) {
				t.Errorf("%s: %c found as %q", name, dtmfKeys[i], got)
			}
		}
	}
}

func TestSoundsOutsideTheLimitsAreNotKeys(t *testing.T) {
	base := keyPress{length: 100 * time.Millisecond, level: -9, lead: 200}
	for name, change := range map[string]func(*keyPress){
		"too short":               func(k *keyPress) { k.length = 23 * time.Millisecond },
		"far too soft":            func(k *keyPress) { k.level = -40 },
		"too sharp":               func(k *keyPress) { k.offset = 0.035 },
		"too flat":                func(k *keyPress) { k.offset = -0.035 },
		"high group far too loud": func(k *keyPress) { k.level, k.twist = -20, 12 },
		"low group far too loud":  func(k *keyPress) { k.twist = -15 },
		"drowned":                 func(k *keyPress) { k.level, k.noise = -20, -18 },
	} {
		for i := range dtmfKeys {
			press := base
			press.key = dtmfKeys[i]
			change(&press)
			for lead := range 10 {
				press.lead = 200 + 4*lead
				if got := detect(press.sound()); got != "" {
					t.Errorf("%s: %c at %d found as %q", name, dtmfKeys[i], press.lead, got)
				}
			}
		}
	}
}

func TestFastDiallingIsReadInOrder(t *testing.T) {
	var all []int16
	for i := range "18005550199##**A" {
		all = append(all, tonesOf(t, "18005550199##**A"[i], 45*time.Millisecond)...)
		all = append(all, make([]int16, Samples(40*time.Millisecond))...)
	}
	if got := detect(all); got != "18005550199##**A" {
		t.Fatalf("read as %q", got)
	}
}

func TestKeysSurviveG711(t *testing.T) {
	for _, law := range []Law{ULaw, ALaw} {
		s := append(tonesOf(t, '7', 50*time.Millisecond), make([]int16, 800)...)
		codes := make([]byte, len(s))
		EncodeLaw(law, codes, s)
		DecodeLaw(law, s, codes)
		if got := detect(s); got != "7" {
			t.Errorf("%v: %q", law, got)
		}
	}
}

func TestCallProgressTonesAreNotKeys(t *testing.T) {
	for name, s := range map[string]Source{"ringback": Ringback(), "busy": Busy(), "dial": Tone(-13, -1, 350, 440), "beep": Beep(-1)} {
		if got := detect(frames(t, s, 500)); got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestNoiseIsNotKeys(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	s := make([]int16, 60*Rate)
	for i := range s {
		s[i] = toInt16(3000 * random.NormFloat64())
	}
	if got := detect(s); got != "" {
		t.Fatalf("found %q in noise", got)
	}
}

func TestUnknownKeyIsSilence(t *testing.T) {
	if s := tonesOf(t, 'x', 50*time.Millisecond); len(s) != 400 || Level(s) != Floor {
		t.Fatal("sound for a key that does not exist")
	}
	if fmt.Sprint(tonesOf(t, 'b', time.Millisecond)) != fmt.Sprint(tonesOf(t, 'B', time.Millisecond)) {
		t.Fatal("small letters sound different")
	}
}

func tonesOf(t *testing.T, key byte, d time.Duration) []int16 {
	t.Helper()
	s, err := ReadAll(DTMFTone(key, d), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func FuzzDTMFDetector(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3}, 3)
	f.Fuzz(func(t *testing.T, raw []byte, size int) {
		samples := make([]int16, len(raw))
		DecodeLaw(ULaw, samples, raw)
		d := NewDTMFDetector()
		for frame := range slices.Chunk(samples, max(1, min(size, 1000))) {
			if n := len(d.Feed(frame)); n > 1+len(frame)/(dtmfHits*dtmfBlock) {
				t.Fatalf("%d keys in %d samples", n, len(frame))
			}
		}
	})
}
