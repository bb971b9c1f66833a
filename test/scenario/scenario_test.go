package scenario

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/test/scenario/house"
)

// built is the server under test, built once by TestMain.
var built string

func TestMain(m *testing.M) { os.Exit(run(m)) }

// atOnce is how many scenarios run at a time: their servers wait for most of it.
const atOnce = "5"

func run(m *testing.M) int {
	flag.Parse()
	if err := flag.Set("test.parallel", atOnce); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "scenario")
	if err == nil {
		defer os.RemoveAll(dir)
		built, err = house.Build(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// scenarioLimit is the longest that one file may take.
const scenarioLimit = 90 * time.Second

func TestScenarios(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range names {
		name := filepath.Base(file)
		onBoth(t, strings.TrimSuffix(name, ".txt"), func(t *testing.T, db string) {
			ctx, cancel := context.WithTimeout(t.Context(), scenarioLimit)
			defer cancel()
			st := stage{files: os.DirFS("testdata"), binary: built, data: t.TempDir(), db: db}
			if err := st.play(ctx, name); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// onBoth runs fn with a SQLite and with a PostgreSQL database, beside other such tests.
func onBoth(t *testing.T, name string, fn func(t *testing.T, db string)) {
	t.Run(name+"/sqlite", func(t *testing.T) {
		t.Parallel()
		fn(t, "")
	})
	t.Run(name+"/postgres", func(t *testing.T) {
		t.Parallel()
		fn(t, dbtest.PostgresURL(t))
	})
}

func TestScriptsAreCheckedBeforeTheyRun(t *testing.T) {
	for text, want := range map[string]string{
		"dance x\n":             "unknown step",
		"  {\"a\": 1}\n":        "nothing to go on with",
		"use itself\n":          "itself.inc",
		"GET /rest/x\nstatus\n": "",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "x.txt"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := read(os.DirFS(dir), "x.txt", 0)
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
