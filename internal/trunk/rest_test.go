package trunk_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/trunk"
)

func asRefusal(err error, into **trunk.Refusal) bool { return errors.As(err, into) }

func (h *house) match(addr string) string {
	_, name, ok := h.s.Match(netip.MustParseAddrPort(addr))
	if !ok {
		return ""
	}
	return name
}

func TestVoiceCarrierOverREST(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d)
		const base = "/rest/admin/carrier"
		made := h.call(h.admin, "POST", base, `{"name":"north","kind":"voice","hosts":[{"host":"sip.example.net"},{"host":"192.0.2.9","port":5070,"transport":"tls"}],
			"auth_login":"us","auth_password":"hidden","inbound_ips":["198.51.100.0/24","2001:db8::/48"],"prefixes":["1","44"],"codecs":["pcma"],"number_format":"e164","channel_limit":30}`).is(201)
		made.has(map[string]string{
			"kind": `"voice"`, "is_active": "true", "priority": "10", "weight": "10", "auth_login": `"us"`, "codecs": `["PCMA"]`, "number_format": `"e164"`,
			"channel_limit": "30", "cps_limit": "null", "inbound_ips": `["198.51.100.0/24","2001:db8::/48"]`, "options_ping": "30", "prefixes": `["1","44"]`, "state": `"up"`,
			"hosts":    `[{"host":"sip.example.net","port":5060,"transport":"udp"},{"host":"192.0.2.9","port":5070,"transport":"tls"}]`,
			"protocol": "null", "system_id": "null", "tps": "null", "rate_table_id": "null",
		})
		for _, secret := range []string{"auth_password", "password"} {
			if _, shown := made.object()[secret]; shown {
				t.Errorf("%s is shown", secret)
			}
		}
		id := made.uuid()
		if h.match("198.51.100.77:5060") != "north" || h.match("[2001:db8::1]:5060") != "north" || h.match("[::ffff:198.51.100.1]:9") != "north" || h.match("203.0.113.1:5060") != "" {
			t.Error("source addresses are not matched")
		}
		h.call(h.admin, "PATCH", base+"/"+id, `{"name":"north 2","auth_login":null,"is_active":false}`).is(200).has(map[string]string{"name": `"north 2"`, "auth_login": "null", "codecs": `["PCMA"]`})
		if h.match("198.51.100.77:5060") != "" {
			t.Error("an inactive carrier is trusted")
		}
		c, err := h.s.CarrierByID(t.Context(), d.Read(), id)
		if err != nil || c.Voice.Password != "hidden" {
			t.Errorf("the password is lost: %v", err)
		}
		h.call(h.admin, "POST", base, `{"name":"north 2","kind":"voice","inbound_ips":["192.0.2.1"]}`).refuses(409, "already_exists")
		h.call(h.token, "GET", base, "").is(403)
		if n := len(h.call(h.admin, "GET", base, "").is(200).list()); n != 1 {
			t.Errorf("%d carriers", n)
		}
		h.call(h.admin, "GET", base+"/"+id, "").is(200)
		h.call(h.admin, "DELETE", base+"/"+id, "").is(200).has(map[string]string{"uuid": jsonOf(id)})
		h.call(h.admin, "GET", base+"/"+id, "").refuses(404, "not_found")
	})
}

func TestBadCarriersAreRefusedWithAllFaults(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d)
		const base = "/rest/admin/carrier"
		h.call(h.admin, "POST", base, `{"kind":"pigeon","priority":-1}`).refuses(400, "validation_failed", "params.name", "params.kind", "params.priority")
		h.call(h.admin, "POST", base, `{"name":"a","kind":"voice"}`).refuses(400, "validation_failed", "params.hosts")
		h.call(h.admin, "POST", base, `{"name":"a","kind":"voice","hosts":[{"host":"a b"}],"inbound_ips":["1.2.3.4","0.0.0.0/0","x"]}`).
			refuses(400, "validation_failed", "params.hosts.0.host", "params.inbound_ips.1", "params.inbound_ips.2")
		h.call(h.admin, "POST", base, `{"name":"a","kind":"sms","protocol":"smpp"}`).refuses(400, "validation_failed", "params.host", "params.port")
		h.call(h.admin, "POST", base, `{"name":"sandbox","kind":"voice","inbound_ips":["192.0.2.1"]}`).refuses(409, "already_exists")
	})
}

func TestSMSCarriersAreKept(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d)
		made := h.call(h.admin, "POST", "/rest/admin/carrier", `{"name":"texts","kind":"sms","host":"smsc.example.net","port":2775,"system_id":"me","password":"hidden","bind":"pair","tps":50,"dlr_id_format":"hex"}`).is(201).
			has(map[string]string{"protocol": `"smpp"`, "host": `"smsc.example.net"`, "port": "2775", "system_id": `"me"`, "bind": `"pair"`, "window": "10", "tps": "50", "dlr_id_format": `"hex"`, "hosts": "null", "inbound_ips": "null"})
		list, err := h.s.Carriers(t.Context(), d.Read(), trunk.SMS)
		if err != nil || len(list) != 1 || list[0].SMS.Password != "hidden" {
			t.Fatalf("%+v %v", list, err)
		}
		h.s.SetState(made.uuid(), false)
		h.call(h.admin, "GET", "/rest/admin/carrier/"+made.uuid(), "").has(map[string]string{"state": `"down"`})
	})
}

func TestProfileLifeOverREST(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d)
		const base = "/rest/profile/outbound_voice"
		first := h.call(h.token, "POST", base, `{"name":"plain"}`).is(201).has(map[string]string{
			"is_active": "true", "shaken_sign_policy": "0", "tn_lease": "null", "channel_limit": "null", "max_rate": "null",
			"daily_spend_limit": "null", "record_calls": "0", "file_format": `"wav"`, "filemat": `"wav"`, "audio_track_type": "0", "cps_limit": "5", "max_duration": "14400", "allowed_countries": "null",
			"record_caller_numbers": "[]", "class4_ingress_trunk_id": "null", "sip_domains": "[]", "spent_today": "0", "channels_used": "0", "modified_by": "null",
		})
		if p := first.object()["tech_prefix"].(float64); p < 100000 || p > 999999 {
			t.Errorf("tech prefix %v", p)
		}
		if first.object()["product"].(map[string]any)["id"] != 1.0 || first.object()["account"].(map[string]any)["uuid"] != h.account || first.object()["created_by"].(map[string]any)["uuid"] != h.user {
			t.Errorf("relations: %v", first.body)
		}
		l := h.lease()
		full := h.call(h.token, "POST", base, `{"name":"full","is_active":false,"tn_lease":"`+l.ID+`","tech_prefix":"123456","class4_ingress_trunk_stings":{"media_type":"Proxy Media","call_limit":5},"shaken_sign_policy":2,
			"channel_limit":10,"max_rate":0.05,"daily_spend_limit":"12.5","record_calls":2,"record_caller_numbers":["+1 212 555 0100"],"filemat":"mp3","audio_track_type":1,"cps_limit":0.5,"max_duration":600,"allowed_countries":["us","GB"]}`).is(201)
		full.has(map[string]string{
			"is_active": "false", "tech_prefix": "123456", "shaken_sign_policy": "2", "channel_limit": "10", "max_rate": "0.05", "daily_spend_limit": "12.5", "record_calls": "2",
			"record_caller_numbers": "[12125550100]", "file_format": `"mp3"`, "filemat": `"mp3"`, "audio_track_type": "1", "cps_limit": "0.5", "max_duration": "600", "allowed_countries": `["US","GB"]`,
		})
		trunkSettings := full.object()["class4_ingress_trunk_settings"].(map[string]any)
		if trunkSettings["media_type"] != "Proxy Media" || trunkSettings["call_limit"] != nil {
			t.Errorf("only an administrator sets the numbers: %v", trunkSettings)
		}
		if lease := full.object()["tn_lease"].(map[string]any); lease["uuid"] != l.ID || lease["tn"].(map[string]any)["tn"] != float64(l.TN.Int()) {
			t.Errorf("lease: %v", lease)
		}
		h.call(h.token, "POST", base, `{"name":"again","tech_prefix":123456}`).refuses(409, "already_exists")
		h.call(h.other, "POST", base, `{"name":"again","tech_prefix":123456}`).refuses(409, "already_exists")
		list := h.call(h.token, "GET", base, "").is(200).list()
		if len(list) != 2 {
			t.Fatalf("%d profiles", len(list))
		}
		if _, there := list[0].(map[string]any)["sip_domains"]; there {
			t.Error("a list shows full members")
		}
		h.changeAndRemove(base, first.uuid(), full.uuid())
	})
}

func (h *house) changeAndRemove(base, first, full string) {
	h.t.Helper()
	h.call(h.token, "PATCH", base+"/"+full, `{"max_rate":null,"tn_lease":null,"channel_limit":null,"cps_limit":null,"allowed_countries":null,"product":null,"tech_prefix":654321}`).is(200).
		has(map[string]string{"name": `"full"`, "max_rate": "null", "tn_lease": "null", "channel_limit": "null", "cps_limit": "null", "allowed_countries": "null", "product": "null", "tech_prefix": "654321", "daily_spend_limit": "12.5"})
	h.call(h.token, "PATCH", base+"/"+first, `{"tech_prefix":654321}`).refuses(409, "already_exists")
	h.call(h.token, "PATCH", base+"/"+first, `{"tech_prefix":123456}`).is(200) // free again
	h.call(h.other, "GET", base+"/"+full, "").refuses(404, "not_found")
	h.call(h.other, "PATCH", base+"/"+full, `{"name":"x"}`).refuses(404, "not_found")
	h.call(h.other, "DELETE", base+"/"+full, "").refuses(404, "not_found")
	o, found, err := h.s.ByPrefix(h.t.Context(), h.d.Read(), 654321)
	if err != nil || !found || o != (trunk.PrefixOwner{Kind: trunk.PrefixProfile, Account: h.account, Ref: full}) {
		h.t.Errorf("%+v %v %v", o, found, err)
	}
	busy := true
	h.s.OnRemove(func(context.Context, *db.Tx, string, string) error {
		if busy {
			return fault.Busy("Outbound voice profile")
		}
		return nil
	})
	h.call(h.token, "DELETE", base+"/"+full, "").refuses(409, "in_use")
	busy = false
	h.call(h.token, "DELETE", base+"/"+full, "").is(200).has(map[string]string{"uuid": jsonOf(full)})
	h.call(h.token, "GET", base+"/"+full, "").refuses(404, "not_found")
	if _, found, _ := h.s.ByPrefix(h.t.Context(), h.d.Read(), 654321); found {
		h.t.Error("the prefix of a removed profile is kept")
	}
}

func TestBadProfilesAreRefused(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d)
		const base, unknown = "/rest/profile/outbound_voice", "0190b6a0-0000-7000-8000-000000000001"
		h.call(h.token, "POST", base, `{"name":"","tech_prefix":99999,"shaken_sign_policy":4,"channel_limit":-1,"max_rate":-1,"record_calls":3,"file_format":"ogg","audio_track_type":2,"cps_limit":0,"max_duration":0,"allowed_countries":["USA"],"tn_lease":"x"}`).
			refuses(400, "validation_failed", "params.name", "params.tech_prefix", "params.shaken_sign_policy", "params.channel_limit", "params.max_rate", "params.record_calls", "params.file_format",
				"params.audio_track_type", "params.cps_limit", "params.max_duration", "params.allowed_countries.0", "params.tn_lease")
		h.call(h.token, "POST", base, `{"name":"a","tn_lease":"`+unknown+`"}`).refuses(404, "not_found")
		h.call(h.token, "POST", base, `{"name":"a","product":77}`).refuses(404, "not_found")
		h.call(h.token, "GET", base+"/"+unknown, "").refuses(404, "not_found")
		if l := h.call(h.token, "GET", base, "").list(); len(l) != 0 {
			t.Errorf("refused profiles were kept: %v", l)
		}
	})
}

func TestProductsAreListedToThoseWhoMayUseThem(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d)
		for _, path := range []string{"/rest/sip/product", "/rest/sip/connection/product"} {
			list := h.call(h.token, "GET", path, "").is(200).list()
			if len(list) != 1 || list[0].(map[string]any)["id"] != 1.0 || list[0].(map[string]any)["type"] != "public" {
				t.Fatalf("%s: %v", path, list)
			}
		}
		h.call(h.admin, "POST", "/rest/admin/sip/product", `{"name":"own","type":"private"}`).refuses(400, "validation_failed", "params.account")
		h.call(h.admin, "POST", "/rest/admin/sip/product", `{"name":"own","type":"private","account":"`+h.account+`","rate_table_id":7}`).is(201).
			has(map[string]string{"id": "2", "rate_table_id": "7", "route_plan_id": "1", "description": "null"})
		if mine, theirs := len(h.call(h.token, "GET", "/rest/sip/product", "").list()), len(h.call(h.other, "GET", "/rest/sip/product", "").list()); mine != 2 || theirs != 1 {
			t.Errorf("%d and %d products", mine, theirs)
		}
		h.call(h.other, "POST", "/rest/profile/outbound_voice", `{"name":"a","product":2}`).refuses(404, "not_found")
		h.call(h.admin, "PATCH", "/rest/admin/sip/product/2", `{"name":"open","type":"public","account":null}`).is(200).has(map[string]string{"name": `"open"`, "rate_table_id": "7"})
		h.call(h.other, "POST", "/rest/profile/outbound_voice", `{"name":"a","product":2}`).is(201)
		h.call(h.token, "PATCH", "/rest/admin/sip/product/2", `{}`).is(403)
		h.call(h.admin, "PATCH", "/rest/admin/sip/product/9", `{}`).refuses(404, "not_found")
	})
}

func TestRatesAreUploaded(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d)
		var file strings.Builder
		file.WriteString("Prefix,Rate,Country\n1,0.01,US\n1212,0.02,US\nx,1,US\n1213,-1,US\n44,0.05,gb\n44,0.06,gb\n")
		a := h.upload("/rest/admin/rate/1", file.String()).is(200).has(map[string]string{"accepted": "4", "failed": "2", "total": "6"})
		if e := a.object()["errors"].([]any); len(e) != 2 || e[0].(map[string]any)["line"] != 4.0 || e[1].(map[string]any)["line"] != 5.0 {
			t.Errorf("%v", e)
		}
		h.upload("/rest/admin/rate/0", "1,US,1").refuses(400, "validation_failed", "params.rate_table_id")
		h.call(h.token, "POST", "/rest/admin/rate/1", "").is(403)
	})
}

func TestOneOfParallelClaimsOfATechPrefixWins(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d)
		var made, refused atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				p := trunk.NewProfile(h.account, h.user)
				p.Name, p.TechPrefix = "race", 222222
				_, err := h.s.AddProfile(t.Context(), p)
				switch {
				case err == nil:
					made.Add(1)
				case fault.Is(err, fault.Exists):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if made.Load() != 1 || refused.Load() != 7 {
			t.Errorf("%d made, %d refused", made.Load(), refused.Load())
		}
	})
}

func TestOperationsAreDescribed(t *testing.T) {
	h := build(t, dbtest.SQLite(t))
	paths := h.call("", "GET", "/openapi.json", "").is(200).body["paths"].(map[string]any)
	for _, p := range []string{"/rest/admin/carrier", "/rest/admin/carrier/{uuid}", "/rest/profile/outbound_voice", "/rest/profile/outbound_voice/{uuid}", "/rest/sip/product", "/rest/admin/rate/{rate_table_id}"} {
		if paths[p] == nil {
			t.Errorf("%s is missing", p)
		}
	}
}
