package account

import (
	"slices"
	"strings"
	"testing"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
)

func TestFaultsOfAllMembersComeTogether(t *testing.T) {
	d := dbtest.SQLite(t)
	b := newBench(t, d, nil)
	c := b.signUp("ada@example.org")
	for _, x := range []struct {
		method, path, body string
		fields             []string
	}{
		{"POST", "/rest/token", `{"ttl":1,"scopes":["voice","nothing"]}`, []string{"name", "ttl", "scopes.1"}},
		{"PATCH", "/rest/account", `{"name":"","time_zone":"Mars/Base","email":"a b@example.org"}`, []string{"name", "time_zone", "email"}},
		{"POST", "/rest/account/office_hours", `{"type":"x","dow":"mon","time_from":9,"time_to":3}`, []string{"type", "time_from"}},
		{"POST", "/rest/account/office_hours", `{"type":"weekends","dow":"mon"}`, []string{"time_from", "time_to"}},
		{"PATCH", "/rest/account/office_hours/" + c.id, `{"dow":"x","time_from":9,"time_to":9}`, []string{"dow", "time_from"}},
		{"POST", "/rest/user/cart", `{"ttl":1,"payload":"` + strings.Repeat("x", maxCartPayload) + `"}`, []string{"ttl", "payload"}},
		{"POST", "/rest/user", `{"email":"a;b@example.org","gender":""}`, []string{"email", "password", "gender"}},
		{"PATCH", "/rest/user/" + c.id, `{"email":"a;b@example.org","last_name":"` + strings.Repeat("x", 25) + `"}`, []string{"email", "last_name"}},
	} {
		a := b.do(c.token(), x.method, x.path, x.body).want(400)
		got := []string{}
		for path := range a.Fields {
			got = append(got, strings.TrimPrefix(path, "params."))
		}
		slices.Sort(got)
		slices.Sort(x.fields)
		if !slices.Equal(got, x.fields) {
			t.Errorf("%s %s: faults of %v, want %v", x.path, x.body, got, x.fields)
		}
	}
}

func TestAccountOfANewUserIsIgnored(t *testing.T) {
	d := dbtest.SQLite(t)
	b := newBench(t, d, nil)
	c := b.signUp("ada@example.org")
	b.do(c.token(), "POST", "/rest/account/user", `{"email":"bob@example.org","password":"abc","account":7}`).want(201)
	b.do(nobody, "POST", "/rest/user", `{"email":"eve@example.org","password":"abc","account":7}`).want(400)
}

func TestNestedAccountHasItsMoney(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		c := b.signUp("ada@example.org")
		h := b.do(c.token(), "POST", "/rest/account/office_hours", `{"type":"weekends","dow":"sun","time_from":0,"time_to":86400}`).want(201).object()
		account := h["account"].(map[string]any)
		for _, name := range []string{"balance", "currency", "credit_limit", "reserved", "available"} {
			if _, ok := account[name]; !ok {
				t.Errorf("no %s in %v", name, account)
			}
		}
	})
}

func TestCartEntriesMayLastAsLongAsTheyLike(t *testing.T) {
	d := dbtest.SQLite(t)
	b := newBench(t, d, nil)
	c := b.signUp("ada@example.org")
	for _, ttl := range []string{"315360001", "9223372036854775807"} {
		e := b.do(c.token(), "POST", "/rest/user/cart", `{"payload":1,"ttl":`+ttl+`}`).want(201)
		b.do(c.token(), "PATCH", "/rest/user/cart/"+e.str("uuid"), `{"ttl":`+ttl+`}`).want(200)
	}
	if l := b.do(c.token(), "GET", "/rest/user/cart", nil).want(200).list(); len(l) != 2 {
		t.Errorf("entries %v", l)
	}
}
