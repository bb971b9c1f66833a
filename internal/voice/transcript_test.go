package voice

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/speech"
	"github.com/opentact/opentact/internal/voice/call"
	"github.com/opentact/opentact/internal/voice/flow"
)

// ears understand English: a word for each half second of sound that is not silent.
type ears struct{ err error }

func (ears) Name() string { return "ears" }

func (e ears) Recognize(_ context.Context, samples []int16, o speech.RecognizeOptions) (speech.Transcript, error) {
	if o.Lang != "en-US" {
		return speech.Transcript{}, speech.ErrUnknownLanguage
	}
	out := speech.Transcript{Engine: "ears", Lang: o.Lang}
	for at := 0; at+4000 <= len(samples) && o.Dictation; at += 4000 {
		if audio.ToneLevel(samples[at:at+4000], 440) > 0.5 {
			begin := time.Duration(at) * time.Second / audio.Rate
			out.Segments = append(out.Segments, speech.Segment{Start: begin, End: begin + 400*time.Millisecond, Text: "word", Confidence: 0.5})
		}
	}
	return out, e.err
}

// work runs the jobs until the test ends.
func (h *house) work() {
	ctx, stop := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	ready := make(chan struct{})
	wait.Go(func() {
		if err := h.s.cfg.Jobs.Run(ctx, func() { close(ready) }); err != nil {
			h.t.Error(err)
		}
	})
	<-ready
	h.t.Cleanup(func() { stop(); wait.Wait() })
}

// spoke reports a live call, and a recording of it that has become available.
func (h *house) spoke(change func(*call.Record), channels ...[]int16) call.Record {
	h.t.Helper()
	a := call.Leg{ID: ident.New(), Account: h.ann.Account, Type: kindApp, Direction: call.In, From: "+13125550144", To: "12025550100", Tag: &tag{}, InitOn: time.Now(), State: call.Init}
	h.s.LegChanged(a)
	var b bytes.Buffer
	h.must(audio.EncodeWAV(&b, channels...))
	r := call.Record{ID: ident.New(), Leg: a.ID, Account: a.Account, State: "available", Format: "wav", Channels: "mono", StartedOn: time.Now(), BlobKey: "rec/" + a.ID + ".wav", ASR: true}
	var err error
	r.Size, r.SHA256, err = h.s.cfg.Blob.Put(h.t.Context(), r.BlobKey, &b)
	h.must(err)
	change(&r)
	h.s.RecordChanged(r)
	return r
}

func (h *house) hum(d time.Duration) []int16 {
	h.t.Helper()
	samples, err := audio.ReadAll(audio.Tone(0.5, d, 440), d)
	h.must(err)
	return samples
}

func hearing(t *testing.T, e ears) func(*Config) {
	engines, err := speech.New(speech.Options{TTS: speech.None, Recognizer: e})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engines.Close() })
	return func(c *Config) { c.Speech = engines }
}

func TestTranscriptFollowsARecordingThatAsksForOne(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, hearing(t, ears{}))
		h.work()
		quiet := make([]int16, 2*audio.Rate)
		left, right := append(h.hum(time.Second), quiet...), append(quiet[:2*audio.Rate:2*audio.Rate], h.hum(time.Second)...)
		r := h.spoke(func(r *call.Record) { r.Channels = "dual" }, left, right)
		has(t, h.next(r.Leg, CallRecordEvent).Payload, map[string]string{"event": `"available"`, "transcript_state": `"pending"`, "text": "null", "transcript": "null"})
		e := h.next(r.Leg, CallRecordEvent)
		has(t, e.Payload, map[string]string{"event": `"transcript"`, "transcript_state": `"available"`, "text": `"word word word word"`, "asr": "true", "state": `"available"`})
		if e.Message != "Record "+r.ID+": transcript available" {
			t.Errorf("%q", e.Message)
		}
		o := h.do("GET", "/rest/record/"+r.ID+"/transcript", "").is(200).object()
		has(t, o, map[string]string{
			"record": `"` + r.ID + `"`, "state": `"available"`, "language": `"en-US"`, "engine": `"ears"`, "reason": "null",
			"segments": `[{"channel":0,"confidence":0.5,"end":0.9,"start":0,"text":"word word"},{"channel":1,"confidence":0.5,"end":2.9,"start":2,"text":"word word"}]`,
		})
		has(t, e.Payload["transcript"].(map[string]any), map[string]string{"uuid": `"` + o["uuid"].(string) + `"`, "state": `"available"`})
		h.do("POST", "/rest/record/"+r.ID+"/transcript", "{}").is(409)
		text, err := h.s.awaitTranscript(t.Context(), r.ID, true)
		if err != nil || text != "word word word word" {
			t.Errorf("a document gets %q, %v", text, err)
		}
		h.s.LegChanged(call.Leg{ID: r.Leg, Account: r.Account, State: call.Destroyed, HangupOn: time.Now(), DestroyOn: time.Now()})
		last := h.states(r.Leg, "destroyed")
		has(t, last.Call["records"].([]any)[0].(map[string]any), map[string]string{"transcript_state": `"available"`})
		h.do("DELETE", "/rest/record/"+r.ID, "").is(200)
		h.do("GET", "/rest/record/"+r.ID+"/transcript", "").is(404)
		h.do("POST", "/rest/record/"+r.ID+"/transcript", "{}").is(404)
	})
}

func TestSilenceHasATranscriptWithoutText(t *testing.T) {
	h := build(t, dbtest.SQLite(t), hearing(t, ears{}))
	h.work()
	r := h.spoke(func(*call.Record) {}, make([]int16, audio.Rate))
	h.next(r.Leg, CallRecordEvent)
	has(t, h.next(r.Leg, CallRecordEvent).Payload, map[string]string{"event": `"transcript"`, "text": "null"})
	has(t, h.do("GET", "/rest/record/"+r.ID+"/transcript", "").is(200).object(), map[string]string{"state": `"available"`, "segments": "[]"})
}

func TestTranscriptThatCannotBeMadeSaysWhy(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Config)
		lang   string
		reason string
	}{
		"no engine":    {func(*Config) {}, "en-US", "No speech engine"},
		"missing":      {hearing(t, ears{err: &speech.MissingError{Program: "ears"}}), "en-US", "No speech engine"},
		"broken":       {hearing(t, ears{err: errors.New("broken")}), "en-US", "Speech recognition failed"},
		"not English":  {hearing(t, ears{}), "de-DE", "Language not understood"},
		"sound is bad": {hearing(t, ears{}), "", "Speech recognition failed"},
	} {
		t.Run(name, func(t *testing.T) {
			h := build(t, dbtest.SQLite(t), tc.change)
			h.work()
			r := h.spoke(func(r *call.Record) {
				if r.Lang = tc.lang; r.Lang == "" {
					r.BlobKey = "rec/none.wav"
				}
			}, h.hum(time.Second))
			h.next(r.Leg, CallRecordEvent)
			e := h.next(r.Leg, CallRecordEvent)
			has(t, e.Payload, map[string]string{"event": `"transcript_failed"`, "transcript_state": `"failed"`, "text": "null", "state": `"available"`})
			if want := "Record " + r.ID + ": transcript failed: " + tc.reason; e.Message != want {
				t.Errorf("%q, want %q", e.Message, want)
			}
			has(t, h.do("GET", "/rest/record/"+r.ID+"/transcript", "").is(200).object(), map[string]string{"state": `"failed"`, "reason": `"` + tc.reason + `"`, "segments": "[]"})
			if _, err := h.s.awaitTranscript(t.Context(), r.ID, true); !errors.Is(err, flow.ErrRecordFailed) {
				t.Errorf("a document gets %v", err)
			}
		})
	}
}

func TestTranscriptIsAskedForLater(t *testing.T) {
	h := build(t, dbtest.SQLite(t), hearing(t, ears{}))
	h.work()
	r := h.spoke(func(r *call.Record) { r.ASR = false }, h.hum(time.Second))
	has(t, h.next(r.Leg, CallRecordEvent).Payload, map[string]string{"transcript_state": `"none"`})
	path := "/rest/record/" + r.ID + "/transcript"
	h.do("GET", path, "").is(404)
	h.send(h.bob, "POST", path, "application/json", nil).is(404)
	h.do("POST", path, `{"language":"?"}`).is(400)
	has(t, h.do("POST", path, `{"language":"de-DE"}`).is(201).object(), map[string]string{"state": `"pending"`, "text": "null", "language": `"de-DE"`})
	has(t, h.next(r.Leg, CallRecordEvent).Payload, map[string]string{"event": `"transcript_failed"`})
	h.do("POST", path, "").is(201)
	has(t, h.next(r.Leg, CallRecordEvent).Payload, map[string]string{"event": `"transcript"`, "text": `"word word"`})
}
