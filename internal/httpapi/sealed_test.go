package httpapi

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
)

// kept is all that the table of keys holds, as one text.
func kept(t *testing.T, d *db.DB) string {
	t.Helper()
	rows, err := d.Read().Query(t.Context(), "SELECT scope, body_hash, COALESCE(header, ''), COALESCE(body, '') FROM idempotency")
	list, err := db.List("keys", rows, err, func(into func(...any) error) (string, error) {
		var scope, hash, header, body string
		err := into(&scope, &hash, &header, &body)
		return strings.Join([]string{scope, hash, header, body}, "\n"), err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, "\n")
}

func TestSecretAnswerIsReplayedAndNotToBeReadInTheDatabase(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := onNode(t, d, "a")
		n := 0
		Handle(b.API, Op{ID: "CreateToken", Method: "POST", Path: "/rest/token", Auth: User, Secret: true}, func(ctx context.Context, _ *struct {
			Password string `json:"password"`
		},
		) (string, error) {
			n++
			return fmt.Sprint("the secret of ", Who(ctx).User, " ", n), nil
		})
		const key, body = "Idempotency-Key: quite-a-long-key", `{"password":"hunter2"}`
		first := b.do(t, "POST", "/rest/token", body, good, key).want(t, 200)
		again := b.do(t, "POST", "/rest/token", body, good, key).want(t, 200)
		if n != 1 || first.text != again.text || again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("ran %d times: %s, %s", n, first.text, again.text)
		}
		b.do(t, "POST", "/rest/token", `{"password":"hunter3"}`, good, key).want(t, 409)
		if other := b.do(t, "POST", "/rest/token", body, "Authorization: owner", key).want(t, 200); n != 2 || other.text == first.text {
			t.Errorf("another user of the account got %s", other.text)
		}
		if all := kept(t, d); all == "" || strings.Contains(all, "secret") || strings.Contains(all, "quite-a-long-key") {
			t.Errorf("the table holds %s", all)
		}
	})
}

func TestSealOpensOnlyItsOwnRow(t *testing.T) {
	scope := keyScope{account: "acc", user: "u", method: "POST", path: "/rest/token", key: "k", secret: true}
	s, err := newSeal(scope)
	if err != nil {
		t.Fatal(err)
	}
	text := s.close([]byte("hidden"))
	if b, err := s.open(text); err != nil || string(b) != "hidden" {
		t.Errorf("%q %v", b, err)
	}
	if text == s.close([]byte("hidden")) {
		t.Error("equal answers look equal")
	}
	scope.path = "/rest/webhook"
	other, err := newSeal(scope)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{text, "", "AAAA", "?", text[:len(text)-4]} {
		if b, err := other.open(bad); err == nil {
			t.Errorf("%q opens as %q", bad, b)
		}
	}
}

func TestKeyOfAPathThatIsNoTextIsKept(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := onNode(t, d, "a")
		Handle(b.API, Op{ID: "Get", Method: "POST", Path: "/rest/lease/{key}"}, func(context.Context, *struct {
			Key string `path:"key"`
		},
		) (string, error) {
			return "", nil
		})
		for _, key := range []string{"%ff", "%00"} {
			b.do(t, "POST", "/rest/lease/"+key, "", "Idempotency-Key: k").want(t, 400)
		}
	})
}

func TestLiveDeleteTakesAKey(t *testing.T) {
	b := newBench(t, withKeys(t))
	n := map[string]int{}
	for _, method := range []string{"POST", "DELETE"} {
		Handle(b.API, Op{ID: method, Method: method, Path: "/rest/call/x", Auth: User, Live: true}, func(ctx context.Context, _ *struct{}) (string, error) {
			n[method]++
			return method, Commit(ctx, method, nil)
		})
	}
	for range 2 {
		for _, method := range []string{"POST", "DELETE"} {
			b.do(t, method, "/rest/call/x", "", good, "Idempotency-Key: k").want(t, 200)
		}
	}
	if n["POST"] != 1 || n["DELETE"] != 1 {
		t.Errorf("ran %v", n)
	}
}
