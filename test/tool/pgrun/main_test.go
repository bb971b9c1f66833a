package main

import (
	"os"
	"testing"

	"github.com/opentact/opentact/internal/db/dbtest"
)

func TestCommandSeesServerAndItsCodeComesBack(t *testing.T) {
	t.Setenv(dbtest.Env, "")
	// t.TempDir is too deep for a Unix socket's 107 bytes.
	parent, err := os.MkdirTemp("", "pgrun-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(parent)
	// Root's server runs as another user, who must be able to pass through.
	if err := os.Chmod(parent, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", parent)
	code, err := run([]string{"sh", "-c", `case "$` + dbtest.Env + `" in postgres://*) exit 7;; esac; exit 1`})
	if err != nil || code != 7 {
		t.Errorf("code %d, %v", code, err)
	}
	left, err := os.ReadDir(parent)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestGivenServerIsUsed(t *testing.T) {
	t.Setenv(dbtest.Env, "postgres://somewhere")
	code, err := run([]string{"sh", "-c", `test "$` + dbtest.Env + `" = postgres://somewhere`})
	if err != nil || code != 0 {
		t.Errorf("code %d, %v", code, err)
	}
}

func TestMissingCommandIsAnError(t *testing.T) {
	t.Setenv(dbtest.Env, "postgres://somewhere")
	if code, err := run([]string{"no-such-command"}); err == nil || code != 126 {
		t.Errorf("code %d, %v", code, err)
	}
}
