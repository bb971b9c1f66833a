package flow

import (
	"context"
	"errors"
	"strings"
	"time"
)

// recordAttrs are the rows that Record and RecordStart share.
func recordAttrs(own ...attr) []attr {
	return append([]attr{
		{name: "asr", def: "false", kind: boolean},
		{name: "timeout", alias: []string{"maxLength"}, kind: number(1000, 14400000)},
		{name: "trim", def: "false", kind: boolean},
		{name: "format", def: "wav", kind: enum("wav", "mp3")},
		{name: "channels", def: "mono", kind: enum("mono", "dual")},
		{name: "lang", def: "en-US", kind: anyText},
	}, own...)
}

const (
	longestMessage   = time.Minute   // childless Record without timeout
	longestRecording = 4 * time.Hour // any other
)

var recordSpec = spec{
	name: "Record", is: isCommand, holds: isCommand | isError, media: true,
	attrs: recordAttrs(
		attr{name: "finishOnKey", def: "#", kind: keys},
		attr{name: "silence", def: "0", kind: duration},
		attr{name: "beep", def: "false", kind: boolean},
	),
	run: runRecord,
}

func runRecord(ctx context.Context, m *Machine, c *command) (string, error) {
	for _, n := range c.node.Children {
		if n.spec.is&isCommand != 0 && n.Name != "Meta" {
			return m.recordChildren(ctx, c)
		}
	}
	return m.recordCaller(ctx, c)
}

// recordOptions reads the shared attributes.
func recordOptions(c *command, longest time.Duration) RecordOptions {
	o := RecordOptions{
		Tag: c.tag(), Format: c.str("format"), Channels: c.str("channels"), Lang: c.str("lang"),
		ASR: c.flag("asr"), Trim: c.flag("trim"), Max: longest,
	}
	if c.node.has("timeout") {
		o.Max = c.ms("timeout")
	}
	return o
}

// recordChildren records both directions while the children run.
func (m *Machine) recordChildren(ctx context.Context, c *command) (string, error) {
	if m.recording(c.tag()) {
		return "", failure("Already recording")
	}
	rec, err := m.cfg.Phone.Record(ctx, recordOptions(c, longestRecording))
	if err != nil {
		return "", recordFailure(err)
	}
	m.recorders[c.tag()] = rec
	c.unwound = m.runBlock(ctx, c.node.Children, c.path) == leave
	if m.recorders[c.tag()] == rec { // a RecordStop inside may have ended it, and another start taken its tag
		delete(m.recorders, c.tag())
	}
	by := "children"
	if m.over || context.Cause(ctx) == ErrCallEnded {
		by = "hangup"
	}
	return m.recordEnd(ctx, c, rec, by)
}

// recordCaller records the caller until a key, silence, the timeout or the end of the call.
func (m *Machine) recordCaller(ctx context.Context, c *command) (string, error) {
	if c.flag("beep") {
		if err := m.play(ctx, beep(), m.leg(""), false); err != nil {
			return "", err
		}
	}
	o := recordOptions(c, longestMessage)
	o.CallerOnly, o.Min, o.Silence = true, shortestRecord, c.ms("silence")
	m.cfg.Phone.Keys().Forget()
	rec, err := m.cfg.Phone.Record(ctx, o)
	if err != nil {
		return "", recordFailure(err)
	}
	by := "stop"
	switch key := m.finishKey(ctx, c.str("finishOnKey"), rec); {
	case key:
		by = "key"
	case context.Cause(ctx) == ErrCallEnded:
		by = "hangup"
	}
	return m.recordEnd(ctx, c, rec, by)
}

// finishKey returns when one of the keys was pressed (true), or when the recording or ctx ended.
func (m *Machine) finishKey(ctx context.Context, finish string, rec Recorder) bool {
	within, cancel := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		defer cancel()
		select {
		case <-rec.Ended():
		case <-within.Done():
		}
	}()
	defer func() { cancel(); <-watched }()
	for finish != "" {
		key, err := m.cfg.Phone.Keys().Next(within)
		if err != nil {
			break
		}
		if strings.IndexByte(finish, key) >= 0 {
			return true
		}
	}
	<-within.Done()
	return false
}

// recordEnd stops a recording and reports it. A caller who hung up ends it well.
func (m *Machine) recordEnd(ctx context.Context, c *command, rec Recorder, by string) (string, error) {
	info, err := rec.Stop(by)
	if errors.Is(err, ErrNothingRecorded) {
		return "", failure("Nothing recorded")
	}
	if err != nil {
		return "", failure("Recording failed")
	}
	m.remember(c.tag(), info)
	c.result["record"] = info.UUID
	c.result["duration"] = seconds(info.Duration)
	c.result["ended_by"] = info.EndedBy
	if ctx.Err() != nil && context.Cause(ctx) != ErrCallEnded {
		return "", ctx.Err()
	}
	return "Recorded", nil
}

func (m *Machine) remember(tag string, info RecordInfo) { m.memory.records[tag] = info }

func recordFailure(err error) error {
	if errors.Is(err, ErrBalance) {
		return failure("Not enough balance")
	}
	return failure("Recording failed")
}

// recording tells whether a recording with the tag runs, and forgets one that ended by itself.
func (m *Machine) recording(tag string) bool {
	rec, ok := m.recorders[tag]
	if !ok {
		return false
	}
	select {
	case <-rec.Ended():
		if info, err := rec.Stop("stop"); err == nil {
			m.remember(tag, info)
		}
		delete(m.recorders, tag)
		return false
	default:
		return true
	}
}
