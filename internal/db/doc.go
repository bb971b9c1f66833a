// Package db opens the database and runs transactions on it: SQLite (WAL, synchronous=FULL) by default, PostgreSQL when told.
//
// One SQL text serves both engines; the few words that differ are asked from Tx and DB (SkipLocked). Values keep to what both know:
// TEXT, BIGINT, BOOLEAN; times are BIGINT micro-seconds (Time), structures are JSON text (JSON).
//
// The way of a write, by file: update.go gathers the callers that wait at the same moment into one transaction (group commit: one fsync for all of
// them), tx.go is what a caller's function gets, collect.go lets the event log add its rows once, at the end of the group.
// The way of a read: DB.Read gives a querier on the read pool. where.go builds the filters of searches, fold.go
// compares their text without regard to case. bulk.go makes statements about many rows at once.
// migrate.go brings the schema up.
//
// It never knows what a table means, and it never answers a write before its commit has reached the disk.
package db
