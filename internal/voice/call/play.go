package call

import (
	"context"
	"io"
	"strconv"
	"sync"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/rtp"
	"github.com/opentact/opentact/internal/sip"
)

// The legs that a sound may be for.
const (
	ALeg     = "aleg"
	BLeg     = "bleg"
	BothLegs = "both"
)

// Play plays a source and returns when it ended (nil), or when ctx (its cause) or the call (an *EndedError) did. On a call that is not
// answered early asks for early media; without it the sound needs an answer, ErrNotAnswered. leg is ALeg (also ""), BLeg or BothLegs;
// without a bridge there is only the first.
func (c *Call) Play(ctx context.Context, src audio.Source, early bool, leg string) error {
	if early && !c.Answered() {
		if err := c.EarlyMedia(ctx); err != nil {
			return err
		}
	}
	targets := c.targets(leg)
	if len(targets) == 2 {
		return c.playBoth(ctx, src, targets)
	}
	return c.playLeg(ctx, targets[0], src)
}

func (c *Call) targets(which string) []*leg {
	legs := []*leg{c.a}
	if which == BLeg || which == BothLegs {
		c.do(func() {
			switch {
			case c.br == nil:
			case which == BLeg:
				legs[0] = c.br.b
			default:
				legs = append(legs, c.br.b)
			}
		})
	}
	return legs
}

// playLeg plays on one leg until the sound, ctx or the leg ends.
func (c *Call) playLeg(ctx context.Context, l *leg, src audio.Source) error {
	s := l.stream.Load()
	if s == nil {
		if l.state().Over() {
			return &EndedError{l.snapshot().Cause}
		}
		return ErrNotAnswered
	}
	return c.waitSound(ctx, l, s, s.Play(src))
}

func (c *Call) waitSound(ctx context.Context, l *leg, s *rtp.Stream, done <-chan error) error {
	select {
	case err := <-done:
		if err != nil && l.state().Over() {
			return &EndedError{l.snapshot().Cause}
		}
		return err
	case <-ctx.Done():
		s.Stop()
		<-done
		if l == c.a && c.ctx.Err() != nil {
			return c.endedError()
		}
		return context.Cause(ctx)
	}
}

// playBoth plays one source on two legs.
func (c *Call) playBoth(ctx context.Context, src audio.Source, legs []*leg) error {
	split := &splitter{src: src}
	errs := make([]error, len(legs))
	var wait sync.WaitGroup
	for i, l := range legs {
		reader := &splitReader{split: split, side: i}
		wait.Go(func() { errs[i] = c.playLeg(ctx, l, reader) })
	}
	wait.Wait()
	return errs[0] // the other leg may have left: the sound went on for the controlled one
}

// splitter gives the frames of one source to two readers.
type splitter struct {
	mu   sync.Mutex
	src  audio.Source
	err  error
	wait [2][][]int16 // read by the other side already; at most maxSplit frames, then the oldest is dropped
}

const maxSplit = 50

type splitReader struct {
	split *splitter
	side  int
}

// ReadFrame implements audio.Source.
func (r *splitReader) ReadFrame(dst []int16) (int, error) {
	s := r.split
	s.mu.Lock()
	defer s.mu.Unlock()
	if wait := s.wait[r.side]; len(wait) > 0 {
		n := copy(dst, wait[0])
		clear(dst[n:])
		s.wait[r.side] = wait[1:]
		return n, nil
	}
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.src.ReadFrame(dst)
	if err != nil && err != io.EOF || n == 0 && err == io.EOF {
		s.err = err
		return n, err
	}
	s.err = err
	other := 1 - r.side
	if len(s.wait[other]) >= maxSplit {
		s.wait[other] = s.wait[other][1:]
	}
	s.wait[other] = append(s.wait[other], append([]int16(nil), dst[:n]...))
	return n, nil
}

// Tap hands every 20 ms what was heard from a leg to in and what was sent to it to out; either may be nil. Both run on the media clock,
// must return at once and must not keep the frame. false: the leg has no media.
func (c *Call) Tap(legID string, in, out func(frame []int16)) (remove func(), ok bool) {
	l, found := c.leg(legID)
	if !found {
		return nil, false
	}
	s := l.stream.Load()
	if s == nil {
		return nil, false
	}
	return s.Tap(in, out), true
}

// dialogNow is the dialog of a leg, asked from outside of the call's goroutine.
func (l *leg) dialogNow(c *Call) (d *sip.Dialog) {
	c.do(func() { d = l.dialog })
	return d
}

func itoa(n int) string { return strconv.Itoa(n) }
