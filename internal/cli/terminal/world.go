package terminal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/fetch"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/voice/flow"
)

const (
	speechPace   = 60 * time.Millisecond // of a character, as people speak
	maxMedia     = 20 << 20
	mediaTimeout = 15 * time.Second
)

// Speak implements flow.Voices: it prints the text and gives silence of its length.
func (p *Phone) Speak(_ context.Context, r flow.SayRequest) ([]int16, string, error) {
	if strings.TrimSpace(r.Text) == "" {
		return nil, "", flow.ErrNoText
	}
	p.print("  say %q", r.Text)
	return make([]int16, audio.Samples(time.Duration(utf8.RuneCountInString(r.Text))*speechPace)), "terminal", nil
}

// Fetch implements flow.Fetcher; the request really goes out.
func (p *Phone) Fetch(ctx context.Context, r flow.FetchRequest) (flow.FetchAnswer, error) {
	header := http.Header{}
	for name, value := range r.Headers {
		header.Set(name, value)
	}
	if r.ContentType != "" {
		header.Set("Content-Type", r.ContentType)
	}
	a, err := p.cfg.Fetch.Do(ctx, fetch.Request{Method: r.Method, URL: r.URL, Header: header, Body: r.Body, Timeout: r.Timeout, RedirectLimit: fetch.MaxRedirects, MaxBody: r.Limit})
	switch {
	case fetch.KindOf(err) == fetch.Timeout:
		return flow.FetchAnswer{}, fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	case err != nil && !a.Attempt.Sent:
		return flow.FetchAnswer{}, fmt.Errorf("%w: %w", flow.ErrConnect, err)
	case err != nil:
		return flow.FetchAnswer{}, err
	}
	p.print("  %s %s: %d", r.Method, r.URL, a.Status)
	out := flow.FetchAnswer{Status: a.Status, Header: map[string]string{}, ContentType: a.Header.Get("Content-Type"), Body: a.Body}
	for name := range a.Header {
		out.Header[name] = a.Header.Get(name)
	}
	return out, nil
}

// Media implements flow.Fetcher.
func (p *Phone) Media(ctx context.Context, url string) ([]int16, error) {
	a, err := p.cfg.Fetch.Do(ctx, fetch.Request{URL: url, Timeout: mediaTimeout, RedirectLimit: fetch.MaxRedirects, MaxBody: maxMedia})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", flow.ErrMediaMissing, err)
	}
	if a.Status != http.StatusOK || a.Truncated {
		return nil, flow.ErrMediaMissing
	}
	samples, err := audio.DecodeFile(bytes.NewReader(a.Body), audio.Limits{})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", flow.ErrMediaUnplayable, err)
	}
	p.print("  play %s (%.1f s)", url, audio.Duration(len(samples)).Seconds())
	return samples, nil
}

// recording counts time; there is nothing to hear.
type recording struct {
	phone *Phone
	begun time.Time
	ended chan struct{}

	mu    sync.Mutex // guards what follows
	timer *time.Timer
	info  flow.RecordInfo
	over  bool
}

// Record implements flow.Phone. A caller of text is silent, so a recording that waits for silence ends after it.
func (p *Phone) Record(_ context.Context, o flow.RecordOptions) (flow.Recorder, error) {
	r := &recording{phone: p, begun: p.now(), ended: make(chan struct{}), info: flow.RecordInfo{UUID: ident.New(), Tag: o.Tag, ASR: o.ASR}}
	limit, by := o.Max, "timeout"
	if o.Silence > 0 && (limit == 0 || o.Silence < limit) {
		limit, by = o.Silence, "silence"
	}
	p.mu.Lock()
	p.records = append(p.records, r)
	p.mu.Unlock()
	p.print("  record %s: # ends it, unless commands stand in it", o.Tag)
	if limit > 0 {
		r.mu.Lock()
		r.timer = time.AfterFunc(limit, func() { r.end(by) })
		r.mu.Unlock()
	}
	return r, nil
}

// Stop implements flow.Recorder.
func (r *recording) Stop(by string) (flow.RecordInfo, error) {
	r.end(by)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.info, nil
}

// Ended implements flow.Recorder.
func (r *recording) Ended() <-chan struct{} { return r.ended }

func (r *recording) end(by string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	r.over = true
	if r.timer != nil {
		r.timer.Stop()
	}
	r.info.EndedBy, r.info.Duration = by, r.phone.now().Sub(r.begun)
	close(r.ended)
}

// endRecords ends what still runs at the end of the call.
func (p *Phone) endRecords() {
	p.mu.Lock()
	list := p.records
	p.mu.Unlock()
	for _, r := range list {
		r.end("hangup")
	}
}

// Find implements flow.Recordings.
func (p *Phone) Find(tag string) (flow.RecordInfo, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.records) - 1; i >= 0; i-- {
		r := p.records[i]
		r.mu.Lock()
		info := r.info
		r.mu.Unlock()
		if tag == "" || info.Tag == tag {
			return info, true
		}
	}
	return flow.RecordInfo{}, false
}

// Wait implements flow.Recordings: what is over is available.
func (p *Phone) Wait(_ context.Context, tag, _ string) (flow.RecordInfo, error) {
	info, ok := p.Find(tag)
	if !ok {
		return info, flow.ErrNoRecord
	}
	return info, nil
}

// Samples implements flow.Recordings: silence of the recording's length.
func (p *Phone) Samples(_ context.Context, tag string) ([]int16, error) {
	info, ok := p.Find(tag)
	if !ok {
		return nil, flow.ErrNoRecord
	}
	return make([]int16, audio.Samples(info.Duration)), nil
}

// Done implements flow.Journal: one line for each command.
func (p *Phone) Done(o flow.Outcome) {
	word := "ok    "
	if !o.Success {
		word = "failed"
	}
	result := ""
	if len(o.Result) > 0 {
		if b, err := json.Marshal(o.Result); err == nil {
			result = " " + string(b)
		}
	}
	p.print("%s %s: %s%s", word, o.Path, o.Reason, result)
	for _, w := range o.Warnings {
		p.print("       warning: %s", w)
	}
}
