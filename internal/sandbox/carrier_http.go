package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/money"
)

const base = "/rest/sandbox"

func op(id, method, path, summary string) httpapi.Op {
	scope := "voice"
	if path == "/sms" {
		scope = "messaging"
	}
	// A simulated call dies with the server, so a retry after a crash may make it anew. A simulated message is but rows.
	return httpapi.Op{ID: id, Method: method, Path: base + path, Tag: "Sandbox", Summary: summary, Auth: httpapi.User, Scope: scope, Live: path == "/call"}
}

func created(o httpapi.Op) httpapi.Op {
	o.Status = 201
	return o
}

// Routes registers the operations of the sandbox.
func (n *Carrier) Routes(a *httpapi.API) {
	httpapi.Handle(a, op("GetSandbox", "GET", "", "List the magic numbers and rules of the sandbox"), n.getSandbox)
	httpapi.Handle(a, created(op("SandboxCall", "POST", "/call", "Let a simulated caller ring a number of the account")), n.postCall)
	httpapi.Handle(a, op("ListSandboxCalls", "GET", "/call", "List the scripted calls and the recordings of the answering machine, latest first"), n.listCalls)
	httpapi.Handle(a, op("GetSandboxCall", "GET", "/call/{uuid}", "Read what came of a scripted call, by the uuid of the platform's call"), n.getCall)
	hear := op("GetSandboxCallAudio", "GET", "/call/{uuid}/audio", "Hear what the simulated side heard")
	hear.Produces = "audio/wav"
	httpapi.HandleRaw(a, hear, n.getAudio)
	httpapi.Handle(a, created(op("SandboxSms", "POST", "/sms", "Let a simulated phone send a message to a number of the account")), n.postSMS)
}

// RoutesOff answers the operations while there is no sandbox.
func RoutesOff(a *httpapi.API) {
	off := func(context.Context, *httpapi.Empty) (httpapi.Empty, error) {
		return httpapi.Empty{}, fault.Missing("Sandbox")
	}
	httpapi.Handle(a, op("GetSandbox", "GET", "", "List the magic numbers and rules of the sandbox"), off)
	httpapi.Handle(a, op("SandboxCall", "POST", "/call", "Let a simulated caller ring a number of the account"), off)
	httpapi.Handle(a, op("SandboxSms", "POST", "/sms", "Let a simulated phone send a message to a number of the account"), off)
}

// sandboxView is Sandbox of the contract.
type sandboxView struct {
	Active  bool         `json:"is_active"`
	Numbers []numberView `json:"numbers"`
	Rules   []ruleView   `json:"rules"`
	Credit  money.Amount `json:"credit"`
}

type ruleView struct {
	Numbers   string `json:"numbers" doc:"which numbers, in words"`
	Behaviour string `json:"behaviour"`
}

type numberView struct {
	Number    e164.Number `json:"number"`
	Kind      string      `json:"kind" enum:"voice,sms"`
	Behaviour string      `json:"behaviour"`
}

func (n *Carrier) getSandbox(context.Context, *struct{}) (sandboxView, error) {
	v := sandboxView{Active: true, Credit: n.cfg.Credit}
	for _, m := range Numbers() {
		v.Numbers = append(v.Numbers, numberView(m))
	}
	for _, r := range Rules() {
		v.Rules = append(v.Rules, ruleView(r))
	}
	return v, nil
}

// stepBody is SandboxStep of the contract: exactly one member.
type stepBody struct {
	WaitMS *int    `json:"wait_ms,omitempty" min:"0" max:"600000"`
	Digits *string `json:"digits,omitempty" minLength:"1" maxLength:"64" pattern:"^[0-9*#A-Da-dwW]+$"`
	Play   *string `json:"play_url,omitempty" format:"url"`
	Say    *string `json:"say,omitempty" minLength:"1" maxLength:"1000"`
	Hangup *bool   `json:"hangup,omitempty"`
	Expect *string `json:"expect_say,omitempty" maxLength:"1000" doc:"any sound when empty"`
}

// steps are the members that are there.
func (b *stepBody) steps() []Step {
	var out []Step
	if b.WaitMS != nil {
		out = append(out, Step{Kind: StepWait, Wait: time.Duration(*b.WaitMS) * time.Millisecond})
	}
	for _, m := range []struct {
		kind string
		text *string
	}{{StepDigits, b.Digits}, {StepPlay, b.Play}, {StepSay, b.Say}, {StepExpect, b.Expect}} {
		if m.text != nil {
			out = append(out, Step{Kind: m.kind, Text: *m.text})
		}
	}
	if b.Hangup != nil && *b.Hangup {
		out = append(out, Step{Kind: StepHangup})
	}
	return out
}

func bodyOf(s Step) stepBody {
	text, yes, ms := s.Text, true, int(s.Wait.Milliseconds())
	switch s.Kind {
	case StepWait:
		return stepBody{WaitMS: &ms}
	case StepDigits:
		return stepBody{Digits: &text}
	case StepPlay:
		return stepBody{Play: &text}
	case StepSay:
		return stepBody{Say: &text}
	case StepExpect:
		return stepBody{Expect: &text}
	}
	return stepBody{Hangup: &yes}
}

type callBody struct {
	From   e164.Number `json:"from" required:"true"`
	To     e164.Number `json:"to" required:"true"`
	Script []stepBody  `json:"script" maxItems:"100"`
}

// Validate wants exactly one member in each step.
func (b *callBody) Validate(f *fault.Fields) {
	for i := range b.Script {
		if len(b.Script[i].steps()) != 1 {
			f.Add(fmt.Sprintf("script.%d", i), "exactly one of wait_ms, digits, play_url, say, hangup, expect_say", nil)
		}
	}
}

func (n *Carrier) postCall(ctx context.Context, in *callBody) (json.RawMessage, error) {
	q := CallRequest{Account: httpapi.Who(ctx).Account, From: in.From, To: in.To}
	for i := range in.Script {
		q.Script = append(q.Script, in.Script[i].steps()...)
	}
	return n.Call(ctx, q)
}

type messageBody struct {
	From    e164.Number `json:"from" required:"true"`
	To      e164.Number `json:"to" required:"true"`
	Message string      `json:"message" required:"true" minLength:"1" maxLength:"918"`
}

func (n *Carrier) postSMS(ctx context.Context, in *messageBody) (json.RawMessage, error) {
	return n.Message(ctx, httpapi.Who(ctx).Account, in.From, in.To, in.Message)
}

// runView is a call of the sandbox as its owner sees it.
type runView struct {
	UUID      string        `json:"uuid"`
	Kind      string        `json:"kind" enum:"script,machine"`
	From      e164.Number   `json:"from"`
	To        e164.Number   `json:"to"`
	SIPCallID string        `json:"sip_call_id"`
	State     string        `json:"state" enum:"calling,answered,ended,failed"`
	Steps     []stepView    `json:"steps"`
	Status    *int          `json:"sip_status"` // of a call that was not answered
	Q850      *int          `json:"q850_code"`
	By        *string       `json:"hangup_by" enum:"us,them,nobody"`
	In        int64         `json:"packets_in"`
	Out       int64         `json:"packets_out"`
	Digits    string        `json:"digits"` // that the platform pressed
	Duration  float64       `json:"heard_seconds"`
	Audio     *string       `json:"audio"`
	Created   httpapi.Time  `json:"created_on"`
	Finished  *httpapi.Time `json:"finished_on"`
}

type stepView struct {
	Step   stepBody `json:"step"`
	OK     bool     `json:"ok"`
	Heard  *string  `json:"heard"`
	Detail *string  `json:"detail"`
}

func viewOf(r *Run) runView {
	res := r.Result()
	v := runView{
		UUID: r.ID, Kind: r.Kind, From: r.From, To: r.To, SIPCallID: r.SIPCallID, State: res.State, Steps: []stepView{},
		Status: orNil(res.Outcome.Status), Q850: orNil(res.Outcome.Q850), By: orNil(res.Outcome.By),
		In: int64(res.Stats.PacketsReceived), Out: int64(res.Stats.PacketsSent), Digits: res.Keys, Duration: audio.Duration(len(res.Sound)).Seconds(),
		Created: httpapi.TimeOf(r.Started), Finished: httpapi.TimeOrNil(res.Ended),
	}
	for _, s := range res.Steps {
		view := stepView{Step: bodyOf(s.Step), OK: s.OK, Detail: orNil(s.Detail)}
		if s.Step.Kind == StepExpect {
			view.Heard = &s.Heard
		}
		v.Steps = append(v.Steps, view)
	}
	if len(res.Sound) > 0 {
		url := base + "/call/" + r.ID + "/audio"
		v.Audio = &url
	}
	return v
}

func orNil[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func (n *Carrier) listCalls(ctx context.Context, in *httpapi.List) ([]runView, error) {
	runs, err := n.Runs(ctx, httpapi.Who(ctx).Account)
	if err != nil {
		return nil, err
	}
	httpapi.SetTotal(ctx, len(runs))
	out := []runView{}
	for _, r := range runs[min(in.Skip, len(runs)):min(in.Skip+in.Take, len(runs))] {
		out = append(out, viewOf(r))
	}
	return out, nil
}

type callKey struct {
	UUID string `path:"uuid" format:"uuid"`
}

func (n *Carrier) getCall(ctx context.Context, in *callKey) (runView, error) {
	r, err := n.Find(ctx, httpapi.Who(ctx).Account, in.UUID)
	if err != nil {
		return runView{}, err
	}
	return viewOf(r), nil
}

func (n *Carrier) getAudio(w http.ResponseWriter, r *http.Request, in *callKey) error {
	run, err := n.Find(r.Context(), httpapi.Who(r.Context()).Account, in.UUID)
	if err != nil {
		return err
	}
	res := run.Result()
	if len(res.Sound) == 0 {
		return fault.Missing("Audio")
	}
	var wav bytes.Buffer
	if err := audio.EncodeWAV(&wav, res.Sound); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "audio/wav")
	http.ServeContent(w, r, "", res.Ended, bytes.NewReader(wav.Bytes()))
	return nil
}
