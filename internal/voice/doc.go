// Package voice is calls as an account sees them: control apps, call records, recordings, and what REST may do to a live call.
// It joins the engine of live calls (voice/call) with call XML (voice/flow).
//
// Main types: Service (voice.go), App (app.go), Call and Record (record.go), journal (journal.go).
//
// The path of an inbound call: front.go asks who calls, which number, and whether it may (hot.go spares a
// stream of calls the same look-ups); a refusal is a call.Cause · the
// engine takes the call · script.go fetches the document (document.go), has its first prompts spoken ahead, and runs it on one goroutine
// through phone.go, the only place where flow and call meet · Dial asks route.go where to go · every state comes back to observe.go and journal.go,
// which write rows, events, webhooks and charges, many calls in one transaction. A recording that asks for a transcript
// gets one by a durable job (transcript.go). The path of a call made by REST: call_http.go
// decodes, place.go asks the same router, places the leg, and the same script runs once it is answered. wire.go and
// wire_call.go render all entities, for answers and events alike; wire_append.go is the quick form of the latter, held to the same bytes.
//
// It never talks to carriers, never decides prices of routes, and never lets the database slow a live call: facts wait.
package voice
