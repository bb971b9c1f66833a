package voice

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/voice/call"
)

func queryOf(account string) event.Query { return event.Query{Account: account} }

// recorded stores a second of tone as a finished recording.
func (h *house) recorded() (id string, sound []byte) {
	h.t.Helper()
	l := h.lease(0)
	a := call.Leg{ID: ident.New(), Account: h.ann.Account, Type: kindApp, Direction: call.In, From: "+13125550144", To: string(l.TN), Tag: &tag{tn: l.TN}, InitOn: time.Now(), State: call.Init}
	h.s.LegChanged(a)
	samples, err := audio.ReadAll(audio.Tone(0.5, time.Second, 440), time.Second)
	h.must(err)
	var b bytes.Buffer
	h.must(audio.EncodeWAV(&b, samples))
	r := call.Record{
		ID: ident.New(), Leg: a.ID, Account: a.Account, State: "available", Format: "wav", Channels: "mono", StartedOn: time.Now(), AvailableOn: time.Now(),
		Duration: time.Second, BlobKey: "rec/one.wav", Size: int64(b.Len()),
	}
	_, r.SHA256, err = h.s.cfg.Blob.Put(h.t.Context(), r.BlobKey, bytes.NewReader(b.Bytes()))
	h.must(err)
	h.s.RecordChanged(r)
	h.next(a.ID, CallRecordEvent)
	return r.ID, b.Bytes()
}

func TestRecordingIsReadInPartsWithCredentialsOrASignature(t *testing.T) {
	h := build(t, dbtest.SQLite(t), nil)
	id, sound := h.recorded()
	path := "/rest/record/" + id
	o := h.do("GET", path, "").is(200).object()
	has(t, o, map[string]string{"state": `"available"`, "duration": "1", "format": `"wav"`})
	if a := h.do("GET", path+".wav", "").is(200); !bytes.Equal(a.raw, sound) || a.header.Get("Content-Type") != "audio/wav" {
		t.Errorf("%d bytes of %s", len(a.raw), a.header.Get("Content-Type"))
	}
	a := h.send(h.token, "GET", path+".wav", "", nil, "Range", "bytes=4-7").is(206)
	if !bytes.Equal(a.raw, sound[4:8]) {
		t.Errorf("range: %q", a.raw)
	}
	signed := strings.TrimPrefix(o["url"].(string), "https://api.example.org")
	if a := h.send("", "GET", signed, "", nil).is(200); !bytes.Equal(a.raw, sound) {
		t.Error("signed URL gives another sound")
	}
	h.send("", "GET", strings.Replace(signed, ".wav", ".mp3", 1), "", nil).is(401)
	h.send("", "GET", path+".wav", "", nil).is(401)
	h.send(h.bob, "GET", path+".wav", "", nil).is(404)
	if a := h.do("GET", path+".mp3", "").is(200); len(a.raw) < 1000 || a.header.Get("Content-Type") != "audio/mpeg" {
		t.Errorf("mp3: %d bytes", len(a.raw))
	}
	h.do("GET", path+"/transcript", "").is(404)
	if samples, err := (fetcher{s: h.s}).Media(t.Context(), o["url"].(string)); err != nil || len(samples) != 8000 {
		t.Errorf("played: %d samples, %v", len(samples), err)
	}
}

func TestErasedRecordingKeepsItsEntity(t *testing.T) {
	h := build(t, dbtest.SQLite(t), nil)
	id, _ := h.recorded()
	path := "/rest/record/" + id
	h.send(h.bob, "DELETE", path, "", nil).is(404)
	has(t, h.do("DELETE", path, "").is(200).object(), map[string]string{"state": `"deleted"`, "url": "null"})
	has(t, h.do("GET", path, "").is(200).object(), map[string]string{"state": `"deleted"`})
	h.do("GET", path+".wav", "").is(404)
	if _, err := h.s.cfg.Blob.Stat(t.Context(), "rec/one.wav"); err == nil {
		t.Error("the sound is still there")
	}
}
