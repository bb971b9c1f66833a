// Package nodes runs two servers on one PostgreSQL database and one bus, takes one of them away in the middle of its work, and looks what the other makes of it.
//
// nodes_test.go freezes a node for longer than the others wait and lets it go on, and kills one at once: the calls of the lost node must be closed and its
// messages sent by the other within seconds, once each, and what comes back must begin anew. Commands for a call go to either node. sink_test.go is the customer's
// server, which must get each event of the log.
//
// It uses the built server through test/scenario/house, and counts effects in the rows of the database.
package nodes
