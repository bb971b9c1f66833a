package speech

import (
	"fmt"
	"strings"

	"github.com/opentact/opentact/internal/speech/engine"
	"github.com/opentact/opentact/internal/speech/espeak"
	"github.com/opentact/opentact/internal/speech/flite"
	"github.com/opentact/opentact/internal/speech/pocketsphinx"
)

// Names that configuration knows.
const (
	TTSAuto   = "auto"   // what is installed of flite and espeak-ng, in that order
	TTSEspeak = "espeak" // flite for English, espeak-ng for all else; both should be installed
	TTSFlite  = "flite"  // English only
	STTSphinx = "pocketsphinx"
	None      = "none"
)

// synthesizers is the table of speech engines: for a name of configuration the engines that serve it, in the order of preference.
func synthesizers(name, tempDir string) ([]engine.Synthesizer, error) {
	switch name {
	case TTSEspeak, TTSAuto, "":
		return []engine.Synthesizer{flite.New(flite.Options{TempDir: tempDir}), espeak.New(espeak.Options{})}, nil
	case TTSFlite:
		return []engine.Synthesizer{flite.New(flite.Options{TempDir: tempDir})}, nil
	case None:
		return nil, nil
	}
	return nil, fmt.Errorf("unknown text-to-speech engine %q, known: %s", name, strings.Join([]string{TTSEspeak, TTSFlite, TTSAuto, None}, " "))
}

// KnownTTS tells whether configuration may name the speech engine.
func KnownTTS(name string) error { _, err := synthesizers(name, ""); return err }

// KnownSTT tells whether configuration may name the recognition engine.
func KnownSTT(name string) error { _, err := recognizer(name, ""); return err }

// recognizer is the table of recognition engines; nil without error for none.
func recognizer(name, tempDir string) (engine.Recognizer, error) {
	switch name {
	case STTSphinx, TTSAuto, "":
		return pocketsphinx.New(pocketsphinx.Options{TempDir: tempDir}), nil
	case None:
		return nil, nil
	}
	return nil, fmt.Errorf("unknown recognition engine %q, known: %s", name, strings.Join([]string{STTSphinx, None}, " "))
}
