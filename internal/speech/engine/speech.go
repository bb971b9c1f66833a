package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Genders and types of voices, as customers write them.
const (
	Male     = "MALE"
	Female   = "FEMALE"
	Standard = "Standard"
)

// Voice is one that an engine can speak with.
type Voice struct {
	Code        string // unique among all engines
	Name        string
	Lang        string // BCP 47 in the form that Tag gives
	Gender      string // Male or Female
	Type        string // Standard, WaveNet …
	Engine      string
	NaturalRate int // samples per second before conversion to the house rate
}

// Request asks for speech. Code, when given, decides alone; empty Lang, Gender and Type leave the choice to the engine.
type Request struct {
	Text   string
	Code   string
	Lang   string
	Gender string
	Type   string
}

// Synthesizer speaks. Its methods may be called from many goroutines.
//
// Voices lists what is installed, in order of preference; nil when the engine cannot be asked. Speak returns 8 kHz mono and the voice it took; it
// needs a Code or a Lang of its own voices. Errors wrap ErrNoText, ErrUnknownVoice or ErrTTS, or are those of the context.
type Synthesizer interface {
	Name() string
	Voices() []Voice
	Speak(ctx context.Context, r Request) (samples []int16, v Voice, err error)
}

// RecognizeOptions say what to listen for. Without Phrases the engine's own vocabulary is used; Lang is BCP 47, empty means en-US.
type RecognizeOptions struct {
	Lang      string
	Phrases   []string
	Dictation bool // free speech, by the engine's model of the language, in place of phrases
}

// Segment is a word or a phrase within a transcript.
type Segment struct {
	Start, End time.Duration
	Text       string
	Confidence float64 // 0 to 1
}

// Transcript is what was understood; empty Text means nothing was.
type Transcript struct {
	Text     string
	Lang     string
	Engine   string
	Segments []Segment
}

// Recognizer understands 8 kHz mono. Errors wrap ErrUnknownLanguage or ErrSTT, or are those of the context.
type Recognizer interface {
	Name() string
	Recognize(ctx context.Context, samples []int16, opts RecognizeOptions) (Transcript, error)
}

// Prober is an engine whose programs can be missing. Probe asks them anew for version and voices; its error is a *[MissingError] when
// a program or a file is not there.
type Prober interface {
	Probe(ctx context.Context) (version string, err error)
}

// Kinds of failure.
var (
	ErrNoText          = errors.New("no text")
	ErrUnknownVoice    = errors.New("unknown voice")
	ErrTTS             = errors.New("text-to-speech failed")
	ErrSTT             = errors.New("speech recognition failed")
	ErrUnknownLanguage = errors.New("language not understood")
)

// MissingError tells which program or file is not installed and where to get it.
type MissingError struct {
	Program string // name, or path of a file
	Package string // Debian package that has it
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is missing (Debian package %s)", e.Program, e.Package)
}
