package crash

import (
	"fmt"
	"hash/maphash"
	"net/http/httptest"
	"strings"
	"testing"
)

// A harness that never complains proves nothing: each kind of broken promise must be told.

func madeLog(n int) []logged {
	var log []logged
	for i := 1; i <= n; i++ {
		log = append(log, logged{seen{fmt.Sprintf("c_%04d", i), uint64(i)}, fmt.Sprintf("u%d", i), "ref"})
	}
	return log
}

func TestReadersAreHeldToTheLog(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(got []seen) []seen
		own   map[string]uint64
		fault string
	}{
		"everything came":           {spoil: func(got []seen) []seen { return got }},
		"one is missing":            {spoil: func(got []seen) []seen { return append(got[:3:3], got[4:]...) }, fault: "1 are missing"},
		"the last is missing":       {spoil: func(got []seen) []seen { return got[:9] }, fault: "1 are missing"},
		"one has other bytes":       {spoil: func(got []seen) []seen { got[5].sum = 99; return got }, fault: "1 came with other bytes"},
		"one is not in the log":     {spoil: func(got []seen) []seen { return append(got, seen{"c_9999", 1}) }, fault: "1 are not in the log"},
		"a sign-in came first":      {spoil: func(got []seen) []seen { return append(got[:3:3], got[4:]...) }, own: map[string]uint64{"c_0004": 4}},
		"a sign-in has other bytes": {spoil: func(got []seen) []seen { return append(got[:3:3], got[4:]...) }, own: map[string]uint64{"c_0004": 5}, fault: "1 are missing"},
	} {
		r := &run{notes: newNotes(), log: madeLog(10)}
		var got []seen
		for _, e := range r.log {
			got = append(got, e.seen)
		}
		r.compare(&follower{name: "reader", events: c.spoil(got), own: c.own})
		expect(t, name, r.notes, c.fault)
	}
}

func TestReaderComplainsOfAnEventThatComesAgain(t *testing.T) {
	f := &follower{notes: newNotes(), seed: maphash.MakeSeed(), own: map[string]uint64{}}
	for i, frame := range []string{`{"type":"auth","success":true,"cursor":"c_5"}`, `{"type":"sms","cursor":"c_1"}`, `{"type":"sms","cursor":"c_2"}`} {
		if err := f.take([]byte(frame), i == 0); err != nil {
			t.Fatal(err)
		}
	}
	if f.take([]byte(`{"type":"sms","cursor":"c_2"}`), false) == nil || len(f.all()) != 2 {
		t.Error("the second c_2 was taken")
	}
}

func TestLogIsHeldToItsCursorsAndIDs(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(log []logged)
		fault string
	}{
		"right":          {func([]logged) {}, ""},
		"cursor twice":   {func(log []logged) { log[4].cursor = log[3].cursor }, "c_0004 after c_0004"},
		"an event twice": {func(log []logged) { log[7].uuid = log[2].uuid }, "u3 is in the log twice"},
	} {
		r := &run{notes: newNotes(), log: madeLog(10), from: "c_0000"}
		c.spoil(r.log)
		r.checkLog()
		expect(t, name, r.notes, c.fault)
	}
}

func TestEffectsAreCounted(t *testing.T) {
	for name, c := range map[string]struct {
		found map[string][]string
		fault string
	}{
		"once":          {map[string][]string{"a": {"id"}}, ""},
		"lost":          {nil, "is lost"},
		"twice":         {map[string][]string{"a": {"id", "other"}}, "was done 2 times"},
		"not that one":  {map[string][]string{"a": {"other"}}, "but it is other"},
		"nobody's work": {map[string][]string{"a": {"id"}, "b": {"x", "y"}}, ""},
	} {
		n := newNotes()
		n.ack(note{kind: kindSMS, tag: "a", id: "id", tries: 2})
		(&rows{run: &run{notes: n}}).effects(kindSMS, c.found)
		expect(t, name, n, c.fault)
	}
}

func TestSinkIsHeldToTheLog(t *testing.T) {
	const secret, at = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", "1770111168"
	want := "v1,10bmBjSlcrImmnHSLJIH7vrG+XOeC4lkpM+eYIPqRXQ=" // webhooks §7.2
	if got := sign(secret, "msg_0194f2b0-6100-7d5e-8f60-718293a4b5c6", at, []byte(`{"type":"balance","payload":40.0847}`)); got != want {
		t.Fatalf("signature %s, want %s", got, want)
	}
	body := func(i int) string { return fmt.Sprintf(`{"uuid":"u%d","cursor":"c_%04d","ref_id":"ref"}`, i, i) }
	type post struct {
		n, attempt int
		body       string
		sign       string
	}
	for name, c := range map[string]struct {
		posts []post
		fault string
	}{
		"each once":       {[]post{{n: 1}, {n: 2}, {n: 3}}, ""},
		"one twice":       {[]post{{n: 1}, {n: 2}, {n: 2, attempt: 2}, {n: 3}}, ""},
		"retried later":   {[]post{{n: 2}, {n: 3}, {n: 1, attempt: 2}}, ""},
		"one missing":     {[]post{{n: 1}, {n: 3}}, "1 never came"},
		"disorder":        {[]post{{n: 1}, {n: 3}, {n: 2}}, "1 came before an older one"},
		"two bodies":      {[]post{{n: 1}, {n: 2}, {n: 3}, {n: 3, body: `{"uuid":"u3","cursor":"c_0003"}`}}, "two bodies"},
		"bad signature":   {[]post{{n: 1}, {n: 2}, {n: 3, sign: "v1,xx"}}, "has signature"},
		"another event's": {[]post{{n: 1}, {n: 2}, {n: 3, body: body(4)}}, "carries event u4"},
	} {
		seed := maphash.MakeSeed()
		r := &run{notes: newNotes(), seed: seed}
		for i := 1; i <= 3; i++ {
			r.log = append(r.log, logged{seen{fmt.Sprintf("c_%04d", i), maphash.String(seed, body(i))}, fmt.Sprintf("u%d", i), "ref"})
		}
		r.sink = &sink{notes: r.notes, seed: seed, secret: secret, signed: map[string]*delivery{}}
		for _, p := range c.posts {
			text, id := p.body, fmt.Sprintf("msg_u%d", p.n)
			if text == "" {
				text = body(p.n)
			}
			if p.sign == "" {
				p.sign = sign(secret, id, at, []byte(text))
			}
			q := httptest.NewRequest("POST", signedPath, strings.NewReader(text))
			for k, v := range map[string]string{"webhook-id": id, "webhook-timestamp": at, "webhook-signature": p.sign, "x-opentact-attempt": fmt.Sprint(max(p.attempt, 1))} {
				q.Header.Set(k, v)
			}
			r.sink.ServeHTTP(httptest.NewRecorder(), q)
		}
		r.checkSigned()
		expect(t, name, r.notes, c.fault)
	}
}

func TestDeckDealsEveryFailpoint(t *testing.T) {
	p := Plan{Seed: 7}
	d, other := newDeck(p.chance("kills")), newDeck(p.chance("kills"))
	dealt := map[string]bool{}
	for range 26 {
		card := d.next()
		if card != other.next() {
			t.Fatal("one seed deals two ways")
		}
		dealt[point(card)] = true
	}
	if len(dealt) < 20 || !dealt[""] {
		t.Errorf("26 starts arm only %d kinds", len(dealt))
	}
}

func TestTheAppsServerIsHeldToTheLog(t *testing.T) {
	for name, c := range map[string]struct {
		told  []string
		posts map[string]string // state to trigger
		fault string
	}{
		"all came":      {[]string{"init", "live", "destroyed"}, map[string]string{"init": "sca_call_started", "live": "call_state", "destroyed": "sca_call_finished"}, ""},
		"one missing":   {[]string{"init", "live"}, map[string]string{"init": "sca_call_started"}, "they were live"},
		"wrong trigger": {[]string{"init"}, map[string]string{"init": "call_state"}, `says "call_state" of state init`},
		"refused":       {[]string{"hangup", "destroyed"}, nil, ""},
	} {
		r := &run{notes: newNotes(), told: map[string][]string{"u": c.told}}
		r.sink = &sink{notes: r.notes, states: map[string]int{}}
		for state, trigger := range c.posts {
			q := httptest.NewRequest("POST", appPath+"?call=u&state="+state, strings.NewReader(`{"uuid":"u"}`))
			q.Header.Set("X-Opentact-Event", trigger)
			r.sink.ServeHTTP(httptest.NewRecorder(), q)
		}
		r.checkApp([]string{"u"})
		expect(t, name, r.notes, c.fault)
	}
}

func TestCallbacksAreHeldToTheMessages(t *testing.T) {
	for name, c := range map[string]struct {
		m     message
		came  string
		fault string
	}{
		"delivered":      {message{state: "success", delivered: true}, "sms_sent sms_delivered", ""},
		"not delivered":  {message{state: "failed", sent: true}, "sms_sent sms_delivery_fails", ""},
		"refused":        {message{state: "failed"}, "sms_send_fails", ""},
		"receipt silent": {message{state: "failed", sent: true}, "sms_sent", "sms_delivery_fails never came"},
		"refusal silent": {message{state: "failed"}, "", "sms_send_fails never came"},
		"inbound silent": {message{kind: "smsi", state: "success"}, "", "smsi_received never came"},
	} {
		r := &run{notes: newNotes(), sink: &sink{callbacks: map[string]int{}}}
		for _, trigger := range strings.Fields(c.came) {
			r.sink.callbacks[trigger+" u"]++
		}
		c.m.uuid = "u"
		r.checkCallbacks([]message{c.m})
		expect(t, name, r.notes, c.fault)
	}
}

// expect wants one complaint with these words, or none.
func expect(t *testing.T, name string, n *notes, words string) {
	t.Helper()
	all := ""
	for _, c := range n.complaints {
		all += strings.Join(c.cases, "\n")
	}
	if words == "" && all != "" || words != "" && !strings.Contains(all, words) {
		t.Errorf("%s: complaints %q, want %q", name, all, words)
	}
}
