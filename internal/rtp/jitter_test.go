package rtp

import (
	"math/rand/v2"
	"testing"

	"github.com/opentact/opentact/internal/audio"
)

func newJitter() *jitter {
	j := &jitter{}
	j.reset(DefaultJitterTarget, DefaultJitterMax)
	return j
}

// speechAt is a payload that tells which packet it was: all samples of packet n
// are one of 100 levels.
func speechAt(n, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(0x80 + n%100)
	}
	return b
}

func levelOf(n int) int16 { return level(audio.ULaw, byte(0x80+n%100)) }

func popped(j *jitter) (first, last int16) {
	var f [frameSamples]int16
	j.pop(f[:])
	return f[0], f[frameSamples-1]
}

func TestFramesComeInOrderAfterTheTargetDelay(t *testing.T) {
	orders := map[string][]int{
		"in order":   {0, 1, 2, 3, 4, 5},
		"swapped":    {0, 2, 1, 3, 5, 4},
		"duplicates": {0, 0, 1, 1, 2, 3, 2, 4, 5, 5},
	}
	for name, order := range orders {
		for _, base := range []uint32{0, 0xffffff9c, 0x7fffff00} {
			j := newJitter()
			for _, n := range order {
				j.push(base+uint32(n*frameSamples), speechAt(n, frameSamples), audio.ULaw)
			}
			for range 2 {
				if a, b := popped(j); a != 0 || b != 0 {
					t.Errorf("%s: sound within the first 40 ms", name)
				}
			}
			for n := range 6 {
				if a, b := popped(j); a != levelOf(n) || b != a {
					t.Errorf("%s at %d: frame %d is %d..%d", name, base, n, a, b)
				}
			}
		}
	}
}

func TestPacketsOfAnyLengthBecomeFrames(t *testing.T) {
	for _, size := range []int{80, 160, 240, 320, 480, 33} {
		j := newJitter()
		at, heard := 0, make([]int16, 0, 3200)
		for len(heard) < 3200 {
			for at < len(heard)+480 {
				j.push(uint32(at), speechAt(at/size, size), audio.ULaw)
				at += size
			}
			var f [frameSamples]int16
			j.pop(f[:])
			heard = append(heard, f[:]...)
		}
		for i, v := range heard[320:] {
			if v != levelOf(i/size) {
				t.Fatalf("packets of %d: sample %d is %d", size, i, v)
			}
		}
	}
}

func TestLostFramesFadeAway(t *testing.T) {
	j := newJitter()
	j.push(0, speechAt(1, frameSamples), audio.ULaw)
	popped(j)
	popped(j)
	full, _ := popped(j)
	previous := full
	for n, gain := range []int32{24, 12, 4, 0, 0} {
		got, _ := popped(j)
		if want := int16(int32(full) * gain / 32); got != want {
			t.Errorf("missing frame %d is %d, want %d", n, got, want)
		}
		if max(got, -got) > max(previous, -previous) {
			t.Errorf("missing frame %d is louder", n)
		}
		previous = got
	}
	if j.concealed != 3 {
		t.Errorf("%d repaired", j.concealed)
	}
	j.push(5*frameSamples, speechAt(2, frameSamples), audio.ULaw)
	j.push(6*frameSamples, speechAt(2, frameSamples), audio.ULaw)
	got := [3]int16{}
	for i := range got {
		got[i], _ = popped(j)
	}
	if got[1] != levelOf(2) && got[2] != levelOf(2) {
		t.Errorf("after the gap: %v", got)
	}
}

func TestHoleWithinAFrameIsFilled(t *testing.T) {
	j := newJitter()
	j.push(0, speechAt(1, frameSamples), audio.ULaw)
	j.push(frameSamples+80, speechAt(2, 80), audio.ULaw)
	for range 3 {
		popped(j)
	}
	first, last := popped(j)
	if want := int16(int32(levelOf(1)) * 24 / 32); first != want || last != levelOf(2) {
		t.Errorf("got %d..%d", first, last)
	}
}

// drive feeds packets with the given delays, one a tick, and returns the depth
// that the buffer had in the end.
func drive(j *jitter, from, n int, delay func(int) int) {
	type arrival struct{ tick, n int }
	var waiting []arrival
	for i := range n {
		waiting = append(waiting, arrival{i + delay(i), from + i})
		rest := waiting[:0]
		for _, a := range waiting {
			if a.tick <= i {
				j.push(uint32(a.n*frameSamples), speechAt(a.n, frameSamples), audio.ULaw)
				continue
			}
			rest = append(rest, a)
		}
		waiting = rest
		popped(j)
	}
}

func TestDelayGrowsWithJitterAndShrinksAfterwards(t *testing.T) {
	j := newJitter()
	random := rand.New(rand.NewPCG(3, 4))
	drive(j, 0, 400, func(int) int { return random.IntN(6) })
	grown := j.delay
	if grown <= j.target || grown > j.max {
		t.Errorf("delay %d with jitter of 100 ms", grown)
	}
	before := j.concealed
	drive(j, 400, 200, func(int) int { return random.IntN(6) })
	if repaired := j.concealed - before; repaired > 20 {
		t.Errorf("%d of 200 frames repaired once the delay had grown", repaired)
	}
	drive(j, 600, 2000, func(int) int { return 0 })
	if j.delay > j.target+frameSamples {
		t.Errorf("delay is still %d", j.delay)
	}
}

func TestTimestampsThatJumpAreBelievedAfterThree(t *testing.T) {
	for _, jump := range []int64{1 << 20, 1 << 31, -1 << 20, 40 * frameSamples, -40 * frameSamples} {
		j := newJitter()
		drive(j, 0, 50, func(int) int { return 0 })
		heard := 0
		for i := range 20 {
			j.push(uint32(int64((50+i)*frameSamples)+jump), speechAt(7, frameSamples), audio.ULaw)
			if got, _ := popped(j); got == levelOf(7) {
				heard++
			}
		}
		if heard < 12 {
			t.Errorf("jump of %d: %d of 20 frames heard", jump, heard)
		}
	}
}

func TestSilentSenderStartsAnew(t *testing.T) {
	j := newJitter()
	drive(j, 0, 50, func(int) int { return 0 })
	for range 200 {
		popped(j)
	}
	if j.running {
		t.Error("still running after four seconds without a packet")
	}
	j.push(12345, speechAt(3, frameSamples), audio.ULaw)
	got := [3]int16{}
	for i := range got {
		got[i], _ = popped(j)
	}
	if got[2] != levelOf(3) {
		t.Errorf("got %v", got)
	}
}

func TestAnyPacketsLeaveTheBufferSound(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	j := newJitter()
	for range 20000 {
		j.push(j.next+uint32(random.IntN(10000))-5000, speechAt(1, random.IntN(1200)), audio.ALaw)
		popped(j)
		if j.delay < 0 || j.delay > j.max || j.strange >= jitterStrange {
			t.Fatalf("delay %d, strange %d", j.delay, j.strange)
		}
	}
}

func BenchmarkJitter(b *testing.B) {
	j, payload := newJitter(), speechAt(1, frameSamples)
	var f [frameSamples]int16
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		j.push(uint32(i*frameSamples), payload, audio.ULaw)
		j.pop(f[:])
	}
}
