package crash

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/test/scenario/house"
)

// The size of a run; make test takes the small one, make crash the large one.
var (
	kills   = flag.Int("kills", 6, "at least so many kills for each database")
	acks    = flag.Int("acks", 200, "at least so many acknowledged requests for each database")
	length  = flag.Duration("length", 14*time.Second, "at least so much work")
	limit   = flag.Duration("limit", 30*time.Second, "the work ends after this, whatever was reached")
	gap     = flag.Int("gap", 40, "answers between kills, on the average")
	rate    = flag.Int("rate", 150, "messages per second that customers try to send")
	servers = flag.Int("nodes", 1, "servers on one PostgreSQL database")
	freeze  = flag.Bool("freeze", false, "one of two nodes is stopped for a minute and goes on")
	seed    = flag.Uint64("seed", 0, "of the randomness; 0 takes a new one")
	keep    = flag.String("keep", "", "an empty directory for the data of the servers, which stays")
	only    = flag.String("db", "", "sqlite or postgres; both when empty")
)

// built is the server under test, built once by TestMain.
var built string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(all(m))
}

func all(m *testing.M) int {
	dir, err := os.MkdirTemp("", "crash")
	if err == nil {
		defer os.RemoveAll(dir)
		built, err = house.Build(context.Background(), dir, "failpoint")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func planned(t *testing.T, db string) Plan {
	t.Helper()
	p := Plan{
		Binary: built, Dir: t.TempDir(), DB: db, Seed: *seed, Nodes: 1, Kills: *kills, Acks: *acks, Length: *length, Limit: *limit, Gap: *gap, Rate: *rate, Logf: t.Logf,
	}
	if *keep != "" {
		p.Dir = filepath.Join(*keep, filepath.Base(t.Name()))
	}
	if p.Seed == 0 {
		p.Seed = rand.Uint64()
	}
	if db != "" {
		p.Nodes, p.Freeze = *servers, *freeze && *servers > 1
	}
	return p
}

func TestKilledServerKeepsEveryPromise(t *testing.T) {
	for _, name := range []string{"sqlite", "postgres"} {
		if *only != "" && *only != name {
			continue
		}
		t.Run(name, func(t *testing.T) {
			url := ""
			if name == "postgres" {
				url = dbtest.PostgresURL(t)
			}
			report, err := Run(t.Context(), planned(t, url))
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("\n%s", report)
			if faults := report.Faults(); faults != "" {
				t.Error(faults)
			}
			if report.Kills < *kills || report.Acked() < *acks {
				t.Errorf("only %d kills and %d answers in %v: too few to tell anything", report.Kills, report.Acked(), *limit)
			}
		})
	}
}
