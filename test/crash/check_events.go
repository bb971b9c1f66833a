package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"net/http"
	"slices"
	"strings"
)

// logged is an event as the durable log has it.
type logged struct {
	seen
	uuid, ref string
}

// checkEvents reads the whole log and compares it with what readers got.
func (r *run) checkEvents(ctx context.Context) error {
	if err := r.readLog(ctx); err != nil {
		return err
	}
	r.checkLog()
	for _, f := range r.who {
		r.compare(f)
	}
	if r.sink.secret != "" {
		r.checkSigned()
	}
	return nil
}

// readLog pages through the log after the work's beginning.
func (r *run) readLog(ctx context.Context) error {
	client := r.nodes.client(0)
	r.told = map[string][]string{}
	for since := r.from; ; {
		a, err := client.Request(ctx, http.MethodGet, "/rest/event?take=100&since="+since, nil, nil)
		if err != nil {
			return err
		}
		var page struct {
			Payload struct {
				Data   []json.RawMessage `json:"data"`
				Cursor string            `json:"cursor"`
				More   bool              `json:"more"`
			} `json:"payload"`
		}
		if err := json.Unmarshal(a.Body, &page); err != nil || a.Status != http.StatusOK {
			return fmt.Errorf("the event log answers %d: %v", a.Status, err)
		}
		for _, body := range page.Payload.Data {
			var e struct {
				UUID, Cursor, Type, Message string
				Ref                         string `json:"ref_id"`
			}
			if err := json.Unmarshal(body, &e); err != nil {
				return err
			}
			r.log = append(r.log, logged{seen{e.Cursor, maphash.Bytes(r.seed, body)}, e.UUID, e.Ref})
			if i := strings.LastIndex(e.Message, " - "); e.Type == "call_state" && i >= 0 {
				r.told[e.Ref] = append(r.told[e.Ref], e.Message[i+3:])
			}
		}
		if !page.Payload.More {
			break
		}
		if page.Payload.Cursor <= since {
			return fmt.Errorf("the log has more after %s, but its cursor stays", since)
		}
		since = page.Payload.Cursor
	}
	r.checkTold()
	return nil
}

// checkTold wants each state of a call at most once; only bridges come and go.
func (r *run) checkTold() {
	for call, states := range r.told {
		seen := map[string]bool{}
		for _, s := range states {
			if seen[s] && s != "bridged" {
				r.notes.complain("call %s was %s twice in the log", call, s)
			}
			seen[s] = true
		}
	}
}

// checkApp wants each state of the app's calls at the customers' server at least once; of a refused call, which never began, there is nothing to tell.
func (r *run) checkApp(calls []string) {
	r.sink.mu.Lock()
	defer r.sink.mu.Unlock()
	missing := map[string]int{}
	example := map[string]string{}
	for _, id := range calls {
		states := r.told[id]
		if !slices.Contains(states, "init") {
			continue
		}
		for _, s := range states {
			if r.sink.states[s+" "+id] == 0 {
				missing[s]++
				example[s] = id
			}
		}
	}
	for state, n := range missing {
		r.notes.complain("the app's webhook never told of %d calls that they were %s, such as %s", n, state, example[state])
	}
}

// checkLog wants cursors that grow and no event twice.
func (r *run) checkLog() {
	uuids := make(map[string]bool, len(r.log))
	last := r.from
	for _, e := range r.log {
		if e.cursor <= last {
			r.notes.complain("the log has %s after %s", e.cursor, last)
		}
		last = e.cursor
		if uuids[e.uuid] {
			r.notes.complain("event %s is in the log twice", e.uuid)
		}
		uuids[e.uuid] = true
	}
}

// compare wants a reader to have what the log has: each event once, with the same bytes.
func (r *run) compare(f *follower) {
	got := f.all()
	gaps, strange, changed := 0, 0, 0
	example := ""
	i := 0
	for _, e := range r.log {
		for i < len(got) && got[i].cursor < e.cursor {
			strange, example = strange+1, got[i].cursor
			i++
		}
		own, signedIn := f.own[e.cursor]
		switch {
		case i == len(got) || got[i].cursor != e.cursor:
			if signedIn && own == e.sum {
				continue
			}
			gaps, example = gaps+1, e.cursor
		case got[i].sum != e.sum:
			changed, example = changed+1, e.cursor
			i++
		default:
			i++
		}
	}
	strange += len(got) - i
	if gaps+strange+changed > 0 {
		r.notes.complain("%s: of %d events %d are missing, %d came with other bytes, %d are not in the log; one is %s", f.name, len(r.log), gaps, changed, strange, example)
	}
}

// checkSigned wants each event of the log at the customers' server at least once, unchanged, and first attempts about one object in order.
func (r *run) checkSigned() {
	r.sink.mu.Lock()
	defer r.sink.mu.Unlock()
	missing, changed, disorder := 0, 0, 0
	example := ""
	last := map[string]*delivery{}
	for _, e := range r.log {
		d := r.sink.signed["msg_"+e.uuid]
		switch {
		case d == nil:
			missing, example = missing+1, e.cursor
			continue
		case d.sum != e.sum:
			changed, example = changed+1, e.cursor
		}
		if !d.only || e.ref == "" {
			continue
		}
		if before := last[e.ref]; before != nil && before.order > d.order {
			disorder, example = disorder+1, e.cursor
		}
		last[e.ref] = d
	}
	if missing+changed+disorder > 0 {
		r.notes.complain("signed deliveries: of %d events %d never came, %d came with other bytes, %d came before an older one of their object; one is %s", len(r.log), missing, changed, disorder, example)
	}
}

// checkCallbacks wants each message that was sent, delivered, refused, not delivered or received at the customers' server at least once.
func (r *run) checkCallbacks(rows []message) {
	r.sink.mu.Lock()
	defer r.sink.mu.Unlock()
	missing := map[string]int{}
	example := map[string]string{}
	want := func(trigger, id string) {
		if r.sink.callbacks[trigger+" "+id] == 0 {
			missing[trigger]++
			example[trigger] = id
		}
	}
	for _, m := range rows {
		switch {
		case m.kind == "smsi":
			want("smsi_received", m.uuid)
		case m.state == "success" && m.delivered:
			want("sms_sent", m.uuid)
			want("sms_delivered", m.uuid)
		case m.state == "failed" && m.sent:
			want("sms_sent", m.uuid)
			want("sms_delivery_fails", m.uuid)
		case m.state == "failed":
			want("sms_send_fails", m.uuid)
		}
	}
	for trigger, n := range missing {
		r.notes.complain("%d callbacks %s never came, such as for %s", n, trigger, example[trigger])
	}
}
