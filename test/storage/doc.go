// Package storage tries the storage as a whole: a process that writes rows, events and jobs at once is killed without warning, and what it had acknowledged
// must be there (kill_test.go). The system calls of the built server show that no answer leaves before its sync (sync_test.go).
package storage
