package event

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/ident"
)

// Nudger tells other nodes that the log has news; the bus is one. Nudges may be lost: readers also look by themselves.
type Nudger interface {
	Publish(subject string, data []byte) error
}

// NudgeSubject is the subject of the nudge on the bus.
const NudgeSubject = "event.news"

// Config is what a Log needs.
type Config struct {
	DB     *db.DB
	Logger *slog.Logger
	Nudger Nudger           // nil: this node is alone
	Now    func() time.Time // nil: time.Now
}

// Log is the event log.
type Log struct {
	db     *db.DB
	log    *slog.Logger
	nudger Nudger
	now    func() time.Time
	news   chan struct{} // holds one nudge; more are the same

	packers sync.Pool // of *packer; a group uses one

	mu     sync.Mutex // guards those below
	subs   map[int]func(Row)
	next   int
	fresh  [][]Row // groups that this node committed and the relay has not seen
	behind int     // rows in them
}

// NewLog makes a log; Run serves its subscribers.
func NewLog(cfg Config) *Log {
	l := &Log{db: cfg.DB, log: cfg.Logger, nudger: cfg.Nudger, now: cfg.Now, news: make(chan struct{}, 1), subs: map[int]func(Row){}}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.now == nil {
		l.now = time.Now
	}
	return l
}

// Append adds an event to the transaction of the change that it reports. It is in the log exactly when the change is.
func (l *Log) Append(tx *db.Tx, e Event) error {
	if e.UUID == "" {
		e.UUID = ident.New()
	}
	if e.At.IsZero() {
		e.At = l.now()
	}
	r, err := render(e)
	if err != nil {
		return err
	}
	tx.Collect(l, r)
	return nil
}

// Flush gives the events of a group their cursors and writes them; db calls it as the last step of a transaction.
func (l *Log) Flush(ctx context.Context, tx *db.Tx, items []any) error {
	last, err := takeCursors(ctx, tx, len(items))
	if err != nil {
		return err
	}
	rows := make([]Row, len(items))
	for i, it := range items {
		r := it.(rendered)
		row := r.row
		row.Seq = last - int64(len(items)) + int64(i) + 1
		row.Body = r.body(row.Seq)
		rows[i] = row
	}
	p, ok := l.packers.Get().(*packer)
	if !ok {
		p = &packer{}
	}
	defer l.packers.Put(p)
	if err := insertRows(ctx, tx, p, rows); err != nil {
		return err
	}
	tx.After(func() { l.hand(rows) })
	return nil
}

// Committed wakes the relays; db calls it after the commit.
func (l *Log) Committed() {
	l.Nudge()
	if l.nudger != nil {
		if err := l.nudger.Publish(NudgeSubject, nil); err != nil {
			l.log.Debug("event nudge", "error", err)
		}
	}
}

// Nudge wakes this node's relay: the log may have news.
func (l *Log) Nudge() {
	select {
	case l.news <- struct{}{}:
	default:
	}
}
