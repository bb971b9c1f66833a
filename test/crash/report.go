package crash

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/failpoint"
)

// Report is what came of a run.
type Report struct {
	Plan       Plan
	Kills      int
	Points     map[string]int // kills by failpoint
	Order      []string       // kills with their times
	Acks       map[string]int // by kind
	Retried    int            // requests whose answer came after a try without one
	Replayed   int            // of these with the stored answer
	Lost       int
	Doubled    int
	Drift      int64 // micro-dollars
	Events     int
	Joins      int // of the readers
	Deliveries int // signed ones, doubles too
	Callbacks  int
	AppStates  int           // requests of the app's webhook
	Phoned     int           // calls over SIP
	Answered   int           // of these
	Unrecorded int           // of the answered ones: without a record, for the server died
	Start      time.Duration // longest start after a kill
	Errors     map[string]int
	Complaints []complaint
}

func (r *run) report() *Report {
	n := r.notes
	out := &Report{
		Plan: r.plan, Kills: r.nodes.killed(), Points: r.nodes.kills, Order: r.nodes.order, Acks: map[string]int{}, Retried: n.retried, Replayed: n.replayed,
		Lost: n.lost, Doubled: n.doubled, Drift: n.drift, Events: len(r.log), Start: r.nodes.slow, Errors: map[string]int{}, Complaints: n.complaints,
	}
	for kind, acks := range n.acks {
		out.Acks[kind] = len(acks)
	}
	for _, f := range r.who {
		out.Joins += f.joins
	}
	r.sink.mu.Lock()
	defer r.sink.mu.Unlock()
	for _, d := range r.sink.signed {
		out.Deliveries += d.count
	}
	for _, c := range r.sink.callbacks {
		out.Callbacks += c
	}
	for _, c := range r.sink.states {
		out.AppStates += c
	}
	p := r.work.calls
	p.mu.Lock()
	defer p.mu.Unlock()
	out.Phoned, out.Answered, out.Unrecorded = p.placed, len(p.answered), p.unrecorded
	for line := range r.nodes.errors {
		var entry struct{ Msg, Err string }
		_ = json.Unmarshal([]byte(line), &entry) // a line of another shape counts as an empty message
		out.Errors[entry.Msg+": "+entry.Err]++
	}
	return out
}

// Acked is the number of acknowledged requests.
func (r *Report) Acked() int {
	all := 0
	for _, n := range r.Acks {
		all += n
	}
	return all
}

// String is the table.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", r.Plan.String())
	fmt.Fprintf(&b, "  kills     %d (longest start %v)\n", r.Kills, r.Start.Round(time.Millisecond))
	fmt.Fprintf(&b, "  answers   %d:", r.Acked())
	for _, kind := range slices.Sorted(maps.Keys(r.Acks)) {
		fmt.Fprintf(&b, " %d %s,", r.Acks[kind], kind)
	}
	fmt.Fprintf(&b, " %d after a retry, %d of them replayed\n", r.Retried, r.Replayed)
	fmt.Fprintf(&b, "  lost      %d\n  doubled   %d\n  drift     %d µ$\n", r.Lost, r.Doubled, r.Drift)
	fmt.Fprintf(&b, "  events    %d, read over %d connections; %d callbacks, %d states to the app, %d signed deliveries\n", r.Events, r.Joins, r.Callbacks, r.AppStates, r.Deliveries)
	fmt.Fprintf(&b, "  phones    %d calls over SIP, %d answered, %d of these without a record\n", r.Phoned, r.Answered, r.Unrecorded)
	fmt.Fprintf(&b, "  killed    %s %d, %s %d", atRandom, r.Points[atRandom], whileStopping, r.Points[whileStopping])
	var never []string
	for _, p := range failpoint.Points() {
		if n := r.Points[p.Name]; n > 0 {
			fmt.Fprintf(&b, ", %s %d", p.Name, n)
		} else {
			never = append(never, p.Name)
		}
	}
	fmt.Fprintf(&b, "\n  not reached %s\n", strings.Join(never, ", "))
	for _, line := range slices.Sorted(maps.Keys(r.Errors)) {
		fmt.Fprintf(&b, "  log %5d × %.300s\n", r.Errors[line], line)
	}
	return b.String()
}

// Faults lists what the server did wrong, with what is needed to do it again; empty when nothing.
func (r *Report) Faults() string {
	if len(r.Complaints) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, data in %s (the flag -keep keeps it); kills: %s", r.Plan.Seed, r.Plan.Dir, strings.Join(r.Order, ", "))
	for _, c := range r.Complaints {
		for i, text := range c.cases {
			if i == maxCases {
				fmt.Fprintf(&b, "\n    and %d more like these", len(c.cases)-i)
				break
			}
			fmt.Fprintf(&b, "\n  %s", text)
		}
	}
	return b.String()
}
