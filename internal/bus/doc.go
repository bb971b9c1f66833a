// Package bus carries live traffic between the parts and the nodes of the program: nudges, commands to the owner of a call, fan-out.
//
// Open (bus.go) starts an embedded NATS server without listeners and connects to it in memory (embedded.go), or connects to a cluster.
// Publish and Subscribe send to everyone who listens now; Request and Reply (request.go) ask one answerer. Subjects are words joined
// by dots; a subscription may use "*" for one word and ">" for the rest.
//
// Nothing here is durable: a message that finds no listener, or a listener that is too far behind, is gone. Whatever must not be lost
// lives in the database, and the message about it only says "look".
package bus
