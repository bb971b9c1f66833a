package voice

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/speech"
)

// A node that was declared dead writes nothing more: others have closed its calls. What still runs of them ends.
func TestFencedNodeWritesNothingMoreAndEndsItsCalls(t *testing.T) {
	var lost atomic.Bool
	asked := make(chan bool, 1000)
	h := build(t, dbtest.SQLite(t), func(c *Config) {
		c.Fence = func(ctx context.Context, tx *db.Tx) error {
			select {
			case asked <- lost.Load():
			default:
			}
			if lost.Load() {
				return errors.New("node one is dead")
			}
			return nil
		}
	})
	_, l := h.app(func(a *App) { a.StaticFlow = `<Response><Answer/><Pause length="60000"/></Response>` })
	h.s.invite(inviteTo(l))
	id := h.next("", CallStateEvent).RefID
	h.states(id, "ringing", "live")
	c, _ := h.s.engine.Find(id)
	lost.Store(true)
	other := inviteTo(l)
	h.s.invite(other)
	limit := time.After(patience)
	for refused := false; !refused; {
		select {
		case refused = <-asked:
		case <-limit:
			t.Fatal("the fence was not asked")
		}
	}
	select {
	case <-c.Context().Done():
	case <-limit:
		t.Fatal("the live call goes on")
	}
	h.stop()
	row, err := legOf(t.Context(), h.d.Read(), "", id)
	if err != nil || row.State != "live" {
		t.Errorf("row in %s, %v", row.State, err)
	}
	var legs int
	h.must(h.d.Read().QueryRow(t.Context(), "SELECT COUNT(*) FROM call_leg").Scan(&legs))
	if legs != 1 || h.s.Dropped() == 0 {
		t.Errorf("%d legs, %d reports dropped", legs, h.s.Dropped())
	}
}

func TestNewCallsAreRefusedWhileTheJournalIsFarBehind(t *testing.T) {
	h := build(t, dbtest.SQLite(t), nil)
	_, l := h.app(func(*App) {})
	h.s.journal.waiting.Add(shedFacts + 1)
	inv := inviteTo(l)
	h.s.invite(inv)
	if inv.status != 503 || inv.reason.Q850 != 42 || len(h.fake.calls) != 0 {
		t.Errorf("%d, cause %d, %d calls", inv.status, inv.reason.Q850, len(h.fake.calls))
	}
	h.s.journal.waiting.Add(-shedFacts - 1)
	h.s.invite(inviteTo(l))
	h.states(h.next("", CallStateEvent).RefID, "ringing")
}

// speaker tells what it is asked to speak, and speaks until its context ends.
type speaker struct{ asked, ended chan string }

func (speaker) Name() string { return "speaker" }

func (speaker) Voices() []speech.Voice {
	return []speech.Voice{{Code: "one", Lang: "en-US", Gender: "FEMALE", Type: "Standard", Engine: "speaker"}}
}

func (s speaker) Speak(ctx context.Context, r speech.Request) ([]int16, speech.Voice, error) {
	s.asked <- r.Text
	<-ctx.Done()
	s.ended <- r.Text
	return nil, speech.Voice{}, ctx.Err()
}

func TestFirstPromptIsSpokenAheadAndNotBeyondTheCall(t *testing.T) {
	s := speaker{make(chan string, 10), make(chan string, 10)}
	engines, err := speech.New(speech.Options{Synthesizers: []speech.Synthesizer{s}, STT: speech.None})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engines.Close() })
	h := build(t, dbtest.SQLite(t), func(c *Config) { c.Speech = engines })
	_, l := h.app(func(a *App) {
		a.StaticFlow = `<Response><Answer/><Pause length="60000"/><Say>Good  day</Say></Response>`
	})
	h.s.invite(inviteTo(l))
	id := h.next("", CallStateEvent).RefID
	wait := func(from chan string) {
		t.Helper()
		select {
		case text := <-from:
			if text != "Good day" {
				t.Errorf("spoken: %q", text)
			}
		case <-time.After(patience):
			t.Fatal("nothing was spoken ahead")
		}
	}
	wait(s.asked)
	h.do("DELETE", "/rest/call/"+id, "")
	wait(s.ended)
}
