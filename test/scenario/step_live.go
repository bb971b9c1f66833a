package scenario

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/test/fake"
	"github.com/opentact/opentact/test/scenario/house"
)

func pageOf(body string) fake.Page { return fake.Page{Body: []byte(strings.TrimSpace(body))} }

func (p *player) socket(ctx context.Context, rest string) error {
	f := strings.Fields(rest)
	if len(f) != 2 && (len(f) != 4 || f[2] != "since") {
		return fmt.Errorf("socket wants NAME TYPES [since CURSOR]")
	}
	since := ""
	if len(f) == 4 {
		since = f[3]
	}
	if old := p.sockets[f[0]]; old != nil {
		old.Close()
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	s, err := house.Open(ctx, p.server.HTTP, p.client.Token, strings.Split(f[1], ","), since)
	if err != nil {
		return err
	}
	p.sockets[f[0]] = s
	return nil
}

func (p *player) event(ctx context.Context, rest string) error {
	name, rest, _ := strings.Cut(rest, " ")
	s := p.sockets[name]
	if s == nil {
		return fmt.Errorf("no socket %q", name)
	}
	d, rest, err := limit(rest)
	if err != nil {
		return err
	}
	conds, err := house.Conditions(rest)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	f, err := s.Next(ctx, func(f house.Frame) bool { return house.Check(f.Value, conds) == nil })
	if err != nil {
		return err
	}
	p.last, p.answer = f.Value, nil
	return nil
}

func (p *player) closeSocket(_ context.Context, name string) error {
	s := p.sockets[name]
	if s == nil {
		return fmt.Errorf("no socket %q", name)
	}
	s.Close()
	p.values[name+".closed"] = s.Cursor()
	delete(p.sockets, name)
	return nil
}

func (p *player) received(ctx context.Context, rest string) error {
	d, rest, err := limit(rest)
	if err != nil {
		return err
	}
	path, cond, _ := strings.Cut(rest, " ")
	var conds []house.Condition
	if cond != "" {
		if conds, err = house.Conditions(cond); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	req, err := p.customer.Received(ctx, path, func(r fake.Request) bool {
		doc, err := document(r)
		return err == nil && house.Check(doc, conds) == nil
	})
	if err != nil {
		return err
	}
	p.answer = nil
	p.last, err = document(req)
	return err
}

func (p *player) sound(_ context.Context, rest string) error {
	f := strings.Fields(rest)
	if len(f) != 3 || p.answer == nil {
		return fmt.Errorf("sound wants PROPERTY OP NUMBER after a request for a WAV")
	}
	samples, err := audio.DecodeFile(bytes.NewReader(p.answer.Body), audio.Limits{})
	if err != nil {
		return err
	}
	got, err := measure(samples, f[0])
	if err != nil {
		return err
	}
	conds, err := house.Conditions("x " + f[1] + " " + f[2])
	if err != nil {
		return err
	}
	if house.Check(map[string]any{"x": got}, conds) != nil {
		return fmt.Errorf("%s is %.3f (%.2f s of sound)", f[0], got, audio.Duration(len(samples)).Seconds())
	}
	return nil
}

// window is what loudest, tone and silence look at.
const window = audio.Rate / 10

// measure gives one property of a sound.
func measure(samples []int16, property string) (float64, error) {
	kind, arg, _ := strings.Cut(property, ":")
	best, gap, longest := audio.Floor, 0.0, 0.0
	switch kind {
	case "seconds":
		return audio.Duration(len(samples)).Seconds(), nil
	case "level":
		return audio.Level(samples), nil
	case "loudest":
		for i := 0; i+window <= len(samples); i += window / 2 {
			best = max(best, audio.Level(samples[i:i+window]))
		}
		return best, nil
	case "silence":
		for i := 0; i+window <= len(samples); i += window {
			if audio.Level(samples[i:i+window]) > audio.DefaultSilence {
				gap = 0
				continue
			}
			gap += 0.1
			longest = max(longest, gap)
		}
		return longest, nil
	case "tone":
		hz, err := strconv.ParseFloat(arg, 64)
		best = 0
		for i := 0; i+window <= len(samples); i += window / 2 {
			if w := samples[i : i+window]; audio.Level(w) > audio.DefaultSilence {
				best = max(best, audio.ToneLevel(w, hz))
			}
		}
		return best, err
	}
	return 0, fmt.Errorf("sounds have no %q", property)
}

func (p *player) sipp(ctx context.Context, rest string) error {
	f := strings.Fields(rest)
	r := house.SIPp{Scenario: f[0], Server: p.server.SIP, Calls: 1, Rate: 1}
	for _, kv := range f[1:] {
		k, v, _ := strings.Cut(kv, "=")
		switch k {
		case "number":
			r.Number = v
		case "calls":
			r.Calls, _ = strconv.Atoi(v)
		case "rate":
			r.Rate, _ = strconv.Atoi(v)
		default:
			r.Keys = append(r.Keys, "-key", k, v)
		}
	}
	_, err := r.Run(ctx)
	return err
}
