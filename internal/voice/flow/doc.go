// Package flow is call XML: it parses a document and runs it against a call.
//
// Parse turns bytes into a Document, a tree of Node with line and column, or refuses them with one *fault.Error of code
// fault.InvalidXML. A Machine runs documents on the goroutine that calls Run, one command after the other; a command
// is a row of the table in verbs.go and a blocking function in verb_*.go. It knows the call only through Phone, and the
// world only through Voices, Fetcher, Recordings and Journal, so that its tests need no SIP, no sockets and no clock.
//
// The path of a document: parse.go reads tokens and builds the tree, check.go judges attribute values, node.go is the tree,
// spec.go what a row of the table says; machine.go chooses the next document and ends the call, command.go runs one
// command and reports it, template.go fills in {{names}}, meta.go keeps what <Meta> stores, sound.go plays, request.go asks
// the customer's server for more XML; limits.go holds every limit.
//
// It never parks a call (End tells the owner to), never charges, never speaks SIP, SQL or HTTP itself, and runs nothing
// that Parse did not accept.
package flow
