// Package storage tries the storage as a whole: a process that writes rows, events and jobs at once is killed without warning, and what it had acknowledged
// must be there.
package storage
