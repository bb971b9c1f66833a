// Package docs runs the samples of the README and the guides against a server.
//
// samples.go takes the blocks marked sh out of a page, in order, and joins them to one script, so that a variable of an earlier block is known in a later one.
// docs_test.go starts a server for each page and runs its script with bash, as a reader with OPENTACT_API, OPENTACT_TOKEN and the program on the PATH would.
// Blocks marked otherwise (text, xml, json) are for reading only.
package docs
