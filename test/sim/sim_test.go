package sim

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
)

// ram gives a directory in memory where there is one: the worlds' disk fails when the dice say so, not when the machine is slow.
func ram(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "sim")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// playSeed runs one seed in a bubble of its own.
func playSeed(t *testing.T, seed int, s *stock, dir string, f flaw) (w *world, problems []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		if w, err = newWorld(seed, s, dir, f); err != nil {
			t.Fatal(err)
		}
		problems = w.play()
	})
	return w, problems
}

// complaint tells what is wrong with a world and how to see it again.
func complaint(w *world, problems []string) string {
	steps := shown
	if os.Getenv("SIM_TRACE") != "" {
		steps = 0
	}
	return fmt.Sprintf("seed %d (%s):\n  %s\nlast steps, in seconds:\n%s\nagain with: SIM_SEED=%d go test ./test/sim -run TestSeed",
		w.seed, w.mood.name, strings.Join(problems, "\n  "), w.trace.last(steps), w.seed)
}

// TestSeed plays the seed that SIM_SEED names, by default the first of each mood.
func TestSeed(t *testing.T) {
	dir := ram(t)
	s := makeStock(t, dir)
	seeds := make([]int, len(moods))
	for i := range seeds {
		seeds[i] = i
	}
	if text := os.Getenv("SIM_SEED"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			t.Fatalf("SIM_SEED=%q is no seed", text)
		}
		seeds = []int{n}
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // as in TestSeeds: what goroutines do at the same time then has the same order again
	for _, n := range seeds {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			w, problems := playSeed(t, n, s, dir, sound)
			if len(problems) > 0 {
				t.Error(complaint(w, problems))
			} else if os.Getenv("SIM_TRACE") != "" {
				t.Log(w.trace.last(0))
			}
		})
	}
}
