// Package house runs the built server as its operator would, and talks to it as its customers do: over REST, the websocket and SIP.
//
// Build compiles the program. Start runs it (server.go) and waits for its line "ready"; a Server is stopped, killed or started again on the same
// data. client.go sends REST requests, socket.go follows events over the websocket, document.go finds values in the JSON of both. proc.go
// reads what the process costs: CPU time, memory, open files, goroutines.
//
// It imports nothing of the server, so that what it finds is what any customer would find.
package house
