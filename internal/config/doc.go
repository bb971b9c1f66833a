// Package config reads the settings of the program, strictly.
//
// Config (config.go) is one struct whose fields carry the flag names; environment and file names follow from them by rule (names.go):
// --http-addr is OPENTACT_HTTP_ADDR and http.addr. Source (source.go) collects environment and file, refuses keys that do not exist
// and values that cannot be read, naming all of them at once, and answers kong for every flag that is not on the command line. Finish
// (check.go) fills in what follows from other settings and checks the whole. Load does all of it for a program with these flags only.
//
// Order: flag, environment, file, default. The package opens no database and no socket, and never prints a secret.
package config
