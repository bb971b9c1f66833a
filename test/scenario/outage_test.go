package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/test/scenario/house"
)

// What an outage of the database is measured by.
const (
	outageLimit   = 60 * time.Second
	outageWriters = 8
	outageKept    = 100 // writes that are acknowledged before the database goes, and after it came back
	outageLost    = 20  // writes that are refused while it is gone
)

// ledger is what became of the writes.
type ledger struct {
	kept, lost chan struct{} // bound: none; each writer waits until its answer is counted, or the test is over

	mu    sync.Mutex        // guards what follows
	rows  map[string]string // name of each acknowledged row, by uuid
	wrong []string          // answers that are neither
}

// write makes rows until ctx ends.
func (l *ledger) write(ctx context.Context, c *house.Client, writer int) {
	for i := 0; ctx.Err() == nil; i++ {
		name := fmt.Sprintf("row %d.%d", writer, i)
		a, err := c.Request(ctx, "POST", "/rest/sip/app", fmt.Appendf(nil, `{"name":%q}`, name), nil)
		told := l.lost
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			l.note("%s: %v", name, err)
		case a.Status == 201:
			told = l.kept
			l.mu.Lock()
			l.rows[house.Doc{Value: a.Doc}.Str("payload.uuid")] = name
			l.mu.Unlock()
		case a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "":
			l.note("%s: %d Retry-After %q: %s", name, a.Status, a.Header.Get("Retry-After"), a.Body)
		}
		select {
		case told <- struct{}{}:
		case <-ctx.Done():
		}
	}
}

func (l *ledger) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// TestDatabaseGoneRefusesWritesAndLosesNone kills PostgreSQL under a server at work and starts it again.
func TestDatabaseGoneRefusesWritesAndLosesNone(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), outageLimit)
	defer cancel()
	cluster, err := dbtest.NewCluster()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cluster.Remove() }()
	if err := cluster.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cluster.Kill() }()
	s, err := house.Start(ctx, house.Options{Binary: built, Data: t.TempDir(), DB: cluster.URL()})
	if err != nil {
		t.Fatal(err)
	}
	c := s.Client()
	defer func() {
		c.HTTP.CloseIdleConnections()
		if code, err := s.Stop(); err != nil || code != 0 {
			t.Errorf("the server ended with code %d: %v\n%s", code, err, s.Log())
		}
	}()
	book := &ledger{kept: make(chan struct{}), lost: make(chan struct{}), rows: map[string]string{}}
	working, stop := context.WithCancel(ctx)
	defer stop()
	var writers sync.WaitGroup
	for w := range outageWriters {
		writers.Go(func() { book.write(working, c, w) })
	}
	// until takes answers until n of a kind have come.
	until := func(kind <-chan struct{}, n int, what string) {
		t.Helper()
		for n > 0 {
			select {
			case <-kind:
				n--
			case <-otherOf(book, kind):
			case <-ctx.Done():
				t.Fatalf("%s: %d more answers were awaited\n%s", what, n, s.Log())
			}
		}
	}
	until(book.kept, outageKept, "before")
	if err := cluster.Kill(); err != nil {
		t.Fatal(err)
	}
	until(book.lost, outageLost, "without the database")
	if a, err := c.Request(ctx, "GET", "/health/ready", nil, nil); err != nil || a.Status != http.StatusServiceUnavailable {
		t.Errorf("ready without the database: %+v %v", a, err)
	}
	if err := cluster.Start(); err != nil {
		t.Fatal(err)
	}
	until(book.kept, outageKept, "after")
	stop()
	writers.Wait()
	for _, w := range book.wrong {
		t.Error(w)
	}
	for id, name := range book.rows {
		row, err := c.Do(ctx, "GET", "/rest/sip/app/"+id, nil)
		if err != nil || row.Str("name") != name {
			t.Errorf("%s was acknowledged and is lost: %v", name, err)
		}
	}
	ready, err := house.Conditions("status = ok")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Await(ctx, "GET", "/health/ready", nil, ready); err != nil {
		t.Error(err)
	}
	t.Logf("%d rows acknowledged", len(book.rows))
}

// otherOf is the channel that is not kind.
func otherOf(l *ledger, kind <-chan struct{}) <-chan struct{} {
	if kind == l.kept {
		return l.lost
	}
	return l.kept
}

// TestASecondSignalEndsAServerWithALiveCall: the first one drains, and a call keeps the server from its end.
func TestASecondSignalEndsAServerWithALiveCall(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := house.Start(ctx, house.Options{Binary: built, Data: t.TempDir(), Flags: []string{"--drain", "60s"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	c := s.Client()
	number, err := house.Number(ctx, c, `<Response><Answer/><Pause length="60000"/></Response>`)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{"from": "13125550144", "to": number, "script": []any{map[string]any{"wait_ms": 60000}}})
	if err != nil {
		t.Fatal(err)
	}
	call, err := c.Do(ctx, "POST", "/rest/sandbox/call", string(body))
	if err != nil {
		t.Fatal(err)
	}
	await := func(path, condition string) {
		t.Helper()
		conds, err := house.Conditions(condition)
		if err == nil {
			_, err = c.Await(ctx, "GET", path, nil, conds)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	await("/rest/call/"+call.Str("uuid"), "payload.state = live")
	server, err := os.FindProcess(s.PID())
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await("/health/ready", "status = unavailable")
	await("/rest/call/"+call.Str("uuid"), "payload.state = live") // the drain waits for the call
	began := time.Now()
	if err := server.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	select {
	case err := <-s.Over():
		if !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("the server ended with %v, not with code 1", err)
		}
	case <-ctx.Done():
		t.Fatal("the server goes on after a second signal")
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the second signal took %v", took)
	}
}
