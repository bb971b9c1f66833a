package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/cli/client"
)

const (
	caller    = "+13125550144"
	digits    = "42"
	question  = "Please press four and two."
	callLimit = 35 * time.Second
)

// document answers, speaks, asks for two digits and records all of it.
const document = `<?xml version="1.0" encoding="UTF-8"?>
<Response>
  <Answer/>
  <Record tag="demo">
    <Gather dtmf_length="2" timeout="15000">
      <Say>Hello, this is Opentact. Please press four and two.</Say>
      <DTMF value="42">
        <Say>Thank you. You have pressed forty two. Goodbye.</Say>
      </DTMF>
      <Error><Say>Nothing was pressed.</Say></Error>
    </Gather>
  </Record>
  <Hangup/>
</Response>
`

// makeFlow makes an app with a document and ties the number to it.
func (d *demo) makeFlow(ctx context.Context) error {
	var app struct {
		UUID string `json:"uuid"`
	}
	if err := d.api.Do(ctx, "POST", "/rest/sip/app", map[string]any{"name": "demo"}, &app); err != nil {
		return fmt.Errorf("app: %w", err)
	}
	if err := d.api.Send(ctx, "POST", "/rest/sip/app/call/flow/"+app.UUID, "application/xml", []byte(document), nil); err != nil {
		return fmt.Errorf("document: %w", err)
	}
	if err := d.api.Do(ctx, "POST", "/rest/sip/app/"+app.UUID+"/tnlease", map[string]any{"add": []string{d.numbers[0].UUID}}, nil); err != nil {
		return fmt.Errorf("assignment: %w", err)
	}
	d.say("calls to +%s run a flow of Answer, Record, Gather and Say", d.numbers[0].number())
	return nil
}

// receiveCall has the simulated caller ring, listen, speak, press two keys and listen again, and follows the call to its end. Nobody talks while the other does, so
// that each word can be understood in the recording.
func (d *demo) receiveCall(ctx context.Context) error {
	script := []map[string]any{{"expect_say": question}, {"say": "One moment."}, {"digits": digits}, {"wait_ms": 8000}, {"hangup": true}}
	var call struct {
		UUID      string `json:"uuid"`
		SIPCallID string `json:"sip_call_id"`
	}
	body := map[string]any{"from": caller, "to": d.numbers[0].TN.TN, "script": script}
	if err := d.api.Do(ctx, "POST", "/rest/sandbox/call", body, &call); err != nil {
		return fmt.Errorf("sandbox call: %w", err)
	}
	d.call = call.UUID
	d.say("SIP call %s is call %s", call.SIPCallID, call.UUID)
	_, err := d.events.await(ctx, callLimit, "call_state destroyed", func(e client.Event) bool {
		return e.Type == "call_state" && e.RefID == d.call && stateOf(e) == "destroyed"
	})
	if err != nil {
		return err
	}
	if err := d.checkStates(); err != nil {
		return err
	}
	if err := d.checkCaller(ctx); err != nil {
		return err
	}
	return d.checkCommands(ctx)
}

// checkCaller asks what the simulated caller heard and did: its steps, and packets in both directions.
func (d *demo) checkCaller(ctx context.Context) error {
	var result struct {
		Steps []struct {
			Step   map[string]any `json:"step"`
			OK     bool           `json:"ok"`
			Heard  string         `json:"heard"`
			Detail string         `json:"detail"`
		} `json:"steps"`
		In  int `json:"packets_in"`
		Out int `json:"packets_out"`
	}
	if err := d.api.Do(ctx, "GET", "/rest/sandbox/call/"+d.call, nil, &result); err != nil {
		return fmt.Errorf("result of the caller: %w", err)
	}
	if result.In == 0 || result.Out == 0 || len(result.Steps) < 3 {
		return fmt.Errorf("the caller got %d packets, sent %d and took %d steps", result.In, result.Out, len(result.Steps))
	}
	for i, s := range result.Steps[:3] { // hearing the question, speaking and pressing the keys; the flow may hang up before the rest
		if !s.OK {
			return fmt.Errorf("the caller's step %d %v did not succeed, it heard %q: %s", i, s.Step, s.Heard, s.Detail)
		}
	}
	d.say("the caller heard %q, got %d and sent %d RTP packets", result.Steps[0].Heard, result.In, result.Out)
	return nil
}

func stateOf(e client.Event) string {
	p, err := payload[struct {
		State string `json:"state"`
	}](e)
	if err != nil {
		return ""
	}
	return p.State
}

// checkStates wants the states of an answered call, in order, each once.
func (d *demo) checkStates() error {
	var states []string
	for _, e := range d.events.about("call_state", d.call) {
		states = append(states, stateOf(e))
	}
	want := []string{"init", "ringing", "live", "hangup", "destroyed"}
	plain := slices.DeleteFunc(slices.Clone(states), func(s string) bool { return s == "ringing" }) // an app may answer without ringing
	if !slices.Equal(states, want) && !slices.Equal(plain, slices.Delete(want, 1, 2)) {
		return fmt.Errorf("the call went through %s", strings.Join(states, ", "))
	}
	d.say("the call went through %s", strings.Join(states, ", "))
	return nil
}

// checkCommands wants the commands of the document to have succeeded, and the digits to be those that were pressed.
func (d *demo) checkCommands(ctx context.Context) error {
	type command struct {
		Name    string `json:"name"`
		Success bool   `json:"success"`
		Reason  string `json:"reason"`
		DTMF    string `json:"dtmf"`
	}
	type report struct {
		Command command `json:"command"`
	}
	for _, name := range []string{"Answer", "Say", "Gather", "Record", "Hangup"} {
		e, err := d.events.await(ctx, promptly, "call_flow of "+name, func(e client.Event) bool {
			return e.Type == "call_flow" && e.RefID == d.call && e.Command == name
		})
		if err != nil {
			return err
		}
		r, err := payload[report](e)
		if err != nil {
			return err
		}
		// The keys stop the prompt that is being said, so its command may have been interrupted.
		if !r.Command.Success && name != "Say" {
			return fmt.Errorf("%s did not succeed: %s", name, r.Command.Reason)
		}
		if name == "Gather" && r.Command.DTMF != digits {
			return fmt.Errorf("the flow heard %q, the caller pressed %q", r.Command.DTMF, digits)
		}
	}
	d.say("the flow heard the digits %s", digits)
	return nil
}

// fetchRecording waits for the recording's event, reads the audio and listens to it.
func (d *demo) fetchRecording(ctx context.Context) error {
	type record struct {
		Event    string      `json:"event"`
		UUID     string      `json:"uuid"`
		URL      string      `json:"url"`
		Duration json.Number `json:"duration"`
		Size     int         `json:"size"`
		Reason   string      `json:"reason"`
	}
	e, err := d.events.await(ctx, promptly, "call_record", func(e client.Event) bool { return e.Type == "call_record" && e.RefID == d.call })
	if err != nil {
		return err
	}
	r, err := payload[record](e)
	if err != nil {
		return err
	}
	if r.Event != "available" {
		return fmt.Errorf("the recording is %s: %s", r.Event, r.Reason)
	}
	audio, err := d.api.Get(ctx, "/rest/record/"+r.UUID+".wav")
	if err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	if len(audio) != r.Size {
		return fmt.Errorf("the recording has %d bytes, its event said %d", len(audio), r.Size)
	}
	if err := os.WriteFile(d.wav, audio, 0o644); err != nil {
		return err
	}
	heard, err := listen(audio)
	if err != nil {
		return err
	}
	d.say("%s: %s, of which %s is speech at %.0f dBFS", d.wav, heard.length, heard.sound, heard.level)
	return heard.judge()
}
