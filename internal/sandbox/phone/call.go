package phone

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/rtp"
	"github.com/opentact/opentact/internal/sdp"
	"github.com/opentact/opentact/internal/sip"
)

// ErrNotAnswered says that a call ended before it was answered; Call.Outcome has the reason.
var ErrNotAnswered = errors.New("phone: call not answered")

// ErrOver says that the call has ended.
var ErrOver = errors.New("phone: the call is over")

// Call is one call of a phone. All methods may be used from any goroutine.
type Call struct {
	p        *Phone
	d        *sip.Dialog
	stream   *rtp.Stream
	ear      *ear
	inbound  bool
	ctx      context.Context // ends with the call
	cancel   context.CancelCauseFunc
	alerted  chan struct{} // closed at the first provisional answer
	answered chan struct{}
	over     chan struct{}
	keys     chan byte // dropped when full: Pressed has them
	owner    func()    // of Dial: switches the phone off

	mu      sync.Mutex
	offered *sdp.Session // our offer that waits for its answer
	body    []byte       // what we last sent
	session uint64
	version uint64
	held    bool
	status  int // of the last provisional answer
	early   bool
	typed   []byte
	outcome Outcome
	ended   bool
}

// Outcome is how a call ended.
type Outcome struct {
	Answered bool
	By       string // "us", "them", "nobody" when an answer or the connection was lost
	Status   int    // SIP status of a call that was not answered
	Phrase   string
	Q850     int // cause that the far side gave, 0 without
	Text     string
}

// Dial makes a phone for one call and places it. ctx bounds the dialling, not the call; Close ends both.
func Dial(ctx context.Context, cfg Config, to string) (*Call, error) {
	p, err := New(cfg)
	if err != nil {
		return nil, err
	}
	run, off := context.WithCancel(context.WithoutCancel(ctx))
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- p.Run(run, func() { close(ready) }) }()
	owner := sync.OnceFunc(func() { off(); <-ended })
	select {
	case <-ready:
	case err := <-ended:
		off()
		return nil, err
	}
	c, err := p.Place(ctx, Request{To: to})
	if err != nil {
		owner()
		return nil, err
	}
	c.owner = owner
	return c, nil
}

// Close hangs up, waits a little for the far side, and switches off the phone that Dial made.
func (c *Call) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), hangupWait)
	defer cancel()
	c.Hangup(ctx)
	if c.owner != nil {
		c.owner()
	}
}

// CallID is the SIP Call-ID.
func (c *Call) CallID() string { return c.d.CallID() }

// Caller and Called are the user parts of the From header and of the request URI.
func (c *Call) Caller() string { return c.d.From().User }

// Called is the user part of the request URI: who was dialled.
func (c *Call) Called() string { return c.d.Called().User }

// Header gives a header of the INVITE to the phone, or of the last answer to a call of the phone.
func (c *Call) Header(name string) string { return c.d.Header(name) }

// Alerted is closed at the first provisional answer of the far side.
func (c *Call) Alerted() <-chan struct{} { return c.alerted }

// Answered is closed when the call is answered.
func (c *Call) Answered() <-chan struct{} { return c.answered }

// Over is closed when the call has ended; Outcome is final then.
func (c *Call) Over() <-chan struct{} { return c.over }

// Outcome is how the call ended; the zero value before its end.
func (c *Call) Outcome() Outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.outcome
}

// Provisional is the last provisional answer of the far side and whether it came with sound; 0 before any.
func (c *Call) Provisional() (status int, sound bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status, c.early
}

// Held tells whether the far side has put the call on hold.
func (c *Call) Held() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held
}

// WaitAnswered waits until the far side answers. Errors: ErrNotAnswered with the reason, the cause of ctx.
func (c *Call) WaitAnswered(ctx context.Context) error {
	select {
	case <-c.answered:
		return nil
	case <-c.over:
		if o := c.Outcome(); !o.Answered {
			return fmt.Errorf("%w: %d %s", ErrNotAnswered, o.Status, strings.TrimSpace(o.Phrase+" "+o.Text))
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Wait waits for the end of the call, or the cause of ctx.
func (c *Call) Wait(ctx context.Context) error {
	select {
	case <-c.over:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Ring tells a caller that the phone rings.
func (c *Call) Ring() error { return c.d.Ring(c.ctx, 180, nil) }

// EarlyMedia lets a caller hear the phone before the answer (183 with SDP).
func (c *Call) EarlyMedia() error {
	body, err := c.answerBody()
	if err != nil {
		return err
	}
	return c.d.Ring(c.ctx, 183, body)
}

// Answer answers a call to the phone.
func (c *Call) Answer() error {
	body, err := c.answerBody()
	if err != nil {
		_ = c.d.Reject(488, sip.Reason{Q850: 88})
		return err
	}
	if err := c.d.Accept(c.ctx, body); err != nil {
		return err
	}
	c.markAnswered()
	return nil
}

// Reject refuses a call to the phone with a SIP status and a Q.850 cause, 0 for none.
func (c *Call) Reject(status, q850 int) error {
	return c.d.Reject(status, sip.Reason{Q850: q850})
}

// Hangup ends the call in the way its state asks for and waits for the far side until ctx ends.
func (c *Call) Hangup(ctx context.Context) {
	c.hangup(sip.Reason{Q850: 16})
	_ = c.Wait(ctx)
}

func (c *Call) hangup(r sip.Reason) {
	if c.d != nil {
		c.d.Hangup(r)
	}
}

// Play says samples and returns when they were said. Errors: ErrOver, the cause of ctx, those of rtp.Stream.Play.
func (c *Call) Play(ctx context.Context, samples []int16) error {
	return c.PlaySource(ctx, audio.FromSamples(samples))
}

// PlaySource says what src gives until it ends.
func (c *Call) PlaySource(ctx context.Context, src audio.Source) error {
	done := c.stream.Play(src)
	select {
	case err := <-done:
		if errors.Is(err, rtp.ErrClosed) {
			return ErrOver
		}
		return err
	case <-c.over:
		return ErrOver
	case <-ctx.Done():
		c.stream.Stop()
		<-done
		return context.Cause(ctx)
	}
}

// Echo says what is heard until ctx or the call ends.
func (c *Call) Echo(ctx context.Context) error {
	pipe := rtp.NewPipe(echoFrames)
	defer pipe.Close()
	remove := c.stream.Tap(pipe.Write, nil)
	defer remove()
	return c.PlaySource(ctx, pipe)
}

// SendKeys presses keys (0-9 * # A-D, w for a pause) as telephone events (RFC 4733), or as tones when the far side takes none.
func (c *Call) SendKeys(ctx context.Context, digits string) error {
	err := c.stream.SendKeys(ctx, digits, 0, 0)
	switch {
	case errors.Is(err, rtp.ErrNoEvents):
		return c.PlaySource(ctx, tones(digits))
	case errors.Is(err, rtp.ErrClosed):
		return ErrOver
	}
	return err
}

// tones is digits as sound (ITU-T Q.23).
func tones(digits string) audio.Source {
	var parts []audio.Source
	for i := range len(digits) {
		if digits[i] == 'w' || digits[i] == 'W' {
			parts = append(parts, audio.Silence(rtp.KeyPause))
			continue
		}
		parts = append(parts, audio.DTMFTone(digits[i], keyLength), audio.Silence(keyGap))
	}
	return audio.Concat(parts...)
}

// NextKey waits for a key that the far side presses. Errors: ErrOver, the cause of ctx.
func (c *Call) NextKey(ctx context.Context) (byte, error) {
	select {
	case k := <-c.keys:
		return k, nil
	case <-c.over:
		return 0, ErrOver
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// Pressed is every key that the far side has pressed so far.
func (c *Call) Pressed() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.typed)
}

func (c *Call) pressed(key byte) {
	c.mu.Lock()
	if len(c.typed) < maxPressed {
		c.typed = append(c.typed, key)
	}
	c.mu.Unlock()
	select {
	case c.keys <- key:
	default:
	}
}

// Listen begins to keep what is heard; calls of Place do so from the start unless they are Deaf.
func (c *Call) Listen() { c.stream.SetSink(c.ear.hear) }

// Heard is a copy of what was heard, 8 kHz, silence where nothing came; the latest Config.Hear of it.
func (c *Call) Heard() []int16 { return c.HeardSince(0) }

// HeardSince is what was heard after a Mark.
func (c *Call) HeardSince(mark int) []int16 {
	samples, _ := c.ear.since(mark)
	return samples
}

// Mark is the present place in what is heard, in samples.
func (c *Call) Mark() int { return c.ear.mark() }

// AwaitSilence waits until there was sound after mark and then none for quiet, and returns all that was heard since mark. When the call or ctx
// ends first it returns what there is, with ErrOver or the cause of ctx.
func (c *Call) AwaitSilence(ctx context.Context, mark int, quiet time.Duration) ([]int16, error) {
	var level audio.SilenceDetector
	next := mark
	for {
		fresh, at := c.ear.since(next)
		for len(fresh) >= audio.FrameSamples {
			silent := level.Feed(fresh[:audio.FrameSamples])
			fresh, at = fresh[audio.FrameSamples:], at+audio.FrameSamples
			if level.Heard() && silent >= quiet {
				return c.HeardSince(mark), nil
			}
		}
		next = at
		select {
		case <-c.ear.changed:
		case <-c.over:
			return c.HeardSince(mark), ErrOver
		case <-ctx.Done():
			return c.HeardSince(mark), context.Cause(ctx)
		}
	}
}

// Stats are the figures of the media.
func (c *Call) Stats() rtp.Stats { return c.stream.Stats() }

// hangupLike ends the call with the cause of another one.
func (c *Call) hangupLike(other *Call) {
	cause := other.Outcome().Q850
	if cause == 0 {
		cause = 16
	}
	c.hangup(sip.Reason{Q850: cause})
}
