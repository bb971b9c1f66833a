package flow

import (
	"context"
	"errors"
	"slices"
)

var (
	recordStartSpec = spec{
		name: "RecordStart", is: isCommand, holds: side, media: true, inside: true,
		attrs: recordAttrs(), run: runRecordStart,
	}
	recordStopSpec = spec{name: "RecordStop", is: isCommand, holds: side, inside: true, run: runRecordStop}
	recordWaitSpec = spec{
		name: "RecordWait", is: isCommand, holds: side,
		attrs: []attr{
			{name: "timeout", def: "30000", kind: duration},
			{name: "for", kind: enum("record", "transcript")},
		},
		run: runRecordWait,
	}
)

func runRecordStart(ctx context.Context, m *Machine, c *command) (string, error) {
	if m.recording(c.tag()) {
		return "", failure("Already recording")
	}
	rec, err := m.cfg.Phone.Record(ctx, recordOptions(c, longestRecording))
	if err != nil {
		return "", recordFailure(err)
	}
	m.recorders[c.tag()] = rec
	return "Recording started", nil
}

func runRecordStop(_ context.Context, m *Machine, c *command) (string, error) {
	var tags []string
	for tag := range m.recorders {
		if (!c.node.has("tag") || tag == c.tag()) && m.recording(tag) {
			tags = append(tags, tag)
		}
	}
	if len(tags) == 0 {
		return "", failure("Not recording")
	}
	slices.Sort(tags)
	uuids := make([]string, 0, len(tags))
	for _, tag := range tags {
		info, err := m.recorders[tag].Stop("stop")
		delete(m.recorders, tag)
		if err != nil {
			c.warn("recording %q failed", tag)
			continue
		}
		m.remember(tag, info)
		uuids = append(uuids, info.UUID)
	}
	c.result["records"] = uuids
	return "Recording stopped", nil
}

func runRecordWait(ctx context.Context, m *Machine, c *command) (string, error) {
	if m.cfg.Recordings == nil {
		return "", failure("Record not found")
	}
	within, cancel := context.WithTimeout(ctx, c.ms("timeout"))
	defer cancel()
	info, err := m.cfg.Recordings.Wait(within, c.tag(), c.str("for"))
	switch {
	case ctx.Err() != nil && err != nil:
		return "", ctx.Err()
	case errors.Is(err, ErrNoRecord):
		return "", failure("Record not found")
	case errors.Is(err, ErrRecordFailed):
		return "", failure("Record failed")
	case err != nil && within.Err() != nil:
		return "", failure("Timeout")
	case err != nil:
		return "", failure("Record failed")
	}
	m.remember(c.tag(), info)
	c.result["record"] = info.UUID
	return "Record available", nil
}
