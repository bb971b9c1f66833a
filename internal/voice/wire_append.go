package voice

import (
	"context"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/voice/call"
)

// The events of a call repeat the whole of it, so a call is rendered a dozen times: what follows writes the pieces of Call
// straight from the row into one buffer. wire_call.go says what they are; a test holds the two to the same bytes.

// appendText writes a JSON string.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return append(b, encode(s)...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendPlain writes a text of ours that needs no escapes.
func appendPlain(b []byte, s string) []byte {
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// orNullText writes a JSON string, null when it is empty.
func orNullText(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return appendText(b, s)
}

// appendTime writes a moment as on does.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	sec := t.Unix()
	if sec < 0 || sec > lastSecond {
		return append(b, encode(on(t))...)
	}
	year, month, day := dateOf(uint32(sec / 86400))
	rest, ms := uint32(sec%86400), uint32(t.Nanosecond()/1e6)
	hour, minute, second := rest/3600, rest/60%60, rest%60
	return append(b, '"', byte('0'+year/1000), byte('0'+year/100%10), byte('0'+year/10%10), byte('0'+year%10),
		'-', byte('0'+month/10), byte('0'+month%10), '-', byte('0'+day/10), byte('0'+day%10),
		'T', byte('0'+hour/10), byte('0'+hour%10), ':', byte('0'+minute/10), byte('0'+minute%10), ':', byte('0'+second/10), byte('0'+second%10),
		'.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z', '"')
}

// lastSecond is the end of the year 9999.
const lastSecond = 253402300799

// dateOf is the date of a day since 1970: years begin in March here, so that the leap day is the last of its year, and 153 days are five months.
func dateOf(days uint32) (year, month, day uint32) {
	const perEra, perCentury, per4Years = 146097, 36524, 1461
	days += 719468 // 0000-03-01
	era, d := days/perEra, days%perEra
	y := (d - d/(per4Years-1) + d/perCentury - d/(perEra-1)) / 365
	d -= 365*y + y/4 - y/100
	m := (5*d + 2) / 153
	year, month, day = era*400+y, m+3, d-(153*m+2)/5+1
	if m >= 10 {
		year, month = year+1, m-9
	}
	return year, month, day
}

func appendAmount(b []byte, a *money.Amount) []byte {
	if a == nil {
		return append(b, "null"...)
	}
	return append(b, a.String()...)
}

// appendHead writes callHead, without braces.
func appendHead(b []byte, c *Call, now time.Time) []byte {
	b = appendPlain(append(b, `"uuid":`...), c.ID)
	b = appendPlain(append(b, `,"type":`...), c.Kind)
	b = appendPlain(append(b, `,"direction":`...), c.Direction)
	b = appendText(append(b, `,"from":`...), c.From)
	b = appendText(append(b, `,"to":`...), c.To)
	b = appendPlain(append(b, `,"state":`...), string(c.State))
	b = strconv.AppendInt(append(b, `,"duration":`...), int64(math.Round(c.length(now).Seconds())), 10)
	b = appendTime(append(b, `,"created_on":`...), c.Created)
	return appendTime(append(b, `,"modified_on":`...), c.Modified)
}

// appendStamps writes callStamps behind something.
func appendStamps(b []byte, c *Call) []byte {
	b = appendTime(append(b, `,"init_on":`...), c.InitOn)
	b = appendTime(append(b, `,"ring_on":`...), c.RingOn)
	b = appendTime(append(b, `,"answer_on":`...), c.AnswerOn)
	b = appendTime(append(b, `,"bridge_on":`...), c.BridgeOn)
	b = appendTime(append(b, `,"hangup_on":`...), c.HangupOn)
	b = appendTime(append(b, `,"destroy_on":`...), c.DestroyOn)
	return appendTime(append(b, `,"finished_on":`...), c.FinishedOn)
}

// appendStamp writes the stamp of the state, as stampOf gives it.
func appendStamp(b []byte, c *Call) []byte {
	name, at := `,"destroy_on":`, c.DestroyOn
	switch c.State {
	case call.Init:
		name, at = `,"init_on":`, c.InitOn
	case call.Ringing:
		name, at = `,"ring_on":`, c.RingOn
	case call.Live:
		name, at = `,"answer_on":`, c.AnswerOn
	case call.Bridged:
		name, at = `,"bridge_on":`, c.BridgeOn
	case call.Hangup:
		name, at = `,"hangup_on":`, c.HangupOn
	}
	if at.IsZero() {
		return b
	}
	return appendTime(append(b, name...), at)
}

// appendCause writes callCause; brief leaves out what is null, as stateCause does.
func appendCause(b []byte, c *Call, brief bool) []byte {
	over := c.over()
	switch {
	case over:
		b = strconv.AppendInt(append(b, `,"q850_cause":`...), int64(c.Q850), 10)
		b = appendPlain(append(b, `,"q850_cause_string":`...), call.Name(c.Q850))
	case !brief:
		b = append(b, `,"q850_cause":null,"q850_cause_string":null`...)
	}
	switch {
	case over && c.Stack != "":
		b = appendText(append(b, `,"release_cause_from_protocol_stack":`...), c.Stack)
	case !brief:
		b = append(b, `,"release_cause_from_protocol_stack":null`...)
	}
	return b
}

// appendFacts writes callFacts.
func appendFacts(b []byte, c *Call) []byte {
	state, channel := switchStates(c)
	b = orNullText(append(b, `,"bridged_to":`...), c.BridgedTo)
	b = appendPlain(append(b, `,"freeswitch_call_state":`...), state)
	b = appendPlain(append(b, `,"freeswitch_channel_state":`...), channel)
	b = append(b, `,"stir_shaken_attest_level":null,"stir_shaken_identity":null`...)
	return orNullText(append(b, `,"thread":`...), c.Thread)
}

// appendOurs writes callOurs.
func appendOurs(b []byte, c *Call) []byte {
	b = append(b, `,"source":"`+source+`","meta":`...)
	if c.Meta == nil {
		b = append(b, "null"...)
	} else {
		b = append(b, encode(c.Meta)...)
	}
	b = appendPlain(append(b, `,"legacy_state":`...), legacyState(c))
	b = orNullText(append(b, `,"reason":`...), c.Reason)
	b = orNullText(append(b, `,"hangup_by":`...), c.HangupBy)
	b = orNullText(append(b, `,"machine":`...), c.Machine)
	b = append(b, `,"billed_duration":`...)
	if c.Billed == nil {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendInt(b, int64(*c.Billed), 10)
	}
	b = appendAmount(append(b, `,"price":`...), c.Price)
	b = appendAmount(append(b, `,"rate":`...), c.Rate)
	b = orNullText(append(b, `,"sip_call_id":`...), c.SIPCallID)
	b = orNullText(append(b, `,"remote_ip":`...), c.RemoteIP)
	b = orNullText(append(b, `,"codec":`...), c.Codec)
	b = append(b, `,"quality":`...)
	if c.Quality == nil {
		return append(b, "null"...)
	}
	return append(b, encode(c.Quality)...)
}

// appendScalars writes callScalars.
func appendScalars(b []byte, c *Call, now time.Time) []byte {
	b = appendStamps(appendHead(append(b, '{'), c, now), c)
	return append(appendOurs(appendFacts(appendCause(b, c, false), c), c), '}')
}

// ties are the relations of a call that other parts render.
type ties struct {
	tn, app, account, inEvent, country, lease, profile json.RawMessage
}

// tieKey is what the relations of a call depend on.
type tieKey struct {
	account, app, lease, profile, country string
	tn                                    e164.Number
}

// ties renders the relations of a call; calls of one number share them.
func (v *viewer) ties(ctx context.Context, c *Call) (*ties, error) {
	key := tieKey{c.Account, c.App, c.Lease, c.Profile, c.Country, c.TN}
	if t := v.tied[key]; t != nil {
		return t, nil
	}
	t := &ties{country: v.country(c.Country)}
	var err error
	if t.account, err = v.callAccount(ctx, c.Account); err != nil {
		return nil, err
	}
	if t.inEvent, err = v.eventAccount(ctx, c.Account); err != nil {
		return nil, err
	}
	if t.tn, err = v.tn(ctx, c.TN); err != nil {
		return nil, err
	}
	if t.app, err = v.app(ctx, c.Account, c.App); err != nil {
		return nil, err
	}
	if t.lease, err = v.lease(ctx, c.Account, c.Lease); err != nil {
		return nil, err
	}
	if t.profile, err = v.profile(ctx, c.Account, c.Profile); err != nil {
		return nil, err
	}
	if v.tied == nil {
		v.tied = map[tieKey]*ties{}
	}
	v.tied[key] = t
	return t, nil
}

// appendRelations writes callRelations.
func (v *viewer) appendRelations(b []byte, t *ties, k *kin, now time.Time) []byte {
	b = append(append(b, `,"tn":`...), t.tn...)
	b = append(append(b, `,"sip_control_app":`...), t.app...)
	b = append(append(b, `,"sip_connection":null,"sip_user":null,"account":`...), t.account...)
	b = append(b, `,"parent":`...)
	if k.parent == nil {
		b = append(b, "null"...)
	} else {
		b = appendScalars(b, k.parent, now)
		b = append(b[:len(b)-1], `,"sip_user":null}`...)
	}
	b = append(b, `,"children":[`...)
	for i := range k.children {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendScalars(b, &k.children[i], now)
	}
	b = append(b, `],"records":`...)
	if len(k.records) == 0 {
		b = append(b, "[]"...)
	} else {
		b = append(b, encode(v.s.wireRecords(k.records))...)
	}
	b = append(b, `,"logs":[`...)
	for i := range k.logs {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendLog(b, &k.logs[i])
	}
	b = append(append(b, `],"country":`...), t.country...)
	b = append(append(b, `,"lerg":null,"batch_item":null,"hotkey":null,"tn_lease":`...), t.lease...)
	return append(append(b, `,"outbound_voice_profile":`...), t.profile...)
}

// appendLog writes logWire. Its raw members are what encode wrote, or what the database kept of that.
func appendLog(b []byte, l *Log) []byte {
	state := `,"state":"failed","reason":`
	if l.Success {
		state = `,"state":"success","reason":`
	}
	b = appendPlain(append(b, `{"uuid":`...), l.ID)
	b = appendTime(append(b, `,"created_on":`...), l.Created)
	b = appendTime(append(b, `,"modified_on":`...), l.Created)
	b = appendPlain(append(b, `,"name":`...), l.Name)
	b = strconv.AppendBool(append(b, `,"success":`...), l.Success)
	b = appendText(append(b, state...), l.Reason)
	b = appendRaw(append(b, `,"element":`...), l.Element)
	b = appendRaw(append(b, `,"command":`...), l.Command)
	b = appendRaw(append(b, `,"response":`...), l.Response)
	b = appendText(append(b, `,"path":`...), l.Path)
	b = appendTime(append(b, `,"started_on":`...), l.Started)
	b = appendTime(append(b, `,"ended_on":`...), l.Ended)
	return append(b, '}')
}

func appendRaw(b []byte, raw json.RawMessage) []byte {
	if len(raw) == 0 {
		return append(b, "null"...)
	}
	return append(b, raw...)
}

// appendWhole writes callWire.
func (v *viewer) appendWhole(b []byte, c *Call, t *ties, k *kin, now time.Time) []byte {
	b = appendStamps(appendHead(append(b, '{'), c, now), c)
	b = appendFacts(appendCause(b, c, false), c)
	return append(appendOurs(v.appendRelations(b, t, k, now), c), '}')
}

// appendState writes the call of a call_state event: only the stamp of its state, no cause before the end.
func (v *viewer) appendState(b []byte, c *Call, t *ties, k *kin, now time.Time) []byte {
	b = appendStamp(appendHead(append(b, '{'), c, now), c)
	b = appendFacts(appendCause(b, c, true), c)
	return append(appendOurs(v.appendRelations(b, t, k, now), c), '}')
}

// appendStatePayload writes the payload of a call_state event, which older readers know: the scalars of the call with all stamps.
func appendStatePayload(b []byte, c *Call, t *ties, now time.Time) []byte {
	b = appendHead(append(b, '{'), c, now)
	b = strconv.AppendInt(append(b, `,"duration_ms":`...), c.length(now).Milliseconds(), 10)
	b = appendStamps(b, c)
	b = appendTime(append(b, `,"state_end":`...), c.FinishedOn)
	b = appendOurs(appendFacts(appendCause(b, c, true), c), c)
	b = append(append(b, `,"tn":`...), t.tn...)
	b = append(append(b, `,"account":`...), t.account...)
	b = append(append(b, `,"sip_control_app":`...), t.app...)
	return append(b, '}')
}

// whole renders Call for an event or a webhook.
func (v *viewer) whole(ctx context.Context, c *Call, k *kin) (json.RawMessage, error) {
	t, err := v.ties(ctx, c)
	if err != nil {
		return nil, err
	}
	return v.appendWhole(nil, c, t, k, v.s.now()), nil
}
