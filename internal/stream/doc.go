// Package stream is the websocket gate of the event log, the event subscriptions of users, and the log's REST view.
//
// The way of a connection, by file: gate_http.go takes the upgrade and finds the credential, in the handshake or in the first frame; from then on socket.go is its
// state, read.go the goroutine that reads (frame/ is the layer of frames of RFC 6455), frames.go what the client may ask. An idle socket costs that one goroutine:
// write.go starts a writer when there is something to send and ends it after, and wheel.go spreads pings and the check of sessions over time for all sockets at once.
//
// The way of an event: the log hands each committed row to Gate (gate.go), which offers it to the sockets of the row's account; the rendered frame is shared by all of
// them. A socket keeps a bounded queue, and closes with the cursor of the last event sent when its reader is too slow. Coming back, a client names that cursor in a
// subscribe frame and gets the missed rows from the log before live ones, without gap or double (replay.go, place.go).
// subscription*.go and log_http.go are the REST side.
//
// The bytes of an envelope are sent as the log rendered them. The gate remembers nothing across a restart: the log does. Each node serves its own sockets and
// asks the database for itself whether their sessions were ended; a change of subscriptions is told to the other nodes over the bus. Where there may be others, a
// row for each socket tells them who is online and how many sockets a user has (presence.go).
package stream
