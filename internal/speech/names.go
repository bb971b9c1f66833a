package speech

import (
	"errors"

	"github.com/opentact/opentact/internal/speech/engine"
)

// The words shared with the drivers.
type (
	Voice            = engine.Voice
	Request          = engine.Request
	Synthesizer      = engine.Synthesizer
	Recognizer       = engine.Recognizer
	RecognizeOptions = engine.RecognizeOptions
	Transcript       = engine.Transcript
	Segment          = engine.Segment
	MissingError     = engine.MissingError
)

// Voices' genders and the type that is always there.
const (
	Male     = engine.Male
	Female   = engine.Female
	Standard = engine.Standard
)

// Kinds of failure, for errors.Is. A context's end is returned as it is.
var (
	ErrNoText          = engine.ErrNoText
	ErrUnknownVoice    = engine.ErrUnknownVoice
	ErrTTS             = engine.ErrTTS
	ErrSTT             = engine.ErrSTT
	ErrUnknownLanguage = engine.ErrUnknownLanguage
	ErrNoEngine        = errors.New("no speech engine") // turned off by configuration
)
