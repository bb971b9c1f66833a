// Package stream is the websocket gate of the event log, the event subscriptions of users, and the log's REST view.
//
// The way of an event, by file: the log hands each committed row to Gate (gate.go), which offers it to the sockets of the row's account; a socket (socket.go)
// keeps a bounded queue and one writer, and closes with the cursor of the last event sent when its reader is too slow. Coming back, a client names that
// cursor in a subscribe frame (frames.go) and gets the missed rows from the log before live ones, without gap or double (replay.go).
// gate_http.go takes the upgrade and the first credential; subscription*.go and log_http.go are the REST side.
//
// The bytes of an envelope are sent as the log rendered them. The gate remembers nothing across a restart: the log does.
package stream
