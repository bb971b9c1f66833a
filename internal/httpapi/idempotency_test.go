package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/fault"
)

// withKeys gives the layer a database of its own for its answers.
func withKeys(t *testing.T) func(*Options) {
	d := dbtest.SQLite(t)
	return func(o *Options) { o.Answers = NewAnswers(d, "node", o.Now) }
}

// counting registers a POST that answers how often it ran, after what fail says.
func counting(b *bench, fail func(n int) error) *int {
	n := new(int)
	Handle(b.API, Op{ID: "CreateCall", Method: "POST", Path: "/rest/call", Auth: User, Status: 201}, func(ctx context.Context, in *struct {
		To string `json:"to" maxLength:"5"`
	},
	) (string, error) {
		*n++
		SetTotal(ctx, *n)
		if fail != nil {
			if err := fail(*n); err != nil {
				return "", err
			}
		}
		return fmt.Sprint(*n, in.To), nil
	})
	return n
}

func TestSameKeyReplaysTheFirstAnswer(t *testing.T) {
	b := newBench(t, withKeys(t))
	n := counting(b, nil)
	first := b.do(t, "POST", "/rest/call", `{"to":"a"}`, good, "Idempotency-Key: k1").want(t, 201)
	again := b.do(t, "POST", "/call", `{"to":"a"}`, good, "Idempotency-Key: k1").want(t, 201)
	if *n != 1 || again.text != first.text || again.header.Get("Idempotency-Replayed") != "true" || first.header.Get("Idempotency-Replayed") != "" ||
		again.header.Get("X-Total-Count") != "1" || again.header.Get("X-Request-Id") == first.header.Get("X-Request-Id") {
		t.Errorf("ran %d times: %s %s %v", *n, first.text, again.text, again.header)
	}
	b.do(t, "POST", "/rest/call", `{"to":"a"}`, good, "Idempotency-Key: k2").want(t, 201)
	b.do(t, "POST", "/rest/call", `{"to":"a"}`, "Authorization: admin", "Idempotency-Key: k1").want(t, 201)
	b.do(t, "POST", "/rest/call", `{"to":"a"}`, good).want(t, 201)
	if *n != 4 {
		t.Errorf("other keys and accounts are other requests: ran %d times", *n)
	}
}

func TestSameKeyWithAnotherBodyIsRefused(t *testing.T) {
	b := newBench(t, withKeys(t))
	counting(b, nil)
	b.do(t, "POST", "/rest/call?jwt=good", `{"to":"a"}`, "Idempotency-Key: k").want(t, 201)
	b.do(t, "POST", "/rest/call?jwt=owner", `{"to":"a"}`, "Idempotency-Key: k").want(t, 201)
	b.do(t, "POST", "/rest/call?trace=1", `{"to":"a"}`, good, "Idempotency-Key: k").want(t, 201)
	for path, body := range map[string]string{"/rest/call": `{"to":"b"}`, "/rest/call?to=b": `{"to":"a"}`} {
		r := b.do(t, "POST", path, body, good, "Idempotency-Key: k").want(t, 409)
		if r.body["meta"] != "idempotency_mismatch" || r.body["message"] != "Idempotency key was used with another request" {
			t.Errorf("got %s", r.text)
		}
	}
}

func TestFailuresBelow500AreStoredTheOthersReleased(t *testing.T) {
	b := newBench(t, withKeys(t))
	n := counting(b, func(n int) error {
		if n == 1 {
			return fault.New(fault.Upstream)
		}
		return fault.New(fault.Balance)
	})
	b.do(t, "POST", "/rest/call", `{}`, good, "Idempotency-Key: k").want(t, 502)
	b.do(t, "POST", "/rest/call", `{}`, good, "Idempotency-Key: k").want(t, 402)
	if r := b.do(t, "POST", "/rest/call", `{}`, good, "Idempotency-Key: k").want(t, 402); *n != 2 || r.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("ran %d times", *n)
	}
	first := b.do(t, "POST", "/rest/call", `{"to":"toolong"}`, good, "Idempotency-Key: k3").want(t, 400)
	if again := b.do(t, "POST", "/rest/call", `{"to":"toolong"}`, good, "Idempotency-Key: k3").want(t, 400); again.text != first.text {
		t.Errorf("got %s", again.text)
	}
}

func TestPanicReleasesTheKey(t *testing.T) {
	b := newBench(t, withKeys(t))
	counting(b, func(n int) error {
		if n == 1 {
			panic("boom")
		}
		return nil
	})
	b.do(t, "POST", "/rest/call", `{}`, good, "Idempotency-Key: k").want(t, 500)
	b.do(t, "POST", "/rest/call", `{}`, good, "Idempotency-Key: k").want(t, 201)
}

func TestSecondRequestWhileTheFirstRuns(t *testing.T) {
	b := newBench(t, withKeys(t))
	running, finish := make(chan struct{}), make(chan struct{})
	counting(b, func(int) error {
		close(running)
		<-finish
		return nil
	})
	b.patience = time.Millisecond
	done := make(chan reply)
	go func() { done <- b.do(t, "POST", "/rest/call", `{}`, good, "Idempotency-Key: k") }()
	<-running
	b.do(t, "POST", "/rest/call", `{"to":"b"}`, good, "Idempotency-Key: k").want(t, 409)
	r := b.do(t, "POST", "/rest/call", `{}`, good, "Idempotency-Key: k").want(t, 409)
	if r.body["meta"] != "conflict" || r.header.Get("Retry-After") != "1" {
		t.Errorf("got %s %v", r.text, r.header)
	}
	close(finish)
	first := <-done
	first.want(t, 201)
	b.do(t, "POST", "/rest/call", `{}`, good, "Idempotency-Key: k").want(t, 201)
}

func TestMultipartIsComparedByItsParts(t *testing.T) {
	b := newBench(t, withKeys(t))
	n := counting(b, nil)
	label, body := multi("to", "", "a")
	b.do(t, "POST", "/rest/call", body, label, good, "Idempotency-Key: k").want(t, 201)
	label, body = strings.ReplaceAll(label, "b0b", "other"), strings.ReplaceAll(body, "b0b", "other")
	b.do(t, "POST", "/rest/call", body, label, good, "Idempotency-Key: k").want(t, 201)
	if *n != 1 {
		t.Errorf("ran %d times", *n)
	}
	b.do(t, "POST", "/rest/call", strings.ReplaceAll(body, "\r\na\r\n", "\r\nb\r\n"), label, good, "Idempotency-Key: k").want(t, 409)
}

func TestKeysThatAreNone(t *testing.T) {
	b := newBench(t, withKeys(t))
	counting(b, nil)
	r := b.do(t, "POST", "/rest/call", `{}`, good, "Idempotency-Key: "+strings.Repeat("k", 256)).want(t, 400)
	if r.field("Idempotency-Key") == "" {
		t.Errorf("got %s", r.text)
	}
	for _, key := range []string{"a\xff", "a\tb", "a\u0085"} {
		b.do(t, "POST", "/rest/call", `{}`, good, "Idempotency-Key: "+key).want(t, 400)
	}
	b.do(t, "POST", "/rest/call", `{}`, good, "Idempotency-Key: "+strings.Repeat("é", 255)).want(t, 201)
}

func TestLongAnswersAreSentButNotStored(t *testing.T) {
	b := newBench(t, withKeys(t))
	n := 0
	HandleRaw(b.API, Op{ID: "raw", Method: "POST", Path: "/rest/report"}, func(w http.ResponseWriter, _ *http.Request, _ *struct{}) error {
		n++
		for range 3 {
			fmt.Fprint(w, strings.Repeat("x", maxStored/2))
		}
		return nil
	})
	for i := 1; i <= 2; i++ {
		if r := b.do(t, "POST", "/rest/report", "", "Idempotency-Key: k").want(t, 200); len(r.text) != maxStored/2*3 || n != i {
			t.Errorf("%d bytes, ran %d times", len(r.text), n)
		}
	}
}

// TestWhatMustNotWaitIsLookedAtBeforeTheTransaction: a refusal of it is kept as the answer, and nothing of the handler runs.
func TestWhatMustNotWaitIsLookedAtBeforeTheTransaction(t *testing.T) {
	b := newBench(t, withKeys(t))
	type input struct {
		URL string `json:"url" required:"true"`
	}
	ran, looked := 0, 0
	op := Op{ID: "CreateCall", Method: "POST", Path: "/rest/call", Auth: User, Status: 201}
	op.Ahead = func(ctx context.Context, in any) error {
		looked++
		if db.Joined(ctx) {
			t.Error("within a transaction")
		}
		if in.(*input).URL == "inside" {
			return fault.Invalid("url", "leads inside", nil)
		}
		return nil
	}
	Handle(b.API, op, func(ctx context.Context, in *input) (string, error) {
		ran++
		if !db.Joined(ctx) {
			t.Error("no transaction")
		}
		return in.URL, nil
	})
	for range 2 {
		b.do(t, "POST", "/rest/call", `{"url":"inside"}`, good, "Idempotency-Key: k1").want(t, 400)
		b.do(t, "POST", "/rest/call", `{"url":"outside"}`, good, "Idempotency-Key: k2").want(t, 201)
	}
	b.do(t, "POST", "/rest/call", `{}`, good, "Idempotency-Key: k3").want(t, 400)
	if ran != 1 || looked != 2 {
		t.Errorf("ran %d times, looked %d times", ran, looked)
	}
}
