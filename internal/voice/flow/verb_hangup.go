package flow

import "context"

var (
	hangupSpec = spec{name: "Hangup", is: isCommand, holds: side, run: runHangup}
	rejectSpec = spec{
		name: "Reject", is: isCommand, holds: side,
		attrs: []attr{{name: "reason", def: "rejected", kind: enum("rejected", "busy")}}, run: runReject,
	}
)

func runHangup(_ context.Context, m *Machine, _ *command) (string, error) {
	m.over = true
	if m.cfg.Phone.Answered() {
		m.cfg.Phone.Hangup(16, "")
	} else {
		m.cfg.Phone.Refuse(480, 16, "")
	}
	return "Call ended", nil
}

func runReject(ctx context.Context, m *Machine, c *command) (string, error) {
	if m.cfg.Phone.Answered() {
		return runHangup(ctx, m, c)
	}
	m.over = true
	if c.str("reason") == "busy" {
		m.cfg.Phone.Refuse(486, 17, "busy")
	} else {
		m.cfg.Phone.Refuse(603, 21, "rejected")
	}
	return "Call rejected", nil
}
