package speech

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/opentact/opentact/internal/audio"
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
	key := cacheKey(form, voice.Engine, version, voice.Code, text)
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

// form is how pieces are kept: another one is not mistaken for what older programs left on the disk. 2: silence at the beginning is cut.
const form = "2"

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
	var fresh bool
	f.samples, fresh, f.err = e.produce(ctx, key, owner, r)
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
	if !fresh || e.disk == nil {
		return
	}
	if err := e.disk.put(key, f.samples); err != nil { // nobody waits for the disk
		e.log.WarnContext(ctx, "speech cache not written", "err", err)
	}
}

// produce takes the sound from disk or has it spoken, which makes it fresh. A disk that fails costs speed, never the sound.
func (e *Engines) produce(ctx context.Context, key string, owner Synthesizer, r Request) (samples []int16, fresh bool, err error) {
	if e.disk != nil {
		if samples, ok := e.disk.take(key); ok {
			e.count(func(c *Counters) { c.Disk++ })
			return samples, false, nil
		}
	}
	select {
	case e.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	samples, _, err = owner.Speak(ctx, r)
	<-e.slots
	if err != nil {
		if !errors.Is(err, ErrTTS) && !errors.Is(err, ErrUnknownVoice) && !errors.Is(err, ErrNoText) {
			err = fmt.Errorf("%w: %w", ErrTTS, err)
		}
		return nil, false, err
	}
	e.count(func(c *Counters) { c.Engine++ })
	return cut(samples), true, nil
}

// Silence before the first sound: engines begin with a fifth of a second of it, which callers would wait for.
const (
	keptSilence = audio.Rate / 50  // samples, 20 ms
	silentSteps = audio.Rate / 200 // samples, 5 ms
)

// cut takes the silence from the beginning, but for the last of it. What follows the last word stays: it parts sentences.
func cut(samples []int16) []int16 {
	for at := 0; at+silentSteps <= len(samples); at += silentSteps {
		if audio.Level(samples[at:at+silentSteps]) >= audio.DefaultSilence {
			return slices.Clone(samples[max(0, at-keptSilence):])
		}
	}
	return samples
}
