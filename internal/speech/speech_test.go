package speech

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/opentact/opentact/internal/audio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newEngines(t *testing.T, o Options) *Engines {
	t.Helper()
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func mustSpeak(t *testing.T, e *Engines, r Request) []int16 {
	t.Helper()
	samples, _, err := e.Speak(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if e.disk != nil {
		e.work.Wait() // the disk is written once the sound was given out
	}
	return samples
}

func TestSilenceBeforeTheFirstSoundIsCut(t *testing.T) {
	tone := func(silence, sound int) []int16 {
		s := make([]int16, silence+sound)
		for i := silence; i < len(s); i++ {
			s[i] = int16(8000 - 16000*(i/8%2))
		}
		return s
	}
	for _, c := range []struct{ silence, want int }{{0, 0}, {80, 80}, {160, 160}, {161, 161}, {1600, 160}, {1617, 177}} {
		got := cut(append(tone(c.silence, 400), tone(800, 0)...))
		if want := c.want + 400 + 800; len(got) != want {
			t.Errorf("%d of silence: %d samples stay, want %d", c.silence, len(got), want)
		}
	}
	if got := cut(make([]int16, 500)); len(got) != 500 {
		t.Errorf("of a piece without sound %d samples stay", len(got))
	}
}

func TestFirstEngineWithTheLanguageSpeaks(t *testing.T) {
	a, b := newFake("a", "en-US"), newFake("b", "en-US", "de-DE")
	e := newEngines(t, Options{Synthesizers: []Synthesizer{a, b}})
	for _, c := range []struct {
		r    Request
		want string
	}{{Request{Text: "x"}, "a-0"}, {Request{Text: "x", Lang: "de"}, "b-1"}, {Request{Text: "x", Code: "b-0"}, "b-0"}} {
		if _, v, err := e.Speak(t.Context(), c.r); err != nil || v.Code != c.want {
			t.Errorf("%+v: %s, %v", c.r, v.Code, err)
		}
	}
	a.missing = true
	if _, v, err := e.Speak(t.Context(), Request{Text: "x"}); err != nil || v.Code != "b-0" {
		t.Errorf("without the first engine: %s, %v", v.Code, err)
	}
}

func TestFailuresHaveTheirKind(t *testing.T) {
	a := newFake("a", "en-US")
	e := newEngines(t, Options{Synthesizers: []Synthesizer{a}})
	check := func(name string, r Request, want error) {
		t.Helper()
		if samples, _, err := e.Speak(t.Context(), r); !errors.Is(err, want) || samples != nil {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	check("no text", Request{Text: " \n"}, ErrNoText)
	check("code", Request{Text: "x", Code: "none"}, ErrUnknownVoice)
	check("language", Request{Text: "x", Lang: "fr"}, ErrUnknownVoice)
	check("length", Request{Text: strings.Repeat("x", 20000)}, ErrTTS)
	a.err = errors.New("crashed")
	check("engine", Request{Text: "x"}, ErrTTS)
	check("engine", Request{Text: "x"}, a.err)
	a.missing = true
	check("not installed", Request{Text: "x"}, ErrTTS)
	e = newEngines(t, Options{TTS: None, STT: None})
	check("turned off", Request{Text: "x"}, ErrTTS)
	check("turned off", Request{Text: "x"}, ErrNoEngine)
	if _, err := e.Recognize(t.Context(), nil, RecognizeOptions{}); !errors.Is(err, ErrNoEngine) || e.CanRecognize() || e.CanSpeak() {
		t.Errorf("recognition turned off: %v", err)
	}
	for _, o := range []Options{{TTS: "x"}, {STT: "x"}, {Cache: Cache{Dir: "/dev/null/x"}}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v taken", o)
		}
	}
}

func TestSpokenTextComesFromMemory(t *testing.T) {
	a := newFake("a", "en-US")
	e := newEngines(t, Options{Synthesizers: []Synthesizer{a}})
	first := mustSpeak(t, e, Request{Text: "hello  world"})
	if again := mustSpeak(t, e, Request{Text: " hello world ", Lang: "en-us"}); &again[0] != &first[0] || a.spoken.Load() != 1 {
		t.Errorf("spoken %d times", a.spoken.Load())
	}
	mustSpeak(t, e, Request{Text: "hello world!"})
	if c := e.Counters(); a.spoken.Load() != 2 || c.Memory != 1 || c.Engine != 2 {
		t.Errorf("spoken %d times, %+v", a.spoken.Load(), c)
	}
}

func TestNewVersionOfAnEngineSpeaksAnew(t *testing.T) {
	a := newFake("a", "en-US")
	e := newEngines(t, Options{Synthesizers: []Synthesizer{a}})
	mustSpeak(t, e, Request{Text: "x"})
	a.version = "2"
	if n, err := e.Reload(t.Context()); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if mustSpeak(t, e, Request{Text: "x"}); a.spoken.Load() != 2 {
		t.Fatalf("spoken %d times", a.spoken.Load())
	}
}

func TestMemoryIsBounded(t *testing.T) {
	a := newFake("a", "en-US")
	e := newEngines(t, Options{Synthesizers: []Synthesizer{a}, Cache: Cache{MemoryBytes: 40}})
	for _, text := range []string{"0123456789", "abcdefghij", "0123456789", "ABCDEFGHIJ", "0123456789", "abcdefghij"} {
		mustSpeak(t, e, Request{Text: text})
	}
	if a.spoken.Load() != 4 { // the one used least, "abcdefghij", had to go
		t.Errorf("spoken %d times, want 4", a.spoken.Load())
	}
	mustSpeak(t, e, Request{Text: strings.Repeat("x", 100)})
	if mustSpeak(t, e, Request{Text: "abcdefghij"}); a.spoken.Load() != 5 {
		t.Error("a piece too long for the memory pushed others out")
	}
}

func TestDiskOutlivesTheProgram(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "speech")
	a := newFake("a", "en-US")
	o := Options{Synthesizers: []Synthesizer{a}, Cache: Cache{Dir: dir}}
	e := newEngines(t, o)
	want := mustSpeak(t, e, Request{Text: "hello"})
	if err := os.WriteFile(filepath.Join(dir, "9.part"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.wav"), []byte("not ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	e = newEngines(t, o)
	if got := mustSpeak(t, e, Request{Text: "hello"}); !slices.Equal(got, want) || a.spoken.Load() != 1 || e.Counters().Disk != 1 {
		t.Errorf("spoken %d times, %+v", a.spoken.Load(), e.Counters())
	}
	if _, err := os.Stat(filepath.Join(dir, "9.part")); !errors.Is(err, os.ErrNotExist) {
		t.Error("half a piece is still there")
	}
	if _, err := os.Stat(filepath.Join(dir, "notes.wav")); err != nil {
		t.Error("a file of others was removed")
	}
}

func TestDamagedPieceIsSpokenAgain(t *testing.T) {
	dir := t.TempDir()
	a := newFake("a", "en-US")
	o := Options{Synthesizers: []Synthesizer{a}, Cache: Cache{Dir: dir}}
	want := mustSpeak(t, newEngines(t, o), Request{Text: "hello"})
	files, err := filepath.Glob(filepath.Join(dir, "*.wav"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, damage := range []func([]byte) []byte{
		func(b []byte) []byte { return b[:len(b)-3] }, func([]byte) []byte { return nil }, func(b []byte) []byte { return make([]byte, len(b)) },
	} {
		before := a.spoken.Load()
		whole, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(files[0], damage(whole), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := mustSpeak(t, newEngines(t, o), Request{Text: "hello"}); !slices.Equal(got, want) || a.spoken.Load() != before+1 {
			t.Errorf("%d samples, spoken %d times", len(got), a.spoken.Load()-before)
		}
	}
}

func TestDiskIsBoundedAndKeepsTheLastUsed(t *testing.T) {
	dir := t.TempDir()
	a := newFake("a", "en-US")
	o := Options{Synthesizers: []Synthesizer{a}, Cache: Cache{Dir: dir, DiskBytes: 200, MemoryBytes: -1}}
	e := newEngines(t, o)
	for _, text := range []string{"0123456789", "abcdefghij", "ABCDEFGHIJ", "0123456789", "klmnopqrst"} { // 64 bytes each: three fit
		mustSpeak(t, e, Request{Text: text})
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(files) != 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	if mustSpeak(t, e, Request{Text: "0123456789"}); a.spoken.Load() != 4 {
		t.Errorf("the piece used last was removed: spoken %d times", a.spoken.Load())
	}
	o.Cache.DiskBytes = 70
	newEngines(t, o)
	if files, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(files) != 1 {
		t.Fatalf("%d files after a smaller limit, %v", len(files), err)
	}
}

func TestEqualRequestsAreSpokenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFake("a", "en-US")
		a.release = make(chan struct{})
		e := newEngines(t, Options{Synthesizers: []Synthesizer{a}, Recognizer: fakeEars{}, Parallel: 1})
		results := make(chan []int16, 5)
		for range 5 {
			go func() { // each ends with its result in the channel, which this test waits for
				samples, _, err := e.Speak(t.Context(), Request{Text: "hello"})
				if err != nil {
					t.Error(err)
				}
				results <- samples
			}()
		}
		synctest.Wait()
		close(a.release)
		for range 5 {
			if got := <-results; len(got) != 5 {
				t.Errorf("%d samples", len(got))
			}
		}
		if a.spoken.Load() != 1 || e.Counters().Joined != 4 {
			t.Errorf("spoken %d times, %+v", a.spoken.Load(), e.Counters())
		}
	})
}

func TestWorkEndsWithTheLastWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFake("a", "en-US")
		a.release = make(chan struct{})
		e := newEngines(t, Options{Synthesizers: []Synthesizer{a}, Recognizer: fakeEars{}, Parallel: 1})
		gone := errors.New("hung up")
		first, leave := context.WithCancelCause(t.Context())
		second, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		results := make(chan error, 2)
		for _, ctx := range []context.Context{first, second} {
			go func() {
				_, _, err := e.Speak(ctx, Request{Text: "hello"})
				results <- err
			}()
		}
		synctest.Wait()
		leave(gone)
		if err := <-results; !errors.Is(err, gone) {
			t.Errorf("first: %v", err)
		}
		synctest.Wait()
		if e.Counters().Failed != 0 {
			t.Error("the first one's end ended the work of the second")
		}
		if err := <-results; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("second: %v", err)
		}
		synctest.Wait()
		if e.Counters().Failed != 1 {
			t.Error("the engine works for nobody")
		}
		close(a.release)
		if got := mustSpeak(t, e, Request{Text: "hello"}); len(got) != 5 {
			t.Error("not spoken anew")
		}
	})
}

func TestCloseEndsTheWork(t *testing.T) {
	a := newFake("a", "en-US")
	a.entered, a.release = make(chan string, 1), make(chan struct{})
	e, err := New(Options{Synthesizers: []Synthesizer{a}, Recognizer: fakeEars{}})
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() {
		_, _, err := e.Speak(context.Background(), Request{Text: "hello"})
		result <- err
	}()
	<-a.entered
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, ErrTTS) {
		t.Errorf("%v", err)
	}
	if _, _, err := e.Speak(t.Context(), Request{Text: "hello"}); !errors.Is(err, ErrTTS) {
		t.Errorf("after the end: %v", err)
	}
}

func TestCheckNamesProgramAndPackage(t *testing.T) {
	a, b := newFake("a", "en-US"), newFake("b", "de")
	a.missing = true
	e := newEngines(t, Options{Synthesizers: []Synthesizer{a, b}, Recognizer: fakeEars{missing: true}})
	got := e.Check(t.Context())
	if len(got) != 2 || got[0].Program != "a" || got[0].Package != "a-pkg" || got[1].Engine != "ears" || !strings.Contains(got[1].Detail, "ears-pkg") {
		t.Fatalf("%+v", got)
	}
	e = newEngines(t, Options{TTS: TTSAuto, Synthesizers: []Synthesizer{a, b}, Recognizer: fakeEars{}})
	if got := e.Check(t.Context()); len(got) != 0 {
		t.Errorf("one of two is enough for auto: %+v", got)
	}
	b.missing = true
	if got := e.Check(t.Context()); len(got) != 2 {
		t.Errorf("nothing installed: %+v", got)
	}
	if n, err := e.Reload(t.Context()); n != 0 || err == nil {
		t.Errorf("reload: %d, %v", n, err)
	}
}

func TestRecognitionIsPassedOn(t *testing.T) {
	e := newEngines(t, Options{TTS: None, Recognizer: fakeEars{}})
	if got, err := e.Recognize(t.Context(), make([]int16, 7), RecognizeOptions{Lang: "en"}); err != nil || got.Text != "7" || got.Lang != "en" {
		t.Fatalf("%+v, %v", got, err)
	}
}

// The default engines, with the programs that are to be installed.
func TestDefaultEnginesSpeakAndUnderstand(t *testing.T) {
	e := newEngines(t, Options{TempDir: t.TempDir(), Cache: Cache{Dir: t.TempDir()}})
	if problems := e.Check(t.Context()); len(problems) > 0 {
		t.Fatalf("%+v", problems)
	}
	for _, c := range []struct {
		r    Request
		want string
	}{
		{Request{}, "flite-slt"},
		{Request{Gender: Male}, "flite-rms"},
		{Request{Lang: "en-GB", Gender: Male}, "flite-awb"},
		{Request{Lang: "en-AU"}, "flite-slt"},
		{Request{Lang: "de-DE"}, "espeak-de-female"},
		{Request{Lang: "en-GB"}, "espeak-en-gb-female"},
	} {
		if v, err := e.Choose(c.r); err != nil || v.Code != c.want {
			t.Errorf("%+v: %s, %v; want %s", c.r, v.Code, err, c.want)
		}
	}
	codes := map[string]bool{}
	for _, v := range e.Voices() {
		if codes[v.Code] {
			t.Errorf("two voices %s", v.Code)
		}
		codes[v.Code] = true
	}
	samples := mustSpeak(t, e, Request{Text: "one two three"})
	if d := audio.Duration(len(samples)); d < 500*time.Millisecond {
		t.Errorf("%v of speech", d)
	}
	if got, err := e.Recognize(t.Context(), samples, RecognizeOptions{}); err != nil || got.Text != "one two three" {
		t.Errorf("%+v, %v", got, err)
	}
}

const sentence = "Harbor Books. For orders press one. For opening hours press two. For a person press zero."

func BenchmarkSpeakFromMemory(b *testing.B) {
	e, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := e.Speak(b.Context(), Request{Text: sentence}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSpeakFirstSentence(b *testing.B) {
	for b.Loop() {
		e, err := New(Options{Cache: Cache{Dir: b.TempDir()}})
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := e.Speak(b.Context(), Request{Text: sentence}); err != nil {
			b.Fatal(err)
		}
		e.Close()
	}
}

func BenchmarkSpeakFromDisk(b *testing.B) {
	e, err := New(Options{Cache: Cache{Dir: b.TempDir(), MemoryBytes: -1}})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	for b.Loop() {
		if _, _, err := e.Speak(b.Context(), Request{Text: sentence}); err != nil {
			b.Fatal(err)
		}
	}
}
