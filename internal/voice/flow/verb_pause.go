package flow

import (
	"context"
	"strings"
)

var pauseSpec = spec{
	name: "Pause", is: isCommand | isPrompt, holds: side, inside: true,
	attrs: []attr{
		{name: "length", def: "1000", kind: number(0, 600000)},
		{name: "dtmf_stop", kind: keys},
	},
	run: runPause,
}

func runPause(ctx context.Context, m *Machine, c *command) (string, error) {
	stop := c.str("dtmf_stop")
	if stop == "" || m.prompting { // in a Gather the keys are the Gather's
		return "Pause ended", sleep(ctx, c.ms("length"))
	}
	m.cfg.Phone.Keys().Forget()
	within, cancel := context.WithTimeout(ctx, c.ms("length"))
	defer cancel()
	for {
		key, err := m.cfg.Phone.Keys().Next(within)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil {
			<-within.Done() // a keypad that broke early does not shorten the pause
			return "Pause ended", ctx.Err()
		}
		if strings.IndexByte(stop, key) >= 0 {
			m.memory.dtmf = string(key)
			c.result["dtmf"] = string(key)
			return reasonBarge, nil
		}
	}
}
