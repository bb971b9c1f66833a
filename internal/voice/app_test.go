package voice

import (
	"strings"
	"testing"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
)

const greeting = `<Response><Answer/><Pause length="1"/></Response>`

func TestAppIsMadeWithAllMembersAndKeepsThem(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, nil)
		o := h.do("POST", "/rest/sip/app", `{"name":"desk","auto_answer":true,"max_call_length_min":30,"shaken_verify_policy":3,"shaken_minimum_accepted_attest_lvl":"B",
			"webhook_url":"https://hooks.example.org/x?a=1","webhook_method":"GET","webhook_request_timeout":0,"call_flow_url":"https://flow.example.org/","call_flow_method":"POST",
			"call_flow_request_timeout":900,"class4_ingress_trunk_stings":{"media_type":"Bypass Media"},"call_flow_fallback_url":"https://b.example.org/","webhook_secret":"whsec_eA==","park_timeout":5000}`).is(201).object()
		want := map[string]string{
			"name": `"desk"`, "is_active": "true", "auto_answer": "true", "max_call_length_min": "30", "shaken_verify_policy": "3", "shaken_minimum_accepted_attest_lvl": `"B"`,
			"webhook_url": `"https://hooks.example.org/x?a=1"`, "webhook_method": `"GET"`, "webhook_request_timeout": "0", "call_flow_method": `"POST"`, "call_flow_request_timeout": "900",
			"call_flow_fallback_url": `"https://b.example.org/"`, "park_timeout": "5000", "has_static_flow": "false", "logs": "[]", "sip_domains": "[]", "product": "null",
			"outbound_voice_profile": "null", "class4_ingress_trunk_id": "null",
		}
		has(t, o, want)
		if _, there := o["webhook_secret"]; there {
			t.Error("the secret is shown")
		}
		if p, _ := o["tech_prefix"].(float64); p < 100000 || p > 999999 {
			t.Errorf("tech prefix %v", o["tech_prefix"])
		}
		id := o["uuid"].(string)
		has(t, h.do("GET", "/rest/sip/app/"+id, "").is(200).object(), want)
		o = h.do("PATCH", "/rest/sip/app/"+id, `{"max_call_length_min":null,"webhook_url":null,"webhook_request_timeout":null,"is_active":false}`).is(200).object()
		has(t, o, map[string]string{"max_call_length_min": "null", "webhook_url": "null", "webhook_request_timeout": "null", "is_active": "false", "name": `"desk"`})
		if n := len(h.do("GET", "/rest/sip/app", "").is(200).list()); n != 1 {
			t.Errorf("%d apps", n)
		}
		h.send(h.bob, "GET", "/rest/sip/app/"+id, "", nil).is(404)
		h.do("DELETE", "/rest/sip/app/"+id, "").is(200)
		h.do("GET", "/rest/sip/app/"+id, "").is(404)
	})
}

func TestAppDefaultsAndFaults(t *testing.T) {
	h := build(t, dbtest.SQLite(t), nil)
	o := h.do("POST", "/rest/sip/app", `{"name":"a"}`).is(201).object()
	has(t, o, map[string]string{"is_active": "true", "auto_answer": "false", "webhook_method": `"POST"`, "call_flow_method": `"GET"`, "park_timeout": "30000", "shaken_minimum_accepted_attest_lvl": `"C"`, "shaken_verify_policy": "0"})
	for _, body := range []string{`{}`, `{"name":""}`, `{"name":"a","max_call_length_min":0}`, `{"name":"a","webhook_url":"ftp://x"}`, `{"name":"a","park_timeout":10}`, `{"name":"a","shaken_verify_policy":4}`} {
		if a := h.do("POST", "/rest/sip/app", body).is(400); a.body["meta"] != "validation_failed" {
			t.Errorf("%s: %s", body, a.raw)
		}
	}
}

func TestNumbersAreTiedAllOrNothingAndKeepTheApp(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, nil)
		id := h.do("POST", "/rest/sip/app", `{"name":"a"}`).is(201).object()["uuid"].(string)
		one, two := h.lease(0), h.lease(0)
		h.do("POST", "/rest/sip/app/"+id+"/tnlease", `{"add":["`+one.ID+`","0194f1c2-7a10-7c3e-9b41-2f6d0c8e5a11"]}`).is(404)
		if n := len(h.do("GET", "/rest/sip/app/"+id+"/tnlease", "").is(200).list()); n != 0 {
			t.Fatalf("%d leases after a refused assignment", n)
		}
		a := h.do("POST", "/rest/sip/app/"+id+"/tnlease", `{"add":["`+one.ID+`",`+string(two.TN)+`]}`).is(200)
		if len(a.list()) != 2 {
			t.Fatalf("tied: %s", a.raw)
		}
		has(t, a.list()[0].(map[string]any)["sip_control_app"].(map[string]any), map[string]string{"uuid": `"` + id + `"`, "name": `"a"`})
		if a := h.do("DELETE", "/rest/sip/app/"+id, "").is(409); a.body["message"] != "SIP control app is in use" {
			t.Errorf("%s", a.raw)
		}
		a = h.do("POST", "/rest/sip/app/"+id+"/tnlease?expand=false", `{"remove":["`+one.ID+`"]}`).is(200)
		if l := a.list(); len(l) != 1 || l[0] != two.ID {
			t.Errorf("left: %s", a.raw)
		}
	})
}

func TestStaticFlowInItsThreeForms(t *testing.T) {
	h := build(t, dbtest.SQLite(t), nil)
	id := h.do("POST", "/rest/sip/app", `{"name":"a"}`).is(201).object()["uuid"].(string)
	path := "/rest/sip/app/call/flow/" + id
	h.do("GET", path, "").is(404)
	a := h.upload(path, greeting).is(200)
	if a.body["payload"] != greeting || a.body["success"] != true || !strings.HasPrefix(a.body["url"].(string), "https://api.example.org"+path) {
		t.Errorf("multipart: %s", a.raw)
	}
	a = h.send(h.token, "POST", path, "application/xml", strings.NewReader(`<Response><Pause what="x"/></Response>`)).is(200)
	if w, _ := a.body["warnings"].([]any); len(w) != 1 {
		t.Errorf("warnings: %s", a.raw)
	}
	h.do("POST", path, `{"xml":"<Response><Answer/></Response>"}`).is(200)
	a = h.do("POST", path, `{"xml":"<Response>\n<Foo/></Response>"}`).is(400)
	if a.body["meta"] != "invalid_xml" || !strings.HasPrefix(a.body["message"].(string), "line 2, column 1") {
		t.Errorf("refused: %s", a.raw)
	}
	a = h.do("GET", path, "").is(200)
	if a.body["payload"] != "<Response><Answer/></Response>" {
		t.Errorf("kept: %s", a.raw)
	}
	local := strings.TrimPrefix(a.body["url"].(string), "https://api.example.org")
	if b := h.send("", "GET", local, "", nil).is(200); string(b.raw) != "<Response><Answer/></Response>" || !strings.HasPrefix(b.header.Get("Content-Type"), "application/xml") {
		t.Errorf("signed: %s", b.raw)
	}
	h.send("", "GET", local+"x", "", nil).is(401)
	h.send("", "GET", path+".xml", "", nil).is(401)
	h.do("DELETE", path, "").is(200)
	h.do("DELETE", path, "").is(404)
}
