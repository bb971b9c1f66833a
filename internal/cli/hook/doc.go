// Package hook sends events to a program on the developer's machine the way the server sends them to an endpoint.
//
// Sender (hook.go) makes one signed POST of an event's bytes (Standard Webhooks) and waits for a program that is not up yet; Sample makes an event
// of each type with made-up data, for trying a program without a server. Bodies, secrets and samples are those of internal/webhook.
//
// The way of an event: client.Event of the websocket, or a Sample → Sender.Send → Outcome, which the command prints.
//
// It keeps nothing, gives nothing up for lost but tells what came back, and never shows the secret.
package hook
