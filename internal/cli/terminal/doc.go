// Package terminal is a telephone made of text: a call flow runs against it without a server, so that a document can be tried while it is written.
//
// Phone (phone.go) implements flow.Phone: what the flow says is printed, what is typed are the caller's keys (keys.go). world.go has the other things around a
// flow: voices that print, requests that really go out, recordings that are only counted, and the journal that prints the outcome of each command. Dialled
// parties answer, are busy or do not answer, as the one who tries the flow wants.
//
// It makes no sound and no call, and charges nothing; that is what the sandbox is for.
package terminal
