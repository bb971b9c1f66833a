package call

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/rtp"
)

// way is how a key came.
type way int

const (
	byEvent way = iota // RFC 4733
	byInfo
	byTone
)

// keypad keeps the keys that were pressed on the controlled leg and not read yet.
type keypad struct {
	mu      sync.Mutex
	keys    []byte        // at most maxKeys
	pressed chan struct{} // closed while keys wait
	open    bool          // pressed is closed
	last    byte
	lastWay way
	lastOn  time.Time
}

func (k *keypad) init() { k.pressed = make(chan struct{}) }

// press adds a key. A key that comes the second time by another way within sameKey is one press: some phones send INFO and events.
func (k *keypad) press(key byte, by way) bool {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if key == k.last && by != k.lastWay && now.Sub(k.lastOn) < sameKey {
		return false
	}
	k.last, k.lastWay, k.lastOn = key, by, now
	if len(k.keys) >= maxKeys {
		return false
	}
	k.keys = append(k.keys, key)
	if !k.open {
		k.open = true
		close(k.pressed)
	}
	return true
}

func (k *keypad) take() (byte, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.keys) == 0 {
		return 0, false
	}
	key := k.keys[0]
	k.keys = k.keys[1:]
	k.shut()
	return key, true
}

// shut renews the channel when nothing waits any more.
func (k *keypad) shut() {
	if len(k.keys) == 0 && k.open {
		k.open, k.keys = false, nil
		k.pressed = make(chan struct{})
	}
}

func (k *keypad) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = nil
	k.shut()
}

func (k *keypad) waiting() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pressed
}

// ForgetKeys drops keys that were pressed and not read.
func (c *Call) ForgetKeys() { c.keys.forget() }

// Pressed is closed as soon as an unread key is there; it is asked anew for each wait.
func (c *Call) Pressed() <-chan struct{} { return c.keys.waiting() }

// NextKey gives the next key that was or will be pressed on the controlled leg: 0-9 * # A-D. An *EndedError after hangup, the cause of
// ctx when that ends.
func (c *Call) NextKey(ctx context.Context) (byte, error) {
	for {
		pressed := c.keys.waiting()
		if key, ok := c.keys.take(); ok {
			return key, nil
		}
		select {
		case <-pressed:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-c.ctx.Done():
			return 0, c.endedError()
		}
	}
}

// SendKeys presses keys towards the controlled leg, in the way its far side understands: events (RFC 4733), else SIP INFO, else tones.
// Digits are 0-9 * # A-D, and w for 500 ms; dur 0 is 160 ms. It returns when all are sent.
func (c *Call) SendKeys(ctx context.Context, digits string, dur time.Duration) error {
	return c.sendKeys(ctx, c.a, digits, dur)
}

// SendKeysTo presses keys towards another leg of the call; *EndedError when it is over.
func (c *Call) SendKeysTo(ctx context.Context, legID, digits string, dur time.Duration) error {
	l, ok := c.leg(legID)
	if !ok {
		return &EndedError{Cause{Q850: NormalClearing}}
	}
	return c.sendKeys(ctx, l, digits, dur)
}

func (c *Call) sendKeys(ctx context.Context, l *leg, digits string, dur time.Duration) error {
	s := l.stream.Load()
	if s == nil {
		return ErrNotAnswered
	}
	if dur <= 0 {
		dur = keyDuration
	}
	err := s.SendKeys(ctx, digits, dur, keyGap)
	if errors.Is(err, rtp.ErrNoEvents) {
		err = c.infoKeys(ctx, l, strings.ToUpper(digits), dur)
	}
	if err != nil && l.state().Over() {
		return &EndedError{l.snapshot().Cause}
	}
	return err
}

// infoKeys sends keys by INFO, and those that are refused as tones.
func (c *Call) infoKeys(ctx context.Context, l *leg, digits string, dur time.Duration) error {
	for i := range len(digits) {
		if digits[i] == 'W' {
			if err := pause(ctx, l, keyPause); err != nil {
				return err
			}
			continue
		}
		body := "Signal=" + digits[i:i+1] + "\r\nDuration=" + itoa(int(dur.Milliseconds())) + "\r\n"
		dialog := l.dialogNow(c)
		if dialog == nil {
			return ErrNotAnswered
		}
		if err := dialog.SendInfo(ctx, "application/dtmf-relay", []byte(body)); err != nil {
			if ctx.Err() != nil || l.state().Over() {
				return err
			}
			if err := c.playLeg(ctx, l, audio.DTMFTone(digits[i], dur)); err != nil {
				return err
			}
		}
		if err := pause(ctx, l, keyGap); err != nil {
			return err
		}
	}
	return nil
}

// pause waits; an error when ctx or the leg ends first.
func pause(ctx context.Context, l *leg, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-l.over:
		return &EndedError{l.snapshot().Cause}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
