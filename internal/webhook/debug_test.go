package webhook_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/webhook"
)

const (
	checkSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
	checkID     = "msg_0194f2b0-6100-7d5e-8f60-718293a4b5c6"
	checkBody   = `{"type":"balance","payload":40.0847}`
)

// signed are the headers of the contract's check value, or of another key and text.
func signed(key []byte, id, body string, at int64) map[string]string {
	m := hmac.New(sha256.New, key)
	fmt.Fprintf(m, "%s.%d.%s", id, at, body)
	return map[string]string{"webhook-id": checkID, "webhook-timestamp": strconv.FormatInt(at, 10), "webhook-signature": "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))}
}

func TestTheCheckValueVerifies(t *testing.T) {
	r := webhook.Received{Body: []byte(checkBody), Headers: map[string]string{
		"webhook-id": checkID, "webhook-timestamp": "1770111168", "webhook-signature": "v1,10bmBjSlcrImmnHSLJIH7vrG+XOeC4lkpM+eYIPqRXQ=",
	}}
	v := webhook.Diagnose(r, []webhook.NamedSecret{{Name: "secret", Secret: checkSecret}}, time.Unix(1770111168+299, 0))
	if !v.Valid || len(v.Findings) != 0 || v.Matches != "as it is" || v.SignatureByte != -1 {
		t.Fatal(v)
	}
	if v = webhook.Diagnose(r, []webhook.NamedSecret{{Name: "secret", Secret: checkSecret}}, time.Unix(1770111168+301, 0)); v.Valid || v.Findings[0].Code != "timestamp_outside_window" {
		t.Fatal(v)
	}
}

func TestEachMistakeOfAReceiverIsNamed(t *testing.T) {
	const at = 1770111168
	right := []byte("0123456789abcdef01234567")
	plain := signed(right, checkID, checkBody, at)
	with := func(name, value string) map[string]string {
		out := map[string]string{}
		for k, v := range plain {
			out[k] = v
		}
		if out[name] = value; value == "" {
			delete(out, name)
		}
		return out
	}
	for name, row := range map[string]struct {
		headers       map[string]string
		body, want    string
		code, matches string
	}{
		"newline":        {headers: plain, body: checkBody + "\n", code: "signature_differs", matches: "newline at the end"},
		"crlf":           {headers: signed(right, checkID, "{\n}", at), body: "{\r\n}", code: "signature_differs", matches: "CRLF in the body is LF"},
		"written again":  {headers: plain, body: `{ "type": "balance", "payload": 40.0847 }`, code: "signature_differs", matches: "written again"},
		"prefix":         {headers: signed([]byte(checkSecret), checkID, checkBody, at), body: checkBody, code: "signature_differs", matches: "whole secret, whsec_ included"},
		"not decoded":    {headers: signed([]byte(strings.TrimPrefix(checkSecret, "whsec_")), checkID, checkBody, at), body: checkBody, code: "signature_differs", matches: "text behind whsec_"},
		"old secret":     {headers: signed([]byte("the old secret, 24 bytes"), checkID, checkBody, at), body: checkBody, code: "signature_differs", matches: "with the old secret"},
		"bare id":        {headers: signed(right, strings.TrimPrefix(checkID, "msg_"), checkBody, at), body: checkBody, code: "signature_differs", matches: "without msg_"},
		"other body":     {headers: plain, body: `{"type":"balance","payload":41}`, code: "signature_differs"},
		"no id":          {headers: with("webhook-id", ""), body: checkBody, code: "header_missing"},
		"no time":        {headers: with("webhook-timestamp", ""), body: checkBody, code: "header_missing"},
		"milliseconds":   {headers: with("webhook-timestamp", "1770111168000"), body: checkBody, code: "header_malformed"},
		"no number":      {headers: with("webhook-timestamp", "now"), body: checkBody, code: "header_malformed"},
		"no signature":   {headers: with("webhook-signature", ""), body: checkBody, code: "header_missing"},
		"no version":     {headers: with("webhook-signature", "abc"), body: checkBody, code: "header_malformed"},
		"wrong version":  {headers: with("webhook-signature", "v2,"+strings.Repeat("A", 43)+"="), body: checkBody, code: "header_malformed"},
		"short":          {headers: with("webhook-signature", "v1,AAAA"), body: checkBody, code: "header_malformed"},
		"no base64":      {headers: with("webhook-signature", "v1,***"), body: checkBody, code: "header_malformed"},
		"id without msg": {headers: with("webhook-id", "0194"), body: checkBody, code: "header_malformed"},
	} {
		secrets := []webhook.NamedSecret{{Name: "secret", Secret: checkSecret}, {Name: "old secret", Secret: "whsec_" + base64.StdEncoding.EncodeToString([]byte("the old secret, 24 bytes"))}}
		v := webhook.Diagnose(webhook.Received{Headers: row.headers, Body: []byte(row.body)}, secrets, time.Unix(at, 0))
		codes := ""
		for _, f := range v.Findings {
			codes += f.Code + " "
		}
		if v.Valid || !strings.Contains(codes, row.code) || !strings.Contains(v.Matches, row.matches) || row.matches == "" && v.Matches != "" {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func TestDebugSignatureComparesWithWhatWasSent(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := open(t, d, nil)
		h.run()
		c := serve(t, ok)
		id, secret := h.endpoint(c.URL, "")
		h.emit("sms", ident.New(), 1)
		got := c.await(t, 1)[0]
		h.delivery(id, "success", 1)
		headers, _ := json.Marshal(got.header)
		ask := func(who string, body string) map[string]any {
			text, _ := json.Marshal(map[string]any{"headers": json.RawMessage(headers), "body_base64": base64.StdEncoding.EncodeToString([]byte(body))})
			return h.payload("POST", "/rest/webhook/debug-signature", strings.Replace(string(text), "{", "{"+who+",", 1), 200)
		}
		if v := ask(`"webhook":"`+id+`"`, got.body); v["valid"] != true {
			t.Fatal(v)
		}
		if v := ask(`"secret":"`+secret+`"`, got.body); v["valid"] != true || v["sent_length"] != -1.0 {
			t.Fatal(v)
		}
		changed := strings.Replace(got.body, `"payload":1`, `"payload":2`, 1)
		if v := ask(`"webhook":"`+id+`"`, changed); v["valid"] != false || v["body_differs_at"] != float64(strings.Index(got.body, `"payload":1`)+10) ||
			!strings.Contains(v["matches"].(string), "body that was sent") {
			t.Fatal(v)
		}
		if status, out := h.do("POST", "/rest/webhook/debug-signature", `{"headers":[]}`); status != 400 || len(out["fields"].(map[string]any)) != 2 {
			t.Fatal(status, out)
		}
	})
}

func FuzzDiagnose(f *testing.F) {
	f.Add(checkID, "1770111168", "v1,10bmBjSlcrImmnHSLJIH7vrG+XOeC4lkpM+eYIPqRXQ=", []byte(checkBody), checkSecret)
	f.Add("", "-1", "v1, v1,,v2,a v1,YQ==", []byte("\r\n"), "whsec_")
	f.Add("msg_", "99999999999999999999", "v1,10bmBjSlcrImmnHSLJIH7vrG+XOeC4lkpM+eYIPqRXQ=", []byte(`"quoted"`), "plain")
	f.Fuzz(func(t *testing.T, id, at, signature string, body []byte, secret string) {
		before := bytes.Clone(body)
		r := webhook.Received{Headers: map[string]string{"webhook-id": id, "webhook-timestamp": at, "webhook-signature": signature}, Body: body, Sent: []byte(checkBody)}
		v := webhook.Diagnose(r, []webhook.NamedSecret{{Name: "secret", Secret: secret}}, time.Unix(1770111168, 0))
		if v.Valid && (v.Matches != "as it is" || v.Expected == "" || !strings.Contains(signature, v.Expected) || v.SignatureByte != -1) {
			t.Fatalf("%+v", v)
		}
		if !v.Valid && len(v.Findings) == 0 {
			t.Fatal("not valid without a reason")
		}
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
	})
}

func TestLargeBodiesLoseLogsFirstAndThenTheCopies(t *testing.T) {
	long := strings.Repeat("x", 15<<10)
	text := func(logs, copied string) []byte {
		return fmt.Appendf(nil, `{"uuid":"u","type":"call_state","payload":{"state":"live","duration":2,"copy":%q},"call":{"uuid":"c","n":1.50,"logs":[%q],"x":null},"delivery_report":[]}`, copied, logs)
	}
	small := text("a", "b")
	if got := webhook.Shorten("call_state", small); !bytes.Equal(got, small) {
		t.Fatal("a small body was changed")
	}
	want := fmt.Sprintf(`{"uuid":"u","type":"call_state","payload":{"state":"live","duration":2,"copy":%q},"call":{"uuid":"c","n":1.50,"x":null},"delivery_report":[],"truncated":true}`, "short")
	if got := webhook.Shorten("call_state", text(long+long, "short")); string(got) != want {
		t.Fatalf("%s", got)
	}
	want = `{"uuid":"u","type":"call_state","payload":{"state":"live","duration":2},"call":{"uuid":"c","n":1.50,"x":null},"delivery_report":[],"truncated":true}`
	if got := webhook.Shorten("call_state", text(long, long+long)); string(got) != want {
		t.Fatalf("%s", got)
	}
	whole := fmt.Appendf(nil, `{"type":"sms","payload":{"message":%q}}`, long+long)
	if got := webhook.Shorten("sms", whole); !bytes.Equal(got, whole) {
		t.Fatal("there was nothing to drop, and still it was changed")
	}
}
