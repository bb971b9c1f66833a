package app_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// upload sends a file as the multipart member "file".
func (h *house) upload(path string, file []byte) *http.Response {
	h.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "me.png")
	if err != nil {
		h.t.Fatal(err)
	}
	_, _ = part.Write(file)
	_ = form.Close()
	req, _ := http.NewRequest("POST", "http://"+h.app.HTTPAddr()+path, &body)
	req.Header.Set("Authorization", "Bearer test-token-0123456789")
	req.Header.Set("Content-Type", form.FormDataContentType())
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	return res
}

func TestAvatarsAreKeptAndServed(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		var picture bytes.Buffer
		if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 2, 2))); err != nil {
			t.Fatal(err)
		}
		_, me := h.do("GET", "/rest/user", "")
		user := "/rest/user/" + me["payload"].(map[string]any)["uuid"].(string)
		res := h.upload(user+"/avatar", picture.Bytes())
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if res.StatusCode != 200 {
			t.Fatal("upload", res.StatusCode)
		}
		_, me = h.do("GET", "/rest/user", "")
		address, _ := me["payload"].(map[string]any)["avatar"].(string)
		u, err := url.Parse(address)
		if err != nil || !strings.HasPrefix(u.Path, "/object/avatar/") {
			t.Fatal(address, err)
		}
		if res, err = http.Get("http://" + h.app.HTTPAddr() + u.Path); err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != "image/png" || !bytes.Equal(got, picture.Bytes()) {
			t.Error(res.StatusCode, res.Header, len(got))
		}
		if status, out := h.do("DELETE", user+"/avatar", ""); status != 200 || out["payload"].(map[string]any)["avatar"] != nil {
			t.Error(status, out)
		}
	})
}

func TestTheOlderAndOuterInterfaceIsNamedAsNotImplemented(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for _, op := range []string{
			"GET /v1/accounts.json", "POST /v1/accounts.xml", "PUT /v1/accounts/7", "GET /v1/accounts/7.json", "GET /v1/accounts/7/sip.json", "GET /v1/accounts/7/im",
			"POST /v1/friends/7.json", "GET /v1/numbers/12125550100.xml", "GET /rest/janus/session/list", "POST /rest/admin/class4/did/prefix",
		} {
			method, path, _ := strings.Cut(op, " ")
			if status, out := h.do(method, path, ""); status != 404 || out["meta"] != "not_implemented" {
				t.Error(op, status, out["meta"])
			}
		}
	})
}

func TestRefusedCallXMLStandsAtItsMember(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		status, made := h.do("POST", "/rest/sip/app", `{"name":"desk"}`)
		if status != 201 {
			t.Fatal(status, made)
		}
		path := "/rest/sip/app/call/flow/" + made["payload"].(map[string]any)["uuid"].(string)
		status, out := h.do("POST", path, `{"xml":"<Response><Nope/></Response>"}`)
		at, _ := out["fields"].(map[string]any)["params.xml"].(map[string]any)
		if status != 400 || out["meta"] != "invalid_xml" || at["message"] != out["message"] {
			t.Error(status, out)
		}
	})
}

func TestTheDocumentDescribesWhatIsSent(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		_, doc := h.do("GET", "/openapi.json", "")
		hooks, _ := doc["webhooks"].(map[string]any)
		for _, name := range []string{"event", "smsCallback", "callFlow", "callState"} {
			if hooks[name] == nil {
				t.Errorf("no webhook %s", name)
			}
		}
	})
}

func TestFixedTagsLeadToTheirOperations(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		for tag, path := range map[string]string{"Auth": "/rest/auth", "SMS": "/rest/sms/o", "SIP_Connection": "/rest/sip/connection/product"} {
			_, doc := h.do("GET", "/openapi.json?tag="+tag, "")
			if doc["paths"].(map[string]any)[path] == nil {
				t.Errorf("%s is not under the tag %s", path, tag)
			}
		}
	})
}

// TestAnEntryOfTheLedgerShowsWhatItIsAbout: a lease that lives, one that is gone, a message, a call, and nothing.
func TestAnEntryOfTheLedgerShowsWhatItIsAbout(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		found := h.payload("POST", "/rest/tn/search", `{"pattern":"212*","size":2}`).(map[string]any)["data"].([]any)
		profile := h.payload("GET", "/rest/profile/messaging", "").([]any)[0].(map[string]any)["uuid"]
		tn, gone := int64(found[0].(map[string]any)["tn"].(float64)), int64(found[1].(map[string]any)["tn"].(float64))
		h.payload("POST", "/rest/order", fmt.Sprintf(`{"tns":[%d],"messaging_profile":%q}`, tn, profile))
		h.payload("POST", "/rest/order", fmt.Sprintf(`{"tns":[%d]}`, gone))
		h.payload("DELETE", fmt.Sprintf("/rest/lease/tn/%d", gone), "")
		h.payload("POST", "/rest/sms", fmt.Sprintf(`{"from":%d,"to":15005550101,"message":"x"}`, tn))
		call := h.payload("POST", "/rest/call", fmt.Sprintf(`{"from":%d,"to":15005550001}`, tn)).(map[string]any)["uuid"].(string)
		h.settled(func() bool {
			return h.payload("GET", "/rest/call/"+call, "").(map[string]any)["state"] == "live"
		}, "an answered call")
		h.payload("DELETE", "/rest/call/"+call, "")

		h.settled(func() bool {
			return h.total("/rest/transaction/search", `{"ref_type":"sms_outgoing"}`)+h.total("/rest/transaction/search", `{"ref_type":"voice_outgoing"}`) == 2
		}, "charges of message and call")
		for _, kind := range []string{"tnlease_nrc", "tnlease_mrc", "sms_nrc", "sms_outgoing", "voice_outgoing", "adjustment"} {
			rows := h.payload("POST", "/rest/transaction/search", fmt.Sprintf(`{"ref_type":%q}`, kind)).(map[string]any)["data"].([]any)
			if len(rows) == 0 {
				t.Error("no entry:", kind)
			}
			for _, row := range rows {
				full := h.payload("GET", "/rest/transaction/"+row.(map[string]any)["uuid"].(string), "").(map[string]any)
				object, _ := full["ref_object"].(map[string]any)
				if object["uuid"] != full["ref_uuid"] {
					t.Error(kind, full)
				}
			}
		}
	})
}
