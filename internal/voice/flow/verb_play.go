package flow

import (
	"context"
	"errors"
)

var playSpec = spec{
	name: "Play", is: isCommand | isPrompt, holds: side, text: oneValue,
	value: "url", media: true, inside: true,
	attrs: []attr{
		{name: "url", kind: anyURL},
		{name: "record", kind: anyText},
		{name: "loop", def: "1", kind: repeats},
		{name: "leg", kind: legs},
		{name: "early", def: "false", kind: boolean},
	},
	check: func(n *Node) *complaint {
		if !n.has("url") && !n.has("record") && n.Text == "" {
			return n.complain("<Play> needs a URL or the attribute \"record\"")
		}
		return nil
	},
	run: runPlay,
}

func runPlay(ctx context.Context, m *Machine, c *command) (string, error) {
	samples, err := m.media(ctx, c)
	if err != nil {
		return "", err
	}
	if err := m.play(ctx, looped(samples, c.count("loop")), m.leg(c.str("leg")), c.flag("early")); err != nil {
		return "", err
	}
	return "Media played", nil
}

// media gives what a Play plays: a URL, else a recording of the call.
func (m *Machine) media(ctx context.Context, c *command) ([]int16, error) {
	url, err := m.main(c)
	if err != nil {
		return nil, err
	}
	if url == "" {
		return m.recorded(ctx, c.str("record"))
	}
	samples, err := m.cfg.Fetcher.Media(ctx, url)
	switch {
	case errors.Is(err, ErrMediaUnplayable):
		return nil, failure("Media not playable")
	case err != nil:
		return nil, failure("Media not found")
	}
	return samples, nil
}

func (m *Machine) recorded(ctx context.Context, tag string) ([]int16, error) {
	if m.cfg.Recordings == nil {
		return nil, failure("Record not found")
	}
	ctx, cancel := context.WithTimeout(ctx, recordingAwait)
	defer cancel()
	samples, err := m.cfg.Recordings.Samples(ctx, tag)
	if err != nil {
		return nil, failure("Record not found")
	}
	return samples, nil
}
