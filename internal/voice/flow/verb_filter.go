package flow

import (
	"context"
	"strconv"
	"strings"
)

var callSpec = spec{
	name: "Call", is: isCommand, holds: isCommand | isError, filter: true,
	attrs: []attr{{name: "field", kind: anyText, must: true}, {name: "value", kind: anyText}},
	check: func(n *Node) *complaint {
		if !n.has("value") {
			return n.complain("<Call> needs the attribute \"value\"")
		}
		return nil
	},
	run: runCall,
}

func runCall(_ context.Context, m *Machine, c *command) (string, error) {
	return c.filtered(m.callMatches(c.str("field"), c.str("value")))
}

// filtered reports a filter, which always succeeds, and lets its children run when it matched.
func (c *command) filtered(matched bool) (string, error) {
	c.result["matched"] = matched
	if !matched {
		return "Not matched", nil
	}
	c.block = place{c.node, c.path}
	return "Matched", nil
}

func (m *Machine) callMatches(field, want string) bool {
	info := m.cfg.Phone.Info()
	switch strings.ToLower(field) {
	case "from":
		return sameNumber(info.From, want)
	case "to":
		return sameNumber(info.To, want)
	}
	have, ok := walk(m.callEntity(), field)
	return sameMember(have, ok, want)
}

// sameNumber compares without +; a trailing * makes a prefix.
func sameNumber(have, want string) bool {
	have, want = strings.TrimPrefix(have, "+"), strings.TrimPrefix(want, "+")
	if prefix, ok := strings.CutSuffix(want, "*"); ok {
		return strings.HasPrefix(have, prefix)
	}
	return have == want
}

// sameMember compares a member of the call with a value as written; a member that is not there is null.
func sameMember(have any, there bool, want string) bool {
	if !there || have == nil {
		return want == "null"
	}
	if s, ok := have.(string); ok {
		return s == want
	}
	shown := text(have)
	if shown == want {
		return true
	}
	a, errA := strconv.ParseFloat(shown, 64)
	b, errB := strconv.ParseFloat(want, 64)
	return errA == nil && errB == nil && a == b
}

// callEntity is the Call as on the wire, or what the phone tells of it.
func (m *Machine) callEntity() map[string]any {
	if m.cfg.Call != nil {
		return m.cfg.Call()
	}
	i := m.cfg.Phone.Info()
	e := map[string]any{
		"uuid": i.UUID, "from": i.From, "to": i.To, "direction": i.Direction, "state": i.State, "type": i.Type,
		"machine": nil, "stir_shaken_attest_level": nil, "tn": nil,
		"account": map[string]any{"uuid": i.AccountUUID, "name": i.AccountName}, "sip_control_app": nil,
	}
	if app := m.appEntity(); app != nil {
		e["sip_control_app"] = app
	}
	for name, v := range map[string]string{"machine": i.Machine, "stir_shaken_attest_level": i.Attest, "tn": i.TN} {
		if v != "" {
			e[name] = v
		}
	}
	return e
}

// appEntity is the control app as on the wire; nil when the call has none.
func (m *Machine) appEntity() map[string]any {
	if m.cfg.App != nil {
		return m.cfg.App()
	}
	i := m.cfg.Phone.Info()
	if i.AppUUID == "" {
		return nil
	}
	return map[string]any{"uuid": i.AppUUID, "name": i.AppName, "subdomain": orNull(i.AppSubdomain)}
}
