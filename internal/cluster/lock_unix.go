//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// LockFile keeps every other program from locking the file until unlock is called or this program ends, in whatever way. It makes the file and its directory when they are missing,
// and leaves them. An error of ErrHeld says that another program has it, and had it for a second.
func LockFile(path string) (unlock func() error, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := flock(f); err != nil {
		held := fmt.Errorf("lock %s: %w", path, err)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			held = fmt.Errorf("%w: %s%s", ErrHeld, path, holder(f))
		}
		return nil, errors.Join(held, f.Close())
	}
	// For the operator of the second program; the lock holds without it.
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return f.Close, nil // the lock ends with the open file
}

// flock waits a moment for a held lock: what was killed while it started another program lives on in that one until it begins.
func flock(f *os.File) (err error) {
	for end := time.Now().Add(lockPatience); ; time.Sleep(lockPause) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(end) {
			return err
		}
	}
}

// holder is the process that wrote its number into a lock file.
func holder(f *os.File) string {
	b := make([]byte, 20)
	n, _ := f.Read(b)
	if pid := strings.TrimSpace(string(b[:n])); pid != "" {
		return " (process " + pid + ")"
	}
	return ""
}
