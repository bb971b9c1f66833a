package pocketsphinx

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/speech/engine"
)

// Name is the engine's name in configuration and transcripts.
const Name = "pocketsphinx"

// Debian packages, and where the second keeps the model.
const (
	programPackage = "pocketsphinx"
	modelPackage   = "pocketsphinx-en-us"
	modelDir       = "/usr/share/pocketsphinx/model/en-us"
)

// Limits of this engine. The program needs about a tenth of the recording's length; it gets baseTimeout and as long as the recording.
const (
	modelRate    = 16000
	maxRecording = 30 * time.Minute
	baseTimeout  = 20 * time.Second
	// pad is put around a recording: the program needs some frames of quiet to see speech begin and end.
	pad = 300 * time.Millisecond
)

// Options place program and model. The zero value takes both from where Debian puts them.
type Options struct {
	Program string // default "pocketsphinx_continuous"
	Model   string // folder with en-us/ and cmudict-en-us.dict
	TempDir string // for recordings on their way, default the system's
}

// Engine understands by running the program.
type Engine struct{ options Options }

// New makes the engine; nothing runs before the first call.
func New(o Options) *Engine {
	if o.Program == "" {
		o.Program = "pocketsphinx_continuous"
	}
	if o.Model == "" {
		o.Model = modelDir
	}
	return &Engine{options: o}
}

// Name is "pocketsphinx".
func (e *Engine) Name() string { return Name }

func (e *Engine) acoustic() string   { return filepath.Join(e.options.Model, "en-us") }
func (e *Engine) dictionary() string { return filepath.Join(e.options.Model, "cmudict-en-us.dict") }
func (e *Engine) language() string   { return filepath.Join(e.options.Model, "en-us.lm.bin") }

// Probe looks whether the program starts and the model is there. The program tells no version.
func (e *Engine) Probe(ctx context.Context) (string, error) {
	for _, path := range []string{e.acoustic(), e.dictionary(), e.language()} {
		if _, err := os.Stat(path); err != nil {
			return "", &engine.MissingError{Program: path, Package: modelPackage}
		}
	}
	// Without arguments the program prints its options and ends with an error.
	_, err := engine.Run(ctx, engine.Command{Program: e.options.Program, Package: programPackage, Timeout: baseTimeout})
	var missing *engine.MissingError
	if errors.As(err, &missing) || ctx.Err() != nil {
		return "", err
	}
	return Name, nil
}

// Recognize understands English phrases (opts.Phrases, by default digits and the words of menus), or free speech with opts.Dictation. Phrases
// with words that the dictionary lacks are not listened for; it is an error when no other is left.
func (e *Engine) Recognize(ctx context.Context, samples []int16, opts engine.RecognizeOptions) (engine.Transcript, error) {
	lang := opts.Lang
	if lang == "" {
		lang = engine.DefaultLang
	}
	if engine.Primary(engine.Tag(lang)) != "en" {
		return engine.Transcript{}, fmt.Errorf("%w: %s knows English, not %q", engine.ErrUnknownLanguage, Name, lang)
	}
	length := audio.Duration(len(samples))
	if length > maxRecording {
		return engine.Transcript{}, fmt.Errorf("%w: recording of %v", engine.ErrSTT, length)
	}
	result := engine.Transcript{Lang: lang, Engine: Name}
	if len(samples) == 0 {
		return result, nil
	}
	var text string
	var err error
	if !opts.Dictation {
		text, err = e.grammar(opts.Phrases)
	}
	if err == nil {
		result.Segments, err = e.recognize(ctx, samples, text)
	}
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return engine.Transcript{}, err
		}
		return engine.Transcript{}, fmt.Errorf("%w: %w", engine.ErrSTT, err)
	}
	heard := make([]string, len(result.Segments))
	for i, s := range result.Segments {
		heard[i] = s.Text
	}
	result.Text = strings.Join(heard, " ")
	return result, nil
}

func (e *Engine) grammar(phrases []string) (string, error) {
	if len(phrases) == 0 {
		phrases = defaultPhrases
	}
	dictionary, err := os.Open(e.dictionary())
	if err != nil {
		return "", &engine.MissingError{Program: e.dictionary(), Package: modelPackage}
	}
	defer dictionary.Close()
	known, err := inDictionary(dictionary, spelled(phrases))
	if err != nil {
		return "", err
	}
	if len(known) == 0 {
		return "", errors.New("no phrase of words that the dictionary has")
	}
	return grammar(known), nil
}

// recognize listens for what the grammar allows; without one, for what the model of the language expects.
func (e *Engine) recognize(ctx context.Context, samples []int16, grammar string) ([]engine.Segment, error) {
	dir, err := os.MkdirTemp(e.options.TempDir, "pocketsphinx-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	sound, rules := filepath.Join(dir, "sound.raw"), filepath.Join(dir, "phrases.jsgf")
	if err := errors.Join(os.WriteFile(sound, wideBand(samples), 0o600), os.WriteFile(rules, []byte(grammar), 0o600)); err != nil {
		return nil, err
	}
	listen := []string{"-jsgf", rules}
	if grammar == "" {
		listen = []string{"-lm", e.language()}
	}
	length := audio.Duration(len(samples))
	out, err := engine.Run(ctx, engine.Command{
		Program: e.options.Program, Package: programPackage, Timeout: baseTimeout + length,
		Args: append(listen, "-infile", sound, "-hmm", e.acoustic(), "-dict", e.dictionary(), "-time", "yes", "-logfn", filepath.Join(dir, "log")),
	})
	if err != nil {
		return nil, err
	}
	return parse(string(out), pad, length), nil
}

// wideBand is the recording between two pauses at the model's rate, as raw little-endian samples.
func wideBand(samples []int16) []byte {
	wide := audio.Linear(samples, audio.Rate, modelRate)
	quiet := int(pad * modelRate / time.Second)
	raw := make([]byte, 2*quiet, 2*(len(wide)+2*quiet))
	for _, s := range wide {
		raw = binary.LittleEndian.AppendUint16(raw, uint16(s))
	}
	return append(raw, make([]byte, 2*quiet)...)
}
