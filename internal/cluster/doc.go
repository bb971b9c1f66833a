// Package cluster tells which nodes live and whose work must be taken over.
//
// A node is one run of the program: a Member (cluster.go) with an id that is new at each start, and the name of its data directory, which stays.
// It beats in the database; each member watches the others' beats by its own clock, so that the clocks of two machines are never
// compared (watch.go). One whose beat stood still for deadAfter is declared dead in one transaction together with what the domains registered with
// OnDead, which makes the dead node's work due again. The SQL is in cluster_store.go, and lock_unix.go keeps a second program off a directory.
//
// A node that is declared dead while it is frozen may come back. Fence, at the start of the transactions that end claimed work, refuses it then; Holds,
// asked before an effect outside the database, is false before anybody may have declared it. Run ends with ErrLost, and whoever runs the
// program starts it anew.
//
// The package knows no kind of work, elects no leader and compares no clocks.
package cluster
