package speech

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"

	"github.com/opentact/opentact/internal/speech/engine"
)

// Options of [New]. The zero value is a working default without a disk cache.
type Options struct {
	TTS     string // "espeak" (default), "flite", "auto", "none"
	STT     string // "pocketsphinx" (default), "auto", "none"
	Cache   Cache
	TempDir string // sound on its way through the engines; default the system's
	// Parallel is how many programs may run at one time; the others wait. Default one for each processor.
	Parallel int
	Log      *slog.Logger

	// Synthesizers and Recognizer replace those that TTS and STT name, for engines made elsewhere.
	Synthesizers []Synthesizer
	Recognizer   Recognizer
}

// Engines speaks with the first engine that has the voice and understands with the configured one. Its methods may be called from many goroutines;
// Close ends what is running.
type Engines struct {
	synthesizers []Synthesizer
	recognizer   Recognizer
	anyWillDo    bool // one engine of several is enough for Check
	log          *slog.Logger
	slots        chan struct{} // one token for each running program; taking one waits
	memory       *memoryCache
	disk         *diskCache // nil without a folder
	work         sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	flights  map[string]*flight
	versions map[string]string // by engine name
	spoken   Counters
}

// New makes the engines; no program runs before the first call. The error tells of a name that is not known or a cache folder that cannot be used.
func New(o Options) (*Engines, error) {
	e := &Engines{
		synthesizers: o.Synthesizers, recognizer: o.Recognizer, anyWillDo: o.TTS == TTSAuto, log: o.Log,
		flights: map[string]*flight{}, versions: map[string]string{},
	}
	var err error
	if e.synthesizers == nil {
		if e.synthesizers, err = synthesizers(o.TTS, o.TempDir); err != nil {
			return nil, err
		}
	}
	if e.recognizer == nil {
		if e.recognizer, err = recognizer(o.STT, o.TempDir); err != nil {
			return nil, err
		}
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if o.Parallel <= 0 {
		o.Parallel = runtime.NumCPU()
	}
	e.slots = make(chan struct{}, o.Parallel)
	limits := o.Cache.orDefault()
	e.memory = newMemoryCache(limits.MemoryBytes)
	if limits.Dir != "" {
		if e.disk, err = openDiskCache(limits.Dir, limits.DiskBytes); err != nil {
			return nil, fmt.Errorf("speech cache: %w", err)
		}
	}
	return e, nil
}

// Close ends the programs that are running, waits for them and closes the cache folder. Later calls fail.
func (e *Engines) Close() error {
	e.mu.Lock()
	e.closed = true
	for _, f := range e.flights {
		f.cancel()
	}
	e.mu.Unlock()
	e.work.Wait()
	if e.disk != nil {
		return e.disk.close()
	}
	return nil
}

// CanSpeak and CanRecognize tell whether configuration has an engine at all.
func (e *Engines) CanSpeak() bool     { return len(e.synthesizers) > 0 }
func (e *Engines) CanRecognize() bool { return e.recognizer != nil }

// Voices of all engines, in the order of preference. An engine that is not installed has none.
func (e *Engines) Voices() []Voice {
	var list []Voice
	for _, s := range e.synthesizers {
		list = append(list, s.Voices()...)
	}
	return list
}

// Choose is the voice that Speak would take: by Code alone if there is one, else by language (exact, then primary), then gender, then type.
// The error is ErrUnknownVoice, or ErrTTS when no engine is there at all.
func (e *Engines) Choose(r Request) (Voice, error) {
	v, _, err := e.choose(r)
	return v, err
}

func (e *Engines) choose(r Request) (voice Voice, owner Synthesizer, err error) {
	if len(e.synthesizers) == 0 {
		return Voice{}, nil, fmt.Errorf("%w: %w", ErrTTS, ErrNoEngine)
	}
	best, installed := 0, false
	for _, s := range e.synthesizers {
		list := s.Voices()
		installed = installed || len(list) > 0
		if v, score := engine.Best(list, r); score > best {
			voice, owner, best = v, s, score
		}
	}
	switch {
	case !installed:
		return Voice{}, nil, fmt.Errorf("%w: no engine is installed", ErrTTS)
	case owner == nil:
		return Voice{}, nil, engine.Unknown(r)
	}
	return voice, owner, nil
}

// Recognize understands a recording of 8 kHz mono. The error is ErrNoEngine when recognition is turned off, else wraps ErrUnknownLanguage or
// ErrSTT, or is that of the context.
func (e *Engines) Recognize(ctx context.Context, samples []int16, opts RecognizeOptions) (Transcript, error) {
	if e.recognizer == nil {
		return Transcript{}, ErrNoEngine
	}
	select {
	case e.slots <- struct{}{}:
	case <-ctx.Done():
		return Transcript{}, context.Cause(ctx)
	}
	defer func() { <-e.slots }()
	return e.recognizer.Recognize(ctx, samples, opts)
}

// Reload asks every speech engine for its version and voices anew and returns how many voices there are. Call it at the start to spare the
// first caller the question.
func (e *Engines) Reload(ctx context.Context) (int, error) {
	var failures []error
	for _, s := range e.synthesizers {
		if _, err := e.probe(ctx, s.Name(), s); err != nil {
			failures = append(failures, err)
		}
	}
	voices := len(e.Voices())
	if voices > 0 || len(e.synthesizers) == 0 {
		return voices, nil
	}
	return 0, errors.Join(failures...)
}

// Problem is something that keeps a configured engine from working.
type Problem struct {
	Engine  string
	Program string // missing program or file; "" when something else is wrong
	Package string // Debian package that has it
	Detail  string
}

// Check looks whether the programs of the configured engines are installed and start.
func (e *Engines) Check(ctx context.Context) []Problem {
	var problems []Problem
	for _, s := range e.synthesizers {
		if _, err := e.probe(ctx, s.Name(), s); err != nil {
			problems = append(problems, problem(s.Name(), err))
		}
	}
	if e.anyWillDo && len(problems) < len(e.synthesizers) {
		problems = nil
	}
	if e.recognizer != nil {
		if _, err := e.probe(ctx, e.recognizer.Name(), e.recognizer); err != nil {
			problems = append(problems, problem(e.recognizer.Name(), err))
		}
	}
	return problems
}

func problem(name string, err error) Problem {
	p := Problem{Engine: name, Detail: err.Error()}
	var missing *engine.MissingError
	if errors.As(err, &missing) {
		p.Program, p.Package = missing.Program, missing.Package
	}
	return p
}

// probe asks an engine for its version and keeps it; engines that cannot be asked have none.
func (e *Engines) probe(ctx context.Context, name string, asked any) (string, error) {
	prober, ok := asked.(engine.Prober)
	if !ok {
		return "", nil
	}
	version, err := prober.Probe(ctx)
	if err != nil {
		return "", err
	}
	e.mu.Lock()
	e.versions[name] = version
	e.mu.Unlock()
	return version, nil
}

// version of the engine, asked once.
func (e *Engines) version(ctx context.Context, s Synthesizer) (string, error) {
	e.mu.Lock()
	version, ok := e.versions[s.Name()]
	e.mu.Unlock()
	if ok {
		return version, nil
	}
	return e.probe(ctx, s.Name(), s)
}
