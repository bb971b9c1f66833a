package sim

import (
	"context"
	"slices"
	"strings"

	"github.com/opentact/opentact/internal/messaging"
	"github.com/opentact/opentact/internal/messaging/carrier"
)

// checkFates: a message ends as its receipts say, and none without one.
func (r *record) checkFates() {
	unknown, err := r.unknown(context.Background())
	if err != nil {
		r.w.problem("unknown receipts: %v", err)
		return
	}
	for _, m := range r.messages {
		if m.Type != messaging.Outbound || m.Sent.IsZero() {
			continue
		}
		own, strangers := r.takings(m)
		r.checkInvented(m, own, strangers)
		if own != nil && len(strangers) == 0 {
			r.checkLost(m, own, unknown)
		}
	}
}

// takings gives what the carrier knows of a message under the name that the platform kept, and what it took beside that for the same two phones: receipts of
// those find the message by the phones (messaging-semantics §6).
func (r *record) takings(m *messaging.Message) (own *taking, strangers []*taking) {
	pair := m.From + ">" + m.To
	for _, t := range r.w.network.takes {
		kept := t.message == m.ID && t.link == m.Link && (m.Ref == t.link+"/"+t.names[0] || m.Ref == "" && !r.again(t))
		switch {
		case kept:
			own = t
		case t.pair == pair && (t.message == m.ID || r.orphan(t)):
			strangers = append(strangers, t)
		}
	}
	return own, strangers
}

// again tells a taking whose message was taken at another time too.
func (r *record) again(t *taking) bool {
	return slices.ContainsFunc(r.w.network.takes, func(o *taking) bool { return o != t && o.message == t.message })
}

// orphan tells what a carrier took and the platform has no name of.
func (r *record) orphan(t *taking) bool {
	m := r.messages[t.message]
	return m == nil || m.Sent.IsZero() || r.again(t) && m.Ref != t.link+"/"+t.names[0]
}

// finals are the acknowledged final states of a taking's segments.
func (r *record) finals(t *taking) (out []string) {
	for _, name := range t.names {
		out = append(out, r.w.network.acked[t.link+"/"+name]...)
	}
	return out
}

// checkInvented: an end needs a receipt that says so.
func (r *record) checkInvented(m *messaging.Message, own *taking, strangers []*taking) {
	var said []string
	for _, t := range append(strangers, own) {
		if t != nil {
			said = append(said, r.finals(t)...)
		}
	}
	if m.Delivered && !slices.Contains(said, string(carrier.Delivered)) {
		r.w.problem("%s is delivered, and its receipts say %v", keyOf(m.Text), said)
	}
	if m.State == messaging.Failed && !slices.ContainsFunc(said, func(s string) bool { return s != string(carrier.Delivered) }) {
		r.w.problem("%s failed with %s, and its receipts say %v", keyOf(m.Text), m.Error, said)
	}
}

// checkLost: what the receipts of all segments say has happened to the message, unless they contradict each other or came for a name that was given up.
func (r *record) checkLost(m *messaging.Message, own *taking, unknown map[string]bool) {
	all, failing := true, false
	for _, name := range own.names {
		ref := own.link + "/" + name
		states := slices.Clone(r.w.network.acked[ref])
		slices.Sort(states)
		states = slices.Compact(states)
		if len(states) > 1 || unknown[ref] {
			return
		}
		all = all && len(states) == 1 && states[0] == string(carrier.Delivered)
		failing = failing || len(states) == 1 && states[0] != string(carrier.Delivered)
	}
	switch {
	case all && !m.Delivered:
		r.w.problem("%s: the receipts that it arrived were acknowledged and lost; it is %s %s", keyOf(m.Text), m.State, m.Error)
	case failing && m.State != messaging.Failed:
		r.w.problem("%s: a receipt that it failed was acknowledged and lost; it is %s", keyOf(m.Text), m.State)
	}
}

// unknown gives the names whose receipts were given up.
func (r *record) unknown(ctx context.Context) (map[string]bool, error) {
	rows, err := r.l.d.Read().Query(ctx, "SELECT ref FROM sms_receipt WHERE unknown")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]bool{}
	for rows.Next() {
		var ref string
		if err := rows.Scan(&ref); err != nil {
			return nil, err
		}
		out[strings.TrimSpace(ref)] = true
	}
	return out, rows.Err()
}
