package cli

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// unsynchronised is STA_UNSYNC of adjtimex(2).
const unsynchronised = 0x40

// checkClock asks the kernel whether something keeps the clock right: wrong times spoil tokens, signatures and bills.
func checkClock() []Check {
	const name = "clock"
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return []Check{yellow(name, "the kernel does not say whether it is synchronised: "+err.Error(), "see that the host of this container runs a time service")}
	}
	now := time.Now().UTC().Format(time.RFC3339)
	if t.Status&unsynchronised != 0 {
		return []Check{yellow(name, now+", not synchronised", "apt-get install chrony, or on the host of this container")}
	}
	return []Check{green(name, "%s, synchronised", now)}
}

// diskFree is what a user may still write on the file system of path, in bytes.
func diskFree(path string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return s.Bavail * uint64(s.Bsize), nil
}

// openFiles is how many files and sockets the process may have.
func openFiles() (uint64, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("limit of open files: %w", err)
	}
	return r.Cur, nil
}
