package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/fault"
)

// world is a scripted call and all that is around it; it writes down what happens, with the virtual time.
type world struct {
	mu       sync.Mutex
	out      strings.Builder
	start    time.Time
	epoch    time.Time // what the script says it is at the start
	info     CallInfo
	answered bool
	bridged  bool
	gone     bool            // Answer fails
	life     context.Context // of the call
	cancel   context.CancelCauseFunc
	keys     *keypad
	fetches  []*fetchRule
	media    map[string]string
	dials    []dialRule
	records  map[string]recordRule
	silence  time.Duration // the caller says nothing more from this moment after a recording began; 0 talks on
	voiceErr error
	serial   int
	running  sync.WaitGroup // recorders
}

type fetchRule struct {
	method, url string
	after       time.Duration
	err         error
	answer      FetchAnswer
	used        bool
}

type dialRule struct {
	ring, talk time.Duration
	result     DialResult
}

type recordRule struct {
	after time.Duration
	info  RecordInfo
	err   error
}

func (w *world) log(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(&w.out, "%8.3f %s\n", time.Since(w.start).Seconds(), fmt.Sprintf(format, args...))
}

func (w *world) now() time.Time { return w.epoch.Add(time.Since(w.start)) }

func (w *world) Info() CallInfo {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.info
	i.Bridged = w.bridged
	switch {
	case w.bridged:
		i.State = "bridged"
	case w.answered:
		i.State = "live"
	}
	return i
}

func (w *world) Answered() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answered
}

func (w *world) Answer(context.Context) error {
	if w.gone {
		w.log("phone: answer refused, caller is gone")
		return ErrGone
	}
	w.log("phone: answer")
	w.mu.Lock()
	w.answered = true
	w.mu.Unlock()
	return nil
}

func (w *world) Play(ctx context.Context, src audio.Source, o PlayOptions) error {
	began := time.Now()
	frame := make([]int16, audio.FrameSamples)
	early := ""
	if o.Early {
		early = " early"
	}
	for {
		n, err := src.ReadFrame(frame)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if n == 0 {
			w.log("phone: played %v to %s%s", time.Since(began), o.Leg, early)
			return nil
		}
		if sleep(ctx, audio.Duration(n)) != nil {
			w.log("phone: play stopped after %v", time.Since(began))
			return ctx.Err()
		}
	}
}

func (w *world) Keys() Keypad { return w.keys }

func (w *world) Record(_ context.Context, o RecordOptions) (Recorder, error) {
	b, _ := json.Marshal(o)
	w.log("phone: record %s", b)
	w.mu.Lock()
	w.serial++
	r := &recorder{w: w, o: o, began: time.Now(), ended: make(chan struct{}), uuid: "record-" + strconv.Itoa(w.serial)}
	w.mu.Unlock()
	w.running.Go(func() { r.watch(w.life) })
	return r, nil
}

func (w *world) Dial(ctx context.Context, r DialRequest) DialResult {
	b, _ := json.Marshal(r)
	w.log("phone: dial %s", b)
	rule := dialRule{result: DialResult{Status: NoAnswer, FailName: "NO_ANSWER"}}
	if len(w.dials) > 0 {
		rule, w.dials = w.dials[0], w.dials[1:]
	}
	if sleep(ctx, rule.ring) != nil {
		return DialResult{Status: Canceled, FailName: "ORIGINATOR_CANCEL"}
	}
	if rule.result.Status != Answered {
		return rule.result
	}
	w.mu.Lock()
	w.answered, w.bridged = true, true
	w.mu.Unlock()
	w.log("phone: bridged")
	err := sleep(ctx, rule.talk)
	if err != nil && context.Cause(ctx) == ErrReplaced {
		return rule.result
	}
	w.mu.Lock()
	w.bridged = false
	w.mu.Unlock()
	return rule.result
}

func (w *world) EndBridge(context.Context) {
	w.log("phone: end of the bridge")
	w.mu.Lock()
	w.bridged = false
	w.mu.Unlock()
}

func (w *world) Refuse(sip, q850 int, reason string) {
	w.log("phone: refuse SIP %d, Q.850 %d %s", sip, q850, reason)
	w.cancel(ErrCallEnded)
}

func (w *world) Hangup(q850 int, reason string) {
	w.log("phone: hangup Q.850 %d %s", q850, reason)
	w.cancel(ErrCallEnded)
}

func (w *world) Speak(_ context.Context, r SayRequest) ([]int16, string, error) {
	b, _ := json.Marshal(r)
	w.log("voices: speak %s", b)
	if w.voiceErr != nil {
		return nil, "", w.voiceErr
	}
	return make([]int16, audio.Samples(time.Duration(len(r.Text))*50*time.Millisecond)), r.Lang + "-voice", nil
}

func (w *world) Fetch(ctx context.Context, r FetchRequest) (FetchAnswer, error) {
	if r.Limit == 1 {
		_ = sleep(context.Background(), time.Millisecond) // virtual: a request that nobody waits for is written after what went on
	}
	w.log("fetch: %s %s", r.Method, r.URL)
	if len(r.Body) > 0 {
		w.log("       body %s: %s", r.ContentType, r.Body)
	}
	for _, name := range slices.Sorted(mapKeys(r.Headers)) {
		w.log("       header %s: %s", name, r.Headers[name])
	}
	rule := w.fetchRule(r)
	if rule == nil {
		return FetchAnswer{}, fault.Newf(fault.Validation, "no such server in the script")
	}
	if sleep(ctx, min(rule.after, r.Timeout)) != nil {
		return FetchAnswer{}, ctx.Err()
	}
	if rule.after > r.Timeout {
		return FetchAnswer{}, context.DeadlineExceeded
	}
	a := rule.answer
	a.Body = a.Body[:min(len(a.Body), r.Limit)]
	return a, rule.err
}

// fetchRule takes the next rule that fits.
func (w *world) fetchRule(r FetchRequest) *fetchRule {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, rule := range w.fetches {
		if !rule.used && rule.method == r.Method && strings.HasPrefix(r.URL, rule.url) {
			rule.used = true
			return rule
		}
	}
	return nil
}

func mapKeys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (w *world) Media(_ context.Context, url string) ([]int16, error) {
	w.log("fetch: media %s", url)
	switch length := w.media[url]; length {
	case "":
		return nil, ErrMediaMissing
	case "unplayable":
		return nil, ErrMediaUnplayable
	default:
		d, err := time.ParseDuration(length)
		return make([]int16, audio.Samples(d)), err
	}
}

func (w *world) Find(tag string) (RecordInfo, bool) {
	r, ok := w.records[tag]
	return r.info, ok && r.err == nil && r.after == 0
}

func (w *world) Wait(ctx context.Context, tag, what string) (RecordInfo, error) {
	w.log("records: wait for %q of %q", what, tag)
	r, ok := w.records[tag]
	if !ok {
		return RecordInfo{}, ErrNoRecord
	}
	if sleep(ctx, r.after) != nil {
		return RecordInfo{}, ctx.Err()
	}
	return r.info, r.err
}

func (w *world) Samples(ctx context.Context, tag string) ([]int16, error) {
	i, err := w.Wait(ctx, tag, "record")
	return make([]int16, audio.Samples(i.Duration)), err
}

func (w *world) Done(o Outcome) {
	state := "ok"
	if !o.Success {
		state = "FAILED"
	}
	w.log("%s %s: %s", o.Name+" "+o.Path, state, o.Reason)
	if len(o.Result) > 0 {
		w.log("       result %s", encoded(o.Result))
	}
	if o.Response != nil {
		w.log("       answer %d %q", o.Response.Status, o.Response.Body)
	}
	if len(o.Error) > 0 {
		w.log("       error block %v", o.Error)
	}
	for _, warning := range o.Warnings {
		w.log("       warning: %s", warning)
	}
}

// keypad holds the keys that were pressed and not read.
type keypad struct {
	mu      sync.Mutex
	pressed []byte
	changed chan struct{} // closed at the next key
}

func newKeypad() *keypad { return &keypad{changed: make(chan struct{})} }

func (k *keypad) press(keys string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pressed = append(k.pressed, keys...)
	close(k.changed)
	k.changed = make(chan struct{})
}

func (k *keypad) Forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pressed = nil
}

func (k *keypad) Next(ctx context.Context) (byte, error) {
	for {
		k.mu.Lock()
		if len(k.pressed) > 0 {
			key := k.pressed[0]
			k.pressed = k.pressed[1:]
			k.mu.Unlock()
			return key, nil
		}
		changed := k.changed
		k.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (k *keypad) Pressed() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.pressed) > 0 {
		now := make(chan struct{})
		close(now)
		return now
	}
	return k.changed
}

// recorder is a recording that hears the caller talk until the script's silence.
type recorder struct {
	w     *world
	o     RecordOptions
	uuid  string
	began time.Time

	mu    sync.Mutex
	info  RecordInfo
	done  bool
	ended chan struct{}
}

func (r *recorder) watch(ctx context.Context) {
	by, after := "timeout", r.o.Max
	if s := r.w.silence + r.o.Silence; r.w.silence > 0 && r.o.Silence > 0 && s < after {
		by, after = "silence", s
	}
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-timer.C:
		r.end(by)
	case <-r.ended:
	case <-ctx.Done():
		_ = sleep(context.Background(), time.Millisecond) // virtual: a verb that stops its recording at the same moment does so first
		r.end("hangup")
	}
}

func (r *recorder) end(by string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return
	}
	r.done = true
	d := time.Since(r.began)
	r.info = RecordInfo{UUID: r.uuid, Tag: r.o.Tag, Duration: d, EndedBy: by, URL: "https://media.example/" + r.uuid + "." + r.o.Format}
	r.w.log("phone: recording %s ended by %s after %v", r.uuid, by, d)
	close(r.ended)
}

func (r *recorder) Stop(by string) (RecordInfo, error) {
	r.end(by)
	if r.info.Duration < r.o.Min {
		return RecordInfo{}, ErrNothingRecorded
	}
	return r.info, nil
}

func (r *recorder) Ended() <-chan struct{} { return r.ended }
