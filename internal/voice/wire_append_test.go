package voice

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/voice/call"
)

// What call_state carries, in the order of its schema.
type (
	stateStamps struct {
		InitOn    *string `json:"init_on,omitempty"`
		RingOn    *string `json:"ring_on,omitempty"`
		AnswerOn  *string `json:"answer_on,omitempty"`
		BridgeOn  *string `json:"bridge_on,omitempty"`
		HangupOn  *string `json:"hangup_on,omitempty"`
		DestroyOn *string `json:"destroy_on,omitempty"`
	}
	stateCause struct {
		Q850  *int    `json:"q850_cause,omitempty"`
		Name  *string `json:"q850_cause_string,omitempty"`
		Stack *string `json:"release_cause_from_protocol_stack,omitempty"`
	}
	stateCall struct {
		callHead
		stateStamps
		stateCause
		callFacts
		callRelations
		callOurs
	}
	// statePayload is what older readers know: the scalars of the call with all stamps.
	statePayload struct {
		callHead
		DurationMS int64 `json:"duration_ms"`
		callStamps
		StateEnd *string `json:"state_end"`
		stateCause
		callFacts
		callOurs
		TN      json.RawMessage `json:"tn"`
		Account json.RawMessage `json:"account"`
		App     json.RawMessage `json:"sip_control_app"`
	}
)

func stampOf(c *Call) stateStamps {
	switch c.State {
	case call.Init:
		return stateStamps{InitOn: on(c.InitOn)}
	case call.Ringing:
		return stateStamps{RingOn: on(c.RingOn)}
	case call.Live:
		return stateStamps{AnswerOn: on(c.AnswerOn)}
	case call.Bridged:
		return stateStamps{BridgeOn: on(c.BridgeOn)}
	case call.Hangup:
		return stateStamps{HangupOn: on(c.HangupOn)}
	}
	return stateStamps{DestroyOn: on(c.DestroyOn)}
}

// anyText is what a far side may put into a call: escapes, other scripts, and bytes that are no text at all.
func anyText(t *rapid.T, name string) string {
	return rapid.OneOf(rapid.SampledFrom([]string{"", "+13125550144", `a "b" \\ <c> & d`, "line\u2028\n\x7f", "Привет", "\xff\xfe"}), rapid.String()).Draw(t, name)
}

func anyTime(t *rapid.T, name string) time.Time {
	if rapid.Bool().Draw(t, name+" is set") {
		return time.UnixMicro(rapid.Int64Range(-1<<56, 1<<56).Draw(t, name))
	}
	return time.Time{}
}

func anyAmount(t *rapid.T, name string) *money.Amount {
	if rapid.Bool().Draw(t, name+" is set") {
		return ptr(money.Amount(rapid.Int64Range(-1e12, 1e12).Draw(t, name)))
	}
	return nil
}

func anyCall(t *rapid.T) Call {
	c := Call{
		ID: "0194f2b0-6100-7d5e-8f60-718293a4b5c6", Account: anyText(t, "account"), Kind: kindApp, Direction: call.In, From: anyText(t, "from"), To: anyText(t, "to"), TN: e164.Number("12125550100"),
		State:     rapid.SampledFrom([]call.State{call.Init, call.Ringing, call.Live, call.Bridged, call.Hangup, call.Destroyed}).Draw(t, "state"),
		BridgedTo: anyText(t, "bridged"), Thread: anyText(t, "thread"), Q850: rapid.IntRange(0, 999).Draw(t, "q850"), Stack: anyText(t, "stack"), Reason: anyText(t, "reason"),
		HangupBy: anyText(t, "by"), Machine: anyText(t, "machine"), Price: anyAmount(t, "price"), Rate: anyAmount(t, "rate"), SIPCallID: anyText(t, "call id"), Codec: anyText(t, "codec"),
		Created: anyTime(t, "created"), Modified: anyTime(t, "modified"), InitOn: anyTime(t, "init"), RingOn: anyTime(t, "ring"), AnswerOn: anyTime(t, "answer"),
		BridgeOn: anyTime(t, "bridge"), HangupOn: anyTime(t, "hangup"), DestroyOn: anyTime(t, "destroy"), FinishedOn: anyTime(t, "finished"),
	}
	if rapid.Bool().Draw(t, "has more") {
		c.Meta, c.Billed, c.Quality = map[string]any{"b": anyText(t, "meta"), "a": 1.5}, ptr(6), &Quality{MOS: 4.1, Loss: 0.25, JitterMS: 3}
	}
	return c
}

// The quick rendering and the one that REST uses are the same to the byte.
func TestEventsOfACallAreRenderedAsItsSchemaSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.UnixMilli(1800000000000)
		s := &Service{now: func() time.Time { return now }}
		v := s.viewer(nil)
		c := anyCall(t)
		log := Log{
			ID: "l", Name: "Say", Success: rapid.Bool().Draw(t, "success"), Reason: anyText(t, "log reason"), Path: "Say[0]", Element: encode(anyText(t, "element")),
			Command: encode(map[string]any{"name": "Say"}), Started: now, Created: anyTime(t, "log created"),
		}
		var k kin
		if rapid.Bool().Draw(t, "has kin") {
			k = kin{parent: ptr(anyCall(t)), children: []Call{anyCall(t), anyCall(t)}, logs: []Log{log, log}, records: []Record{{ID: "r", State: "recording", Format: "wav", Created: now}}}
		}
		raw := func(what string) json.RawMessage { return encode(map[string]string{"what": what}) }
		r := ties{tn: raw("tn"), app: raw("app"), account: raw("account"), country: null, lease: raw("lease"), profile: null}
		rel := callRelations{
			TN: r.tn, App: r.app, Connection: null, SIPUser: null, Account: r.account, Parent: parentOf(k.parent, now), Children: []callScalars{},
			Records: s.wireRecords(k.records), Logs: wireLogs(k.logs), Country: null, Lerg: null, BatchItem: null, Hotkey: null, Lease: r.lease, Profile: null,
		}
		for i := range k.children {
			rel.Children = append(rel.Children, scalarsOf(&k.children[i], now))
		}
		sc := scalarsOf(&c, now)
		cause := stateCause(sc.callCause)
		for name, pair := range map[string][2][]byte{
			"scalars": {appendScalars(nil, &c, now), encode(sc)},
			"log":     {appendLog(nil, &log), encode(wireLog(&log))},
			"whole":   {v.appendWhole(nil, &c, &r, &k, now), encode(callWire{sc.callHead, sc.callStamps, sc.callCause, sc.callFacts, rel, sc.callOurs})},
			"state":   {v.appendState(nil, &c, &r, &k, now), encode(stateCall{sc.callHead, stampOf(&c), cause, sc.callFacts, rel, sc.callOurs})},
			"payload": {
				appendStatePayload(nil, &c, &r, now),
				encode(statePayload{sc.callHead, c.length(now).Milliseconds(), sc.callStamps, sc.FinishedOn, cause, sc.callFacts, sc.callOurs, r.tn, r.account, r.app}),
			},
		} {
			if !bytes.Equal(pair[0], pair[1]) {
				t.Fatalf("%s:\n%s\nwant\n%s", name, pair[0], pair[1])
			}
		}
	})
}

// BenchmarkCallState renders what one call_state event says of a call that has ended, without its envelope.
func BenchmarkCallState(b *testing.B) {
	now := time.UnixMilli(1800000000000)
	v := (&Service{now: func() time.Time { return now }}).viewer(nil)
	c := Call{
		ID: "0194f2b0-6100-7d5e-8f60-718293a4b5c6", Kind: kindApp, Direction: call.In, From: "+13125550144", To: "12125550100", State: call.Destroyed, Q850: 16, Reason: "normal",
		Created: now, Modified: now, InitOn: now, RingOn: now, AnswerOn: now, HangupOn: now, DestroyOn: now, FinishedOn: now, SIPCallID: "a-call@example.org", Codec: "PCMU",
	}
	log := Log{ID: c.ID, Name: "Answer", Success: true, Element: encode(c.ID), Command: encode(c.ID), Path: "Answer[0]", Started: now, Ended: now, Created: now}
	k, t := kin{logs: []Log{log, log}}, ties{tn: null, app: null, account: null, inEvent: null, country: null, lease: null, profile: null}
	buf := make([]byte, 0, 8<<10)
	b.ReportAllocs()
	for b.Loop() {
		out := appendStatePayload(buf[:0], &c, &t, now)
		out = v.appendState(out, &c, &t, &k, now)
		b.SetBytes(int64(len(out)))
	}
}
