package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db/dbtest"
)

// answer is what came back to a request with a key.
type answer struct {
	status   int
	replayed bool
	body     string
}

// keyed posts with an Idempotency-Key.
func (h *house) keyed(client *http.Client, path, key, body string) (answer, error) {
	req, _ := http.NewRequest("POST", "http://"+h.app.HTTPAddr()+path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer test-token-0123456789")
	req.Header.Set("Idempotency-Key", key)
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header.Get("Idempotency-Replayed") == "true", string(b)}, err
}

// crowd posts the same n times at once and gives the one answer that all of them got.
func (h *house) crowd(n int, path, body string) answer {
	h.t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: n}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var mu sync.Mutex
	seen, first := map[answer]int{}, 0
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			a, err := h.keyed(client, path, "crowd", body)
			for err == nil && a.status == 409 && strings.Contains(a.body, `"conflict"`) { // it still runs: ask again, as Retry-After says
				a, err = h.keyed(client, path, "crowd", body)
			}
			if err != nil {
				h.t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if !a.replayed {
				first++
			}
			a.replayed = false
			seen[a]++
		})
	}
	all.Wait()
	if len(seen) != 1 || first != 1 {
		h.t.Fatalf("%s: %d answers, %d of them not replayed: %v", path, len(seen), first, slices.Collect(maps.Keys(seen)))
	}
	for a := range seen {
		if other, err := h.keyed(client, path, "crowd", strings.Replace(body, "{", `{ `, 1)); err != nil || other.status != 409 || !strings.Contains(other.body, "idempotency_mismatch") {
			h.t.Error(path, other, err)
		}
		return a
	}
	panic("unreachable")
}

func (h *house) payload(method, path, body string) any {
	h.t.Helper()
	status, out := h.do(method, path, body)
	if status >= 300 {
		h.t.Fatal(method, path, status, out)
	}
	return out["payload"]
}

func (h *house) total(path, body string) int {
	return int(h.payload("POST", path, body).(map[string]any)["total"].(float64))
}

func (h *house) balance() float64 {
	return h.payload("GET", "/rest/account", "").(map[string]any)["balance"].(float64)
}

// crowdSize is how many equal requests come at once.
const crowdSize = 1000

func TestEqualRequestsAtOnceHaveOneEffectOneChargeAndOneAnswer(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		found := h.payload("POST", "/rest/tn/search", `{"pattern":"212*","size":2}`).(map[string]any)
		tn := int64(found["data"].([]any)[0].(map[string]any)["tn"].(float64))
		before := h.balance()

		a := h.crowd(crowdSize, "/rest/order", fmt.Sprintf(`{"items":[{"tn":%d,"features":["voice","sms"]}]}`, tn))
		if a.status != 201 || h.total("/rest/order/search", `{}`) != 1 || len(h.payload("GET", "/rest/lease/tn", "").([]any)) != 1 {
			t.Fatal(a)
		}
		profile := h.payload("GET", "/rest/profile/messaging", "").([]any)[0].(map[string]any)["uuid"]
		a = h.crowd(crowdSize/10, fmt.Sprintf("/rest/lease/tn/%d/subscription/sms", tn), fmt.Sprintf(`{"messaging_profile":%q}`, profile))
		if a.status >= 300 {
			t.Fatal(a)
		}
		charges := h.total("/rest/transaction/search", `{}`)
		if spent := before - h.balance(); spent < 1 || spent > 1.2 {
			t.Error("spent", spent)
		}

		a = h.crowd(crowdSize, "/rest/sms", fmt.Sprintf(`{"from":%d,"to":15005550101,"message":"once"}`, tn))
		if a.status != 200 || h.total("/rest/sms/search/outbound", `{}`) != 1 {
			t.Error(a, h.total("/rest/sms/search/outbound", `{}`))
		}
		a = h.crowd(crowdSize, "/rest/call", fmt.Sprintf(`{"from":%d,"to":15005550002}`, tn))
		if a.status != 201 || h.total("/rest/call/search", `{}`) != 1 {
			t.Error(a, h.total("/rest/call/search", `{}`))
		}
		h.settled(func() bool { return h.total("/rest/transaction/search", `{}`) == charges+1 }, "one charge for the message")
		var made struct{ Payload struct{ UUID string } }
		if err := json.Unmarshal([]byte(a.body), &made); err != nil || made.Payload.UUID == "" {
			t.Fatal(a.body)
		}
		h.settled(func() bool {
			return h.payload("GET", "/rest/call/"+made.Payload.UUID, "").(map[string]any)["state"] == "destroyed"
		}, "the call ends")
	})
}

// settled waits for what work in the background brings about.
func (h *house) settled(ok func() bool, what string) {
	h.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(20 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-late:
			h.t.Fatal("waited in vain: ", what)
		}
	}
}

// TestEveryPostKeepsItsPromiseInOneWay is the list of operations that are not one transaction of the database, each with its reason.
func TestEveryPostKeepsItsPromiseInOneWay(t *testing.T) {
	h := start(t, dbtest.SQLiteURL(t))
	want := map[string][]string{
		// What they do is on a wire, or a file.
		"live": {"CreateCall", "ExecuteSIPControlAppCallExecuteCallFlow", "HangupCall", "PushCallXml", "SandboxCall", "SendDtmf", "TestWebhook", "UploadAvatar"},
		// Messages are accepted many in one transaction; a hash of a password and a look-up of a host are too slow to stand in one.
		"own": {"AddUserToAccount", "ChangeUserPasswordViaResetToken", "CreateUser", "SendSMS", "SendSMSO"},
	}
	got := map[string][]string{}
	for id, mode := range h.app.KeyModes() {
		got[mode] = append(got[mode], id)
	}
	for _, mode := range slices.Sorted(maps.Keys(got)) {
		slices.Sort(got[mode])
		switch mode {
		case "transaction":
			if len(got[mode]) < 15 {
				t.Error(got[mode])
			}
		case "read":
			for _, id := range got[mode] {
				if !strings.Contains(id, "Search") && id != "GetOrderPrice" && id != "PreviewSMS" && id != "DebugWebhookSignature" {
					t.Error(id, "is taken for one that only reads")
				}
			}
		default:
			if !slices.Equal(got[mode], want[mode]) {
				t.Errorf("%s: %v, want %v", mode, got[mode], want[mode])
			}
		}
	}
}

// TestARetryAfterALostAnswerGetsIt: the client's connection broke after the commit.
func TestARetryAfterALostAnswerGetsIt(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		found := h.payload("POST", "/rest/tn/search", `{"pattern":"212*","size":2}`).(map[string]any)
		tn := int64(found["data"].([]any)[0].(map[string]any)["tn"].(float64))
		profile := h.payload("GET", "/rest/profile/messaging", "").([]any)[0].(map[string]any)["uuid"]
		for _, op := range []struct {
			path, body string
			status     int
		}{
			{"/rest/order", fmt.Sprintf(`{"items":[{"tn":%d,"features":["voice","sms"]}]}`, tn), 201},
			{fmt.Sprintf("/rest/lease/tn/%d/subscription/sms", tn), fmt.Sprintf(`{"messaging_profile":%q}`, profile), 200},
			{"/rest/sms", fmt.Sprintf(`{"from":%d,"to":15005550101,"message":"once"}`, tn), 200},
			{"/rest/sms", fmt.Sprintf(`{"from":%d,"to":[15005550101,15005550102],"message":"each"}`, tn), 201},
			{"/rest/call", fmt.Sprintf(`{"from":%d,"to":15005550002}`, tn), 201},
			{"/rest/sandbox/sms", fmt.Sprintf(`{"from":15005550199,"to":%d,"message":"in"}`, tn), 201},
			{"/rest/sip/app", `{"name":"one"}`, 201},
			{"/rest/profile/messaging", `{"name":"one"}`, 201},
			{"/rest/profile/outbound_voice", `{"name":"one"}`, 201},
			{"/rest/user", `{"email":"one@example.org","password":"quite a secret 1"}`, 201},
			{"/rest/account/user", `{"email":"two@example.org","password":"quite a secret 1"}`, 201},
			{"/rest/sms/optout", `{"phone":15005550150}`, 201},
			{"/rest/token", `{"name":"one"}`, 201},
			{"/rest/auth", ``, 200},
			{"/rest/webhook", `{"url":"http://127.0.0.1:8090/hook","types":["sms"],"is_active":false}`, 201},
			{"/rest/sms", `{"to":15005550101}`, 400},
		} {
			h.lose(op.path, "lost"+op.body, op.body)
			var a answer
			h.settled(func() bool { // the first one may run yet
				var err error
				if a, err = h.keyed(http.DefaultClient, op.path, "lost"+op.body, op.body); err != nil {
					t.Fatal(err)
				}
				return a.status != 409
			}, op.path)
			again, err := h.keyed(http.DefaultClient, op.path, "lost"+op.body, op.body)
			if err != nil || a.status != op.status || !again.replayed || again.body != a.body || again.status != a.status {
				t.Error(op.path, a, again, err)
			}
			if op.status == 201 && op.path == "/rest/user" && !strings.Contains(a.body, "one@example.org") {
				t.Error(a.body)
			}
		}
		if n := h.total("/rest/sms/search/outbound", `{"type":"smso"}`); n != 3 {
			t.Error("messages", n)
		}
		if n := h.total("/rest/call/search", `{}`); n != 1 {
			t.Error("calls", n)
		}
	})
}

// lose sends a request whole and hangs up without reading its answer.
func (h *house) lose(path, key, body string) {
	h.t.Helper()
	c, err := net.Dial("tcp", h.app.HTTPAddr())
	if err != nil {
		h.t.Fatal(err)
	}
	var req bytes.Buffer
	fmt.Fprintf(&req, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer test-token-0123456789\r\nIdempotency-Key: %s\r\nContent-Length: %d\r\n\r\n%s", path, key, len(body), body)
	if _, err := c.Write(req.Bytes()); err != nil {
		h.t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		h.t.Fatal(err)
	}
}
