package espeak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/speech/engine"
)

// Name is the engine's name in configuration and voice lists.
const Name = "espeak"

// Limits of this engine.
const (
	probeTimeout = 5 * time.Second
	maxSpeech    = 30 * time.Minute
)

// Options place the program. The zero value takes espeak-ng from PATH.
type Options struct {
	Program string // default "espeak-ng"
}

// Engine speaks by running espeak-ng.
type Engine struct {
	program string

	mu     sync.Mutex
	voices []engine.Voice // nil until a probe succeeded
	ids    map[string]installed
}

// New makes the engine; nothing runs before the first call.
func New(o Options) *Engine {
	if o.Program == "" {
		o.Program = "espeak-ng"
	}
	return &Engine{program: o.Program}
}

// Name is "espeak".
func (e *Engine) Name() string { return Name }

// Voices are the installed ones, two for each language; the program is asked once.
func (e *Engine) Voices() []engine.Voice {
	list, _, _ := e.list(context.Background())
	return list
}

func (e *Engine) list(ctx context.Context) ([]engine.Voice, map[string]installed, error) {
	e.mu.Lock()
	list, ids := e.voices, e.ids
	e.mu.Unlock()
	if list != nil {
		return list, ids, nil
	}
	_, err := e.Probe(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.voices, e.ids, err
}

// Probe reads version and voice list of the program.
func (e *Engine) Probe(ctx context.Context) (string, error) {
	version, err := e.run(ctx, nil, probeTimeout, "--version")
	if err != nil {
		return "", err
	}
	out, err := e.run(ctx, nil, probeTimeout, "--voices")
	if err != nil {
		return "", err
	}
	list, ids := parseVoices(string(out))
	if len(list) == 0 {
		return "", fmt.Errorf("%w: espeak-ng lists no voice", engine.ErrTTS)
	}
	e.mu.Lock()
	e.voices, e.ids = list, ids
	e.mu.Unlock()
	number, _, _ := strings.Cut(string(bytes.TrimSpace(version)), "  Data at")
	return number, nil
}

// Speak runs espeak-ng for the text. Without a Code it takes the first voice of the language, of the gender if there is one.
func (e *Engine) Speak(ctx context.Context, r engine.Request) ([]int16, engine.Voice, error) {
	text := engine.Clean(r.Text)
	if text == "" {
		return nil, engine.Voice{}, engine.ErrNoText
	}
	list, ids, err := e.list(ctx)
	if err != nil {
		return nil, engine.Voice{}, failed(err)
	}
	voice, err := engine.Choose(list, r)
	if err != nil {
		return nil, engine.Voice{}, err
	}
	if len(text) > engine.MaxText {
		return nil, voice, fmt.Errorf("%w: text of %d bytes", engine.ErrTTS, len(text))
	}
	samples, err := e.speak(ctx, text, ids[voice.Code])
	if err != nil {
		return nil, voice, failed(err)
	}
	return samples, voice, nil
}

func (e *Engine) speak(ctx context.Context, text string, voice installed) ([]int16, error) {
	// Two brackets would begin phoneme names, which are not text.
	text = strings.ReplaceAll(text, "[[", "[ [")
	out, err := e.run(ctx, []byte(text+"\n"), 0, "--stdin", "--stdout", "-b", "1", "-v", voice.id+voice.variant)
	if err != nil {
		return nil, err
	}
	samples, err := audio.DecodeFile(bytes.NewReader(out), audio.Limits{MaxBytes: engine.MaxOutput, MaxDuration: maxSpeech})
	if err == nil && len(samples) == 0 {
		err = errors.New("espeak-ng made no sound")
	}
	return samples, err
}

func (e *Engine) run(ctx context.Context, stdin []byte, timeout time.Duration, args ...string) ([]byte, error) {
	return engine.Run(ctx, engine.Command{Program: e.program, Package: "espeak-ng", Args: args, Stdin: stdin, Timeout: timeout})
}

// failed marks an error as this engine's, unless the caller gave up.
func failed(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: %w", engine.ErrTTS, err)
}
