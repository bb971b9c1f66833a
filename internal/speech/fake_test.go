package speech

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/opentact/opentact/internal/speech/engine"
)

// fakeEngine counts what it speaks: each text is as many samples as it has bytes.
type fakeEngine struct {
	name    string
	voices  []Voice
	version string
	err     error
	missing bool
	spoken  atomic.Int64
	entered chan string   // gets each text that begins, when set
	release chan struct{} // a text ends when this is readable, when set
}

func (f *fakeEngine) Name() string { return f.name }

func (f *fakeEngine) Voices() []Voice {
	if f.missing {
		return nil
	}
	return f.voices
}

func (f *fakeEngine) Probe(context.Context) (string, error) {
	if f.missing {
		return "", &engine.MissingError{Program: f.name, Package: f.name + "-pkg"}
	}
	return f.version, nil
}

func (f *fakeEngine) Speak(ctx context.Context, r Request) ([]int16, Voice, error) {
	f.spoken.Add(1)
	if f.entered != nil {
		f.entered <- r.Text
	}
	if f.release != nil {
		select {
		case <-f.release:
		case <-ctx.Done():
			return nil, Voice{}, ctx.Err()
		}
	}
	if f.err != nil {
		return nil, Voice{}, f.err
	}
	samples := make([]int16, len(r.Text))
	for i := range samples {
		samples[i] = int16(r.Text[i])
	}
	return samples, Voice{Code: r.Code}, nil
}

func newFake(name string, langs ...string) *fakeEngine {
	f := &fakeEngine{name: name, version: "1"}
	for i, lang := range langs {
		f.voices = append(f.voices, Voice{
			Code: fmt.Sprintf("%s-%d", name, i), Name: name, Lang: lang, Gender: Female, Type: Standard, Engine: name, NaturalRate: 8000,
		})
	}
	return f
}

type fakeEars struct{ missing bool }

func (fakeEars) Name() string { return "ears" }

func (f fakeEars) Probe(context.Context) (string, error) {
	if f.missing {
		return "", &engine.MissingError{Program: "ears", Package: "ears-pkg"}
	}
	return "1", nil
}

func (fakeEars) Recognize(_ context.Context, samples []int16, o RecognizeOptions) (Transcript, error) {
	return Transcript{Text: fmt.Sprint(len(samples)), Lang: o.Lang}, nil
}
