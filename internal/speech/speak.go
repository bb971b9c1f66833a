package speech

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/opentact/opentact/internal/speech/engine"
)

// Counters tell where spoken texts came from since the start.
type Counters struct {
	Memory, Disk, Engine, Joined, Failed int64
}

// Counters are for metrics.
func (e *Engines) Counters() Counters {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.spoken
}

// flight is one text being spoken, with those who wait for it. It is cancelled when nobody is left.
type flight struct {
	done    chan struct{} // closed when samples and err are set
	cancel  context.CancelFunc
	waiters int // guarded by Engines.mu
	samples []int16
	err     error
}

// Speak returns the text as 8 kHz mono and the voice that spoke it. The samples are shared with the cache: read them, never write them. Equal
// requests at the same time are spoken once. Errors wrap ErrNoText, ErrUnknownVoice or ErrTTS; when ctx ends first its cause is returned.
func (e *Engines) Speak(ctx context.Context, r Request) ([]int16, Voice, error) {
	text := engine.Clean(r.Text)
	if text == "" {
		return nil, Voice{}, ErrNoText
	}
	voice, owner, err := e.choose(r)
	if err != nil {
		return nil, Voice{}, err
	}
	if len(text) > engine.MaxText {
		return nil, voice, fmt.Errorf("%w: text of %d bytes", ErrTTS, len(text))
	}
	version, err := e.version(ctx, owner)
	if err != nil {
		return nil, voice, fmt.Errorf("%w: %w", ErrTTS, err)
	}
	key := cacheKey(voice.Engine, version, voice.Code, text)
	if samples, ok := e.memory.take(key); ok {
		e.count(func(c *Counters) { c.Memory++ })
		return samples, voice, nil
	}
	f, err := e.join(ctx, key, owner, Request{Text: text, Code: voice.Code})
	if err != nil {
		return nil, voice, err
	}
	select {
	case <-f.done:
		return f.samples, voice, f.err
	case <-ctx.Done():
		e.leave(key, f)
		return nil, voice, context.Cause(ctx)
	}
}

// cacheKey names a piece of speech: the same engine, version, voice and text give the same sound.
func cacheKey(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:", len(p))
		_, _ = io.WriteString(h, p) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (e *Engines) count(change func(*Counters)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(&e.spoken)
}

// join waits with those who want the same, or begins.
func (e *Engines) join(ctx context.Context, key string, owner Synthesizer, r Request) (*flight, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, fmt.Errorf("%w: closed", ErrTTS)
	}
	if f, ok := e.flights[key]; ok {
		f.waiters++
		e.spoken.Joined++
		return f, nil
	}
	// The work belongs to all who wait for it, so the first one's end must not end it.
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{done: make(chan struct{}), cancel: cancel, waiters: 1}
	e.flights[key] = f
	e.work.Go(func() { e.fly(own, key, f, owner, r) })
	return f, nil
}

// leave ends the work when the last who waited is gone.
func (e *Engines) leave(key string, f *flight) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f.waiters--
	if f.waiters == 0 {
		f.cancel()
		if e.flights[key] == f {
			delete(e.flights, key)
		}
	}
}

func (e *Engines) fly(ctx context.Context, key string, f *flight, owner Synthesizer, r Request) {
	defer f.cancel()
	f.samples, f.err = e.produce(ctx, key, owner, r)
	if f.err == nil {
		e.memory.put(key, f.samples)
	}
	e.mu.Lock()
	if e.flights[key] == f {
		delete(e.flights, key)
	}
	if f.err != nil {
		e.spoken.Failed++
	}
	e.mu.Unlock()
	close(f.done)
}

// produce takes the sound from disk or has it spoken. A disk that fails costs speed, never the sound.
func (e *Engines) produce(ctx context.Context, key string, owner Synthesizer, r Request) ([]int16, error) {
	if e.disk != nil {
		if samples, ok := e.disk.take(key); ok {
			e.count(func(c *Counters) { c.Disk++ })
			return samples, nil
		}
	}
	select {
	case e.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	samples, _, err := owner.Speak(ctx, r)
	<-e.slots
	if err != nil {
		if !errors.Is(err, ErrTTS) && !errors.Is(err, ErrUnknownVoice) && !errors.Is(err, ErrNoText) {
			err = fmt.Errorf("%w: %w", ErrTTS, err)
		}
		return nil, err
	}
	e.count(func(c *Counters) { c.Engine++ })
	if e.disk != nil {
		if err := e.disk.put(key, samples); err != nil {
			e.log.WarnContext(ctx, "speech cache not written", "err", err)
		}
	}
	return samples, nil
}
