package db_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
)

// tracedURL names the database of the child process whose system calls a test watches.
const tracedURL = "OPENTACT_TEST_TRACED"

func TestMain(m *testing.M) {
	if u := os.Getenv(tracedURL); u != "" {
		if err := writeTraced(u); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const tracedWrites = 25

func writeTraced(u string) error {
	d, err := db.Open(context.Background(), db.Config{URL: u})
	if err != nil {
		return err
	}
	if err := d.MigrateUp(context.Background()); err != nil {
		return err
	}
	for i := range tracedWrites {
		fmt.Printf("begin-%d\n", i)
		if err := d.Update(context.Background(), func(ctx context.Context, tx *db.Tx) error { return put(ctx, tx, fmt.Sprint("t", i), "x") }); err != nil {
			return err
		}
		fmt.Printf("acknowledged-%d\n", i)
	}
	return d.Close()
}

// TestEveryAcknowledgementFollowsASync watches the system calls of a child: between the beginning of each write and its acknowledgement a sync has succeeded.
func TestEveryAcknowledgementFollowsASync(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing (Debian package strace):", err)
	}
	dir := t.TempDir()
	trace := dir + "/trace"
	cmd := exec.Command(strace, "-f", "-s", "64", "-e", "trace=fsync,fdatasync,write", "-o", trace, os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), tracedURL+"=sqlite:"+dir+"/traced.db")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	synced, acknowledged, syncs := false, 0, 0
	for _, line := range strings.Split(string(b), "\n") {
		switch {
		case strings.Contains(line, "begin-"):
			synced = false
		case strings.Contains(line, "sync") && strings.HasSuffix(strings.TrimSpace(line), "= 0"): // also "<... fdatasync resumed>) = 0"
			synced = true
			syncs++
		case strings.Contains(line, "acknowledged-"):
			if acknowledged++; !synced {
				t.Errorf("acknowledged before a sync: %s", line)
			}
		}
	}
	if acknowledged != tracedWrites {
		t.Fatalf("%d acknowledgements in the trace", acknowledged)
	}
	t.Logf("%d acknowledgements, %d syncs", acknowledged, syncs)
}

// TestPostgresCommitsToTheDisk whatever the database is set to; a URL may ask for more, not for less.
func TestPostgresCommitsToTheDisk(t *testing.T) {
	u, err := url.Parse(dbtest.PostgresURL(t))
	if err != nil {
		t.Fatal(err)
	}
	open := func(setting string) (*db.DB, error) {
		with, q := *u, u.Query()
		if setting != "" {
			q.Set("synchronous_commit", setting)
		}
		with.RawQuery = q.Encode()
		return db.Open(t.Context(), db.Config{URL: with.String()})
	}
	set := func(setting string) string {
		t.Helper()
		d, err := open(setting)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		var have string
		if err := d.Read().QueryRow(t.Context(), "SHOW synchronous_commit").Scan(&have); err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(u.Path, "/")
		if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, "ALTER DATABASE \""+name+"\" SET synchronous_commit = off")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return have
	}
	for _, c := range [][2]string{{"", "on"}, {"", "on"}, {"remote_apply", "remote_apply"}, {"local", "local"}} { // the second time the database says off
		if have := set(c[0]); have != c[1] {
			t.Errorf("asked for %q it is %s", c[0], have)
		}
	}
	if d, err := open("off"); err == nil || !strings.Contains(err.Error(), "synchronous_commit is off") {
		t.Error("off was taken", d, err)
	}
}
