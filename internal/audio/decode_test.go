package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// wavFile builds a WAV from its parts, so that each can be wrong.
type wavFile struct {
	code, channels, rate, bits int
	riff, size                 int64  // negative: as it should be
	extra                      []byte // chunks before the data
	after                      []byte
	data                       []byte
	extensible                 bool
}

func (w wavFile) bytes() []byte {
	le := binary.LittleEndian
	code := w.code
	if w.extensible {
		code = wavExtensible
	}
	format := le.AppendUint16(nil, uint16(code))
	format = le.AppendUint16(format, uint16(w.channels))
	format = le.AppendUint32(format, uint32(w.rate))
	format = le.AppendUint32(format, uint32(w.rate*w.channels*w.bits/8))
	format = le.AppendUint16(format, uint16(w.channels*w.bits/8))
	format = le.AppendUint16(format, uint16(w.bits))
	if w.extensible {
		format = le.AppendUint16(format, 22)
		format = le.AppendUint16(format, uint16(w.bits))
		format = le.AppendUint32(format, 3)
		format = le.AppendUint16(format, uint16(w.code))
		format = append(format, extensibleTail...)
	}
	body := []byte("WAVEfmt ")
	body = le.AppendUint32(body, uint32(len(format)))
	body = append(append(body, format...), w.extra...)
	body = append(body, "data"...)
	size, riff := w.size, w.riff
	if size < 0 {
		size = int64(len(w.data))
	}
	body = le.AppendUint32(body, uint32(size))
	body = append(append(body, w.data...), w.after...)
	if riff < 0 {
		riff = int64(len(body))
	}
	return append(le.AppendUint32([]byte("RIFF"), uint32(riff)), body...)
}

func pcm16(samples []int16) []byte {
	var b []byte
	for _, s := range samples {
		b = binary.LittleEndian.AppendUint16(b, uint16(s))
	}
	return b
}

func decode(t *testing.T, file []byte) []int16 {
	t.Helper()
	got, err := DecodeFile(bytes.NewReader(file), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestEachWAVFormatIsRead(t *testing.T) {
	want := sine(Rate, 440, 0.25)
	le := binary.LittleEndian
	var b8, b24, b32, f32, f64 []byte
	for _, s := range want {
		b8 = append(b8, byte(s>>8)+128)
		b24 = append(b24, 0x12, byte(s), byte(s>>8))
		b32 = le.AppendUint32(b32, uint32(int32(s)<<16|0x1234))
		f32 = le.AppendUint32(f32, math.Float32bits(float32(s)/32768))
		f64 = le.AppendUint64(f64, math.Float64bits(float64(s)/32768))
	}
	ulaw, alaw := make([]byte, len(want)), make([]byte, len(want))
	EncodeLaw(ULaw, ulaw, want)
	EncodeLaw(ALaw, alaw, want)
	for _, c := range []struct {
		name       string
		code, bits int
		data       []byte
		off        int
	}{
		{"8", wavPCM, 8, b8, 255},
		{"16", wavPCM, 16, pcm16(want), 0},
		{"24", wavPCM, 24, b24, 0},
		{"32", wavPCM, 32, b32, 0},
		{"float 32", wavFloat, 32, f32, 0},
		{"float 64", wavFloat, 64, f64, 0},
		{"mu-law", wavULaw, 8, ulaw, 260},
		{"A-law", wavALaw, 8, alaw, 260},
	} {
		for _, extensible := range []bool{false, true} {
			got := decode(t, wavFile{code: c.code, channels: 1, rate: Rate, bits: c.bits, riff: -1, size: -1, data: c.data, extensible: extensible}.bytes())
			if len(got) != len(want) {
				t.Fatalf("%s: %d samples of %d", c.name, len(got), len(want))
			}
			for i := range got {
				if distance(int(got[i]), int(want[i])) > c.off {
					t.Fatalf("%s: sample %d is %d, want %d", c.name, i, got[i], want[i])
				}
			}
		}
	}
}

func TestStereoIsMixed(t *testing.T) {
	got := decode(t, wavFile{code: wavPCM, channels: 2, rate: Rate, bits: 16, riff: -1, size: -1, data: pcm16([]int16{100, 300, -32768, -32768, 32767, 32767})}.bytes())
	if !slices.Equal(got, []int16{200, -32768, 32767}) {
		t.Fatalf("%v", got)
	}
}

func TestOneChannelOfStereoIsTaken(t *testing.T) {
	file := wavFile{code: wavPCM, channels: 2, rate: Rate, bits: 16, riff: -1, size: -1, data: pcm16([]int16{100, 300, -32768, 5, 32767, -7})}.bytes()
	for channel, want := range [][]int16{{100, -32768, 32767}, {300, 5, -7}, {300, 5, -7}} {
		if got, err := DecodeChannel(bytes.NewReader(file), Limits{}, channel); err != nil || !slices.Equal(got, want) {
			t.Errorf("channel %d: %v, %v", channel, got, err)
		}
	}
}

func TestForeignRateIsConverted(t *testing.T) {
	got := decode(t, wavFile{code: wavPCM, channels: 1, rate: 44100, bits: 16, riff: -1, size: -1, data: pcm16(sine(44100, 1000, 0.5))}.bytes())
	if distance(len(got), 4000) > 1 || ToneLevel(got, 1000) < 0.99 {
		t.Fatalf("%d samples, %.3f at 1 kHz", len(got), ToneLevel(got, 1000))
	}
}

func TestStreamedWAVIsReadToItsEnd(t *testing.T) {
	want := sine(Rate, 300, 0.1)
	for _, sizes := range [][2]int64{{0, 0}, {0xFFFFFFFF, 0xFFFFFFFF}, {0x7FFFF024, 0x7FFFF000}, {36, 0}, {-1, 1 << 24}} {
		got := decode(t, wavFile{code: wavPCM, channels: 1, rate: Rate, bits: 16, riff: sizes[0], size: sizes[1], data: pcm16(want)}.bytes())
		if !slices.Equal(got, want) {
			t.Errorf("lengths %#x: %d samples of %d", sizes, len(got), len(want))
		}
	}
}

func TestChunksAroundTheSoundAreNotSound(t *testing.T) {
	odd := []byte("LIST\x05\x00\x00\x00abcde\x00")
	got := decode(t, wavFile{code: wavPCM, channels: 1, rate: Rate, bits: 16, riff: -1, size: -1, extra: odd, after: odd, data: pcm16([]int16{1, 2, 3})}.bytes())
	if !slices.Equal(got, []int16{1, 2, 3}) {
		t.Fatalf("%v", got)
	}
	empty := wavFile{code: wavPCM, channels: 1, rate: Rate, bits: 16, riff: -1, size: -1, after: odd}.bytes()
	if got := decode(t, empty); len(got) != 0 {
		t.Fatalf("an empty sound with a chunk behind it became %v", got)
	}
}

func TestUnplayableFilesAreRefusedByName(t *testing.T) {
	good := wavFile{code: wavPCM, channels: 1, rate: Rate, bits: 16, riff: -1, size: -1, data: pcm16(make([]int16, 100))}
	with := func(change func(*wavFile)) []byte {
		w := good
		change(&w)
		return w.bytes()
	}
	for name, c := range map[string]struct {
		file []byte
		word string
	}{
		"empty":             {nil, "neither"},
		"text":              {[]byte("<html><body>404 not found</body></html>"), "neither"},
		"ogg":               {[]byte("OggS\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00"), "neither"},
		"cut in the header": {good.bytes()[:20], "ends before"},
		"no data":           {good.bytes()[:36], "ends before"},
		"compressed":        {with(func(w *wavFile) { w.code = 0x55 }), "format 0x0055"},
		"12 bytes wide":     {with(func(w *wavFile) { w.bits = 96 }), "96 bits"},
		"no channel":        {with(func(w *wavFile) { w.channels = 0 }), "0 channels"},
		"many channels":     {with(func(w *wavFile) { w.channels = 9 }), "9 channels"},
		"slow":              {with(func(w *wavFile) { w.rate = 100 }), "100 samples"},
		"fast":              {with(func(w *wavFile) { w.rate = 1 << 30 }), "samples per second"},
		"data first":        {append([]byte("RIFF\x10\x00\x00\x00WAVEdata\x04\x00\x00\x00"), 1, 2, 3, 4), "before its format"},
		"tag only":          {[]byte("ID3\x04\x00\x00\x00\x00\x00\x02ab"), "no MP3 frame"},
		"endless tag":       {[]byte("ID3\x04\x00\x00\x7f\x7f\x7f\x7f"), "ends in its tag"},
		"one bare frame":    {[]byte{0xFF, 0xFB, 0x90, 0x00}, "not a playable"},
	} {
		_, err := DecodeFile(bytes.NewReader(c.file), Limits{})
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, want ErrFormat", name, err)
		} else if !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %q does not say %q", name, err, c.word)
		}
	}
}

func TestLimitsAreKept(t *testing.T) {
	file := wavFile{code: wavPCM, channels: 1, rate: Rate, bits: 16, riff: -1, size: -1, data: pcm16(make([]int16, Rate))}.bytes()
	if _, err := DecodeFile(bytes.NewReader(file), Limits{MaxBytes: 1000}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("bytes: %v", err)
	}
	if _, err := DecodeFile(bytes.NewReader(file), Limits{MaxBytes: int64(len(file))}); err != nil {
		t.Errorf("exactly as many bytes as allowed: %v", err)
	}
	if _, err := DecodeFile(bytes.NewReader(file), Limits{MaxDuration: 999 * time.Millisecond}); !errors.Is(err, ErrTooLong) {
		t.Errorf("duration: %v", err)
	}
}

func TestFailureOfTheReaderIsReported(t *testing.T) {
	gone := errors.New("connection lost")
	head := wavFile{code: wavPCM, channels: 1, rate: Rate, bits: 16, riff: -1, size: 1000}.bytes()
	if _, err := DecodeFile(io.MultiReader(bytes.NewReader(head), failing{gone}), Limits{}); !errors.Is(err, gone) {
		t.Errorf("WAV: %v", err)
	}
	file, err := os.ReadFile(makeMP3(t, 16000, 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeFile(io.MultiReader(bytes.NewReader(file[:len(file)/2]), failing{gone}), Limits{}); !errors.Is(err, gone) {
		t.Errorf("MP3: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// makeMP3 lets ffmpeg write one second of 1 kHz.
func makeMP3(t testing.TB, rate, channels int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tone.mp3")
	program, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Fatal("the program ffmpeg (Debian package ffmpeg) is missing")
	}
	command := exec.Command(program, "-v", "error", "-f", "lavfi", "-i", "sine=frequency=1000:duration=1", "-ar", strconv.Itoa(rate), "-ac", strconv.Itoa(channels), "-b:a", "64k", path)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

func TestMP3IsRead(t *testing.T) {
	for _, rate := range []int{16000, 22050, 44100, 48000} {
		for channels := 1; channels <= 2; channels++ {
			file, err := os.Open(makeMP3(t, rate, channels))
			if err != nil {
				t.Fatal(err)
			}
			got, err := DecodeFile(file, Limits{})
			file.Close()
			if err != nil {
				t.Fatalf("%d Hz, %d channels: %v", rate, channels, err)
			}
			if len(got) < Rate || len(got) > Rate*12/10 || ToneLevel(got[800:7200], 1000) < 0.98 {
				t.Errorf("%d Hz, %d channels: %d samples, %.3f at 1 kHz", rate, channels, len(got), ToneLevel(got[800:7200], 1000))
			}
		}
	}
}

func TestSlowMP3IsRefusedByName(t *testing.T) {
	for _, rate := range []int{8000, 11025, 12000} {
		file, err := os.ReadFile(makeMP3(t, rate, 1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeFile(bytes.NewReader(file), Limits{}); !errors.Is(err, ErrMP3Rate) || !errors.Is(err, ErrFormat) {
			t.Errorf("%d Hz: %v", rate, err)
		}
	}
}

func TestCutMP3PlaysAsFarAsItGoes(t *testing.T) {
	file, err := os.ReadFile(makeMP3(t, 44100, 2))
	if err != nil {
		t.Fatal(err)
	}
	if got := decode(t, file[:len(file)*2/3]); len(got) < Rate/2 {
		t.Fatalf("%d samples", len(got))
	}
}

func FuzzDecodeFile(f *testing.F) {
	good := wavFile{code: wavPCM, channels: 1, rate: Rate, bits: 16, riff: -1, size: -1, data: pcm16(counting(50))}
	f.Add(good.bytes())
	good.extensible, good.channels, good.rate = true, 2, 44100
	f.Add(good.bytes())
	f.Add(wavFile{code: wavULaw, channels: 1, rate: 11025, bits: 8, size: 0xFFFFFFFF, data: []byte("abcdefgh")}.bytes())
	f.Add(wavFile{code: wavFloat, channels: 1, rate: 6000, bits: 32, riff: -1, size: -1, data: []byte("\x00\x00\xc0\x7f\x00\x00\x80\x7f")}.bytes())
	if mp3, err := os.ReadFile(makeMP3(f, 22050, 1)); err == nil {
		f.Add(mp3[:1500])
		f.Add(mp3[len(mp3)-1500:])
	}
	f.Add([]byte("ID3\x04\x00\x00\x00\x00\x00\x00\xff\xfb\x90\x00"))
	f.Fuzz(func(t *testing.T, file []byte) {
		limits := Limits{MaxBytes: 1 << 16, MaxDuration: 10 * time.Second}
		got, err := DecodeFile(bytes.NewReader(file), limits)
		if err != nil && got != nil {
			t.Fatal("samples and an error")
		}
		if err != nil && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrTooLong) {
			t.Fatalf("an error of no kind: %v", err)
		}
		if len(got) > 10*Rate {
			t.Fatalf("%d samples", len(got))
		}
	})
}
