package audio

import (
	"testing"
)

// Values of ITU-T G.711 tables 1a to 2b: the ends of the range, the smallest values, the middle of the segments.
func TestKnownG711Codes(t *testing.T) {
	for _, c := range []struct {
		law    Law
		sample int16
		code   byte
		back   int16
	}{
		{ULaw, 0, 0xFF, 0},
		{ULaw, 4, 0xFE, 8},
		{ULaw, -1, 0x7F, 0},
		{ULaw, 32767, 0x80, 32124},
		{ULaw, -32768, 0x00, -32124},
		{ULaw, 32124, 0x80, 32124},
		{ULaw, 16, 0xFD, 16},
		{ULaw, 8031, 0xA0, 7932},
		{ULaw, -996, 0x4E, -988},
		{ALaw, 0, 0xD5, 8},
		{ALaw, -1, 0x55, -8},
		{ALaw, 32767, 0xAA, 32256},
		{ALaw, -32768, 0x2A, -32256},
		{ALaw, 256, 0xC5, 264},
		{ALaw, 512, 0xF5, 528},
		{ALaw, 1024, 0xE5, 1056},
		{ALaw, 16384, 0xA5, 16896},
	} {
		var code [1]byte
		var back [1]int16
		EncodeLaw(c.law, code[:], []int16{c.sample})
		DecodeLaw(c.law, back[:], code[:])
		if code[0] != c.code || back[0] != c.back {
			t.Errorf("%v of %d: code %#02x gives %d, want %#02x and %d", c.law, c.sample, code[0], back[0], c.code, c.back)
		}
	}
}

func TestEveryCodeSurvivesARoundTrip(t *testing.T) {
	for _, law := range []Law{ULaw, ALaw} {
		for b := range 256 {
			var sample [1]int16
			var again [1]byte
			DecodeLaw(law, sample[:], []byte{byte(b)})
			EncodeLaw(law, again[:], sample[:])
			if again[0] != byte(b) && (law != ULaw || b != 0x7F) { // mu-law has two zeros
				t.Errorf("%v: %#02x decodes to %d, which encodes to %#02x", law, b, sample[0], again[0])
			}
		}
	}
}

// G.711 tables 1 and 2: the value of a code is the middle of its decision interval, but for the two around zero of mu-law and
// the overloaded ends.
func TestValueIsTheMiddleOfItsInterval(t *testing.T) {
	for _, law := range []Law{ULaw, ALaw} {
		lowest, highest := map[byte]int{}, map[byte]int{}
		before := -40000
		for s := -32768; s <= 32767; s++ {
			var code [1]byte
			var value [1]int16
			EncodeLaw(law, code[:], []int16{int16(s)})
			DecodeLaw(law, value[:], code[:])
			if int(value[0]) < before {
				t.Fatalf("%v: %d gives %d, less than the sample below it", law, s, value[0])
			}
			before = int(value[0])
			if _, ok := lowest[code[0]]; !ok {
				lowest[code[0]] = s
			}
			highest[code[0]] = s
		}
		if len(lowest) != 256 {
			t.Fatalf("%v uses %d codes", law, len(lowest))
		}
		for code, low := range lowest {
			var value [1]int16
			DecodeLaw(law, value[:], []byte{code})
			middle := (low + highest[code] + 1) / 2
			if value[0] == 0 || low == -32768 || highest[code] == 32767 {
				continue
			}
			if distance(middle, int(value[0])) > 2 {
				t.Errorf("%v %#02x: %d to %d has the value %d", law, code, low, highest[code], value[0])
			}
		}
	}
}

func distance(a, b int) int {
	if a < b {
		return b - a
	}
	return a - b
}

func TestTranscodeEqualsDecodingAndEncoding(t *testing.T) {
	for _, pair := range [][2]Law{{ULaw, ALaw}, {ALaw, ULaw}, {ULaw, ULaw}} {
		buf, want := make([]byte, 256), make([]byte, 256)
		samples := make([]int16, 256)
		for i := range buf {
			buf[i] = byte(i)
		}
		DecodeLaw(pair[0], samples, buf)
		EncodeLaw(pair[1], want, samples)
		Transcode(pair[0], pair[1], buf)
		for i := range buf {
			if buf[i] != want[i] && pair[0] != pair[1] {
				t.Fatalf("%v to %v: %#02x became %#02x, want %#02x", pair[0], pair[1], i, buf[i], want[i])
			}
			if pair[0] == pair[1] && buf[i] != byte(i) {
				t.Fatal("same law changed the bytes")
			}
		}
	}
}

func TestIdleLineIsSilent(t *testing.T) {
	for _, law := range []Law{ULaw, ALaw} {
		var s [1]int16
		DecodeLaw(law, s[:], []byte{law.SilenceByte()})
		if s[0] < 0 || s[0] > 8 {
			t.Errorf("%v: %d", law, s[0])
		}
	}
}

func TestG711AllocatesNothing(t *testing.T) {
	samples, codes := make([]int16, FrameSamples), make([]byte, FrameSamples)
	if n := testing.AllocsPerRun(100, func() {
		EncodeLaw(ULaw, codes, samples)
		Transcode(ULaw, ALaw, codes)
		DecodeLaw(ALaw, samples, codes)
		Mix(samples, samples, samples)
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func TestG711StopsAtTheShorterSide(t *testing.T) {
	if n := EncodeLaw(ULaw, make([]byte, 3), make([]int16, 5)); n != 3 {
		t.Errorf("encoded %d", n)
	}
	if n := DecodeLaw(ALaw, make([]int16, 3), make([]byte, 2)); n != 2 {
		t.Errorf("decoded %d", n)
	}
}

func BenchmarkEncodeFrame(b *testing.B) {
	samples, codes := counting(FrameSamples), make([]byte, FrameSamples)
	b.ReportAllocs()
	for b.Loop() {
		EncodeLaw(ULaw, codes, samples)
	}
}

func BenchmarkDecodeFrame(b *testing.B) {
	samples, codes := make([]int16, FrameSamples), make([]byte, FrameSamples)
	b.ReportAllocs()
	for b.Loop() {
		DecodeLaw(ALaw, samples, codes)
	}
}

func BenchmarkTranscodeFrame(b *testing.B) {
	codes := make([]byte, FrameSamples)
	b.ReportAllocs()
	for b.Loop() {
		Transcode(ULaw, ALaw, codes)
	}
}

func BenchmarkMixFrame(b *testing.B) {
	x, y, z := make([]int16, FrameSamples), counting(FrameSamples), counting(FrameSamples)
	b.ReportAllocs()
	for b.Loop() {
		Mix(x, y, z)
	}
}

func BenchmarkDTMFFrame(b *testing.B) {
	s := Tone(-9, -1, 697, 1209)
	frame := make([]int16, FrameSamples)
	s.ReadFrame(frame)
	d := NewDTMFDetector()
	b.ReportAllocs()
	for b.Loop() {
		d.Feed(frame)
	}
}

func BenchmarkResampleSecondFrom44100(b *testing.B) {
	in := counting(44100)
	b.ReportAllocs()
	for b.Loop() {
		Resample(in, 44100, Rate)
	}
}
