//go:build !linux

package cli

import (
	"errors"
	"time"
)

var errNotHere = errors.New("not looked at on this system")

func checkClock() []Check {
	return []Check{green("clock", "%s", time.Now().UTC().Format(time.RFC3339))}
}

func diskFree(string) (uint64, error) { return 0, errNotHere }

func openFiles() (uint64, error) { return 0, errNotHere }
