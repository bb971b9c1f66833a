// Package client is a small client of the public API, for the commands and for programs that try the server from outside.
//
// Client (client.go) sends one REST request and unwraps the envelope; a refusal is an *Error with status, code and the fields that are wrong. Stream (stream.go)
// is one websocket that is signed in and subscribed; Follow keeps one open over restarts of the server and resumes behind the last event seen.
//
// It knows paths and wire words from its callers only, retries nothing by itself but a lost websocket, and never logs or prints a credential.
package client
