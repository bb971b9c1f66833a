package flow

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// answeredCall is a machine around a call that is up; cancel ends the call.
func answeredCall(t *testing.T) (m *Machine, w *world, ctx context.Context) {
	ctx, cancel := context.WithCancelCause(t.Context())
	w = &world{
		start: time.Now(), epoch: time.Now(), life: ctx, cancel: cancel, keys: newKeypad(), answered: true,
		media: map[string]string{}, records: map[string]recordRule{}, info: CallInfo{UUID: "call-1", State: "live"},
	}
	return New(Config{Phone: w, Voices: w, Fetcher: w, Recordings: w, Journal: w, Now: w.now}), w, ctx
}

func TestPushesAreRefusedWhenNothingRunsAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _, ctx := answeredCall(t)
		doc := parsed(t, `<Response><Pause length="1"/></Response>`)
		if e := m.Run(ctx, doc, Options{Pushed: true}); !e.Parked {
			t.Errorf("end %+v", e)
		}
		if m.Replace(doc) || m.Append(doc) {
			t.Error("a push was taken after the end")
		}
	})
}

func TestPushesBeforeTheStartWaitForIt(t *testing.T) {
	pause := func(length string) *Document { return parsed(t, `<Response><Pause length="`+length+`"/></Response>`) }
	for name, tc := range map[string]struct {
		push func(m *Machine) bool
		took time.Duration // the first document takes 1 ms
	}{
		"append":              {func(m *Machine) bool { return m.Append(pause("20")) }, 21 * time.Millisecond},
		"replace":             {func(m *Machine) bool { return m.Replace(pause("300")) }, 300 * time.Millisecond},
		"replace then append": {func(m *Machine) bool { return m.Replace(pause("300")) && m.Append(pause("20")) }, 320 * time.Millisecond},
		"append then replace": {func(m *Machine) bool { return m.Append(pause("20")) && m.Replace(pause("300")) }, 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, w, ctx := answeredCall(t)
				if !tc.push(m) || !m.Pushed() {
					t.Fatal("a push was refused before the start")
				}
				if e := m.Run(ctx, pause("1"), Options{}); !e.Parked || m.Pushed() {
					t.Errorf("end %+v", e)
				}
				if took := time.Since(w.start); took != tc.took {
					t.Errorf("the documents took %v, want %v:\n%s", took, tc.took, w.out.String())
				}
			})
		})
	}
}

// Each push that was taken runs, or is dropped by a later Replace; none is lost at the border of two documents.
func TestEveryAppendedDocumentRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w, ctx := answeredCall(t)
		var pushers sync.WaitGroup
		var mu sync.Mutex
		taken := 0
		for i := range 8 {
			doc := parsed(t, fmt.Sprintf(`<Response><Pause length="1" tag="pushed %d"/></Response>`, i))
			pushers.Go(func() {
				if sleep(ctx, time.Duration(i)*time.Millisecond) == nil && m.Append(doc) {
					mu.Lock()
					taken++
					mu.Unlock()
				}
			})
		}
		m.Run(ctx, parsed(t, `<Response><Pause length="4"/></Response>`), Options{})
		pushers.Wait()
		if ran := strings.Count(w.out.String(), "Pause Pause[0] ok") - 1; ran != taken || taken == 0 {
			t.Errorf("%d documents were taken, %d ran:\n%s", taken, ran, w.out.String())
		}
	})
}

func TestAppendQueueHoldsNoMoreThanACallMayRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _, ctx := answeredCall(t)
		doc := parsed(t, `<Response><Pause length="1"/></Response>`)
		var ran sync.WaitGroup
		var end End
		ran.Go(func() { end = m.Run(ctx, parsed(t, `<Response><Pause length="1000"/></Response>`), Options{}) })
		synctest.Wait()
		taken := 0
		for m.Append(doc) {
			taken++
		}
		ran.Wait()
		if taken != maxDocuments || end.Reason != "flow_error" {
			t.Errorf("%d documents were queued, end %+v", taken, end)
		}
	})
}

func TestLastOfSeveralReplacesWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w, ctx := answeredCall(t)
		var ran sync.WaitGroup
		ran.Go(func() { m.Run(ctx, parsed(t, `<Response><Pause length="9000"/></Response>`), Options{}) })
		synctest.Wait()
		for i := range 3 {
			if !m.Replace(parsed(t, fmt.Sprintf(`<Response><Pause length="%d"/></Response>`, 100*(i+1)))) {
				t.Fatal("a replace was refused")
			}
		}
		ran.Wait()
		if spent := time.Since(w.start); spent < 300*time.Millisecond {
			t.Errorf("the last document took %v:\n%s", spent, w.out.String())
		}
		if n := strings.Count(w.out.String(), "Interrupted"); n < 1 {
			t.Errorf("the first document was not interrupted:\n%s", w.out.String())
		}
	})
}

func TestUnawaitedRequestsAreFewAndWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w, ctx := answeredCall(t)
		for range 6 {
			w.fetches = append(w.fetches, &fetchRule{method: "GET", url: "https://a.example/", after: 2 * time.Second, answer: FetchAnswer{Status: 200}})
		}
		m.Run(ctx, parsed(t, "<Response>"+strings.Repeat(`<Curl url="https://a.example/" response="ignore"/>`, 6)+"</Response>"), Options{})
		if spent := time.Since(w.start).Round(10 * time.Millisecond); spent != 2*time.Second {
			t.Errorf("the fifth request should wait for the first; the flow took %v", spent)
		}
		m.Wait()
		if spent := time.Since(w.start).Round(10 * time.Millisecond); spent != 4*time.Second {
			t.Errorf("Wait returned after %v", spent)
		}
	})
}

func TestStoredAnswersAreFewAndCut(t *testing.T) {
	var r memory
	r.start(nil)
	for i := range maxAnswers + 2 {
		r.keep(fmt.Sprint("t", i), FetchAnswer{Status: 200, Body: make([]byte, maxAnswerSize+9)})
	}
	r.keep("t5", FetchAnswer{Status: 201})
	r.keep("last", FetchAnswer{Status: 202})
	if len(r.answers) != maxAnswers || len(r.answered) != maxAnswers {
		t.Errorf("%d answers, %d tags", len(r.answers), len(r.answered))
	}
	for _, gone := range []string{"t0", "t1", "t2"} {
		if _, ok := r.answers[gone]; ok {
			t.Errorf("the old answer %s is still there", gone)
		}
	}
	if r.answers["t5"].status != 201 || len(r.answers["t6"].body) != maxAnswerSize {
		t.Errorf("t5 %d, t6 of %d bytes", r.answers["t5"].status, len(r.answers["t6"].body))
	}
}

func TestTemplateValuesAreCutAtACharacter(t *testing.T) {
	m, _, _ := answeredCall(t)
	m.memory.meta["long"] = strings.Repeat("x", maxValue-1) + "é" + "tail"
	if got := m.expand("<{{meta.long}}>", asIs, nil); got != "<"+strings.Repeat("x", maxValue-1)+">" {
		t.Errorf("%d bytes, end %q", len(got), got[len(got)-8:])
	}
}

func TestTemplateTextIsNeverATemplateAgain(t *testing.T) {
	m, _, _ := answeredCall(t)
	m.memory.meta["a"] = "{{meta.b}}"
	m.memory.meta["b"] = "secret"
	if got := m.expand("{{meta.a}} {{ meta.b }}", asIs, nil); got != "{{meta.b}} secret" {
		t.Errorf("got %q", got)
	}
}

func TestAnswersAreCallXMLByTypeOrFirstCharacter(t *testing.T) {
	for _, c := range []struct {
		kind, body string
		want       bool
	}{
		{"application/xml", "<Response/>", true},
		{"Text/XML; charset=utf-8", "oops", true},
		{"text/html", " \n<Response/>", true},
		{"", "\xEF\xBB\xBF<Response/>", true},
		{"application/json", "{}", false},
		{"application/xml", " ", false},
		{"application/xml", "", false},
	} {
		if got := IsXML(c.kind, []byte(c.body)); got != c.want {
			t.Errorf("%q of type %q: %v", c.body, c.kind, got)
		}
	}
}

func TestEmptyDocumentParksTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _, ctx := answeredCall(t)
		if e := m.Run(ctx, Empty(), Options{}); !e.Parked || !e.Answered || e.Cause != nil {
			t.Errorf("end %+v", e)
		}
	})
}

func TestOwnQueryIsKept(t *testing.T) {
	fields := []field{{"a b", "+1&"}, {"c", ""}}
	for url, want := range map[string]string{
		"https://x.example/p":         "https://x.example/p?a%20b=%2B1%26&c=",
		"https://x.example/p?":        "https://x.example/p?a%20b=%2B1%26&c=",
		"https://x.example/p?q=%20#f": "https://x.example/p?q=%20&a%20b=%2B1%26&c=",
	} {
		if got := withFields(url, fields); got != want {
			t.Errorf("%s became %s", url, got)
		}
	}
}

// goneWhileAsked is a phone whose caller hangs up in the middle of whatever a verb asks of it.
type goneWhileAsked struct{ *world }

func (g goneWhileAsked) Dial(ctx context.Context, _ DialRequest) DialResult {
	g.cancel(ErrCallEnded)
	<-ctx.Done()
	return DialResult{Status: Canceled}
}

func (g goneWhileAsked) Media(ctx context.Context, _ string) ([]int16, error) {
	g.cancel(ErrCallEnded)
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestHangupInsideAnyCallEndsTheFlow(t *testing.T) {
	for _, verb := range []string{
		`<Dial><To>1</To><Error><Say>no</Say></Error></Dial>`,
		`<Play url="https://a.example/x"><Error><Say>no</Say></Error></Play>`,
	} {
		synctest.Test(t, func(t *testing.T) {
			_, w, ctx := answeredCall(t)
			g := goneWhileAsked{w}
			m := New(Config{Phone: g, Voices: w, Fetcher: g, Journal: w, Now: w.now})
			e := m.Run(ctx, parsed(t, "<Response>"+verb+"<Say>no</Say></Response>"), Options{})
			if !errors.Is(e.Cause, ErrCallEnded) || !strings.Contains(w.out.String(), "FAILED: Hangup") || strings.Contains(w.out.String(), "speak") {
				t.Errorf("end %+v:\n%s", e, w.out.String())
			}
		})
	}
}

func TestOwnerLearnsOfStoredMeta(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, w, ctx := answeredCall(t)
		told := map[string]any{}
		m := New(Config{Phone: w, Voices: w, Fetcher: w, Journal: w, Now: w.now, MetaSet: func(name string, v any) { told[name] = v }})
		m.Run(ctx, parsed(t, `<Response><Meta name="a" value="1"/><Pause length="1"><Meta name="own" value="2"/></Pause><Meta name="b">x</Meta></Response>`), Options{})
		if len(told) != 2 || told["a"] != int64(1) || told["b"] != "x" {
			t.Errorf("told %v", told)
		}
	})
}
