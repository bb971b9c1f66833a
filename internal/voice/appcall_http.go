package voice

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
)

// appCallRoutes are the older views of calls, and the log of commands.
func (s *Service) appCallRoutes(a *httpapi.API) {
	const base = "/rest/sip/app"
	op := func(id, method, path, summary string) httpapi.Op {
		return httpapi.Op{ID: id, Method: method, Path: base + path, Tag: "SIP_Control_App", Summary: summary, Auth: httpapi.User, InDrain: strings.HasPrefix(path, "/call/{uuid}")}
	}
	httpapi.Handle(a, op("GetSIPControlAppCallsList", "GET", "/call/online", "List the live calls of control apps"), s.onlineCalls)
	httpapi.Handle(a, op("GetSIPControlAppCall", "GET", "/call/{uuid}", "Read a call of a control app"), s.getAppCall)
	push := op("ExecuteSIPControlAppCallExecuteCallFlow", "POST", "/call/{uuid}", "Run a document on a live call")
	push.Multipart, push.Live = true, true
	httpapi.Handle(a, push, s.pushAppCall)
	search := op("SearchSCACalls", "POST", "/call/search", "Search the calls of control apps")
	search.Scope = "sip:read"
	httpapi.Handle(a, search, s.searchAppCalls)
	logs := op("SearchCallFlowLogs", "POST", "/{uuid}/logs", "Search the commands that a control app ran")
	logs.Scope = "sip:read"
	httpapi.Handle(a, logs, s.searchAppLogs)
}

// moment is an optional time of a search.
func moment(t *httpapi.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

// common takes the members that all searches have.
func common(q *httpapi.Search, createdFrom, createdTo, modifiedFrom, modifiedTo *time.Time, order *[]Sort) {
	*createdFrom, *createdTo, *modifiedFrom, *modifiedTo = moment(q.CreatedFrom), moment(q.CreatedTo), moment(q.ModifiedFrom), moment(q.ModifiedTo)
	for _, o := range q.Order {
		*order = append(*order, Sort{o.Field, o.Desc})
	}
}

func (s *Service) olderCalls(ctx context.Context, legs []Call, withLogs bool) ([]appCall, error) {
	wires, err := s.listedCalls(ctx, legs)
	if err != nil {
		return nil, err
	}
	out := make([]appCall, 0, len(wires))
	for i := range wires {
		one := olderCall(&legs[i], wires[i])
		if !withLogs {
			one.Logs = nil
		}
		out = append(out, one)
	}
	return out, nil
}

func (s *Service) onlineCalls(ctx context.Context, in *httpapi.List) ([]appCall, error) {
	legs, total, err := searchLegs(ctx, s.db.Read(), CallFilter{Account: httpapi.Who(ctx).Account, AppsOnly: true, LiveOnly: true, Take: in.Take, Skip: in.Skip})
	if err != nil {
		return nil, err
	}
	httpapi.SetTotal(ctx, total)
	return s.olderCalls(ctx, legs, true)
}

func (s *Service) getAppCall(ctx context.Context, in *callKey) (appCall, error) {
	c, w, err := s.shownCall(ctx, httpapi.Who(ctx).Account, in.UUID)
	if err != nil {
		return appCall{}, err
	}
	return olderCall(c, w), nil
}

func (s *Service) pushAppCall(ctx context.Context, in *pushRequest) (appCall, error) {
	return command(ctx, func() (appCall, error) { return s.getAppCall(ctx, &in.callKey) }, func() error { return s.push(ctx, in) })
}

type appCallSearch struct {
	httpapi.Search `orderable:"tn,to,from,state,created_on,modified_on"`
	TN             string              `json:"tn" lenient:"true" maxLength:"64" format:"tnmask" doc:"number or mask"`
	From           string              `json:"from" lenient:"true" maxLength:"255" format:"party" doc:"number or mask"`
	To             string              `json:"to" lenient:"true" maxLength:"255" format:"party" doc:"number or mask"`
	State          string              `json:"state" enum:"init,ringing,live,bridged,hangup,destroyed,online,offline"`
	App            httpapi.Opt[string] `json:"sip_control_app" format:"uuid"`
}

func (s *Service) searchAppCalls(ctx context.Context, in *appCallSearch) (httpapi.Page[appCall], error) {
	f := CallFilter{
		Account: httpapi.Who(ctx).Account, Or: in.Or(), AppsOnly: true, TN: in.TN, From: in.From, To: in.To, States: statesOf(in.State),
		App: in.App.V, NoApp: in.App.Null, Take: in.Take, Skip: in.Skip,
	}
	common(&in.Search, &f.CreatedFrom, &f.CreatedTo, &f.ModifiedFrom, &f.ModifiedTo, &f.Order)
	legs, total, err := searchLegs(ctx, s.db.Read(), f)
	if err != nil {
		return httpapi.Page[appCall]{}, err
	}
	out, err := s.olderCalls(ctx, legs, false)
	return httpapi.PageOf(in.Search, total, out), err
}

type logSearch struct {
	appKey
	httpapi.Search `orderable:"name,from,tn,channel_uuid,created_on,modified_on"`
	Name           string `json:"name" fold:"true" enum:"Dial,Gather,Hangup,Pause,Play,Reject,Redirect,Record,Say,Callback,Switch,Case,Default,Error,Answer,Hold,Unhold,Tone,Meta,Curl,Call,Geo,Schedule,RecordStart,RecordStop,RecordWait,DTMF,To,Response,Number,Sip,Group,Conference,Header,Body,Transfer,MachineDetection"`
	Success        *bool  `json:"success"`
	From           string `json:"from" lenient:"true" maxLength:"255" format:"party" doc:"number or mask"`
	TN             string `json:"tn" lenient:"true" maxLength:"64" format:"tnmask" doc:"number or mask"`
	Call           string `json:"call" format:"uuid"`
}

// appLog is CallFlow in a log search.
type appLog struct {
	logWire
	Call json.RawMessage `json:"call"`
	App  json.RawMessage `json:"sip_control_app"`
}

func (s *Service) searchAppLogs(ctx context.Context, in *logSearch) (httpapi.Page[appLog], error) {
	account := httpapi.Who(ctx).Account
	if _, err := s.App(ctx, account, in.UUID); err != nil {
		return httpapi.Page[appLog]{}, err
	}
	f := LogFilter{Account: account, App: in.UUID, Or: in.Or(), Name: in.Name, Success: in.Success, From: in.From, TN: in.TN, Call: in.Call, Take: in.Take, Skip: in.Skip}
	common(&in.Search, &f.CreatedFrom, &f.CreatedTo, &f.ModifiedFrom, &f.ModifiedTo, &f.Order)
	logs, total, err := searchLogs(ctx, s.db.Read(), f)
	if err != nil {
		return httpapi.Page[appLog]{}, err
	}
	v := s.viewer(s.db.Read())
	out := make([]appLog, 0, len(logs))
	for i := range logs {
		one, err := s.shownLog(ctx, v, &logs[i])
		if err != nil {
			return httpapi.Page[appLog]{}, err
		}
		out = append(out, one)
	}
	return httpapi.PageOf(in.Search, total, out), nil
}

func (s *Service) shownLog(ctx context.Context, v *viewer, l *Log) (appLog, error) {
	leg, err := v.get("leg "+l.Call, func() (json.RawMessage, error) {
		c, err := legOf(ctx, v.q, l.Account, l.Call)
		if err != nil {
			return nil, err
		}
		return encode(scalarsOf(&c, s.now())), nil
	})
	if err != nil && !fault.Is(err, fault.NotFound) {
		return appLog{}, err
	}
	app, err := v.app(ctx, l.Account, l.App)
	return appLog{wireLog(l), leg, app}, err
}
