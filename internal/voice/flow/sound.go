package flow

import (
	"context"
	"errors"
	"time"

	"github.com/opentact/opentact/internal/audio"
)

// beepLength is the tone before a recording.
const beepLength = 400 * time.Millisecond

func beep() audio.Source { return audio.Beep(beepLength) }

// looped plays the samples so often; 0 never ends.
func looped(samples []int16, times int) audio.Source {
	return audio.Loop(func() (audio.Source, error) { return audio.FromSamples(samples), nil }, times)
}

// leg is who hears a sound: as asked, else the controlled leg, inside a bridge both (xml.md §3.3).
func (m *Machine) leg(asked string) Leg {
	switch {
	case asked != "":
		return Leg(asked)
	case m.cfg.Phone.Info().Bridged:
		return LegBoth
	}
	return LegA
}

// play plays a source to its end; an error when ctx ended first or the media broke.
func (m *Machine) play(ctx context.Context, src audio.Source, leg Leg, early bool) error {
	err := m.cfg.Phone.Play(ctx, src, PlayOptions{Leg: leg, Early: early && !m.cfg.Phone.Answered()})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, ErrGone) {
		return failure("Call is gone")
	}
	if err != nil {
		return failure("Media not playable")
	}
	return nil
}
