package sim

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// inTest is how many seeds `make test` plays; SIM_SEEDS says another number, and SIM_FROM another first seed.
const inTest = 500

// part is the variable by which a process is told its share: "first:step:end:directory".
const part = "SIM_PART"

// Lines by which a worker reports.
const (
	began  = "SIM began "
	passed = "SIM passed "
)

// TestSeeds plays many seeds, spread over one process for each core: a program's ids only grow, so the worlds of one process follow one another, and a world that
// ends its process takes no other with it.
func TestSeeds(t *testing.T) {
	if os.Getenv(part) != "" {
		work(t)
		return
	}
	count, first := inTest, 0
	for name, v := range map[string]*int{"SIM_SEEDS": &count, "SIM_FROM": &first} {
		if text := os.Getenv(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 {
				t.Fatalf("%s=%q is no number", name, text)
			}
			*v = n
		}
	}
	dir := ram(t)
	if err := makeStock(t, dir).save(dir); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	workers := min(runtime.NumCPU(), max(count, 1))
	var wg sync.WaitGroup
	var mu sync.Mutex
	worlds := 0
	for i := range workers {
		wg.Go(func() {
			n := employ(t, dir, first+i, workers, first+count)
			mu.Lock()
			defer mu.Unlock()
			worlds += n
		})
	}
	wg.Wait()
	t.Logf("%d seeds from %d, %d good, %.1f s on %d cores", count, first, worlds, time.Since(start).Seconds(), workers)
	if worlds != count && !t.Failed() {
		t.Errorf("%d of %d seeds were played", worlds, count)
	}
}

// employ lets processes play every step'th seed from first on, and gives how many were good. A process that ends early is followed by another.
func employ(t *testing.T, dir string, first, step, end int) (good int) {
	for first < end {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSeeds$", "-test.v", "-test.timeout=0")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d:%d:%d:%s", part, first, step, end, dir), "GOMAXPROCS=1", "GOGC=off", "GOMEMLIMIT=500MiB")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Error(err)
			return good
		}
		cmd.Stderr = cmd.Stdout
		if err := cmd.Start(); err != nil {
			t.Error(err)
			return good
		}
		now, n, text := follow(bufio.NewScanner(out))
		good += n
		if err := cmd.Wait(); err == nil {
			return good
		}
		if now < first {
			t.Errorf("a worker did not begin: %s", text)
			return good
		}
		t.Errorf("seed %d:\n%s\nagain with: SIM_SEED=%d go test ./test/sim -run TestSeed", now, text, now)
		first = now + step
	}
	return good
}

// maxSaid is how much of a failing worker's words is shown.
const maxSaid = 400

// follow reads what a worker says: the seed that it began last, how many were good, and the words since then.
func follow(in *bufio.Scanner) (now, good int, text string) {
	now = -1
	in.Buffer(nil, 1<<20)
	var said []string
	for in.Scan() {
		line := in.Text()
		if rest, ok := strings.CutPrefix(line, began); ok {
			now, _ = strconv.Atoi(rest)
			said = nil
			continue
		}
		if strings.HasPrefix(line, passed) {
			good++
			continue
		}
		if len(said) < maxSaid {
			said = append(said, line)
		}
	}
	return now, good, strings.Join(said, "\n")
}

// work is a worker: it plays its share and ends with the first seed that fails.
func work(t *testing.T) {
	var first, step, end int
	var dir string
	if _, err := fmt.Sscanf(os.Getenv(part), "%d:%d:%d:%s", &first, &step, &end, &dir); err != nil {
		t.Fatal(err)
	}
	s, err := loadStock(dir)
	if err != nil {
		t.Fatal(err)
	}
	for seed := first; seed < end; seed += step {
		fmt.Printf("%s%d\n", began, seed)
		if w, problems := playSeed(t, seed, s, dir, sound); len(problems) > 0 || t.Failed() {
			t.Fatal(complaint(w, problems))
		}
		fmt.Printf("%s%d\n", passed, seed)
	}
}
