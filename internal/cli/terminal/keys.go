package terminal

import (
	"bufio"
	"context"
	"io"
	"strings"
	"sync"

	"github.com/opentact/opentact/internal/voice/flow"
)

const maxKeys = 1024 // typed ahead; more are dropped

// keypad holds what was typed until the flow reads it. It implements flow.Keypad.
type keypad struct {
	mu      sync.Mutex // guards what follows
	queue   []byte
	pressed chan struct{} // closed while the queue holds a key
}

func newKeypad() *keypad { return &keypad{pressed: make(chan struct{})} }

// press adds the keys in text; everything else in it is ignored.
func (k *keypad) press(text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range []byte(strings.ToUpper(text)) {
		if strings.IndexByte("0123456789*#ABCD", c) < 0 || len(k.queue) == maxKeys {
			continue
		}
		if k.queue = append(k.queue, c); len(k.queue) == 1 {
			close(k.pressed)
		}
	}
}

// Forget implements flow.Keypad. Typed keys stay: who types ahead, or pipes the answers in, means the question to come.
func (k *keypad) Forget() {}

// Pressed implements flow.Keypad.
func (k *keypad) Pressed() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pressed
}

// Next implements flow.Keypad.
func (k *keypad) Next(ctx context.Context) (byte, error) {
	for {
		k.mu.Lock()
		if len(k.queue) > 0 {
			key := k.queue[0]
			if k.queue = k.queue[1:]; len(k.queue) == 0 {
				k.pressed = make(chan struct{})
			}
			k.mu.Unlock()
			return key, nil
		}
		pressed := k.pressed
		k.mu.Unlock()
		select {
		case <-pressed:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// listen reads lines until the end of in: keys, or "h" and "hangup", which end the call. It returns at the end of in only, since a read of a terminal cannot be
// called off; the program does not wait for it.
func (k *keypad) listen(in io.Reader, hangup context.CancelCauseFunc) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		switch text := strings.ToLower(strings.TrimSpace(lines.Text())); text {
		case "h", "hangup":
			hangup(flow.ErrCallEnded)
			return
		default:
			k.press(text)
		}
	}
}
