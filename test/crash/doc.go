// Package crash kills the built server again and again while customers work with it, and holds it to every answer that it gave.
//
// A Run (plan.go, run.go), by file: nodes.go starts one server or two on one database and kills them, at random and at the moments of internal/failpoint, freezes
// one, and starts them again; caller.go sends requests with Idempotency-Key and repeats those whose outcome it does not know; work.go is what the
// customers do: messages both ways, calls, orders, credits, and phones that call over SIP; follow.go reads the events over a websocket that
// resumes; sink.go is the customers' web server for callbacks, states of calls and signed deliveries. notes.go is what they were promised and saw. When the work is
// over, run.go waits until the server is quiet; check_events.go, check_rest.go and check_rows.go compare the notes with what the server says over
// REST and with the rows of its database. report.go is the table at the end.
//
// It knows the rows of a few tables, to count effects exactly; everything else it sees as any customer does.
package crash
