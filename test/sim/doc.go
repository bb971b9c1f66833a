// Package sim plays the platform's durable work through in virtual time: messages, receipts, the event log, jobs, notifications and signed deliveries, with the
// real services on a real SQLite database, between a carrier, a customer and a disk that fail as a seed says. Now and then the process does not dare to send,
// or is declared dead.
//
// One seed is one world (world_test.go) within a testing/synctest bubble: its process lives, is killed at any moment and comes back on the same file
// (life_test.go). Every decision is a function of the seed and of what it is about, never of the order in which goroutines run (dice_test.go). What the carrier
// (carrier_test.go), the customer's server (customer_test.go), the disk (disk_test.go) and the clients (clients_test.go) saw is held against the
// database when all has come to rest (check_*_test.go). worker_test.go spreads many seeds over processes; sim_test.go holds the tests.
//
// SIM_SEED=n runs one seed and shows its steps. The package has no code of its own beside its tests.
package sim
