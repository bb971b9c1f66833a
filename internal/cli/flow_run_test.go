package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runFlow runs a document with these lines typed.
func runFlow(t *testing.T, doc, typed string, flags ...string) result {
	t.Helper()
	file := filepath.Join(t.TempDir(), "flow.xml")
	if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	return run(t, nil, typed, append([]string{"flow", "run", file}, flags...)...)
}

const menu = `<Response><Answer/><Gather dtmf_length="1" timeout="100" attempts="1" tag="menu"><Say>One?</Say>
<DTMF value="1"><Dial><To>13125550190</To><Error><Say>Nobody is free.</Say></Error></Dial></DTMF><Default><Say>Not {{dtmf}}.</Say></Default></Gather></Response>`

func TestTypedKeysChooseTheBlock(t *testing.T) {
	for typed, want := range map[string][]string{
		"1\n": {`say "One?"`, `ok     Gather[1]: Digits matched`, "ring 13125550190: busy", "failed Gather[1].DTMF[1].Dial[0]: [originate] ERR USER_BUSY", `say "Nobody is free."`, "hangs up: Q.850 16"},
		"7\n": {`failed Gather[1]: No match`, `say "Not 7."`},
	} {
		r := runFlow(t, menu, typed, "--dial", "busy")
		if r.code != 0 {
			t.Errorf("%+v", r)
		}
		for _, w := range want {
			if !strings.Contains(r.out, w) {
				t.Errorf("%q typed: no %q in\n%s", typed, w, r.out)
			}
		}
	}
}

func TestCallerHangsUpByTypingH(t *testing.T) {
	r := runFlow(t, `<Response><Answer/><Pause length="600000"/></Response>`, "h\n")
	// The key may come before the pause begins; what counts is that ten minutes are not waited for.
	if r.code != 0 || strings.Contains(r.out, "ok     Pause") || !strings.HasSuffix(r.out, "the caller hung up\n") {
		t.Errorf("%+v", r)
	}
}

func TestRequestsOfAFlowReallyGoOut(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Shop") != "harbor" {
			t.Errorf("%v", r.Header)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(`{"name":"Kim"}`))
	}))
	defer s.Close()
	r := runFlow(t, `<Response><Curl tag="who" url="`+s.URL+`"><Header name="X-Shop" value="harbor"/></Curl><Say>Hello {{curl.who.body.name}}.</Say>
<Record tag="v" silence="20" timeout="1000"/><Play record="v"/></Response>`, "")
	for _, w := range []string{": 200\n", `say "Hello Kim."`, `"ended_by":"silence"`, "ok     Play[3]: Media played", "hangs up: Q.850 16"} {
		if !strings.Contains(r.out, w) || r.code != 0 {
			t.Errorf("%q: %+v", w, r)
		}
	}
}

func TestABadDocumentIsRefusedWithItsPlace(t *testing.T) {
	if r := runFlow(t, "<Response>\n <Sing/></Response>", ""); r.code != 1 || !strings.HasSuffix(r.text, "flow.xml:2:2: unknown element <Sing>") {
		t.Errorf("%+v", r)
	}
}
