package hook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/webhook"
)

// Limits of the package, the server's own where it has them.
const (
	answerTimeout = 15 * time.Second
	maxAnswer     = 256 << 10 // bytes read of an answer's body
	firstPause    = 100 * time.Millisecond
	longestPause  = 2 * time.Second
)

// Config says where to and how.
type Config struct {
	URL     string
	Secret  string
	Version string // of the program, for User-Agent
	// SkipVerify takes any certificate, such as one that the developer made.
	SkipVerify bool
	// Waiting is told when the URL refuses the connection, once for each event; nil is fine.
	Waiting func(error)
}

// Sender makes signed requests to one URL. Its methods may be called from many goroutines.
type Sender struct {
	cfg  Config
	http *http.Client
}

// New makes a sender; the error says what is wrong with the URL or the secret.
func New(cfg Config) (*Sender, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not a URL like http://localhost:3000/hook", cfg.URL)
	}
	if err := webhook.CheckSecret(cfg.Secret); err != nil {
		return nil, fmt.Errorf("a secret %w; without one, one is made", err)
	}
	return &Sender{cfg: cfg, http: &http.Client{
		Timeout:       answerTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig:    &tls.Config{InsecureSkipVerify: cfg.SkipVerify, MinVersion: tls.VersionTLS12},
			DisableCompression: true,
			DisableKeepAlives:  true, // a program that is started anew between two events must not cost one of them
		},
	}}, nil
}

// Sample makes an event of a type with made-up data. It is false for a type that there is not.
func Sample(typ string, now time.Time) (Event, bool) {
	id := ident.New()
	body, known := webhook.Sample(typ, id, "", now)
	return Event{UUID: id, Type: typ, Body: body}, known
}

// Event is what is sent: the body as the log has it, of which a receiver gets what an endpoint would.
type Event struct {
	UUID, Type string
	Body       []byte
}

// Outcome is the last request of an event and what came back.
type Outcome struct {
	Attempts int
	Started  time.Time // of the last attempt
	Took     time.Duration
	Status   int   // zero: no answer
	Err      error // why there is none
	Request  http.Header
	Header   http.Header // of the answer
	Body     []byte      // of the answer
}

// Good tells whether the receiver took the event.
func (o Outcome) Good() bool { return o.Err == nil && o.Status >= 200 && o.Status < 300 }

// Problem says in a few words why the event was not taken; empty when it was.
func (o Outcome) Problem() string {
	switch {
	case o.Err != nil:
		return plain(o.Err)
	case o.Good():
		return ""
	case o.Status == http.StatusGone:
		return "status 410; the server would disable the endpoint"
	case o.Status >= 300 && o.Status < 400:
		return "status " + strconv.Itoa(o.Status) + "; redirects are not followed"
	}
	return "status " + strconv.Itoa(o.Status)
}

// plain leaves out the method and address that the error of a request repeats.
func plain(err error) string {
	var u *url.Error
	switch {
	case errors.As(err, &u) && u.Timeout():
		return "no answer within " + answerTimeout.String()
	case errors.As(err, &u):
		return u.Err.Error()
	}
	return err.Error()
}

// Send posts the event, and again for as long as nobody listens at the URL, until ctx ends. Whatever else comes back is the outcome: a developer wants to see it.
func (s *Sender) Send(ctx context.Context, e Event) Outcome {
	e.Body = webhook.Shorten(e.Type, e.Body)
	pause := firstPause
	for attempt := 1; ; attempt++ {
		o := s.once(ctx, e, attempt)
		if !errors.Is(o.Err, syscall.ECONNREFUSED) {
			return o
		}
		if attempt == 1 && s.cfg.Waiting != nil {
			s.cfg.Waiting(o.Err)
		}
		select {
		case <-ctx.Done():
			return o
		case <-time.After(pause):
			pause = min(2*pause, longestPause)
		}
	}
}

// once makes one request with the headers of a signed delivery (webhooks.md §7.2).
func (s *Sender) once(ctx context.Context, e Event, attempt int) Outcome {
	o := Outcome{Attempts: attempt, Started: time.Now()}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.URL, bytes.NewReader(e.Body))
	if err != nil {
		o.Err = err
		return o
	}
	id := "msg_" + e.UUID
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Opentact/"+s.cfg.Version)
	r.Header.Set("Webhook-Id", id)
	r.Header.Set("Webhook-Timestamp", strconv.FormatInt(o.Started.Unix(), 10))
	r.Header.Set("Webhook-Signature", webhook.Signature(s.cfg.Secret, id, o.Started, e.Body))
	r.Header.Set("X-Opentact-Event", e.Type)
	r.Header.Set("X-Opentact-Attempt", strconv.Itoa(attempt))
	o.Request = r.Header
	answer, err := s.http.Do(r)
	if err == nil {
		defer answer.Body.Close()
		o.Status, o.Header = answer.StatusCode, answer.Header
		o.Body, err = io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	}
	o.Took, o.Err = time.Since(o.Started), err
	return o
}
