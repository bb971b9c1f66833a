package flow

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/audio"
)

var toneSpec = spec{
	name: "Tone", is: isCommand | isPrompt, holds: side, media: true, inside: true,
	attrs: []attr{
		{name: "hz", def: "440", kind: toneList},
		{name: "don", def: "500", kind: duration},
		{name: "doff", def: "500", kind: duration},
		{name: "loop", def: "1", kind: repeats},
		{name: "volume", alias: []string{"v"}, def: "0", kind: volume},
		{name: "timeout", def: "30000", kind: duration},
		{name: "leg", kind: legs},
		{name: "early", def: "false", kind: boolean},
	},
	run: runTone,
}

func runTone(ctx context.Context, m *Machine, c *command) (string, error) {
	groups, ok := parseTones(c.str("hz"))
	if !ok {
		return "", failure("Tone not playable")
	}
	decibels, _ := strconv.ParseFloat(c.str("volume"), 64)
	pattern := audio.Pattern{Level: decibels, Steps: []time.Duration{c.ms("don"), c.ms("doff")}}
	within, cancel := context.WithTimeout(ctx, c.ms("timeout"))
	defer cancel()
	err := m.play(within, tones(groups, pattern, c.count("loop")), m.leg(c.str("leg")), c.flag("early"))
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil && within.Err() == nil {
		return "", err
	}
	return "Tone played", nil
}

// toneGroup is frequencies that sound together, some times in a row.
type toneGroup struct {
	hz    []float64
	times int
}

// parseTones reads "480,620x3;440".
func parseTones(list string) ([]toneGroup, bool) {
	var groups []toneGroup
	for _, part := range strings.Split(bare(list), ";") {
		g := toneGroup{times: 1}
		part, times, repeated := strings.Cut(part, "x")
		if repeated {
			n, ok := digits(times)
			if !ok || n < 1 || n > 1000 {
				return nil, false
			}
			g.times = n
		}
		for _, hz := range strings.Split(part, ",") {
			n, ok := digits(hz)
			if !ok || n > 20000 || len(g.hz) == 8 {
				return nil, false
			}
			g.hz = append(g.hz, float64(n))
		}
		groups = append(groups, g)
	}
	return groups, len(groups) <= 64
}

// digits reads a whole number that is written with digits only.
func digits(s string) (int, bool) {
	if s == "" || len(s) > 6 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// tones plays the groups one after the other, and the whole list so often; 0 never ends.
func tones(groups []toneGroup, p audio.Pattern, loops int) audio.Source {
	return audio.Loop(func() (audio.Source, error) {
		parts := make([]audio.Source, len(groups))
		for i, g := range groups {
			p.Freqs, p.Times = g.hz, g.times
			parts[i] = audio.Cadence(p)
		}
		return audio.Concat(parts...), nil
	}, loops)
}
