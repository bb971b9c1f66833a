package flow

import (
	"context"
	"errors"
	"unicode/utf8"
)

var saySpec = spec{
	name: "Say", is: isCommand | isPrompt, holds: side, text: spoken,
	value: "text", must: "a text", media: true, inside: true,
	attrs: []attr{
		{name: "text", kind: upTo(maxSpoken)},
		{name: "type", def: "Standard", kind: enum("Standard", "WaveNet")},
		{name: "gender", def: "FEMALE", kind: enum("MALE", "FEMALE")},
		{name: "code", kind: anyText},
		{name: "lang", def: "en-US", kind: anyText},
		{name: "loop", def: "1", kind: repeats},
		{name: "leg", kind: legs},
		{name: "early", def: "false", kind: boolean},
	},
	run: runSay,
}

func runSay(ctx context.Context, m *Machine, c *command) (string, error) {
	said, err := m.main(c)
	if err != nil {
		return "", err
	}
	r := c.toSay(said)
	if r.Text == "" {
		return "", failure("No text")
	}
	samples, voice, err := m.cfg.Voices.Speak(ctx, r)
	if err != nil {
		return "", sayFailure(err)
	}
	c.result["characters"] = utf8.RuneCountInString(r.Text)
	c.result["voice"] = voice
	if err := m.play(ctx, looped(samples, c.count("loop")), m.leg(c.str("leg")), c.flag("early")); err != nil {
		return "", err
	}
	return "Text spoken", nil
}

func sayFailure(err error) error {
	switch {
	case errors.Is(err, ErrNoText):
		return failure("No text")
	case errors.Is(err, ErrUnknownVoice):
		return failure("Unknown voice")
	case errors.Is(err, ErrBalance):
		return failure("Not enough balance")
	}
	return failure("TTS failed")
}
