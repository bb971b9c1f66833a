package flite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/speech/engine"
)

// Name is the engine's name in configuration and voice lists.
const Name = "flite"

// Limits of this engine.
const (
	probeTimeout = 5 * time.Second
	maxSpeech    = 30 * time.Minute
)

// Options place the program. The zero value takes flite from PATH.
type Options struct {
	Program string // default "flite"
	TempDir string // for sound on its way, default the system's
}

// Engine speaks by running flite.
type Engine struct {
	program string
	temp    string

	mu     sync.Mutex
	voices []engine.Voice // nil until a probe succeeded
}

// New makes the engine; nothing runs before the first call.
func New(o Options) *Engine {
	if o.Program == "" {
		o.Program = "flite"
	}
	return &Engine{program: o.Program, temp: o.TempDir}
}

// Name is "flite".
func (e *Engine) Name() string { return Name }

// Voices are the installed ones; the program is asked once.
func (e *Engine) Voices() []engine.Voice {
	list, _ := e.list(context.Background())
	return list
}

func (e *Engine) list(ctx context.Context) ([]engine.Voice, error) {
	e.mu.Lock()
	list := e.voices
	e.mu.Unlock()
	if list != nil {
		return list, nil
	}
	_, err := e.Probe(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.voices, err
}

// Probe reads version and voice list of the program.
func (e *Engine) Probe(ctx context.Context) (string, error) {
	out, err := e.run(ctx, nil, probeTimeout, "-lv")
	if err != nil {
		return "", err
	}
	_, names, _ := strings.Cut(string(out), ":")
	list := voices(strings.Fields(names))
	if len(list) == 0 {
		return "", fmt.Errorf("%w: flite has no voice that is known", engine.ErrTTS)
	}
	e.mu.Lock()
	e.voices = list
	e.mu.Unlock()
	return e.version(ctx), nil
}

// version is a line of the help; "flite --version" ends with status 1 though it worked.
func (e *Engine) version(ctx context.Context) string {
	out, _ := e.run(ctx, nil, probeTimeout, "--help")
	for line := range strings.Lines(string(out)) {
		if _, version, ok := strings.Cut(line, "version:"); ok {
			return strings.TrimSpace(version)
		}
	}
	return Name
}

// Speak runs flite for the text. Without a Code it takes the first voice of the language, of the gender if there is one.
func (e *Engine) Speak(ctx context.Context, r engine.Request) ([]int16, engine.Voice, error) {
	text := engine.Clean(r.Text)
	if text == "" {
		return nil, engine.Voice{}, engine.ErrNoText
	}
	list, err := e.list(ctx)
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
	text = ascii(text)
	if text == "" {
		return nil, voice, fmt.Errorf("%w: flite reads no letter of this text", engine.ErrTTS)
	}
	samples, err := e.speak(ctx, text, strings.TrimPrefix(voice.Code, codePrefix))
	if err != nil {
		return nil, voice, failed(err)
	}
	return samples, voice, nil
}

func (e *Engine) speak(ctx context.Context, text, voice string) ([]int16, error) {
	file, err := os.CreateTemp(e.temp, "flite-*.wav")
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if _, err := e.run(ctx, []byte(text+"\n"), 0, "-voice", voice, "-f", "/dev/stdin", "-o", file.Name()); err != nil {
		return nil, err
	}
	samples, err := audio.DecodeFile(file, audio.Limits{MaxBytes: engine.MaxOutput, MaxDuration: maxSpeech})
	if err == nil && len(samples) == 0 {
		err = errors.New("flite made no sound")
	}
	return samples, err
}

func (e *Engine) run(ctx context.Context, stdin []byte, timeout time.Duration, args ...string) ([]byte, error) {
	out, err := engine.Run(ctx, engine.Command{Program: e.program, Package: "flite", Args: args, Stdin: stdin, Timeout: timeout})
	return bytes.TrimSpace(out), err
}

// failed marks an error as this engine's, unless the caller gave up.
func failed(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: %w", engine.ErrTTS, err)
}
