package voice

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/number"
	"github.com/opentact/opentact/internal/voice/call"

	"go.uber.org/goleak"
)

// from the carrier that the tests trust.
func inviteTo(l number.Lease) *fakeInvite {
	return &fakeInvite{to: "+" + string(l.TN), from: "+13125550144", source: "192.0.2.9:5060", callID: ident.New()}
}

func TestInboundCallRunsItsFlowAndIsToldInOrder(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, nil)
		a, l := h.app(func(a *App) {
			a.StaticFlow, a.WebhookURL, a.WebhookMethod = `<Response><Answer tag="t"/></Response>`, "https://hooks.example.org/c?shop=2", "POST"
		})
		inv := inviteTo(l)
		h.s.invite(inv)
		first := h.next("", CallStateEvent)
		id := first.RefID
		has(t, first.Payload, map[string]string{"state": `"init"`, "type": `"CallSCA"`, "direction": `"in"`, "from": `"+13125550144"`, "to": `"` + string(l.TN) + `"`, "answer_on": "null", "state_end": "null", "source": `"freeswitch"`})
		has(t, first.Call, map[string]string{"freeswitch_call_state": `"DOWN"`, "freeswitch_channel_state": `"CS_INIT"`, "legacy_state": `"online"`, "parent": "null", "children": "[]", "hotkey": "null"})
		for _, absent := range []string{"q850_cause", "answer_on", "ring_on"} {
			if _, there := first.Call[absent]; there {
				t.Errorf("%s stands in the call of init", absent)
			}
		}
		if first.Message != "CallSCA in +13125550144 > "+string(l.TN)+" - init" || first.Account["balance"] == nil {
			t.Errorf("%q %v", first.Message, first.Account)
		}
		app := first.Call["sip_control_app"].(map[string]any)
		if app["uuid"] != a.ID || first.Payload["sip_control_app"] == nil || first.Payload["account"] == nil {
			t.Errorf("objects of the event: %v", first.Payload)
		}
		var order []string
		var log, last envelope
		for len(order) == 0 || order[len(order)-1] != "destroyed" {
			e := h.next(id, CallStateEvent, CallFlowEvent)
			if e.Type == "call_flow" {
				log = e
				order = append(order, e.Command.(string))
				continue
			}
			last = e
			order = append(order, e.Payload["state"].(string))
		}
		if want := []string{"ringing", "live", "Answer", "hangup", "destroyed"}; !slices.Equal(order, want) {
			t.Errorf("order %v, want %v", order, want)
		}
		has(t, log.CallFlow, map[string]string{"name": `"Answer"`, "success": "true", "state": `"success"`, "reason": `"Call answered"`, "path": `"Answer[0]"`})
		if log.Message != "Answer: success true, reason: Call answered" || log.Success == nil || !*log.Success || log.Payload["command"].(map[string]any)["attributes"].(map[string]any)["tag"] != "t" {
			t.Errorf("call_flow %+v", log)
		}
		has(t, last.Call, map[string]string{"q850_cause": "16", "q850_cause_string": `"NORMAL_CLEARING"`, "freeswitch_channel_state": `"CS_REPORTING"`, "legacy_state": `"offline"`})
		if logs := last.Call["logs"].([]any); len(logs) != 1 || last.Payload["finished_on"] == nil || last.Payload["state_end"] != last.Payload["finished_on"] {
			t.Errorf("destroyed: %v", last.Call)
		}
		o := h.do("GET", "/rest/call/"+id, "").is(200).object()
		has(t, o, map[string]string{"state": `"destroyed"`, "q850_cause": "16", "price": "0.00055", "billed_duration": "6", "sip_call_id": `"` + inv.callID + `"`, "country": "null"})
		if len(o["logs"].([]any)) != 1 || o["tn_lease"].(map[string]any)["uuid"] != l.ID || len(o["thread"].(string)) != 32 {
			t.Errorf("call: %v", o)
		}
		h.send(h.bob, "GET", "/rest/call/"+id, "", nil).is(404)
		h.hooksOf(id, "sca_call_started", "call_state", "call_state", "call_state", "sca_call_finished")
	})
}

// hooksOf checks the webhooks of a call.
func (h *house) hooksOf(id string, want ...string) {
	h.t.Helper()
	var got []string
	for _, n := range h.hooks.sent() {
		if n.Order == id {
			got = append(got, n.Trigger)
			if n.Method != "POST" || !strings.Contains(n.URL, "?shop=2&state=") || !strings.Contains(n.URL, "&from=%2B13125550144&") || !strings.Contains(string(n.Body), `"sip_control_app":{`) {
				h.t.Errorf("notice %+v", n)
			}
		}
	}
	if !slices.Equal(got, want) {
		h.t.Errorf("webhooks %v, want %v", got, want)
	}
}

func TestCallsOfNobodyAreRefusedWithoutATrace(t *testing.T) {
	suspected := 0
	h := build(t, dbtest.SQLite(t), func(c *Config) { c.Suspect = func(netip.Addr) { suspected++ } })
	_, l := h.app(func(*App) {})
	defer func() {
		if suspected != 2 {
			t.Errorf("%d calls were held against their source, want those of sources that nobody knows", suspected)
		}
	}()
	for name, tc := range map[string]struct {
		change func(*fakeInvite)
		status int
		q850   int
	}{
		"unknown source":      {func(i *fakeInvite) { i.source = "198.51.100.1:5060" }, 403, 21},
		"forged loop":         {func(i *fakeInvite) { i.source = "198.51.100.1:5060"; i.headers = map[string]string{loopHeader: "x"} }, 403, 21},
		"unknown number":      {func(i *fakeInvite) { i.to = "+12125559999" }, 404, 1},
		"not a number at all": {func(i *fakeInvite) { i.to = "bob" }, 404, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inv := inviteTo(l)
			tc.change(inv)
			h.s.invite(inv)
			if inv.status != tc.status || inv.reason.Q850 != tc.q850 || len(h.fake.refused) != 0 || len(h.fake.calls) != 0 {
				t.Errorf("%d %d, stored %v", inv.status, inv.reason.Q850, h.fake.refused)
			}
		})
	}
}

func TestRefusalsAreStoredWithTheirReason(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, nil)
		a, l := h.app(func(a *App) { a.WebhookURL = "https://hooks.example.org/" })
		check := func(status, q850 int, reason string) {
			t.Helper()
			h.s.invite(inviteTo(l))
			if c := h.fake.last(); c.SIP != status || c.Q850 != q850 || c.Reason != reason {
				t.Fatalf("%+v, want %d %d %s", c, status, q850, reason)
			}
			first := h.next("", CallStateEvent)
			has(t, first.Payload, map[string]string{"state": `"hangup"`, "reason": `"` + reason + `"`})
			h.states(first.RefID, "destroyed")
		}
		patch := func(on bool) {
			t.Helper()
			_, err := h.s.ChangeApp(t.Context(), h.ann.Account, h.ann.ID, a.ID, func(a *App) { a.Active = on })
			h.must(err)
		}
		patch(false)
		check(480, 18, "no_target")
		patch(true)
		_, err := h.s.AssignLeases(t.Context(), number.By{Account: h.ann.Account}, a.ID, nil, []string{l.ID})
		h.must(err)
		check(404, 1, "no_target")
		_, err = h.s.AssignLeases(t.Context(), number.By{Account: h.ann.Account}, a.ID, []string{l.ID}, nil)
		h.must(err)
		one := 1
		_, err = h.acc.Administer(t.Context(), h.ann.Account, account.AdminPatch{Limits: &account.LimitsPatch{Channels: &one}})
		h.must(err)
		h.s.taken.take(h.ann.Account, 0)
		check(486, 17, "limit_channels")
		h.empty()
		check(486, 17, "limit_channels") // before the balance, and that before the target
		h.s.taken.free(h.ann.Account)
		patch(false)
		check(480, 18, "no_balance")
		patch(true)
		if len(h.s.taken.used) != 0 {
			t.Error("a refused call keeps a channel")
		}
		yes := true
		_, err = h.acc.Administer(t.Context(), h.ann.Account, account.AdminPatch{Disabled: &yes})
		h.must(err)
		check(480, 18, "account_disabled")
		if n := len(h.hooks.sent()); n != 0 {
			t.Errorf("%d webhooks for refused calls", n)
		}
	})
}

func TestAnsweredCallWithoutMoneyLeftIsEnded(t *testing.T) {
	h := build(t, dbtest.SQLite(t), nil)
	_, l := h.app(func(a *App) { a.AutoAnswer, a.StaticFlow = true, "" })
	h.leave("0.001") // pays for the first 6 seconds, not for the minute that is reserved
	h.s.invite(inviteTo(l))
	id := h.next("", CallStateEvent).RefID
	last := h.states(id, "ringing", "live", "hangup", "destroyed")
	has(t, last.Payload, map[string]string{"reason": `"no_balance"`, "hangup_by": `"platform"`})
}

func TestFetchedFlowFallsBackAndTellsTheCaller(t *testing.T) {
	var asked atomic.Int32
	var query atomic.Value
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/good":
			query.Store(r.URL.RawQuery)
			w.Header().Set("Content-Type", "application/xml")
			_, _ = w.Write([]byte(`<Response><Answer/></Response>`))
		case "/words":
			_, _ = w.Write([]byte(`hello`))
		case "/bad":
			_, _ = w.Write([]byte(`<Response><Foo/></Response>`))
		case "/empty":
			w.WriteHeader(204)
		default:
			asked.Add(1)
			w.WriteHeader(500)
		}
	}))
	defer web.Close()
	h := build(t, dbtest.SQLite(t), nil)
	a, l := h.app(func(a *App) {})
	run := func(change func(*App)) (logs []string, last envelope) {
		t.Helper()
		_, err := h.s.ChangeApp(t.Context(), h.ann.Account, h.ann.ID, a.ID, func(a *App) {
			a.FlowURL, a.FallbackURL, a.StaticFlow, a.FlowMethod, a.ParkTimeout = "", "", "", "GET", time.Millisecond
			change(a)
		})
		h.must(err)
		h.s.invite(inviteTo(l))
		id := h.next("", CallStateEvent).RefID
		for last.Payload == nil || last.Payload["state"] != "destroyed" {
			e := h.next(id, CallStateEvent, CallFlowEvent)
			if e.Type == "call_flow" {
				command := e.Payload["command"].(map[string]any)
				logs = append(logs, fmt.Sprintf("%s, %v %v", e.Message, command["source"], command["instead"]))
				continue
			}
			last = e
		}
		return logs, last
	}
	logs, last := run(func(a *App) { a.FlowURL = web.URL + "/good?own=1" })
	if len(logs) != 1 || !strings.HasPrefix(logs[0], "Answer: success true") {
		t.Errorf("good: %v", logs)
	}
	if q, _ := query.Load().(string); !strings.HasPrefix(q, "own=1&from=%2B13125550144&to="+string(l.TN)+"&call=") || !strings.Contains(q, "&sca="+a.ID+"&") || !strings.HasSuffix(q, "&direction=in&state=ringing") {
		t.Errorf("query %s", q)
	}
	logs, last = run(func(a *App) { a.FlowURL = web.URL + "/gone" })
	if len(logs) != 1 || logs[0] != "Response: success false, reason: HTTP 500, call_flow_url <nil>" || last.Payload["reason"] != "flow_unavailable" || asked.Load() != 2 {
		t.Errorf("gone: %v %v, asked %d times", logs, last.Payload["reason"], asked.Load())
	}
	if logs, last = run(func(a *App) { a.FlowURL = web.URL + "/bad" }); last.Payload["reason"] != "flow_error" || len(logs) != 1 || !strings.Contains(logs[0], "line 1, column 11: unknown element <Foo>") {
		t.Errorf("bad: %v %v", logs, last.Payload["reason"])
	}
	if _, last = run(func(a *App) { a.FlowURL = web.URL + "/words" }); last.Payload["reason"] != "flow_error" {
		t.Errorf("words: %v", last.Payload["reason"])
	}
	const missed = "Response: success false, reason: HTTP 500, "
	logs, _ = run(func(a *App) { a.FlowURL, a.FallbackURL = web.URL+"/gone", web.URL+"/good" })
	if len(logs) != 2 || logs[0] != missed+"call_flow_url call_flow_fallback_url" || !strings.HasPrefix(logs[1], "Answer") {
		t.Errorf("fallback: %v", logs)
	}
	logs, _ = run(func(a *App) { a.FlowURL, a.StaticFlow = web.URL+"/gone", `<Response><Answer/></Response>` })
	if len(logs) != 2 || logs[0] != missed+"call_flow_url static" || !strings.HasPrefix(logs[1], "Answer") {
		t.Errorf("static reserve: %v", logs)
	}
	logs, last = run(func(a *App) { a.FlowURL, a.FallbackURL = web.URL+"/bad", web.URL+"/gone" })
	if len(logs) != 2 || !strings.HasSuffix(logs[0], "call_flow_url call_flow_fallback_url") || logs[1] != missed+"call_flow_fallback_url <nil>" || last.Payload["reason"] != "flow_error" {
		t.Errorf("both failed: %v %v", logs, last.Payload["reason"])
	}
	if _, last = run(func(a *App) { a.FlowURL = web.URL + "/empty" }); last.Payload["reason"] != "park_timeout" {
		t.Errorf("empty: %v", last.Payload["reason"])
	}
}

func TestPushReachesParkedAndRunningCallsAndEndedOnesAnswer409(t *testing.T) {
	h := build(t, dbtest.SQLite(t), nil)
	_, l := h.app(func(a *App) { a.AutoAnswer = true })
	h.s.invite(inviteTo(l))
	id := h.next("", CallStateEvent).RefID
	h.states(id, "ringing", "live")
	h.do("POST", "/rest/call/sca/"+id, `{"xml":"<Response><Bar/></Response>"}`).is(400)
	h.send(h.bob, "POST", "/rest/call/sca/"+id, "application/xml", strings.NewReader(greeting)).is(404)
	o := h.do("POST", "/rest/call/sca/"+id, `{"xml":"<Response><Pause length=\"1\"/></Response>"}`).is(200)
	has(t, o.object(), map[string]string{"uuid": `"` + id + `"`, "state": `"live"`})
	if e := h.next(id, CallFlowEvent); e.Success == nil {
		t.Errorf("%+v", e)
	}
	older := h.send(h.token, "POST", "/rest/sip/app/call/"+id+"?mode=append", "text/xml", strings.NewReader(`<Response><Hangup/></Response>`)).is(200).object()
	has(t, older, map[string]string{"state": `"online"`, "source": `"freeswitch"`})
	h.states(id, "hangup", "destroyed")
	a := h.do("POST", "/rest/call/sca/"+id, `{"xml":"<Response/>"}`).is(409)
	if a.body["meta"] != "call_ended" {
		t.Errorf("%s", a.raw)
	}
	h.do("DELETE", "/rest/call/"+id, "").is(409)
	h.do("POST", "/rest/call/"+id+"/dtmf", `{"digits":"1"}`).is(409)
}

// ran gives the tags of the commands that a call ran until its end, and its last event.
func (h *house) ran(id string) (tags []string, last envelope) {
	h.t.Helper()
	for last.Payload == nil || last.Payload["state"] != "destroyed" {
		last = h.next(id, CallStateEvent, CallFlowEvent)
		if last.Type == "call_flow" {
			attributes := last.Payload["command"].(map[string]any)["attributes"].(map[string]any)
			tags = append(tags, fmt.Sprint(attributes["tag"]))
		}
	}
	return tags, last
}

func TestPushToACallThatRingsRunsOnceItIsAnswered(t *testing.T) {
	n := &network{}
	h := build(t, dbtest.SQLite(t), func(c *Config) { c.Routes = n })
	_, l := h.app(func(*App) {})
	n.own, n.lease = l.TN, l.ID
	const other = `<Response><Pause length="1" tag="other"/><Hangup/></Response>`
	for mode, want := range map[string][]string{"replace": {"other"}, "append": {"first", "other"}} {
		id := h.do("POST", "/rest/call", `{"to":13125550190,"xml":"<Response><Pause length=\"1\" tag=\"first\"/></Response>"}`).is(201).object()["uuid"].(string)
		h.send(h.token, "POST", "/rest/call/sca/"+id+"?mode="+mode, "text/xml", strings.NewReader(other)).is(200)
		c, _ := h.fake.Find(id)
		h.must(c.(*fakeCall).Answer(t.Context()))
		if tags, _ := h.ran(id); !slices.Equal(tags, want) {
			t.Errorf("%s: ran %v, want %v", mode, tags, want)
		}
	}
}

func TestPushWhileTheDocumentIsAskedForKeepsItsMode(t *testing.T) {
	asked, goOn := make(chan bool), make(chan int)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- true
		w.WriteHeader(<-goOn)
		_, _ = w.Write([]byte(`<Response><Pause length="1" tag="first"/></Response>`))
	}))
	defer web.Close()
	h := build(t, dbtest.SQLite(t), nil)
	_, l := h.app(func(a *App) { a.FlowURL = web.URL })
	const other = `<Response><Pause length="1" tag="other"/><Hangup/></Response>`
	for _, tc := range []struct {
		mode   string
		status int
		want   []string
	}{
		{"replace", 200, []string{"other"}},
		{"append", 200, []string{"first", "other"}},
		{"append", 404, []string{"<nil>", "other"}}, // the first is the report of the failure
	} {
		h.s.invite(inviteTo(l))
		id := h.next("", CallStateEvent).RefID
		<-asked
		h.send(h.token, "POST", "/rest/call/sca/"+id+"?mode="+tc.mode, "text/xml", strings.NewReader(other)).is(200)
		goOn <- tc.status
		if tags, _ := h.ran(id); !slices.Equal(tags, tc.want) {
			t.Errorf("%s %d: ran %v, want %v", tc.mode, tc.status, tags, tc.want)
		}
	}
}

func TestRequestsOfADocumentAreSignedButThoseOfCurl(t *testing.T) {
	signed := make(chan string, 8)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		at, err := strconv.ParseInt(r.Header.Get("Webhook-Timestamp"), 10, 64)
		want := signedHeader(nil, "whsec_eA==", strings.TrimPrefix(r.Header.Get("Webhook-Id"), "msg_"), time.Unix(at, 0), body)
		signed <- fmt.Sprint(r.URL.Path, " ", err == nil && r.Header.Get("Webhook-Signature") == want["Webhook-Signature"][0])
		if r.URL.Path != "/older" { // whose empty answer goes on
			_, _ = w.Write([]byte(`<Response/>`))
		}
	}))
	defer web.Close()
	h := build(t, dbtest.SQLite(t), nil)
	_, l := h.app(func(a *App) {
		a.WebhookSecret, a.ParkTimeout = "whsec_eA==", time.Millisecond
		a.StaticFlow = strings.ReplaceAll(`<Response><Curl url="@/curl"/><Callback url="@/insert" method="POST" body="true" mode="insert"/>
			<Gather timeout="1" callback="@/older"/><Redirect>@/redirect</Redirect></Response>`, "@", web.URL)
	})
	h.s.invite(inviteTo(l))
	for _, want := range []string{"/curl false", "/insert true", "/older true", "/redirect true"} {
		if got := <-signed; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestAnyDocumentOfAnAppWithoutOneParks(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`<Response><Pause length="1" tag="jumped"/></Response>`))
	}))
	defer web.Close()
	h := build(t, dbtest.SQLite(t), nil)
	_, l := h.app(func(a *App) { a.AutoAnswer, a.ParkTimeout = true, 100*time.Millisecond })
	h.s.invite(inviteTo(l))
	id := h.next("", CallStateEvent).RefID
	h.send(h.token, "POST", "/rest/call/sca/"+id, "text/xml", strings.NewReader(`<Response><Redirect tag="r">`+web.URL+`</Redirect></Response>`)).is(200)
	tags, last := h.ran(id)
	if !slices.Equal(tags, []string{"r", "jumped"}) || last.Payload["reason"] != "park_timeout" {
		t.Errorf("ran %v, ended with %v", tags, last.Payload["reason"])
	}
}

func TestLiveCallsAreListedSearchedAndEnded(t *testing.T) {
	h := build(t, dbtest.SQLite(t), nil)
	a, l := h.app(func(a *App) { a.AutoAnswer = true })
	h.s.invite(inviteTo(l))
	id := h.next("", CallStateEvent).RefID
	h.states(id, "ringing", "live")
	online := h.do("GET", "/rest/sip/app/call/online", "").is(200).list()
	if len(online) != 1 {
		t.Fatalf("online %v", online)
	}
	o := online[0].(map[string]any)
	has(t, o, map[string]string{"state": `"online"`, "call_state": `"live"`, "logs": "[]"})
	has(t, o["meta"].(map[string]any), map[string]string{"callstate": `"EARLY"`, "direction": `"inbound"`, "cid_num": `"13125550144"`, "hostname": `""`})
	has(t, h.do("GET", "/rest/sip/app/call/"+id, "").is(200).object(), map[string]string{"state": `"online"`, "uuid": `"` + id + `"`, "logs": "[]"})
	h.do("POST", "/rest/call/"+id+"/dtmf", `{"digits":"12w#"}`).is(200)
	if c := h.fake.calls[id]; c.sent != "12w#" {
		t.Errorf("sent %q", c.sent)
	}
	h.do("POST", "/rest/call/"+id+"/dtmf", `{"digits":"x"}`).is(400)
	hangup := func(cause string) answer {
		return h.send(h.token, "DELETE", "/rest/call/"+id+"?q850_cause="+cause, "application/json", nil, "Idempotency-Key", "end")
	}
	first := hangup("17").is(200)
	if again := hangup("17").is(200); string(again.raw) != string(first.raw) || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the retry got %s, not %s", again.raw, first.raw)
	}
	hangup("18").is(409)
	last := h.states(id, "hangup", "destroyed")
	has(t, last.Payload, map[string]string{"q850_cause": "17", "reason": `"api"`, "hangup_by": `"api"`})
	for body, n := range map[string]int{
		`{}`: 1, `{"state":"online"}`: 0, `{"state":"offline","direction":"in"}`: 1, `{"from":"1312*"}`: 1, `{"from":"+13125550144"}`: 1, `{"tn":` + string(l.TN) + `}`: 1, `{"to":"999*"}`: 0,
		`{"sip_control_app":"` + a.ID + `"}`: 1, `{"sip_control_app":null}`: 0, `{"q850_cause":17,"reason":"api","type":"CallSCA","max_duration":5}`: 1, `{"sip_user":"` + a.ID + `"}`: 0,
		`{"mode":"OR","q850_cause":99,"direction":"in"}`: 1, `{"mode":"OR","sip_user":"` + a.ID + `","stir_shaken_attest_level":"A","direction":"in"}`: 1,
		`{"mode":"OR","batch":"` + a.ID + `"}`: 0, `{"sip_connection":null}`: 1, `{"mode":"OR","sip_user":null,"direction":"out"}`: 1, `{"order":{"duration":"ASC"}}`: 1,
	} {
		if got := len(h.do("POST", "/rest/call/search", body).is(200).list()); got != n {
			t.Errorf("search %s: %d, want %d", body, got, n)
		}
	}
	if got := h.do("POST", "/rest/sip/app/call/search", `{"state":"destroyed"}`).is(200).list(); len(got) != 1 {
		t.Errorf("older search %v", got)
	} else if _, there := got[0].(map[string]any)["logs"]; there {
		t.Error("a search result has logs")
	}
	if got := h.do("POST", "/rest/sip/app/"+a.ID+"/logs", `{"name":"answer","order":{"channel_uuid":"ASC"}}`).is(200).list(); len(got) != 0 {
		t.Errorf("logs %v", got)
	}
	h.do("POST", "/rest/sip/app/"+a.ID+"/logs", `{"name":"Dail"}`).is(400)
	h.do("POST", "/rest/call/search", `{"order":{"price":"ASC"}}`).is(400)
	for path, scope := range map[string]string{"/rest/call/search": "voice", "/rest/sip/app/call/search": "sip", "/rest/sip/app/" + a.ID + "/logs": "sip"} {
		h.send(h.token+"|"+scope+":read", "POST", path, "application/json", strings.NewReader("{}")).is(200)
		h.send(h.token+"|numbers:read", "POST", path, "application/json", strings.NewReader("{}")).is(403)
	}
	over := call.Leg{ID: ident.New(), Account: h.ann.Account, Type: kindApp, Direction: call.Out, To: "12025550100", State: call.Hangup, InitOn: time.Now(), HangupOn: time.Now(), Tag: &tag{app: &a}}
	h.s.LegChanged(over) // it has ended, and a recording of it is still being written
	h.states(over.ID, "hangup")
	if online := h.do("GET", "/rest/sip/app/call/online", "").is(200).list(); len(online) != 0 {
		t.Errorf("ended calls are online: %v", online)
	}
}

func TestInboundLegIsAwaitedByItsCallID(t *testing.T) {
	h := build(t, dbtest.SQLite(t), nil)
	_, l := h.app(func(a *App) { a.AutoAnswer = true })
	inv := inviteTo(l)
	got := make(chan string)
	go func() {
		b, err := h.s.AwaitInbound(t.Context(), inv.callID)
		if err != nil {
			t.Error(err)
		}
		got <- string(b)
	}()
	h.s.invite(inv)
	if b := <-got; !strings.Contains(b, `"sip_call_id":"`+inv.callID+`"`) {
		t.Errorf("got %s", b)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := h.s.AwaitInbound(ctx, "nobody"); err == nil {
		t.Error("a call that never came was found")
	}
}

// empty takes all of Ann's money.
func (h *house) empty() { h.leave("0") }

// leave leaves Ann so much money.
func (h *house) leave(left string) {
	h.t.Helper()
	available, err := h.billing.Available(h.t.Context(), h.d.Read(), h.ann.Account)
	h.must(err)
	h.must(h.d.Update(h.t.Context(), func(ctx context.Context, tx *db.Tx) error {
		_, err := h.billing.Post(ctx, tx, billing.Entry{Account: h.ann.Account, Amount: money.MustParse(left) - available, RefType: "adjustment", Action: "adjustment"})
		return err
	}))
}

func TestStopEndsCallsAndLeavesNoGoroutine(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Run("life", func(t *testing.T) {
		h := build(t, dbtest.SQLite(t), nil)
		_, l := h.app(func(a *App) { a.AutoAnswer = true })
		h.s.invite(inviteTo(l))
		id := h.next("", CallStateEvent).RefID
		h.states(id, "ringing", "live")
		h.stop()
		c, err := legOf(t.Context(), h.d.Read(), "", id)
		if err != nil || c.State != "destroyed" || c.Reason != "internal" || c.FinishedOn.IsZero() {
			t.Errorf("after the stop: %+v %v", c, err)
		}
	})
	goleak.VerifyNone(t, before)
}

// TestAnAnsweredCallIsOnTheDisk before its 200 leaves, whether the platform or the document answers.
func TestAnAnsweredCallIsOnTheDisk(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, nil)
		found := make(chan error, 1)
		h.fake.answering = func(id string) {
			_, err := legOf(t.Context(), d.Read(), "", id)
			found <- err
		}
		for _, automatic := range []bool{true, false} {
			_, l := h.app(func(a *App) {
				a.AutoAnswer, a.StaticFlow = automatic, `<Response><Answer/><Pause length="60000"/></Response>`
			})
			h.s.invite(inviteTo(l))
			if err := <-found; err != nil {
				t.Errorf("answered automatically %v: %v", automatic, err)
			}
		}
	})
}
