// Pgrun runs a command with a throw-away PostgreSQL server: it starts a cluster in a new temporary directory, names it to the command in
// OPENTACT_TEST_POSTGRES, ends the server, removes the directory, and exits with the command's exit code. Where OPENTACT_TEST_POSTGRES is
// already set, the command runs with the server that it names.
//
//	pgrun go test ./internal/db/...
package main
