package voice

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/speech"
	"github.com/opentact/opentact/internal/voice/call"
	"github.com/opentact/opentact/internal/voice/flow"
)

// mouth speaks everything in a moment.
type mouth struct{}

func (mouth) Name() string { return "mouth" }

func (mouth) Voices() []speech.Voice {
	return []speech.Voice{{Code: "m", Lang: "en-US", Gender: speech.Female, Type: speech.Standard}}
}

func (m mouth) Speak(context.Context, speech.Request) ([]int16, speech.Voice, error) {
	return make([]int16, 80), m.Voices()[0], nil
}

// prices changes those of the default plan.
func (h *house) prices(change func(*billing.Prices)) {
	h.t.Helper()
	h.must(h.d.Update(h.t.Context(), func(ctx context.Context, tx *db.Tx) error {
		p, err := h.billing.Plan(ctx, tx, billing.DefaultPlan)
		if err != nil {
			return err
		}
		change(&p.Prices)
		_, err = h.billing.SavePlan(ctx, tx, p)
		return err
	}))
}

func (h *house) available() money.Amount {
	h.t.Helper()
	available, err := h.billing.Available(h.t.Context(), h.d.Read(), h.ann.Account)
	h.must(err)
	return available
}

func TestSpeechIsChargedByCharactersOncePerCommand(t *testing.T) {
	engines, err := speech.New(speech.Options{TTS: speech.None, Synthesizers: []speech.Synthesizer{mouth{}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engines.Close() })
	h := build(t, dbtest.SQLite(t), func(c *Config) { c.Speech = engines })
	_, l := h.app(func(a *App) {
		a.StaticFlow = `<Response><Say loop="3">Grüezi</Say><Play url="http://127.0.0.1:1/none.wav"><Error say="true"/></Play><Hangup/></Response>`
	})
	h.prices(func(p *billing.Prices) { p.TTS, p.VoiceIn = money.MustParse("0.000004"), 0 })
	before := h.available()
	h.s.invite(inviteTo(l))
	id := h.next("", CallStateEvent).RefID
	h.states(id, "ringing", "live", "hangup", "destroyed")
	if paid := before - h.available(); paid != money.MustParse("0.000024") {
		t.Errorf("paid %s for 6 characters", paid)
	}
	h.leave("0.00001")
	say := voices{h.s, call.Leg{ID: id, Account: h.ann.Account, Tag: &tag{leased: &l}}}
	if _, _, err := say.Speak(t.Context(), flow.SayRequest{Text: "Grüezi"}); !errors.Is(err, flow.ErrBalance) {
		t.Errorf("without money: %v", err)
	}
	if _, _, err := say.Speak(t.Context(), flow.SayRequest{Text: "Grüezi", Free: true}); err != nil {
		t.Error(err)
	}
}

func TestTranscriptIsChargedByStarted15Seconds(t *testing.T) {
	h := build(t, dbtest.SQLite(t), hearing(t, ears{}))
	h.work()
	h.prices(func(p *billing.Prices) { p.ASR = money.MustParse("0.006") })
	before := h.available()
	r := h.spoke(func(r *call.Record) { r.Duration = 16 * time.Second }, h.hum(time.Second))
	h.next(r.Leg, CallRecordEvent)
	has(t, h.next(r.Leg, CallRecordEvent).Payload, map[string]string{"event": `"transcript"`})
	if paid := before - h.available(); paid != money.MustParse("0.012") {
		t.Errorf("paid %s for 16 s", paid)
	}
	h.empty()
	r = h.spoke(func(r *call.Record) { r.Duration = time.Second }, h.hum(time.Second))
	h.next(r.Leg, CallRecordEvent)
	if e := h.next(r.Leg, CallRecordEvent); e.Message != "Record "+r.ID+": transcript failed: Not enough balance" {
		t.Errorf("%q", e.Message)
	}
}
