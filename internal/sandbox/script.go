package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/fetch"
	"github.com/opentact/opentact/internal/sandbox/phone"
)

// Kinds of a Step.
const (
	StepWait   = "wait_ms"
	StepDigits = "digits"
	StepPlay   = "play_url"
	StepSay    = "say"
	StepHangup = "hangup"
	StepExpect = "expect_say"
)

// Step is one thing that a scripted caller does.
type Step struct {
	Kind string
	Text string        // digits, URL, or words
	Wait time.Duration // of StepWait
}

var errNoFetch = errors.New("play_url is not possible here")

// play follows the script of an answered call, keeping what came of each step. What comes after the end of the call did not happen.
func (n *Carrier) play(ctx context.Context, c *phone.Call, r *Run, steps []Step) {
	from := 0
	for _, step := range steps {
		result := StepResult{Step: step}
		var err error
		if step.Kind == StepExpect {
			result.OK, result.Heard, from = n.expect(ctx, c, from, step.Text)
			if !result.OK {
				result.Detail = "not heard"
			}
		} else if err = n.perform(ctx, c, step); err == nil {
			result.OK = true
		} else {
			result.Detail = err.Error()
		}
		r.add(result)
	}
}

// perform does a step that cannot be wrong by what is heard.
func (n *Carrier) perform(ctx context.Context, c *phone.Call, step Step) error {
	switch step.Kind {
	case StepWait:
		return pauseFor(ctx, c, step.Wait)
	case StepDigits:
		return c.SendKeys(ctx, step.Text)
	case StepSay:
		return c.Play(ctx, n.spoken(ctx, step.Text))
	case StepPlay:
		samples, err := n.fetch(ctx, step.Text)
		if err != nil {
			return err
		}
		return c.Play(ctx, samples)
	case StepHangup:
		ctx, cancel := context.WithTimeout(ctx, goodbyeWait)
		defer cancel()
		c.Hangup(ctx)
		return nil
	}
	return fmt.Errorf("unknown step %q", step.Kind)
}

// pauseFor waits; the end of the call ends the waiting and is no error, for the caller had nothing else to do.
func pauseFor(ctx context.Context, c *phone.Call, d time.Duration) error {
	select {
	case <-c.Over():
		return phone.ErrOver
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	_ = c.Wait(ctx)
	return nil
}

// fetch reads the sound behind a URL.
func (n *Carrier) fetch(ctx context.Context, url string) ([]int16, error) {
	if n.cfg.Fetch == nil {
		return nil, errNoFetch
	}
	got, err := n.cfg.Fetch.Do(ctx, fetch.Request{URL: url, MaxBody: maxPlayBytes, RedirectLimit: fetch.MaxRedirects})
	switch {
	case err != nil:
		return nil, err
	case got.Status != 200:
		return nil, fmt.Errorf("status %d", got.Status)
	case got.Truncated:
		return nil, audio.ErrTooLarge
	}
	return audio.DecodeFile(bytes.NewReader(got.Body), audio.Limits{MaxBytes: maxPlayBytes, MaxDuration: maxPlay})
}
