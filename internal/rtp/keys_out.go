package rtp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/audio"
)

// Errors of SendKeys.
var (
	ErrKey      = errors.New("rtp: not a key")
	ErrNoEvents = errors.New("rtp: the peer takes no telephone events")
)

const (
	keyVolume = 10 // -10 dBm0 (RFC 4733 §2.3.4)
	keyEnds   = 3  // how often the last packet is sent (RFC 4733 §2.5.1.4)
)

// keyJob is one SendKeys on its way out, moved on by 20 ms with each tick.
type keyJob struct {
	digits  string
	on, off int // ticks of a key and of the gap
	done    chan error

	pos   int
	step  int    // ticks into the present key
	start uint32 // its timestamp
	abort bool
}

// SendKeys presses digits as telephone events (RFC 4733 §2.5.1) and returns when
// the last has been sent. Digits are 0-9 * # A-D, and w for KeyPause. Zero dur
// and gap mean the defaults; times are rounded up to 20 ms. While nothing may be
// sent the keys wait. Errors: ErrKey, ErrNotStarted,
// ErrNoEvents (send them another way), ErrClosed, the cause of ctx.
func (s *Stream) SendKeys(ctx context.Context, digits string, dur, gap time.Duration) error {
	job, err := newKeyJob(digits, dur, gap)
	if err != nil {
		return err
	}
	select { // one job at a time
	case s.keyTurn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-s.keyTurn }()
	if err := s.startKeys(job); err != nil {
		return err
	}
	select {
	case err := <-job.done:
		return err
	case <-ctx.Done():
	}
	// The key that is down must be let go.
	s.mu.Lock()
	job.abort = true
	s.mu.Unlock()
	<-job.done
	return context.Cause(ctx)
}

func (s *Stream) startKeys(job *keyJob) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case !s.started:
		return ErrNotStarted
	case s.params.DTMFPT == 0:
		return ErrNoEvents
	}
	s.keys = job
	return nil
}

func newKeyJob(digits string, dur, gap time.Duration) (*keyJob, error) {
	if dur == 0 {
		dur = DefaultKeyDuration
	}
	if gap == 0 {
		gap = DefaultKeyGap
	}
	digits = strings.ToUpper(digits)
	if digits == "" || len(digits) > maxKeys {
		return nil, fmt.Errorf("%w: want 1 to %d digits", ErrKey, maxKeys)
	}
	for i := range len(digits) {
		if digits[i] != 'W' && strings.IndexByte(keyNames, digits[i]) < 0 {
			return nil, fmt.Errorf("%w: %q", ErrKey, digits[i])
		}
	}
	dur = min(max(dur, minKeyDuration), maxKeyDuration)
	// The repeated ends lie in the gap.
	return &keyJob{
		digits: digits, on: ticks(dur), off: max(ticks(gap), keyEnds), done: make(chan error, 1),
	}, nil
}

func ticks(d time.Duration) int {
	return int((d + audio.FrameDuration - 1) / audio.FrameDuration)
}

// stepKeys writes the packet of this tick, if there is one, behind the header
// space of b; finished says that the job is over. The caller holds the lock.
func (s *Stream) stepKeys(b []byte, at time.Duration) (size int, finished bool) {
	k := s.keys
	if k.pos == len(k.digits) || k.abort && k.step == 0 {
		return 0, true
	}
	digit := k.digits[k.pos]
	if digit == 'W' && k.abort {
		return 0, true
	}
	if digit == 'W' {
		k.advance(ticks(KeyPause))
		return 0, false
	}
	if k.step == 0 {
		s.out.catchUp(at)
		k.start = s.out.ts
	}
	if k.abort && k.step < k.on {
		k.on = k.step // let go now
	}
	if k.step < k.on+keyEnds {
		ended := k.step >= k.on
		units := uint32(min(k.step+1, k.on)) * s.out.frame()
		b[headerSize] = byte(strings.IndexByte(keyNames, digit))
		b[headerSize+1] = keyVolume
		if ended {
			b[headerSize+1] |= 0x80
		}
		binary.BigEndian.PutUint16(b[headerSize+2:], uint16(min(units, 0xffff)))
		s.out.event(s.params.DTMFPT, k.start, k.step == 0, at).put(b)
		size = headerSize + eventSize
	}
	k.advance(k.on + k.off)
	return size, false
}

// advance goes on by one tick of a digit that takes n.
func (k *keyJob) advance(n int) {
	if k.step++; k.step >= n {
		k.step = 0
		k.pos++
	}
}
