package speechtest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/speech/engine"
)

// What speech has to be like: slower than nobody can speak, faster than a broken engine stretches it, loud enough for a telephone.
const (
	shortest  = 500 * time.Millisecond
	longest   = 15 * time.Second
	leastLoud = -40.0 // dBFS
)

const sentence = "Press one for sales, press two for support."

// Exercise runs the contract suite on an engine whose programs are installed. It fails, and does not skip, when they are not.
func Exercise(t *testing.T, s engine.Synthesizer) {
	t.Helper()
	if prober, ok := s.(engine.Prober); ok {
		if _, err := prober.Probe(t.Context()); err != nil {
			t.Fatalf("%s cannot be tested: %v", s.Name(), err)
		}
	}
	t.Run("voices are complete and their codes unique", func(t *testing.T) { exerciseVoices(t, s) })
	t.Run("a sentence is spoken at 8 kHz", func(t *testing.T) { exerciseSentence(t, s) })
	t.Run("the voice follows code, language and gender", func(t *testing.T) { exerciseChoice(t, s) })
	t.Run("texts are never options, files or markup", func(t *testing.T) { exerciseHostileTexts(t, s) })
	t.Run("nothing to say is refused", func(t *testing.T) { exerciseEmptyText(t, s) })
	t.Run("the end of the context ends the work", func(t *testing.T) { exerciseContext(t, s) })
	t.Run("many may speak at one time", func(t *testing.T) { exerciseParallel(t, s) })
}

func exerciseVoices(t *testing.T, s engine.Synthesizer) {
	seen := map[string]bool{}
	for _, v := range s.Voices() {
		if v.Code == "" || v.Name == "" || v.Lang == "" || v.Type == "" || v.NaturalRate < audio.Rate || v.Engine != s.Name() {
			t.Errorf("incomplete voice %+v", v)
		}
		if v.Gender != engine.Male && v.Gender != engine.Female {
			t.Errorf("%s has the gender %q", v.Code, v.Gender)
		}
		if v.Lang != engine.Tag(v.Lang) {
			t.Errorf("%s has the language %q, which is written %q", v.Code, v.Lang, engine.Tag(v.Lang))
		}
		if seen[v.Code] {
			t.Errorf("code %s is not unique", v.Code)
		}
		seen[v.Code] = true
	}
	if len(seen) == 0 {
		t.Fatal("no voices")
	}
}

// speak asks for English if the engine has it, else for the language of its first voice.
func speak(t *testing.T, s engine.Synthesizer, text string) []int16 {
	t.Helper()
	samples, _, err := s.Speak(t.Context(), engine.Request{Text: text, Lang: language(s)})
	if err != nil {
		t.Fatalf("%.40q: %v", text, err)
	}
	return samples
}

func language(s engine.Synthesizer) string {
	list := s.Voices()
	if len(list) == 0 || slices.ContainsFunc(list, func(v engine.Voice) bool { return engine.Primary(v.Lang) == "en" }) {
		return engine.DefaultLang
	}
	return list[0].Lang
}

func exerciseSentence(t *testing.T, s engine.Synthesizer) {
	samples := speak(t, s, sentence)
	if d := audio.Duration(len(samples)); d < shortest || d > longest {
		t.Errorf("the sentence lasts %v", d)
	}
	if level := audio.Level(samples); level < leastLoud {
		t.Errorf("the sentence has a level of %.1f dBFS", level)
	}
	if again := speak(t, s, sentence); !slices.Equal(samples, again) {
		t.Error("the same text sounds different the second time, which makes caching visible")
	}
	if long := speak(t, s, strings.Repeat(sentence+" ", 5)); len(long) < 3*len(samples) {
		t.Errorf("five sentences last %v, one %v: some are missing", audio.Duration(len(long)), audio.Duration(len(samples)))
	}
}

func exerciseChoice(t *testing.T, s engine.Synthesizer) {
	for _, v := range s.Voices()[:min(4, len(s.Voices()))] {
		_, got, err := s.Speak(t.Context(), engine.Request{Text: "one", Code: v.Code, Lang: "xx", Gender: "NONE"})
		if err != nil || got != v {
			t.Errorf("code %s: spoke %s, %v", v.Code, got.Code, err)
		}
		_, got, err = s.Speak(t.Context(), engine.Request{Text: "one", Lang: v.Lang, Gender: v.Gender})
		if err != nil || got.Lang != v.Lang || got.Gender != v.Gender {
			t.Errorf("%s %s: spoke %+v, %v", v.Lang, v.Gender, got, err)
		}
	}
	for _, r := range []engine.Request{{Text: "one", Code: "nobody"}, {Text: "one", Lang: "tlh-Piqd-x-none-qqq", Code: "-"}, {Text: "one", Lang: "qqx"}} {
		if samples, _, err := s.Speak(t.Context(), r); !errors.Is(err, engine.ErrUnknownVoice) || samples != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func exerciseHostileTexts(t *testing.T, s engine.Synthesizer) {
	plain := audio.Duration(len(speak(t, s, "help")))
	for _, text := range []string{
		"--help", "-v", "-o /nowhere", "$(reboot)", "`reboot`", "; reboot", "| reboot", "\" ' \\ reboot", "%s%n one", "@/etc/passwd", "/etc/passwd",
		"<speak>one</speak>", "[[one]] two", "one\x00two", "one\r\ntwo", "one \xff\xfe two", "one\u202etwo", "\u200bone", "ünï çödé one",
	} {
		samples := speak(t, s, text)
		if d := audio.Duration(len(samples)); d > 10*plain+5*time.Second {
			t.Errorf("%q lasts %v: something else was spoken", text, d)
		}
	}
	if d := audio.Duration(len(speak(t, s, "--help me please"))); d > longest {
		t.Errorf("an option was obeyed: %v of speech", d)
	}
}

func exerciseEmptyText(t *testing.T, s engine.Synthesizer) {
	for _, text := range []string{"", "  \t\r\n", "\x00\x01", "\u200b"} {
		if samples, _, err := s.Speak(t.Context(), engine.Request{Text: text, Lang: language(s)}); !errors.Is(err, engine.ErrNoText) || samples != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, _, err := s.Speak(t.Context(), engine.Request{Text: strings.Repeat("one ", engine.MaxText), Lang: language(s)}); !errors.Is(err, engine.ErrTTS) {
		t.Errorf("a text of four times the limit: %v", err)
	}
}

func exerciseContext(t *testing.T, s engine.Synthesizer) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Speak(ctx, engine.Request{Text: sentence, Lang: language(s)}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
}

func exerciseParallel(t *testing.T, s engine.Synthesizer) {
	want := speak(t, s, sentence)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			got, _, err := s.Speak(t.Context(), engine.Request{Text: sentence, Lang: language(s)})
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("at the same time as others: %d samples of %d, %v", len(got), len(want), err)
			}
		})
	}
	all.Wait()
}
