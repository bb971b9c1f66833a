package scenario

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/opentact/opentact/test/scenario/house"
)

// What a thousand calls are measured by.
const (
	loadCalls = 1000
	loadRate  = 100
	slackFds  = 32 // connections that the database pool of a busy moment keeps; 1,000 calls that leave one each are far beyond
	slackGo   = 40
)

// begin starts a server for a test in Go and a number of it that runs the flow; the server stops well when the test ends.
func begin(t *testing.T, db, flow string) (*house.Server, *house.Client, string) {
	t.Helper()
	s, err := house.Start(t.Context(), house.Options{Binary: built, Data: t.TempDir(), DB: db})
	if err != nil {
		t.Fatal(err)
	}
	c := s.Client()
	t.Cleanup(func() {
		c.HTTP.CloseIdleConnections()
		if code, err := s.Stop(); err != nil || code != 0 {
			t.Errorf("the server ended with code %d: %v\n%s", code, err, s.Log())
		}
		if t.Failed() {
			t.Log(s.Log())
		}
	})
	number, err := house.Number(t.Context(), c, flow)
	if err != nil {
		t.Fatal(err)
	}
	return s, c, number
}

func TestThousandCalls(t *testing.T) {
	onBoth(t, "calls", func(t *testing.T, db string) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		s, c, number := begin(t, db, `<Response><Answer/><Pause length="1000"/><Hangup/></Response>`)
		// One call first, so that what a server makes once does not count as growth.
		if _, err := (house.SIPp{Scenario: "answered.xml", Server: s.SIP, Number: number, Calls: 1, Rate: 1}).Run(ctx); err != nil {
			t.Fatal(err)
		}
		before := levels(ctx, t, s, c)
		res, err := house.SIPp{Scenario: "answered.xml", Server: s.SIP, Number: number, Calls: loadCalls, Rate: loadRate}.Run(ctx)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", res)
		want, err := house.Conditions(fmt.Sprintf("payload.total = %d", loadCalls+1))
		if err != nil {
			t.Fatal(err)
		}
		settled, stop := context.WithTimeout(ctx, 30*time.Second)
		defer stop()
		if _, err := c.Await(settled, "POST", "/rest/call/search", []byte(`{"state": "destroyed", "take": 1}`), want); err != nil {
			t.Fatal(err)
		}
		calls := checkRecords(ctx, t, c)
		checkEvents(ctx, t, c, calls)
		awaitLevels(ctx, t, s, c, before)
	})
}

// levels are what must not grow with the number of calls that were.
func levels(ctx context.Context, t *testing.T, s *house.Server, c *house.Client) [2]float64 {
	t.Helper()
	m, err := c.Metrics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	files, err := s.Files()
	if err != nil {
		t.Fatal(err)
	}
	return [2]float64{m["go_goroutines"], float64(files)}
}

// awaitLevels waits until goroutines and files are back: SIP transactions linger 32 s (RFC 3261 timers H and J).
func awaitLevels(ctx context.Context, t *testing.T, s *house.Server, c *house.Client, before [2]float64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		now := levels(context.WithoutCancel(ctx), t, s, c)
		if now[0] <= before[0]+slackGo && now[1] <= before[1]+slackFds {
			t.Logf("goroutines %v -> %v, open files %v -> %v", before[0], now[0], before[1], now[1])
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Errorf("goroutines %v -> %v, open files %v -> %v: not back", before[0], now[0], before[1], now[1])
			return
		}
	}
}

// checkRecords reads the call log and gives the uuids.
func checkRecords(ctx context.Context, t *testing.T, c *house.Client) map[string]bool {
	t.Helper()
	calls := map[string]bool{}
	conds, err := house.Conditions("state = destroyed && q850_cause = 16 && q850_cause_string = NORMAL_CLEARING && hangup_by = platform && " +
		"duration >= 1 && duration <= 3 && direction = in && type = CallSCA && init_on is time && ring_on is time && answer_on is time && hangup_on is time && destroy_on is time")
	if err != nil {
		t.Fatal(err)
	}
	for skip := 0; ; skip += 100 {
		page, err := c.Do(ctx, "POST", fmt.Sprintf("/rest/call/search?take=100&skip=%d", skip), `{"order": {"created_on": "ASC"}}`)
		if err != nil {
			t.Fatal(err)
		}
		list := page.List("data")
		for _, call := range list {
			calls[call.Str("uuid")] = true
			if err := house.Check(call.Value, conds); err != nil {
				t.Fatalf("%s: %v", call.Str("uuid"), err)
			}
			stamps := []string{call.Str("init_on"), call.Str("ring_on"), call.Str("answer_on"), call.Str("hangup_on"), call.Str("destroy_on")}
			if !slices.IsSorted(stamps) {
				t.Fatalf("%s: the times are %v", call.Str("uuid"), stamps)
			}
		}
		if len(list) == 0 {
			break
		}
	}
	if len(calls) != loadCalls+1 {
		t.Fatalf("%d calls in the log", len(calls))
	}
	return calls
}

// checkEvents wants each state of each call once and in order, and nothing else.
func checkEvents(ctx context.Context, t *testing.T, c *house.Client, calls map[string]bool) {
	t.Helper()
	states := map[string][]string{}
	err := house.EachEvent(ctx, c, "call_state", func(e house.Doc) error {
		id := e.Str("ref_id")
		if !calls[id] {
			return fmt.Errorf("event of an unknown call %s", id)
		}
		states[id] = append(states[id], e.Str("payload.state"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"init", "ringing", "live", "hangup", "destroyed"}
	for id := range calls {
		if !slices.Equal(states[id], want) {
			t.Errorf("%s: the events are %v", id, states[id])
		}
	}
}

func TestSIPpSeesTheRightAnswers(t *testing.T) {
	onBoth(t, "answers", func(t *testing.T, db string) {
		s, c, number := begin(t, db, `<Response><Pause length="3000"/><Answer/><Pause length="20000"/><Hangup/></Response>`)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, r := range []house.SIPp{
			{Scenario: "unknown.xml", Number: "19995550111", Calls: 5, Rate: 10},
			{Scenario: "canceled.xml", Number: number, Calls: 5, Rate: 10},
			{Scenario: "caller-ends.xml", Number: number, Calls: 5, Rate: 10},
		} {
			r.Server = s.SIP
			if _, err := r.Run(ctx); err != nil {
				t.Error(err)
			}
		}
		for _, cond := range []string{
			`{"reason": "canceled"} payload.total = 5 && payload.data[0].answer_on is null && payload.data[0].state = destroyed && payload.data[0].hangup_by = caller`,
			`{"reason": "normal"} payload.total = 5 && payload.data[0].q850_cause = 16 && payload.data[0].hangup_by = caller`,
			`{} payload.total = 10`,
		} {
			i := slices.Index([]byte(cond), '}')
			conds, err := house.Conditions(cond[i+2:])
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Await(ctx, "POST", "/rest/call/search", []byte(cond[:i+1]), conds); err != nil {
				t.Error(err)
			}
		}
	})
}
