// Package dbtest gives tests real databases: Each runs a test on SQLite and on PostgreSQL, each with a fresh migrated database.
//
// PostgreSQL is the server that OPENTACT_TEST_POSTGRES names (make test starts one for all packages); without it the first test that needs one
// starts a cluster of its own below the temporary directory, which ends with the test process. It must not be imported by anything but tests.
package dbtest
