package flow

import "context"

var answerSpec = spec{
	name: "Answer", is: isCommand, holds: side,
	attrs: []attr{{name: "delay", def: "0", kind: duration}},
	run:   runAnswer,
}

func runAnswer(ctx context.Context, m *Machine, c *command) (string, error) {
	if m.cfg.Phone.Answered() {
		return "Call answered", nil
	}
	if err := m.answer(ctx); err != nil {
		return "", err
	}
	return "Call answered", sleep(ctx, c.ms("delay"))
}
