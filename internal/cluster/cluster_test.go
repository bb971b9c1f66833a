package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/ident"
)

// town is a few members on one database with a clock that the test moves.
type town struct {
	t  *testing.T
	d  *db.DB
	mu sync.Mutex
	at time.Time
	// taken are the nodes whose death was committed, once for each time.
	taken []string
}

func newTown(t *testing.T, d *db.DB) *town { return &town{t: t, d: d, at: time.Now()} }

func (w *town) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *town) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

func (w *town) dead() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.taken)
}

func (w *town) member(name string) *Member { return w.memberOn(w.d, name) }

// memberOn is a member with its own connections to the database, as on another machine.
func (w *town) memberOn(d *db.DB, name string) *Member {
	m := New(Config{DB: d, Name: name, Now: w.now})
	m.OnDead("test", func(_ context.Context, tx *db.Tx, node string) error {
		tx.After(func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.taken = append(w.taken, node)
		})
		return nil
	})
	return m
}

func (w *town) joined(name string) *Member { return w.joinedOn(w.d, name) }

func (w *town) joinedOn(d *db.DB, name string) *Member {
	w.t.Helper()
	m := w.memberOn(d, name)
	if err := m.join(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return m
}

// two opens one PostgreSQL database twice.
func two(t *testing.T) (first, second *db.DB) {
	t.Helper()
	url := dbtest.PostgresURL(t)
	open := func() *db.DB {
		d, err := db.Open(t.Context(), db.Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		return d
	}
	return open(), open()
}

// fenced tries a transaction of a member.
func (w *town) fenced(m *Member) error {
	return w.d.Update(w.t.Context(), func(ctx context.Context, tx *db.Tx) error { return m.Fence(ctx, tx) })
}

// seconds lets time go by, a look of each watcher in every second, all at once.
func (w *town) seconds(n int, watchers ...*Member) {
	for range n {
		w.pass(time.Second)
		var all sync.WaitGroup
		for _, m := range watchers {
			all.Go(func() {
				if err := m.watch(w.t.Context()); err != nil {
					w.t.Error(err)
				}
			})
		}
		all.Wait()
	}
}

func TestASilentNodeIsDeclaredDeadOnceByManyWatchers(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		w := newTown(t, d)
		a, b, c := w.joined("a"), w.joined("b"), w.joined("c")
		for range 12 { // while all beat nobody is declared
			for _, m := range []*Member{a, b, c} {
				if err := m.beat(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			w.seconds(2, b, c)
		}
		if len(w.dead()) > 0 {
			t.Fatal("declared while it lived", w.dead())
		}
		alive := func() {
			for _, m := range []*Member{b, c} {
				if err := m.beat(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.seconds(3, b, c)
		alive()
		w.seconds(1, b, c)
		if len(w.dead()) > 0 {
			t.Fatal("declared too early")
		}
		w.seconds(3, b, c)
		alive()
		w.seconds(3, b, c)
		if got := w.dead(); !slices.Equal(got, []string{a.ID()}) {
			t.Fatalf("dead: %v, want %s once", got, a.ID())
		}
		if err := a.beat(t.Context()); !errors.Is(err, ErrLost) {
			t.Fatal("the dead node's beat:", err)
		}
		if err := w.fenced(a); !errors.Is(err, ErrLost) || a.Holds() {
			t.Fatal("the dead node writes", err)
		}
		if err := w.fenced(b); err != nil {
			t.Fatal(err)
		}
	})
}

func TestADeadNodeThatHasNotNoticedWritesNothingAndDeclaresNobody(t *testing.T) {
	w := newTown(t, dbtest.Postgres(t))
	a, b := w.joined("a"), w.joined("b")
	w.seconds(8, b)
	if got := w.dead(); !slices.Equal(got, []string{a.ID()}) {
		t.Fatal(got)
	}
	w.seconds(1, a)
	for range 7 { // it sees b stand still, as it does since b's beats are not counted here
		w.pass(time.Second)
		if err := a.watch(t.Context()); err != nil && !errors.Is(err, ErrLost) {
			t.Fatal(err)
		}
	}
	if got := w.dead(); len(got) != 1 {
		t.Fatal("a dead node declared another", got)
	}
	if err := w.fenced(a); !errors.Is(err, ErrLost) {
		t.Fatal(err)
	}
}

// TestARunningFencedTransactionProvesLife: the declaration does not wait for it, and comes when it has ended.
func TestARunningFencedTransactionProvesLife(t *testing.T) {
	d, other := two(t)
	w := newTown(t, d)
	a, b := w.joined("a"), w.joinedOn(other, "b")
	in, out, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			err := a.Fence(ctx, tx)
			close(in)
			<-out
			return err
		})
	}()
	<-in
	w.seconds(10, b)
	if len(w.dead()) > 0 {
		t.Fatal("declared within its transaction")
	}
	close(out)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.seconds(1, b)
	if got := w.dead(); !slices.Equal(got, []string{a.ID()}) {
		t.Fatal(got)
	}
}

func TestAWatcherThatCouldNotLookGivesEverybodyANewStart(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		w := newTown(t, d)
		a, b := w.joined("a"), w.joined("b")
		w.seconds(4, b)
		w.pass(time.Minute) // b was frozen, or the database away
		w.seconds(6, b)
		if len(w.dead()) > 0 {
			t.Fatal("declared for what nobody could see")
		}
		w.seconds(2, b)
		if got := w.dead(); !slices.Equal(got, []string{a.ID()}) {
			t.Fatal(got)
		}
	})
}

func TestHoldsEndsBeforeAnybodyMayTakeOver(t *testing.T) {
	w := newTown(t, dbtest.Postgres(t))
	m := w.member("a")
	if m.Holds() {
		t.Fatal("holds before it joined")
	}
	if err := m.join(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.pass(holdsFor - time.Millisecond)
	if !m.Holds() {
		t.Fatal("does not hold in time")
	}
	w.pass(time.Millisecond)
	if m.Holds() {
		t.Fatal("holds for too long")
	}
	if err := m.beat(t.Context()); err != nil || !m.Holds() {
		t.Fatal("a beat does not bring it back", err)
	}
	if holdsFor >= deadAfter {
		t.Fatal("another node may take over what this one still counts on")
	}
}

func TestANewRunTakesOverFromAnEarlierOneAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		w := newTown(t, d)
		first, stranger := w.joined("a"), w.joined("b")
		second := w.joined("a")
		if got := w.dead(); !slices.Equal(got, []string{first.ID()}) {
			t.Fatal(got)
		}
		if err := first.beat(t.Context()); !errors.Is(err, ErrLost) {
			t.Fatal(err)
		}
		for _, m := range []*Member{second, stranger} {
			if err := m.beat(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestRunEndsWithTheReason: by another node, by a twin, or by its own end.
func TestRunEndsWithTheReason(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		w := newTown(t, d)
		run := func(name string) (*Member, context.CancelFunc, chan error) {
			m := New(Config{DB: d, Name: name})
			ctx, stop := context.WithCancel(context.Background())
			t.Cleanup(stop)
			ready, done := make(chan struct{}), make(chan error, 1)
			go func() { done <- m.Run(ctx, func() { close(ready) }) }()
			<-ready
			return m, stop, done
		}
		a, _, lost := run("a")
		b := w.joined("b")
		for len(w.dead()) == 0 { // b's time runs faster than a beats
			w.seconds(1, b)
		}
		if err := <-lost; !errors.Is(err, ErrLost) || w.dead()[0] != a.ID() {
			t.Fatal(err)
		}
		_, _, twin := run("c")
		w.joined("c")
		if err := <-twin; !errors.Is(err, ErrTwin) {
			t.Fatal(err)
		}
		last, stop, done := run("d")
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if dead, err := b.Dead(t.Context(), []string{last.ID(), b.ID()}); err != nil || !slices.Equal(dead, []string{last.ID()}) {
			t.Fatal("it left, but lives:", dead, err)
		}
	})
}

func TestAHookThatFailsKeepsTheNodeAlive(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		w := newTown(t, d)
		a, b := w.joined("a"), w.joined("b")
		broken := errors.New("broken")
		b.OnDead("broken", func(context.Context, *db.Tx, string) error { return broken })
		w.seconds(5, b)
		var err error
		for range 3 {
			w.pass(time.Second)
			err = errors.Join(err, b.watch(t.Context()))
		}
		if !errors.Is(err, broken) || len(w.dead()) > 0 {
			t.Fatal(err, w.dead())
		}
		if err := a.beat(t.Context()); err != nil {
			t.Fatal("half a declaration:", err)
		}
	})
}

func TestOneNodeAtATimeEndsWhatADeadOneLeft(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		w := newTown(t, d)
		a, b := w.joined("a"), w.joined("b")
		const old = "a node of long ago"
		try := func(m *Member, node string) (ok bool) {
			err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) (err error) {
				ok, err = m.LockDead(ctx, tx, node)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		if try(b, a.ID()) {
			t.Fatal("a living node's leavings")
		}
		if !try(b, old) || !try(a, old) {
			t.Fatal("an unknown node is nobody's")
		}
		dead, err := b.Dead(t.Context(), []string{a.ID(), old})
		if err != nil || !slices.Equal(dead, []string{old}) {
			t.Fatal(dead, err)
		}
	})
	d, other := two(t)
	w := newTown(t, d)
	a, b := w.joined("a"), w.joinedOn(other, "b")
	lock := func(d *db.DB, m *Member, then func() error) (ok bool, err error) {
		err = d.Update(context.Background(), func(ctx context.Context, tx *db.Tx) (err error) {
			if ok, err = m.LockDead(ctx, tx, "old"); err != nil {
				return err
			}
			return then()
		})
		return ok, err
	}
	nothing := func() error { return nil }
	if ok, err := lock(d, a, nothing); err != nil || !ok {
		t.Fatal(ok, err)
	}
	ok, err := lock(d, a, func() error {
		if ok, err := lock(other, b, nothing); err != nil || ok {
			return errors.Join(err, errors.New("two at once"))
		}
		return nil
	})
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
}

func TestAFileIsLockedForOneProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "lock")
	unlock, err := LockFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LockFile(path); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), "(process ") {
		t.Fatal(err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	again, err := LockFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again(); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkFence is what a fence costs transactions that many callers share: each adds one row.
func BenchmarkFence(b *testing.B) {
	d := dbtest.Postgres(b)
	m := New(Config{DB: d, Name: "a"})
	if err := m.join(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, fenced := range []bool{false, true} {
		b.Run(fmt.Sprintf("fenced=%v", fenced), func(b *testing.B) {
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					err := d.Update(context.Background(), func(ctx context.Context, tx *db.Tx) error {
						if fenced {
							if err := m.Fence(ctx, tx); err != nil {
								return err
							}
						}
						_, err := tx.Exec(ctx, "INSERT INTO setting (name, value, modified_on) VALUES ($1, '', 0)", ident.New())
						return err
					})
					if err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
