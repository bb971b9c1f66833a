// Package app is the wiring: it builds every part of the server, says in which stage each starts, and ties together what must not know each other.
//
// app.go reads top to bottom as the list of what the server is. storage.go opens database, bus and media; domains.go makes the domains; views.go has the small
// adapters through which products see each other; check.go what is asked of the settings before anything is opened; http.go the operations and the pages of
// operators; serve.go when they are served; listen.go tells TLS from plain HTTP; schedule.go the recurring work; admin.go the part of it that commands use
// without a server.
//
// Nothing but the commands imports it, and it holds no rule of its own.
package app
