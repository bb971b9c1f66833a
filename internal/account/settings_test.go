package account

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
)

func anAddress() map[string]any {
	return map[string]any{"name": "office", "address1": "9 Pier Road", "zip_code": "10004", "city": "New York", "country": "us"}
}

func someHours() map[string]any {
	return map[string]any{"type": "lunchtime", "dow": "mon", "time_from": 43200, "time_to": 46800}
}

type profiles []string

func (p profiles) ProfileViews(context.Context, db.Querier, string) ([]ProfileView, error) {
	var out []ProfileView
	for _, id := range p {
		out = append(out, ProfileView{ID: id, View: json.RawMessage(`{"uuid":"` + id + `"}`)})
	}
	return out, nil
}

type dictionary struct{}

func (dictionary) TimeZone(name string) json.RawMessage {
	if name == "Europe/Riga" {
		return json.RawMessage(`{"name":"Europe/Riga","country_code":"LV"}`)
	}
	return nil
}

func (dictionary) Country(a2 string) json.RawMessage {
	if a2 == "US" {
		return json.RawMessage(`{"a2":"US","name":"UNITED STATES"}`)
	}
	return nil
}

func TestAccountInFull(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		one, two := ident.New(), ident.New()
		b := newBench(t, d, func(_ *Config, p *Parts) {
			p.Balances, p.Profiles, p.Dictionary = &purse{}, profiles{one, two}, dictionary{}
		})
		c := b.signUp("ada@example.org")
		o := b.colleague(c, "bob@example.org")
		b.do(c.token(), "POST", "/rest/address", anAddress()).want(201)
		b.do(c.token(), "PATCH", "/rest/account", map[string]any{"messaging_profile_default": two, "time_zone": "Europe/Riga"}).want(200)
		a := b.do(o.token(), "GET", "/rest/account", nil).want(200)
		m := a.object()
		if m["balance"] != 100.25 || m["credit_limit"] != 5.0 || m["reserved"] != 1.5 || m["available"] != 103.75 || m["currency"] != "USD" {
			t.Errorf("money of %s", a.Payload)
		}
		if a.str("admin.uuid") != c.id || len(m["users"].([]any)) != 2 || len(m["addresses"].([]any)) != 1 || len(m["messaging_profiles"].([]any)) != 2 ||
			a.str("messaging_profile_default.uuid") != two || a.str("time_zone.country_code") != "LV" {
			t.Errorf("payload %s", a.Payload)
		}
		limits, countries := m["limits"].(map[string]any), m["countries"].(map[string]any)
		if limits["channels"] != 2.0 || limits["daily_spend"] != 10.0 || len(countries["voice"].([]any)) != 2 {
			t.Errorf("limits %v, countries %v", limits, countries)
		}
		if got := b.do(o.token(), "GET", "/rest/account/"+c.account, nil).want(200); got.str("uuid") != c.account {
			t.Errorf("payload %s", got.Payload)
		}
		if l := b.do(o.token(), "GET", "/rest/account/user", nil).want(200).list(); len(l) != 2 || l[0]["uuid"] != o.id || l[1]["uuid"] != c.id {
			t.Errorf("users %v", l)
		}
		r := b.do(o.token(), "GET", "/rest/account/user?take=1&skip=1", nil).want(200)
		if l := r.list(); len(l) != 1 || l[0]["uuid"] != c.id || r.Header.Get("X-Total-Count") != "2" {
			t.Errorf("window of the users %v", l)
		}
	})
}

func TestAccountRecordIsChangedMemberByMember(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		c := b.signUp("ada@example.org")
		patch := func(body any) answer { return b.do(c.token(), "PATCH", "/rest/account", body) }
		a := patch(map[string]any{"name": "Engines", "phone": "(212) 555-0170", "address1": "9 Pier Road", "zip_code": 10004, "city": "New York", "time_zone": "America/New_York"}).want(200)
		if a.str("name") != "Engines" || a.str("phone") != "12125550170" || a.str("zip_code") != "10004" || a.str("time_zone.name") != "America/New_York" || a.str("email") != c.email {
			t.Errorf("payload %s", a.Payload)
		}
		m := patch(`{"city":null,"time_zone":null,"phone":null}`).want(200).object()
		if m["city"] != nil || m["time_zone"] != nil || m["phone"] != nil || m["address1"] != "9 Pier Road" {
			t.Errorf("payload %v", m)
		}
		patch(`{"name":null}`).want(400)
		patch(map[string]any{"time_zone": "Mars/Olympus"}).want(400)
		patch(map[string]any{"messaging_profile_default": ident.New()}).want(404)
		bad := patch(map[string]any{"phone": "12", "email": "x", "name": ""}).want(400)
		if len(bad.Fields) != 3 {
			t.Errorf("fields %v", bad.Fields)
		}
		cached, err := b.s.Cached(context.Background(), c.account)
		if err != nil || cached.Name != "Engines" {
			t.Errorf("cached %+v %v", cached, err)
		}
		patch(map[string]any{"name": "Looms"}).want(200)
		if cached, err = b.s.Cached(context.Background(), c.account); err != nil || cached.Name != "Looms" {
			t.Errorf("a change is not seen: %+v %v", cached, err)
		}
	})
}

func TestNotificationSettings(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		c := b.signUp("ada@example.org")
		path := "/rest/account/notification"
		m := b.do(c.token(), "GET", path, nil).want(200).object()
		if len(m) != 10 || m["balance_changed"] != false || m["tnorder_processed"] != true || m["low_balance_threshold"] != nil {
			t.Errorf("defaults %v", m)
		}
		m = b.do(c.token(), "PATCH", path, map[string]any{"balance": true, "low_balance_threshold": 2.5, "tnleases_released": false}).want(200).object()
		if m["balance_changed"] != true || m["low_balance_threshold"] != 2.5 || m["tnleases_released"] != false || m["tnleases_releasing"] != true {
			t.Errorf("payload %v", m)
		}
		n, err := b.s.Notification(context.Background(), d.Read(), c.account)
		if err != nil || !n.BalanceChanged || n.LowBalance == nil || *n.LowBalance != money.MustParse("2.5") {
			t.Errorf("%+v %v", n, err)
		}
		if m = b.do(c.token(), "PATCH", "/account/notification", `{"low_balance_threshold":null}`).want(200).object(); m["low_balance_threshold"] != nil || m["balance_changed"] != true {
			t.Errorf("payload %v", m)
		}
		b.do(c.token(), "PATCH", path, `{"low_balance_threshold":-1,"sms_sent":"maybe"}`).want(400)
	})
}

func TestAddresses(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, func(_ *Config, p *Parts) { p.Dictionary = dictionary{} })
		c := b.signUp("ada@example.org")
		o := b.colleague(c, "bob@example.org")
		a := b.do(c.token(), "POST", "/rest/address", anAddress()).want(201)
		if a.str("country.name") != "UNITED STATES" || a.object()["is_billing"] != true || a.str("user.uuid") != c.id || a.str("created_by.uuid") != c.id ||
			a.object()["modified_by"] != nil || a.str("account.uuid") != c.account {
			t.Errorf("payload %s", a.Payload)
		}
		elsewhere := anAddress()
		elsewhere["country"] = "ZZ"
		b.do(c.token(), "POST", "/rest/address", elsewhere).want(404)
		if bad := b.do(c.token(), "POST", "/rest/address", map[string]any{"country": "USA"}).want(400); len(bad.Fields) != 5 {
			t.Errorf("fields %v", bad.Fields)
		}
		b.pass(time.Second)
		p := b.do(o.token(), "PATCH", "/rest/address/"+a.str("uuid"), `{"city":"Albany","is_billing":false,"address2":"back door"}`).want(200)
		if p.str("city") != "Albany" || p.object()["is_billing"] != false || p.str("modified_by.uuid") != o.id || p.str("zip_code") != "10004" {
			t.Errorf("payload %s", p.Payload)
		}
		second := b.do(o.token(), "POST", "/rest/address", anAddress()).want(201).str("uuid")
		if l := b.do(c.token(), "GET", "/rest/address/account", nil).want(200).list(); len(l) != 2 || l[0]["uuid"] != second {
			t.Errorf("list %v", l)
		}
		if l := b.do(o.token(), "GET", "/rest/address/user?take=1", nil).want(200).list(); len(l) != 1 || l[0]["uuid"] != second {
			t.Errorf("list %v", l)
		}
		b.do(c.token(), "DELETE", "/rest/address/"+second, nil).want(200)
		b.do(c.token(), "GET", "/rest/address/"+second, nil).want(404)
	})
}

func TestCountriesAndZonesOfAnswersAreWhole(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		c := b.signUp("ada@example.org")
		country := b.do(c.token(), "POST", "/rest/address", anAddress()).want(201).object()["country"].(map[string]any)
		for _, name := range []string{"a3", "name", "n", "country_code", "created_on", "modified_on"} {
			if country[name] == nil {
				t.Errorf("country has no %s: %v", name, country)
			}
		}
		elsewhere := anAddress()
		elsewhere["country"] = "XX"
		if bad := b.do(c.token(), "POST", "/rest/address", elsewhere).want(404); bad.Message != "Not found" {
			t.Errorf("message %q", bad.Message)
		}
		zone := b.do(c.token(), "PATCH", "/rest/account", `{"time_zone":"America/New_York"}`).want(200).object()["time_zone"].(map[string]any)
		for _, name := range []string{"country_code", "latitude", "longitude", "note", "created_on", "modified_on"} {
			if zone[name] == nil {
				t.Errorf("time_zone has no %s: %v", name, zone)
			}
		}
	})
}

func TestOfficeHours(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		c := b.signUp("ada@example.org")
		path := "/rest/account/office_hours"
		h := b.do(c.token(), "POST", path, someHours()).want(201)
		if h.object()["time_from"] != 43200.0 || h.str("account.uuid") != c.account || h.str("created_by.uuid") != c.id || h.object()["name"] != nil {
			t.Errorf("payload %s", h.Payload)
		}
		b.do(c.token(), "POST", path, map[string]any{"type": "weekends", "dow": "sat", "time_from": 0, "time_to": 86400}).want(201)
		if l := b.do(c.token(), "GET", path+"?dow=sat", nil).want(200).list(); len(l) != 1 || l[0]["type"] != "weekends" {
			t.Errorf("list %v", l)
		}
		if l := b.do(c.token(), "GET", path, nil).want(200).list(); len(l) != 2 {
			t.Errorf("list %v", l)
		}
		b.do(c.token(), "POST", path, map[string]any{"type": "lunchtime", "dow": "mon", "time_from": 10, "time_to": 10}).want(400)
		if bad := b.do(c.token(), "POST", path, map[string]any{"type": "nap", "dow": "someday", "time_from": -1, "time_to": 86401}).want(400); len(bad.Fields) != 4 {
			t.Errorf("fields %v", bad.Fields)
		}
		p := b.do(c.token(), "PATCH", path+"/"+h.str("uuid"), `{"time_to":50000,"name":"lunch"}`).want(200)
		if p.object()["time_to"] != 50000.0 || p.str("name") != "lunch" || p.str("dow") != "mon" || p.str("modified_by.uuid") != c.id {
			t.Errorf("payload %s", p.Payload)
		}
		b.do(c.token(), "PATCH", path+"/"+h.str("uuid"), `{"time_from":50000}`).want(400)
		b.do(c.token(), "GET", path+"/"+h.str("uuid"), nil).want(200)
		b.do(c.token(), "DELETE", path+"/"+h.str("uuid"), nil).want(200)
		b.do(c.token(), "DELETE", path+"/"+h.str("uuid"), nil).want(404)
	})
}

func TestOperatorChangesLevelLimitsAndCountries(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		money5 := &purse{}
		b := newBench(t, d, func(_ *Config, p *Parts) { p.Balances, p.Credit = money5, money5 })
		made, admin := b.operator()
		c := b.signUp("ada@example.org")
		path := "/rest/admin/account/" + c.account
		a := b.do(admin, "PATCH", path, `{"level":"Level2","credit_limit":20,"countries":{"voice":["US","lv"],"sms":[]},"limits":{"channels":7,"daily_spend":null}}`).want(200)
		l := a.object()["limits"].(map[string]any)
		if a.str("level") != "Level2" || l["channels"] != 7.0 || l["daily_spend"] != nil || l["cps"] != 1.0 {
			t.Errorf("payload %s", a.Payload)
		}
		if got, ok := money5.limits.Load(c.account); !ok || got != 20*money.Unit {
			t.Errorf("credit %v", got)
		}
		got, err := b.s.Cached(context.Background(), c.account)
		if err != nil || !got.VoiceTo("LV") || got.VoiceTo("CA") || got.SMSTo("US") {
			t.Errorf("%+v %v", got, err)
		}
		a = b.do(admin, "PATCH", path, `{"limits":null}`).want(200)
		if l := a.object()["limits"].(map[string]any); l["channels"] != 500.0 || l["daily_spend"] != 5000.0 {
			t.Errorf("payload %s", a.Payload)
		}
		b.do(admin, "PATCH", path, `{"level":"Level9","credit_limit":-1,"limits":{"channels":0}}`).want(400)
		b.do(admin, "PATCH", "/rest/admin/account/"+ident.New(), `{}`).want(404)
		b.do(admin, "PATCH", "/rest/admin/account/"+made.Account, `{"disabled":true}`).want(400)
		own := b.do(admin, "GET", "/rest/account", nil).want(200)
		if l := own.object()["limits"].(map[string]any); l["channels"] != 0.0 || l["cps"] != 0.0 {
			t.Errorf("limits of the platform's own account: %v", l)
		}
		err = d.Update(context.Background(), func(ctx context.Context, tx *db.Tx) error { return b.s.Paid(ctx, tx, c.account) })
		if got, _ := b.s.Cached(context.Background(), c.account); err != nil || got.Level != Level2 {
			t.Errorf("a payment lowered the level to %s, %v", got.Level, err)
		}
	})
}

func TestFirstPaymentLiftsTheLevel(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		c := b.signUp("ada@example.org")
		err := d.Update(context.Background(), func(ctx context.Context, tx *db.Tx) error { return b.s.Paid(ctx, tx, c.account) })
		if got, _ := b.s.Cached(context.Background(), c.account); err != nil || got.Level != Level1 || got.Limits.Channels != 50 {
			t.Errorf("%+v %v", got, err)
		}
	})
}

func TestOperatorSearchesAccounts(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		_, admin := b.operator()
		for _, m := range []string{"ada@example.org", "bob@example.net", "cid@example.org"} {
			b.pass(time.Second)
			b.signUp(m)
		}
		search := func(body string) ([]any, float64) {
			t.Helper()
			p := b.do(admin, "POST", "/rest/admin/account/search", body).want(200).object()
			return p["data"].([]any), p["total"].(float64)
		}
		if data, total := search(`{}`); len(data) != 4 || total != 4 || data[0].(map[string]any)["email"] != "cid@example.org" {
			t.Errorf("all: %v", data)
		}
		if data, total := search(`{"email":"*@EXAMPLE.org","order":{"email":"ASC"},"take":1}`); len(data) != 1 || total != 2 || data[0].(map[string]any)["email"] != "ada@example.org" {
			t.Errorf("by e-mail: %v %v", data, total)
		}
		if data, _ := search(`{"level":"ServiceAccount"}`); len(data) != 1 {
			t.Errorf("by level: %v", data)
		}
		if data, _ := search(`{"disabled":true}`); len(data) != 0 {
			t.Errorf("disabled: %v", data)
		}
		if data, _ := search(`{"mode":"OR","name":"platform","email":"bob@example.net"}`); len(data) != 2 {
			t.Errorf("either: %v", data)
		}
		b.do(admin, "POST", "/rest/admin/account/search", `{"order":{"limits":"ASC"}}`).want(400)
	})
}
