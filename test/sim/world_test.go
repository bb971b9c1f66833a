package sim

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opentact/opentact/internal/db"
)

// world is one seed's play.
type world struct {
	dice
	seed     int
	mood     mood
	busy     time.Duration // clients and trouble
	flaw     flaw
	path     string
	stock    *stock
	start    time.Time
	trace    trace
	disk     *disk
	network  *network
	customer *customer
	books    *books
	healed   atomic.Bool    // nothing fails any more
	declared atomic.Bool    // a process was declared dead
	over     chan struct{}  // closed at the end
	guests   sync.WaitGroup // what is outside of the process: carriers, customers' servers
	clients  sync.WaitGroup

	mu       sync.Mutex // guards what follows
	life     *life      // nil while no process answers
	lives    []*life
	deaths   int
	idle     []span // times without a process, or with one that pauses
	problems []string
}

// span is a time.
type span struct{ from, to time.Time }

// worldStart is when the first seed's world begins; later ones follow in steps, so that ids of one program only grow.
var worldStart = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// newWorld makes the world of a seed in a directory; it must be called in the bubble.
func newWorld(seed int, s *stock, dir string, f flaw) (*world, error) {
	time.Sleep(time.Until(worldStart.Add(time.Duration(seed) * (maxWorld + time.Hour))))
	w := &world{dice: dice(mix(uint64(seed))), seed: seed, stock: s, flaw: f, path: filepath.Join(dir, fmt.Sprintf("%d.db", seed)), start: time.Now(), over: make(chan struct{})}
	w.mood = moods[seed%len(moods)]
	w.busy = w.between(leastBusy, mostBusy, "busy")
	w.trace.start = w.start
	w.disk = &disk{w: w, kills: map[db.Stage]bool{}}
	w.network = newNetwork(w)
	w.customer = newCustomer(w)
	w.books = newBooks(w)
	return w, copyFile(s.Path, w.path)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if closed := out.Close(); err == nil {
		err = closed
	}
	return err
}

// play runs the world to its end and gives what is wrong with it.
func (w *world) play() []string {
	w.books.begin()
	l := w.supervise()
	w.healed.Store(true)
	w.disk.forget()
	w.trace.add("all is well from now on")
	w.clients.Wait()
	if w.settle(l) {
		w.check(l)
	}
	close(w.over)
	if err := l.end(); err != nil {
		w.problem("close: %v", err)
	}
	w.guests.Wait()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		_ = os.Remove(w.path + suffix)
	}
	return w.problems
}

func (w *world) problem(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// current is the process that answers now, or nil.
func (w *world) current() *life {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.life
}

// step is something that happens to the process.
type step struct {
	at   time.Duration
	kind string
}

// plan lists what happens, in order of time.
func (w *world) plan() []step {
	var out []step
	kinds := []string{"kill", "kill before a commit", "kill after a commit"}
	for i := range w.mood.crashes {
		out = append(out, step{w.between(time.Second, w.busy, "crash", i), kinds[w.pick(len(kinds), "kind of crash", i)]})
	}
	for i := range w.mood.restarts {
		out = append(out, step{w.between(time.Second, w.busy, "restart", i), "restart"})
	}
	for i := range w.mood.declared {
		out = append(out, step{w.between(time.Second, w.busy, "declaration", i), "declared dead"})
	}
	for i := range out { // few enough
		for k := i; k > 0 && out[k].at < out[k-1].at; k-- {
			out[k], out[k-1] = out[k-1], out[k]
		}
	}
	return out
}

// supervise keeps a process alive through the busy time, and gives the one that lives at its end.
func (w *world) supervise() *life {
	l := w.launch()
	for _, s := range w.plan() {
		l = w.keep(l, w.start.Add(s.at))
		w.trace.add("%s", s.kind)
		switch s.kind {
		case "kill":
			l.die()
		case "kill before a commit":
			w.disk.killAt(db.Commit)
		case "kill after a commit":
			w.disk.killAt(db.Committed)
		case "restart":
			l = w.relaunch(l)
		case "declared dead": // it notices a while later, as a node does that was frozen
			l.lost.Store(true)
			w.declared.Store(true)
			l = w.relaunch(w.keep(l, time.Now().Add(w.between(0, 2*time.Second, "time to notice", l.n))))
		}
	}
	return w.keep(l, w.start.Add(w.busy))
}

// keep waits until a time; a process that ends meanwhile gets a successor.
func (w *world) keep(l *life, until time.Time) *life {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			select {
			case <-l.gone:
				return w.relaunch(l)
			default:
				return l
			}
		case <-l.gone:
		case err := <-l.failed:
			w.trace.add("the process ends: %v", err)
			l.die()
		}
		l = w.relaunch(l)
	}
}

// launch starts a process, again and again until one comes up.
func (w *world) launch() *life {
	for {
		w.mu.Lock()
		n := len(w.lives) + 1
		w.mu.Unlock()
		l, err := w.begin(n)
		if err != nil {
			panic(fmt.Sprintf("seed %d: start: %v\n%s", w.seed, err, w.trace.last(shown)))
		}
		w.mu.Lock()
		w.lives = append(w.lives, l)
		w.mu.Unlock()
		l.cancel = func() {}
		if err = l.inherit(); err == nil {
			err = l.run()
		}
		if err == nil && !l.dead.Load() {
			w.trace.add("process %d answers", n)
			w.mu.Lock()
			w.life = l
			w.mu.Unlock()
			return l
		}
		w.trace.add("process %d does not come up: %v", n, err)
		l.die()
		w.bury(l)
		time.Sleep(time.Second)
	}
}

// relaunch ends a process, in good order when it is not dead, and starts another after a while.
func (w *world) relaunch(l *life) *life {
	from := time.Now()
	w.mu.Lock()
	w.life = nil
	w.mu.Unlock()
	w.bury(l)
	time.Sleep(w.between(0, 3*time.Second, "time to restart", l.n))
	next := w.launch()
	w.idled(from)
	return next
}

func (w *world) bury(l *life) {
	if l.dead.Load() {
		w.mu.Lock()
		w.deaths++
		w.mu.Unlock()
	}
	if err := l.end(); err != nil && !l.dead.Load() {
		w.problem("process %d: close: %v", l.n, err)
	}
}

// idled notes that nothing was done from a time to now.
func (w *world) idled(from time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idle = append(w.idle, span{from, time.Now()})
}

// settle lets time pass until nothing is left to do; long waits are passed with a process that pauses. It leaves the process paused.
func (w *world) settle(l *life) bool {
	before, still := "", 0
	for n := range maxPauses {
		time.Sleep(lookEvery)
		next, left, err := w.left(l)
		if err != nil {
			w.problem("what is left: %v", err)
			l.pause()
			return false
		}
		if left == "" {
			l.pause()
			return true
		}
		if still++; left != before {
			before, still = left, 0
		}
		if still > stuckAfter || time.Since(w.start) > maxWorld {
			break
		}
		wait := time.Until(next)
		if still == 0 || wait < 3*lookEvery {
			continue
		}
		before = ""
		// Half of the times the process is back before it is due, half of them too late.
		if wait -= time.Second; w.chance(0.5, "late", n) {
			wait += w.between(time.Second, 20*time.Minute, "how late", n)
		}
		w.trace.add("pause for %v; left: %s", wait, left)
		from := time.Now()
		l.pause()
		time.Sleep(wait)
		if err := l.run(); err != nil {
			w.problem("run again: %v", err)
			return false
		}
		w.idled(from)
	}
	_, left, _ := w.left(l)
	w.problem("no rest after %v: %s", time.Since(w.start), left)
	l.pause()
	return false
}
