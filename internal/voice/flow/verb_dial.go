package flow

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"
)

var (
	dialSpec = spec{
		name: "Dial", is: isCommand, holds: isTarget | side,
		attrs: []attr{
			{name: "timeout", kind: duration},
			{name: "callerId", kind: anyText},
			{name: "record", def: "do-not-record", kind: enum("do-not-record", "record-from-answer", "record-from-ringing", "true", "false", "1", "0")},
			{name: "asr", def: "false", kind: boolean},
			{name: "maxDuration", kind: duration},
			{name: "strategy", def: "simultaneous", kind: enum("simultaneous", "sequential")},
			{name: "ringback", def: "early", kind: ringing},
			{name: "answerOnBridge", def: "true", kind: boolean},
			{name: "machineDetection", def: "off", kind: enum("off", "sync", "async")},
		},
		check: checkDial,
		run:   runDial,
	}
	toSpec     = target("To")
	numberSpec = target("Number")
	sipSpec    = target("Sip")
)

const (
	ringTime      = time.Minute
	longestBridge = 4 * time.Hour
)

func target(name string) spec {
	return spec{name: name, bare: true, is: isTarget, text: oneValue, attrs: []attr{
		{name: "callerId", kind: anyText},
		{name: "timeout", kind: duration},
		{name: "delay", def: "0", kind: duration},
		{name: "sendDigits", kind: dialKeys},
	}, check: func(n *Node) *complaint {
		if n.Text == "" {
			return n.complain("<%s> needs a destination", n.Name)
		}
		return nil
	}}
}

func checkDial(n *Node) *complaint {
	targets := 0
	for _, c := range n.Children {
		if c.spec.is != isTarget {
			continue
		}
		if targets++; targets > maxTargets {
			return c.complain("more than %d targets in a <Dial>", maxTargets)
		}
	}
	if targets == 0 {
		return n.complain("<Dial> needs a target, such as <To>")
	}
	return nil
}

func runDial(ctx context.Context, m *Machine, c *command) (string, error) {
	r, err := m.dialRequest(c)
	if err != nil {
		return "", err
	}
	if !r.AnswerOnBridge {
		if err := m.answer(ctx); err != nil {
			return "", err
		}
	}
	d := m.cfg.Phone.Dial(ctx, r)
	m.memory.dialed = d
	c.warnings = append(c.warnings, d.Warnings...)
	c.result["status"] = string(d.Status)
	c.result["to"] = orNull(d.To)
	c.result["duration"] = seconds(d.Duration)
	c.result["targets"] = targetReports(d.Targets)
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if d.Status == Answered {
		return "Answered", nil
	}
	return "", dialFailure(d, len(r.Targets))
}

func (m *Machine) dialRequest(c *command) (DialRequest, error) {
	_, meta := m.metaNames(c)
	r := DialRequest{
		Timeout: dialTimeout(c), MaxDuration: cmp.Or(c.ms("maxDuration"), longestBridge), Sequential: c.str("strategy") == "sequential",
		CallerID: c.str("callerId"), Ringback: c.str("ringback"), Tag: c.tag(), Record: dialRecord(c.str("record")),
		ASR: c.flag("asr"), AnswerOnBridge: c.flag("answerOnBridge"), MachineDetection: c.str("machineDetection"), Meta: meta,
	}
	for _, n := range c.node.Children {
		if n.spec.is != isTarget {
			continue
		}
		t := &command{node: n, path: n.under(c.path)}
		if err := m.prepare(t); err != nil {
			return r, err
		}
		r.Targets = append(r.Targets, Target{
			Kind: TargetKind(n.Name), Value: strings.TrimSpace(m.expand(n.Text, asIs, c)), CallerID: t.str("callerId"),
			Timeout: t.ms("timeout"), Delay: t.ms("delay"), SendDigits: t.str("sendDigits"),
		})
		c.warnings = append(c.warnings, t.warnings...)
	}
	return r, nil
}

// dialTimeout gives the ring time. It reads small values as seconds, because older documents use them.
func dialTimeout(c *command) time.Duration {
	n := c.count("timeout")
	if n == 0 {
		return ringTime
	}
	if n >= 1 && n <= olderSecondsMax {
		return time.Duration(n) * time.Second
	}
	return time.Duration(n) * time.Millisecond
}

func dialRecord(v string) string {
	switch v {
	case "true", "1":
		return "record-from-answer"
	case "do-not-record", "false", "0":
		return ""
	}
	return v
}

// dialFailure is the fixed text of a Dial that nobody took (events.md §4.3).
func dialFailure(d DialResult, asked int) error {
	total, failed, name := len(d.Targets), 0, d.FailName
	for _, t := range d.Targets {
		if !t.Success {
			failed++
			if d.FailName == "" && t.Q850Name != "" {
				name = t.Q850Name
			}
		}
	}
	if total == 0 {
		total, failed = asked, asked
	}
	if name == "" {
		name = "NORMAL_UNSPECIFIED"
	}
	return failure(fmt.Sprintf("[originate] ERR %s. no any destinations are accept the call %d/%d", name, failed, total))
}

func targetReports(targets []TargetResult) []map[string]any {
	reports := make([]map[string]any, len(targets))
	for i, t := range targets {
		r := map[string]any{"to": t.To, "call": orNull(t.Call), "success": t.Success, "q850_cause": t.Q850, "q850_cause_string": t.Q850Name}
		if t.Reason != "" {
			r["reason"] = t.Reason
		}
		reports[i] = r
	}
	return reports
}
