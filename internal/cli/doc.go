// Package cli is the command line of the program.
//
// Run (cli.go) reads the command line with the settings of package config and runs one command; each command has a file of its own. There are three kinds:
// serve (serve.go) is the server; migrate, user and token (migrate.go, user.go, token.go) work on the data directory or database itself, with the server running
// or not; login, call, sms and events (login.go, call.go, sms.go, events.go) are clients of a running server through its public API, found and opened by
// connect.go. listen (listen.go), trigger (trigger.go), events get and resend (resend.go) and webhook verify (webhook.go) are for the developer of a receiver;
// what they post themselves goes through package hook. flow (flow.go) looks at a document and doctor (doctor.go and what its name begins) at the machine.
//
// A path: Run → kong fills the command's struct → its Run method → an error that is one plain sentence with the way out, printed by main. ExitCode says with
// which code the program ends.
//
// It holds no rule of the subject: what a command does, an account or the API does too.
package cli
