package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/ident"
)

// Times of the package, in one place. A node counts on its work for holdsFor after the beginning of its last beat; the others take it over deadAfter after they
// saw that beat, so the difference is what is left for an effect that began in time.
const (
	lookEvery  = time.Second     // at the others' beats
	beatEvery  = 2 * time.Second // at most lookEvery later
	holdsFor   = 5 * time.Second
	deadAfter  = 6 * time.Second     // of a beat that stands still
	blindAfter = 3 * time.Second     // without a look: what happened in between is not known
	leaveWait  = 5 * time.Second     // for the database at the stop
	keepDead   = 30 * 24 * time.Hour // rows of dead nodes

	lockPatience = time.Second // with a file that another program has locked
	lockPause    = 20 * time.Millisecond
)

// Errors of Run, Fence and LockFile.
var (
	// ErrLost: this node was declared dead. Its work belongs to others now.
	ErrLost = errors.New("this node was declared dead, others have taken over its work")
	// ErrHeld: another program has locked the file.
	ErrHeld = errors.New("in use by another server")
	// ErrTwin: the node that declared this one dead has its name, so two data directories are copies of one.
	ErrTwin = errors.New("another server has the same node name; its data directory is a copy of this one: stop this server, remove the file \"node\" in its data directory and start it again")
)

// Config is what a Member needs.
type Config struct {
	DB     *db.DB
	Name   string // stable name of the data directory
	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now
}

// Hook makes the claimed work of a dead node due again; it may run more than once, as any function of a transaction.
type Hook func(ctx context.Context, tx *db.Tx, node string) error

// Member is this run of the program among the others.
type Member struct {
	db    *db.DB
	id    string
	name  string
	log   *slog.Logger
	now   func() time.Time
	hooks []hook

	since   atomic.Pointer[time.Time] // beginning of the last beat that was kept; nil before the first
	end     sync.Once
	lost    chan struct{} // closed when this node was declared dead
	watcher watcher       // of Run's goroutine
}

type hook struct {
	name string
	fn   Hook
}

// New makes a member with a fresh id; Run makes the others see it.
func New(cfg Config) *Member {
	m := &Member{db: cfg.DB, id: ident.New(), name: cfg.Name, log: cfg.Logger, now: cfg.Now, lost: make(chan struct{})}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	if m.now == nil {
		m.now = time.Now
	}
	return m
}

// ID names this run of the program; the next one has another.
func (m *Member) ID() string { return m.id }

// OnDead registers what shall happen in the transaction that declares a node dead; call it before Run. name is for the log.
func (m *Member) OnDead(name string, fn Hook) { m.hooks = append(m.hooks, hook{name, fn}) }

// Run joins, calls ready, and beats and watches until ctx ends; then it leaves: its row is marked and what it still had is taken over at once.
// It ends with ErrLost, or ErrTwin, when another node declared this one dead.
func (m *Member) Run(ctx context.Context, ready func()) error {
	if err := m.join(ctx); err != nil {
		return fmt.Errorf("join the other nodes: %w", err)
	}
	m.log.Info("node joined", "node", m.id, "name", m.name)
	ready()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return m.leave(ctx)
		case <-m.lost:
			return m.reason(ctx)
		case <-look.C:
			m.step(ctx)
		}
	}
}

// step looks at the others and beats when it is time.
func (m *Member) step(ctx context.Context) {
	if err := m.watch(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, ErrLost) {
		m.log.Warn("watching the other nodes", "error", err)
	}
	if now := m.now(); now.Sub(*m.since.Load()) < beatEvery-lookEvery/2 {
		return
	}
	if err := m.beat(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, ErrLost) {
		m.log.Warn("beat of this node", "error", err)
	}
}

// join declares earlier runs of this data directory dead, which its lock proves, and makes the row of this one.
func (m *Member) join(ctx context.Context) error {
	at := m.now()
	old, err := earlierRuns(ctx, m.db.Read(), m.name)
	if err != nil {
		return err
	}
	for _, id := range old {
		if err := m.bury(ctx, id, nil); err != nil {
			return err
		}
	}
	err = m.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := forget(ctx, tx, at.Add(-keepDead)); err != nil {
			return err
		}
		return insertNode(ctx, tx, m.id, m.name, at)
	})
	if err == nil {
		m.since.Store(&at)
	}
	return err
}

// beat shows the others that this node lives.
func (m *Member) beat(ctx context.Context) error {
	at := m.now()
	err := m.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := m.prove(ctx, tx); err != nil {
			return err
		}
		return countBeat(ctx, tx, m.id)
	})
	if err == nil {
		m.since.Store(&at)
	}
	return err
}

// Fence refuses a transaction of a node that was declared dead, with ErrLost, and keeps the node from being declared until the transaction ends. Where the
// database has one node only it asks nobody.
func (m *Member) Fence(ctx context.Context, tx *db.Tx) error {
	select {
	case <-m.lost:
		return ErrLost
	default:
	}
	if tx.Engine() == db.SQLite {
		return nil
	}
	return m.prove(ctx, tx)
}

// prove asks the database whether this node lives, and keeps it so until the transaction ends.
func (m *Member) prove(ctx context.Context, tx *db.Tx) error {
	lives, err := holdNode(ctx, tx, m.id)
	if err != nil {
		return err
	}
	if !lives {
		m.lose()
		return ErrLost
	}
	return nil
}

// lose notes that this node was declared dead.
func (m *Member) lose() { m.end.Do(func() { close(m.lost) }) }

// Holds tells whether the work that this node has claimed is certainly still its own: ask right before an effect outside the database.
func (m *Member) Holds() bool {
	select {
	case <-m.lost:
		return false
	default:
	}
	since := m.since.Load()
	if since == nil {
		return false
	}
	return m.db.Engine() == db.SQLite || m.now().Sub(*since) < holdsFor // SQLite: nobody else is there
}

// reason says why this node was lost. Its own name as the cause would go on for ever: each of the two would end the other at its start.
func (m *Member) reason(ctx context.Context) error {
	by, err := buriedBy(ctx, m.db.Read(), m.id)
	if err == nil && by == m.name {
		return ErrTwin
	}
	m.log.Error("this node was declared dead", "node", m.id, "by", by)
	return ErrLost
}

// leave marks this run as ended, with what it still had in hand.
func (m *Member) leave(ctx context.Context) error {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWait)
	defer cancel()
	if err := m.bury(last, m.id, nil); err != nil {
		m.log.Warn("leaving the other nodes; they will notice", "error", err)
	}
	m.lose()
	return nil
}
