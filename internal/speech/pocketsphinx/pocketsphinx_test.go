package pocketsphinx

import (
	"context"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/speech/engine"
	"github.com/opentact/opentact/internal/speech/flite"
)

func say(t *testing.T, text string) []int16 {
	t.Helper()
	samples, _, err := flite.New(flite.Options{TempDir: t.TempDir()}).Speak(t.Context(), engine.Request{Text: text, Code: "flite-slt"})
	if err != nil {
		t.Fatal(err)
	}
	return samples
}

func TestDigitsAndCommandsAreUnderstood(t *testing.T) {
	dir := t.TempDir()
	e := New(Options{TempDir: dir})
	if _, err := e.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text, want string
		phrases    []string
	}{
		{"one two three", "one two three", nil},
		{"operator", "operator", nil},
		{"opening hours", "opening hours", []string{"Opening hours", "orders", "a person"}},
		{"cancel my order", "cancel my order", []string{"cancel my order", "track my order", "xqzzyplk"}},
	} {
		samples := say(t, c.text)
		got, err := e.Recognize(t.Context(), samples, engine.RecognizeOptions{Phrases: c.phrases})
		if err != nil || got.Text != c.want || got.Engine != Name || got.Lang != "en-US" {
			t.Errorf("%q understood as %+v, %v", c.text, got, err)
		}
		at := time.Duration(0)
		for _, s := range got.Segments {
			if s.Start < at || s.End < s.Start || s.End > audio.Duration(len(samples)) || s.Confidence < 0 || s.Confidence > 1 {
				t.Errorf("%q: segment %+v", c.text, s)
			}
			at = s.Start
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// The model knows wide-band speech: of a telephone's it understands some words.
func TestFreeSpeechIsUnderstoodInPart(t *testing.T) {
	e := New(Options{TempDir: t.TempDir()})
	got, err := e.Recognize(t.Context(), say(t, "hello, please keep two copies of the book for me"), engine.RecognizeOptions{Dictation: true})
	if err != nil || !strings.Contains(got.Text, "hello please keep") || len(got.Segments) < 5 {
		t.Errorf("understood %q, %v", got.Text, err)
	}
}

func TestMostDigitsAreUnderstood(t *testing.T) {
	e := New(Options{TempDir: t.TempDir()})
	right, total := 0, 0
	for _, text := range []string{"four five six", "seven eight nine", "zero one nine", "eight two six", "three seven five"} {
		got, err := e.Recognize(t.Context(), say(t, text), engine.RecognizeOptions{Phrases: strings.Split("0123456789", "")})
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Fields(text)
		for i, w := range strings.Fields(got.Text) {
			if i < len(want) && w == want[i] {
				right++
			}
		}
		total += len(want)
	}
	if right*10 < total*7 {
		t.Fatalf("%d of %d digits", right, total)
	}
}

func TestSilenceIsNoText(t *testing.T) {
	e := New(Options{TempDir: t.TempDir()})
	for _, samples := range [][]int16{nil, make([]int16, 2*audio.Rate), make([]int16, 10)} {
		if got, err := e.Recognize(t.Context(), samples, engine.RecognizeOptions{}); err != nil || got.Text != "" || len(got.Segments) != 0 {
			t.Errorf("%d samples: %+v, %v", len(samples), got, err)
		}
	}
}

func TestWhatCannotBeUnderstoodIsRefused(t *testing.T) {
	e := New(Options{TempDir: t.TempDir()})
	sound := make([]int16, audio.Rate)
	if _, err := e.Recognize(t.Context(), sound, engine.RecognizeOptions{Lang: "de-DE"}); !errors.Is(err, engine.ErrUnknownLanguage) {
		t.Errorf("German: %v", err)
	}
	if _, err := e.Recognize(t.Context(), sound, engine.RecognizeOptions{Phrases: []string{"xqzzyplk", "  "}}); !errors.Is(err, engine.ErrSTT) {
		t.Errorf("no known word: %v", err)
	}
	if _, err := e.Recognize(t.Context(), make([]int16, 31*60*audio.Rate), engine.RecognizeOptions{}); !errors.Is(err, engine.ErrSTT) {
		t.Errorf("too long: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Recognize(ctx, sound, engine.RecognizeOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestMissingPartsAreNamed(t *testing.T) {
	var missing *engine.MissingError
	if _, err := New(Options{Program: "sphinx-that-is-not-here"}).Probe(t.Context()); !errors.As(err, &missing) || missing.Package != "pocketsphinx" {
		t.Errorf("program: %v", err)
	}
	e := New(Options{Model: t.TempDir()})
	if _, err := e.Probe(t.Context()); !errors.As(err, &missing) || missing.Package != "pocketsphinx-en-us" {
		t.Errorf("model: %v", err)
	}
	if _, err := e.Recognize(t.Context(), make([]int16, 100), engine.RecognizeOptions{}); !errors.Is(err, engine.ErrSTT) || !errors.As(err, &missing) {
		t.Errorf("recognition without model: %v", err)
	}
}

func TestPhrasesCannotBreakTheGrammar(t *testing.T) {
	got := grammar(spelled([]string{"press 1", "press  one", "don’t ; grammar evil; public <x>", "**", "", "(a|b)*"}))
	want := "#JSGF V1.0;\ngrammar phrases;\npublic <heard> = ( (press one) | (don't grammar evil public x) | (star star) | (a b star) )+;\n"
	if got != want {
		t.Fatalf("%s", got)
	}
}

func TestDictionaryDecidesWhichPhrasesAreHeard(t *testing.T) {
	got, err := inDictionary(strings.NewReader("a AH\nbook B UH K\nbook(2) B\nred R EH D\n"), [][]string{{"red", "book"}, {"red", "car"}, {"a"}})
	if err != nil || !reflect.DeepEqual(got, [][]string{{"red", "book"}, {"a"}}) {
		t.Fatalf("%v, %v", got, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("one two\none(2) 0.110 0.420 1.000000\n(NULL) 0.420 0.420 1.000000\n<sil> 1.110 1.460 0.5\ntwo 0.43 9e99 NaN\n")
	f.Add("a b c d\n\n 1 2 3 4")
	f.Fuzz(func(t *testing.T, out string) {
		for _, s := range parse(out, pad, time.Second) {
			if s.Start < 0 || s.End > time.Second || s.Confidence < 0 || s.Confidence > 1 {
				t.Fatalf("%+v", s)
			}
		}
	})
}
