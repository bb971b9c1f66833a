package flite

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/speech/engine"
	"github.com/opentact/opentact/internal/speech/speechtest"
)

func TestFliteKeepsTheContract(t *testing.T) {
	speechtest.Exercise(t, New(Options{TempDir: t.TempDir()}))
}

func TestVoicesAreTheKnownAmongTheInstalled(t *testing.T) {
	list := voices(strings.Fields("kal awb_time kal16 unheard slt"))
	if len(list) != 2 || list[0].Code != "flite-slt" || list[1].Code != "flite-kal" {
		t.Fatalf("%+v", list)
	}
}

func TestNothingIsLeftInTheTemporaryFolder(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := New(Options{TempDir: dir}).Speak(t.Context(), engine.Request{Text: "one"}); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Fatalf("%v, %v", left, err)
	}
}

func TestMissingProgramIsNamed(t *testing.T) {
	e := New(Options{Program: "flite-that-is-not-here"})
	_, _, err := e.Speak(t.Context(), engine.Request{Text: "one"})
	var missing *engine.MissingError
	if !errors.Is(err, engine.ErrTTS) || !errors.As(err, &missing) || missing.Package != "flite" {
		t.Fatalf("%v", err)
	}
	if e.Voices() != nil {
		t.Fatal("voices without a program")
	}
}

func TestSignsAreSpelledForFlite(t *testing.T) {
	for in, want := range map[string]string{
		"It’s “fine” – really…": `It's "fine" - really...`, "café crème 5 €": "cafe creme 5 euros", "日本": "", "Straße": "Strasse",
	} {
		if got := ascii(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	if _, _, err := New(Options{}).Speak(t.Context(), engine.Request{Text: "日本"}); !errors.Is(err, engine.ErrTTS) {
		t.Errorf("text without a readable letter: %v", err)
	}
}

// A hung program is a script that sleeps, in the way a broken install would.
func TestHungProgramIsKilledWithItsCaller(t *testing.T) {
	program := t.TempDir() + "/flite"
	if err := os.WriteFile(program, []byte("#!/bin/sh\nif [ \"$1\" = -lv ]; then echo 'Voices available: slt'; exit; fi\nif [ \"$1\" = --help ]; then exit; fi\nsleep 300 & wait\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	e := New(Options{Program: program, TempDir: t.TempDir()})
	if len(e.Voices()) != 1 {
		t.Fatal("the script has no voice")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, _, err := e.Speak(ctx, engine.Request{Text: "one"})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 20*time.Second {
		t.Fatalf("%v after %v", err, time.Since(begin))
	}
}

// Speech must not look like keys (talk-off); the texts are made of the vowels and numbers that come closest.
func TestSpeechIsNotTakenForKeys(t *testing.T) {
	e := New(Options{TempDir: t.TempDir()})
	texts := []string{
		"Harbor Books. For orders press one. For opening hours press two. For a person press zero. We are open from nine to six, Monday to Saturday.",
		"One two three four five six seven eight nine zero. Please say or enter your account number, followed by the pound key or the star key.",
		"How now brown cow. The rain in Spain stays mainly in the plain. Eleven benevolent elephants. She sells sea shells by the sea shore.",
		"Ooh aah eee ooo aww. We were away a year ago. All year we were in an aura. Why are you early, you owl. Move the vat over the hot fire.",
		"The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. These days a chicken leg is a rare dish.",
	}
	for _, v := range e.Voices() {
		detector := audio.NewDTMFDetector()
		for _, text := range texts {
			samples, _, err := e.Speak(t.Context(), engine.Request{Text: text, Code: v.Code})
			if err != nil {
				t.Fatal(err)
			}
			for frame := range slices.Chunk(samples, audio.FrameSamples) {
				if keys := detector.Feed(frame); len(keys) > 0 {
					t.Errorf("%s pressed %q while speaking %.30q", v.Code, keys, text)
				}
			}
		}
	}
}

func BenchmarkSpeakSentence(b *testing.B) {
	e := New(Options{TempDir: b.TempDir()})
	for b.Loop() {
		if _, _, err := e.Speak(b.Context(), engine.Request{Text: "Harbor Books. For orders press one. For opening hours press two. For a person press zero."}); err != nil {
			b.Fatal(err)
		}
	}
}
