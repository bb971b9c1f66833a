package flow

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the flows did into their golden files")

// TestFlows runs each file of testdata/<verb>: its script and documents against the fake call, compared with -- want --.
// A new test is a new file; testdata/README.md lists the words of a script.
func TestFlows(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		if strings.HasPrefix(file, filepath.Join("testdata", "fuzz")) {
			continue
		}
		t.Run(strings.TrimSuffix(strings.TrimPrefix(file, "testdata/"), ".txt"), func(t *testing.T) { runGolden(t, file) })
	}
}

func runGolden(t *testing.T, file string) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	names, sections := split(string(raw))
	var got string
	synctest.Test(t, func(t *testing.T) { got = play(t, sections) })
	if *update {
		writeGolden(t, file, names, sections, got)
		return
	}
	if diff := cmp.Diff(sections["want"], got); diff != "" {
		t.Errorf("the flow did something else (-want +got):\n%s", diff)
	}
}

func writeGolden(t *testing.T, file string, names []string, sections map[string]string, got string) {
	if _, ok := sections["want"]; !ok {
		names = append(names, "want")
	}
	sections["want"] = got
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "-- %s --\n%s", name, sections[name])
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// split cuts a file at its lines "-- name --".
func split(raw string) (names []string, sections map[string]string) {
	sections = map[string]string{}
	name := "script"
	for _, line := range strings.SplitAfter(raw, "\n") {
		if inner, ok := strings.CutPrefix(line, "-- "); ok && strings.HasSuffix(inner, " --\n") {
			name = strings.TrimSuffix(inner, " --\n")
			names = append(names, name)
			sections[name] = ""
			continue
		}
		sections[name] += line
	}
	return names, sections
}

// scene is a script that was read.
type scene struct {
	w        *world
	m        *Machine
	cfg      Config
	o        Options
	sections map[string]string
	events   []event
	wake     chan *Document // pushed to a parked call; as many as a script may push
}

type event struct {
	at   time.Duration
	what []string
}

func play(t *testing.T, sections map[string]string) string {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	w := &world{
		start: time.Now(), epoch: time.Date(2026, 3, 4, 15, 0, 0, 0, time.UTC), life: ctx, cancel: cancel, keys: newKeypad(),
		media: map[string]string{}, records: map[string]recordRule{},
		info: CallInfo{
			UUID: "call-1", From: "+14155550123", To: "12065550111", TN: "12065550111", Direction: "in", State: "ringing", Type: "CallSCA",
			AccountUUID: "account-1", AccountName: "Cedar Bikes", AppUUID: "app-1", AppName: "front desk", AppSubdomain: "cedar",
		},
	}
	s := &scene{w: w, sections: sections, wake: make(chan *Document, 8), cfg: Config{Phone: w, Voices: w, Fetcher: w, Recordings: w, Journal: w, Now: w.now}}
	for _, line := range strings.Split(sections["script"], "\n") {
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			s.read(t, words)
		}
	}
	s.m = New(s.cfg)
	go s.happen(t, ctx)
	for doc := s.document(t, "xml"); doc != nil; {
		e := s.m.Run(ctx, doc, s.o)
		w.log("end: answered %v, parked %v, reason %q, cause %v", e.Answered, e.Parked, e.Reason, e.Cause)
		doc = nil
		if e.Parked {
			doc = s.parked(ctx)
		}
		s.o = Options{Pushed: true}
	}
	s.m.Wait()
	cancel(ErrCallEnded)
	w.running.Wait()
	synctest.Wait()
	return w.out.String()
}

// parked waits as the owner does: for a pushed document, the park timeout or the end of the call.
func (s *scene) parked(ctx context.Context) *Document {
	timer := time.NewTimer(30 * time.Second)
	defer timer.Stop()
	select {
	case doc := <-s.wake:
		return doc
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

func (s *scene) document(t *testing.T, section string) *Document {
	raw, ok := s.sections[section]
	if !ok {
		t.Fatalf("no section %q", section)
	}
	doc, err := Parse([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	for _, warning := range doc.Warnings {
		s.w.log("warning: %s", warning)
	}
	return doc
}

// happen makes the events of the script come at their times.
func (s *scene) happen(t *testing.T, ctx context.Context) {
	for _, e := range s.events {
		if sleep(ctx, e.at-time.Since(s.w.start)) != nil {
			return
		}
		s.w.log("script: %s", strings.Join(e.what, " "))
		switch e.what[0] {
		case "key":
			s.w.keys.press(e.what[1])
		case "hangup":
			s.w.cancel(ErrCallEnded)
		case "shutdown":
			s.w.cancel(ErrShutdown)
		case "push":
			if doc := s.document(t, e.what[1]); !s.m.Replace(doc) {
				s.wake <- doc
			}
		case "append":
			if doc := s.document(t, e.what[1]); !s.m.Append(doc) {
				s.wake <- doc
			}
		default:
			t.Errorf("unknown event %v", e.what)
		}
	}
}

// read takes one line of a script.
func (s *scene) read(t *testing.T, words []string) {
	w := s.w
	switch words[0] {
	case "at":
		s.events = append(s.events, event{span(t, words[1]), words[2:]})
	case "answered":
		w.answered = true
	case "auto":
		s.o.AutoAnswer = true
	case "pushed":
		s.o.Pushed = true
	case "park":
		s.o.Park = true
	case "gone":
		w.gone = true
	case "limits":
		if _, err := fmt.Sscan(words[1]+" "+words[2], &s.cfg.Limits.Documents, &s.cfg.Limits.Commands); err != nil {
			t.Fatal(err)
		}
	case "machine":
		w.info.Machine = words[1]
	case "from":
		w.info.From = words[1]
	case "zone":
		w.info.TimeZone = words[1]
	case "now":
		at, err := time.Parse(time.RFC3339, words[1])
		if err != nil {
			t.Fatal(err)
		}
		w.epoch = at
	case "meta":
		if s.cfg.Meta == nil {
			s.cfg.Meta = map[string]any{}
		}
		s.cfg.Meta[words[1]] = words[2]
	case "silence":
		w.silence = span(t, words[1])
	case "voices":
		w.voiceErr = map[string]error{"unknown": ErrUnknownVoice, "failed": ErrTTS, "balance": ErrBalance, "empty": ErrNoText}[words[1]]
	case "media":
		w.media[words[1]] = words[2]
	case "record":
		s.readRecord(t, words[1:])
	case "fetch":
		s.readFetch(t, words[1:])
	case "dial":
		s.readDial(t, words[1:])
	default:
		t.Fatalf("unknown word %q in the script", words[0])
	}
}

// readFetch: METHOD URL AFTER timeout|connect|broken or METHOD URL AFTER STATUS [TYPE SECTION].
func (s *scene) readFetch(t *testing.T, f []string) {
	rule := &fetchRule{method: f[0], url: f[1], after: span(t, f[2])}
	switch f[3] {
	case "timeout":
		rule.after = time.Hour
	case "connect":
		rule.err = ErrConnect
	case "broken":
		rule.err = errors.New("reset by peer")
	default:
		if _, err := fmt.Sscan(f[3], &rule.answer.Status); err != nil {
			t.Fatal(err)
		}
		if len(f) > 4 {
			rule.answer.ContentType = f[4]
			rule.answer.Header = map[string]string{"Content-Type": f[4]}
			rule.answer.Body = []byte(strings.TrimSpace(s.sections[f[5]]))
		}
	}
	s.w.fetches = append(s.w.fetches, rule)
}

// readDial: STATUS RING TALK FAILNAME TO=Q850=NAME…
func (s *scene) readDial(t *testing.T, f []string) {
	rule := dialRule{ring: span(t, f[1]), talk: span(t, f[2])}
	rule.result = DialResult{Status: DialStatus(f[0]), FailName: strings.TrimPrefix(f[3], "-"), Duration: rule.talk}
	for i, word := range f[4:] {
		part := strings.Split(word, "=")
		r := TargetResult{To: part[0], Call: fmt.Sprintf("leg-%d", i+1), Q850Name: part[2]}
		if _, err := fmt.Sscan(part[1], &r.Q850); err != nil {
			t.Fatal(err)
		}
		if r.Q850 == 16 {
			r.Success, rule.result.To = true, r.To
		}
		if len(part) > 3 {
			r.Reason, r.Call = part[3], ""
		}
		rule.result.Targets = append(rule.result.Targets, r)
	}
	s.w.dials = append(s.w.dials, rule)
}

// readRecord: TAG AFTER DURATION|failed [TEXT].
func (s *scene) readRecord(t *testing.T, f []string) {
	r := recordRule{after: span(t, f[1]), info: RecordInfo{UUID: "stored-" + f[0], Tag: f[0], URL: "https://media.example/" + f[0] + ".wav"}}
	if f[2] == "failed" {
		r.err = ErrRecordFailed
	} else {
		r.info.Duration = span(t, f[2])
	}
	r.info.Text = strings.Join(f[3:], " ")
	s.w.records[f[0]] = r
}

func span(t *testing.T, s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
