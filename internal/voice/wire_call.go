package voice

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/voice/call"
)

// The pieces of Call, in the order of its schema.
type (
	callHead struct {
		UUID      string `json:"uuid"`
		Type      string `json:"type"`
		Direction string `json:"direction"`
		From      string `json:"from"`
		To        string `json:"to"`
		State     string `json:"state"`
		Duration  int64  `json:"duration"`
		stamps
	}
	callStamps struct {
		InitOn     *string `json:"init_on"`
		RingOn     *string `json:"ring_on"`
		AnswerOn   *string `json:"answer_on"`
		BridgeOn   *string `json:"bridge_on"`
		HangupOn   *string `json:"hangup_on"`
		DestroyOn  *string `json:"destroy_on"`
		FinishedOn *string `json:"finished_on"`
	}
	callCause struct {
		Q850  *int    `json:"q850_cause"`
		Name  *string `json:"q850_cause_string"`
		Stack *string `json:"release_cause_from_protocol_stack"`
	}
	callFacts struct {
		BridgedTo    *string `json:"bridged_to"`
		CallState    string  `json:"freeswitch_call_state"`
		ChannelState string  `json:"freeswitch_channel_state"`
		Attest       *string `json:"stir_shaken_attest_level"`
		Identity     *string `json:"stir_shaken_identity"`
		Thread       *string `json:"thread"`
	}
	callOurs struct {
		Source      string         `json:"source"`
		Meta        map[string]any `json:"meta"`
		LegacyState string         `json:"legacy_state"`
		Reason      *string        `json:"reason"`
		HangupBy    *string        `json:"hangup_by"`
		Machine     *string        `json:"machine"`
		Billed      *int           `json:"billed_duration"`
		Price       *money.Amount  `json:"price"`
		Rate        *money.Amount  `json:"rate"`
		SIPCallID   *string        `json:"sip_call_id"`
		RemoteIP    *string        `json:"remote_ip"`
		Codec       *string        `json:"codec"`
		Quality     *Quality       `json:"quality"`
	}
	// callScalars is Call as other objects carry it.
	callScalars struct {
		callHead
		callStamps
		callCause
		callFacts
		callOurs
	}
	// callParent is the leg that dialled another one.
	callParent struct {
		callScalars
		SIPUser json.RawMessage `json:"sip_user"`
	}
	callRelations struct {
		TN         json.RawMessage `json:"tn"`
		App        json.RawMessage `json:"sip_control_app"`
		Connection json.RawMessage `json:"sip_connection"`
		SIPUser    json.RawMessage `json:"sip_user"`
		Account    json.RawMessage `json:"account"`
		Parent     *callParent     `json:"parent"`
		Children   []callScalars   `json:"children"`
		Records    []recordWire    `json:"records"`
		Logs       []logWire       `json:"logs"`
		Country    json.RawMessage `json:"country"`
		Lerg       json.RawMessage `json:"lerg"`
		BatchItem  json.RawMessage `json:"batch_item"`
		Hotkey     json.RawMessage `json:"hotkey"`
		Lease      json.RawMessage `json:"tn_lease"`
		Profile    json.RawMessage `json:"outbound_voice_profile"`
	}
	// callWire is Call.
	callWire struct {
		callHead
		callStamps
		callCause
		callFacts
		callRelations
		callOurs
	}
	logWire struct {
		UUID string `json:"uuid"`
		stamps
		Name     string          `json:"name"`
		Success  bool            `json:"success"`
		State    string          `json:"state"`
		Reason   string          `json:"reason"`
		Element  json.RawMessage `json:"element"`
		Command  json.RawMessage `json:"command"`
		Response json.RawMessage `json:"response"`
		Path     string          `json:"path"`
		Started  *string         `json:"started_on"`
		Ended    *string         `json:"ended_on"`
	}
	recordWire struct {
		UUID            string  `json:"uuid"`
		Call            string  `json:"call"`
		Tag             *string `json:"tag"`
		State           string  `json:"state"`
		URL             *string `json:"url"`
		Format          string  `json:"format"`
		Channels        string  `json:"channels"`
		Duration        float64 `json:"duration"`
		Size            *int64  `json:"size"`
		SHA256          *string `json:"sha256"`
		ASR             bool    `json:"asr"`
		TranscriptState string  `json:"transcript_state"`
		Text            *string `json:"text"`
		Reason          *string `json:"reason"`
		AvailableOn     *string `json:"available_on"`
		ExpiredOn       *string `json:"expired_on"`
		stamps
	}
)

// source is the older constant of every call.
const source = "freeswitch"

// switchStates gives the older pair of states (events.md §4.2).
func switchStates(c *Call) (callState, channelState string) {
	switch c.State {
	case call.Init:
		return "DOWN", "CS_INIT"
	case call.Ringing:
		return "RINGING", "CS_EXECUTE"
	case call.Live:
		return "EARLY", "CS_EXECUTE"
	case call.Bridged:
		return "ACTIVE", "CS_EXCHANGE_MEDIA"
	case call.Hangup:
		if c.AnswerOn.IsZero() {
			return "DOWN", "CS_CONSUME_MEDIA"
		}
		return "HANGUP", "CS_HANGUP"
	}
	return "HANGUP", "CS_REPORTING"
}

func legacyState(c *Call) string {
	if c.over() {
		return "offline"
	}
	return "online"
}

func headOfCall(c *Call, now time.Time) callHead {
	return callHead{
		UUID: c.ID, Type: c.Kind, Direction: c.Direction, From: c.From, To: c.To, State: string(c.State),
		Duration: int64(math.Round(c.length(now).Seconds())), stamps: stamps{on(c.Created), on(c.Modified)},
	}
}

func stampsOf(c *Call) callStamps {
	return callStamps{on(c.InitOn), on(c.RingOn), on(c.AnswerOn), on(c.BridgeOn), on(c.HangupOn), on(c.DestroyOn), on(c.FinishedOn)}
}

func causeOf(c *Call) callCause {
	if !c.over() {
		return callCause{}
	}
	q850, name := c.Q850, call.Name(c.Q850)
	return callCause{&q850, &name, text(c.Stack)}
}

func factsOf(c *Call) callFacts {
	state, channel := switchStates(c)
	return callFacts{BridgedTo: text(c.BridgedTo), CallState: state, ChannelState: channel, Thread: text(c.Thread)}
}

func oursOf(c *Call) callOurs {
	return callOurs{
		Source: source, Meta: c.Meta, LegacyState: legacyState(c), Reason: text(c.Reason), HangupBy: text(c.HangupBy), Machine: text(c.Machine),
		Billed: c.Billed, Price: c.Price, Rate: c.Rate, SIPCallID: text(c.SIPCallID), RemoteIP: text(c.RemoteIP), Codec: text(c.Codec), Quality: c.Quality,
	}
}

func scalarsOf(c *Call, now time.Time) callScalars {
	return callScalars{headOfCall(c, now), stampsOf(c), causeOf(c), factsOf(c), oursOf(c)}
}

func parentOf(c *Call, now time.Time) *callParent {
	if c == nil {
		return nil
	}
	return &callParent{scalarsOf(c, now), null}
}

func wireLog(l *Log) logWire {
	state := "failed"
	if l.Success {
		state = "success"
	}
	response := l.Response
	if len(response) == 0 {
		response = null
	}
	return logWire{
		UUID: l.ID, stamps: stamps{on(l.Created), on(l.Created)}, Name: l.Name, Success: l.Success, State: state, Reason: l.Reason, Element: l.Element,
		Command: l.Command, Response: response, Path: l.Path, Started: on(l.Started), Ended: on(l.Ended),
	}
}

func wireLogs(logs []Log) []logWire {
	out := make([]logWire, 0, len(logs))
	for i := range logs {
		out = append(out, wireLog(&logs[i]))
	}
	return out
}

// recordPath is where a recording's sound is read.
func recordPath(id, format string) string { return "/rest/record/" + id + "." + format }

func (s *Service) recordURL(r *Record) string {
	if r.State != recordAvailable {
		return ""
	}
	return s.signedURL(recordPath(r.ID, r.Format))
}

func (s *Service) wireRecord(r *Record) recordWire {
	var size *int64
	if r.Size > 0 {
		size = &r.Size
	}
	return recordWire{
		UUID: r.ID, Call: r.Call, Tag: text(r.Tag), State: r.State, URL: text(s.recordURL(r)), Format: r.Format, Channels: r.Channels,
		Duration: float64(r.Duration.Milliseconds()) / 1000, Size: size, SHA256: text(r.SHA256), ASR: r.ASR, TranscriptState: r.TranscriptState, Text: text(r.Text),
		Reason: text(r.Reason), AvailableOn: on(r.AvailableOn), ExpiredOn: on(r.ExpiredOn), stamps: stamps{on(r.Created), on(r.Modified)},
	}
}

func (s *Service) wireRecords(records []Record) []recordWire {
	out := make([]recordWire, 0, len(records))
	for i := range records {
		out = append(out, s.wireRecord(&records[i]))
	}
	return out
}

// kin is what belongs to a leg and is not in its row.
type kin struct {
	parent   *Call
	children []Call
	records  []Record
	logs     []Log
}

// relations renders what a leg is tied to; the account is shown as the caller of relations renders it.
func (v *viewer) relations(ctx context.Context, c *Call, k kin, account json.RawMessage) (callRelations, error) {
	now := v.s.now()
	out := callRelations{
		Connection: null, SIPUser: null, Account: account, Parent: parentOf(k.parent, now), Children: make([]callScalars, 0, len(k.children)),
		Records: v.s.wireRecords(k.records), Logs: wireLogs(k.logs), Country: v.country(c.Country), Lerg: null, BatchItem: null, Hotkey: null,
	}
	for i := range k.children {
		out.Children = append(out.Children, scalarsOf(&k.children[i], now))
	}
	var err error
	if out.TN, err = v.tn(ctx, c.TN); err != nil {
		return out, err
	}
	if out.App, err = v.app(ctx, c.Account, c.App); err != nil {
		return out, err
	}
	if out.Lease, err = v.lease(ctx, c.Account, c.Lease); err != nil {
		return out, err
	}
	out.Profile, err = v.profile(ctx, c.Account, c.Profile)
	return out, err
}

// wholeCall renders Call with all stamps.
func (v *viewer) wholeCall(ctx context.Context, c *Call, k kin) (callWire, error) {
	account, err := v.callAccount(ctx, c.Account)
	if err != nil {
		return callWire{}, err
	}
	rel, err := v.relations(ctx, c, k, account)
	s := scalarsOf(c, v.s.now())
	return callWire{s.callHead, s.callStamps, s.callCause, s.callFacts, rel, s.callOurs}, err
}

// kinOf reads what belongs to a leg.
func kinOf(ctx context.Context, v *viewer, c *Call) (kin, error) {
	var k kin
	var err error
	if c.Parent != "" {
		p, err := legOf(ctx, v.q, c.Account, c.Parent)
		if err != nil {
			return k, err
		}
		k.parent = &p
	}
	if k.children, err = childrenOf(ctx, v.q, c.ID); err != nil {
		return k, err
	}
	if k.records, err = recordsOf(ctx, v.q, c.ID); err != nil {
		return k, err
	}
	k.logs, err = logsOf(ctx, v.q, c.ID)
	return k, err
}

// channel is the older channel object of SipControlAppCall; what is not known is an empty text.
type channel struct {
	UUID             string `json:"uuid"`
	CallState        string `json:"callstate"`
	State            string `json:"state"`
	Created          string `json:"created"`
	CreatedEpoch     int64  `json:"created_epoch"`
	CIDName          string `json:"cid_name"`
	CIDNum           string `json:"cid_num"`
	Name             string `json:"name"`
	Direction        string `json:"direction"`
	IPAddr           string `json:"ip_addr"`
	Dest             string `json:"dest"`
	Application      string `json:"application"`
	ApplicationData  string `json:"application_data"`
	Dialplan         string `json:"dialplan"`
	Context          string `json:"context"`
	ReadCodec        string `json:"read_codec"`
	ReadRate         string `json:"read_rate"`
	ReadBitRate      string `json:"read_bit_rate"`
	WriteCodec       string `json:"write_codec"`
	WriteRate        string `json:"write_rate"`
	WriteBitRate     string `json:"write_bit_rate"`
	Secure           string `json:"secure"`
	Hostname         string `json:"hostname"`
	PresenceID       string `json:"presence_id"`
	PresenceData     string `json:"presence_data"`
	CalleeName       string `json:"callee_name"`
	CalleeNum        string `json:"callee_num"`
	CalleeDirection  string `json:"callee_direction"`
	CallUUID         string `json:"call_uuid"`
	SentCalleeName   string `json:"sent_callee_name"`
	SentCalleeNumber string `json:"sent_callee_num"`
}

func channelOf(c *Call) channel {
	state, channelState := switchStates(c)
	direction := "inbound"
	if c.Direction == call.Out {
		direction = "outbound"
	}
	ch := channel{
		UUID: c.ID, CallState: state, State: channelState, Created: c.Created.UTC().Format(time.DateTime), CreatedEpoch: c.Created.Unix(),
		CIDNum: strings.TrimPrefix(c.From, "+"), Direction: direction, IPAddr: c.RemoteIP, Dest: c.To, CallUUID: c.Parent,
	}
	if c.Codec != "" {
		ch.ReadCodec, ch.ReadRate, ch.ReadBitRate = c.Codec, "8000", "64000"
		ch.WriteCodec, ch.WriteRate, ch.WriteBitRate = c.Codec, "8000", "64000"
	}
	return ch
}

// appCall is SipControlAppCall, the older view of a call: state and meta mean other things there.
type appCall struct {
	UUID    string          `json:"uuid"`
	TN      json.RawMessage `json:"tn"`
	From    string          `json:"from"`
	To      string          `json:"to"`
	State   string          `json:"state"`
	Source  string          `json:"source"`
	Account json.RawMessage `json:"account"`
	App     json.RawMessage `json:"sip_control_app"`
	Logs    []logWire       `json:"logs,omitzero"` // nil in search results: left out
	stamps
	Meta      channel `json:"meta"`
	CallState string  `json:"call_state"`
	Direction string  `json:"direction"`
	Duration  int64   `json:"duration"`
	Type      string  `json:"type"`
	callStamps
	callCause
	callFacts
	Connection json.RawMessage `json:"sip_connection"`
	SIPUser    json.RawMessage `json:"sip_user"`
	Parent     *callParent     `json:"parent"`
	Children   []callScalars   `json:"children"`
	Records    []recordWire    `json:"records"`
	Country    json.RawMessage `json:"country"`
	Lerg       json.RawMessage `json:"lerg"`
	BatchItem  json.RawMessage `json:"batch_item"`
	Hotkey     json.RawMessage `json:"hotkey"`
	Lease      json.RawMessage `json:"tn_lease"`
	Profile    json.RawMessage `json:"outbound_voice_profile"`
	Legacy     string          `json:"legacy_state"`
	Reason     *string         `json:"reason"`
	HangupBy   *string         `json:"hangup_by"`
	Machine    *string         `json:"machine"`
	Billed     *int            `json:"billed_duration"`
	Price      *money.Amount   `json:"price"`
	Rate       *money.Amount   `json:"rate"`
	SIPCallID  *string         `json:"sip_call_id"`
	RemoteIP   *string         `json:"remote_ip"`
	Codec      *string         `json:"codec"`
	Quality    *Quality        `json:"quality"`
}

func olderCall(c *Call, w callWire) appCall {
	return appCall{
		UUID: w.UUID, TN: w.TN, From: w.From, To: w.To, State: w.LegacyState, Source: w.Source, Account: w.Account, App: w.App, Logs: w.Logs, stamps: w.callHead.stamps,
		Meta: channelOf(c), CallState: w.callHead.State, Direction: w.Direction, Duration: w.Duration, Type: w.Type,
		callStamps: w.callStamps, callCause: w.callCause, callFacts: w.callFacts,
		Connection: w.Connection, SIPUser: w.SIPUser, Parent: w.Parent, Children: w.Children, Records: w.Records, Country: w.Country, Lerg: w.Lerg, BatchItem: w.BatchItem,
		Hotkey: w.Hotkey, Lease: w.Lease, Profile: w.Profile, Legacy: w.LegacyState, Reason: w.Reason, HangupBy: w.HangupBy, Machine: w.Machine, Billed: w.Billed, Price: w.Price,
		Rate: w.Rate, SIPCallID: w.SIPCallID, RemoteIP: w.RemoteIP, Codec: w.Codec, Quality: w.Quality,
	}
}
