package event_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/event"
)

func TestCursor(t *testing.T) {
	if s := event.FormatCursor(0x4c2f91); s != "c_00000000004c2f91" {
		t.Fatal(s)
	}
	if n, err := event.ParseCursor("c_00000000004c2f91"); err != nil || n != 0x4c2f91 {
		t.Fatal(n, err)
	}
	for _, bad := range []string{"", "c_", "x_00000000004c2f91", "c_00000000004c2f9", "c_ffffffffffffffff", "c_00000000004c2fgg"} {
		if _, err := event.ParseCursor(bad); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}

func TestEnvelope(t *testing.T) {
	d := dbtest.SQLite(t)
	l := event.NewLog(event.Config{DB: d})
	at := time.Date(2026, 2, 3, 9, 32, 48, 410e6, time.UTC)
	err := d.Update(t.Context(), func(_ context.Context, tx *db.Tx) error {
		return l.Append(tx, event.Event{
			UUID: "u", Account: "a", Type: "balance", RefID: "r", Message: `New "balance"`, At: at, Payload: 40.5,
			Members: []event.Member{{"source_action", "nrc"}, {"account", json.RawMessage(`{"uuid":"a"}`)}, {"call", map[string]any{"x": "<&>"}}},
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	row, err := l.Get(t.Context(), "a", "u")
	if err != nil {
		t.Fatal(err)
	}
	want := `{"uuid":"u","cursor":"c_0000000000000001","created_on":"2026-02-03T09:32:48.410Z","modified_on":"2026-02-03T09:32:48.410Z","timestamp":"2026-02-03T09:32:48.410Z",` +
		`"type":"balance","source_action":"nrc","message":"New \"balance\"","payload":40.5,"call":{"x":"<&>"},"ref_id":"r","account":{"uuid":"a"},"delivery_report":[]}`
	if string(row.Body) != want {
		t.Fatalf("got  %s\nwant %s", row.Body, want)
	}
}

func TestCursorsHaveNoGapsAndNothingComesLate(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		l := event.NewLog(event.Config{DB: d})
		ctx, cancel := context.WithCancel(t.Context())
		var seen []int64
		all := make(chan struct{})
		const total = 400
		l.Subscribe(func(r event.Row) {
			seen = append(seen, r.Seq)
			if len(seen) == total {
				close(all)
			}
		})
		var run sync.WaitGroup
		ready := make(chan struct{})
		run.Go(func() {
			if err := l.Run(ctx, func() { close(ready) }); err != nil {
				t.Error(err)
			}
		})
		<-ready
		var wg sync.WaitGroup
		for i := range total {
			wg.Go(func() {
				if err := d.Update(context.Background(), func(_ context.Context, tx *db.Tx) error {
					return l.Append(tx, event.Event{Account: "a", Type: "t", RefID: fmt.Sprint(i), Payload: i})
				}); err != nil {
					t.Error(err)
				}
				_ = d.Update(context.Background(), func(_ context.Context, tx *db.Tx) error {
					_ = l.Append(tx, event.Event{Account: "a", Type: "t", RefID: "x"})
					return errors.New("taken back")
				})
			})
		}
		wg.Wait()
		<-all
		cancel()
		run.Wait()
		for i, s := range seen {
			if s != int64(i+1) {
				t.Fatalf("place %d has cursor %d", i, s)
			}
		}
	})
}

func TestTrimTakesTheOldPrefix(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		l := event.NewLog(event.Config{DB: d})
		old := time.Now().Add(-8 * 24 * time.Hour)
		for i := range 5 {
			at := old
			if i >= 3 {
				at = time.Now()
			}
			if err := d.Update(t.Context(), func(_ context.Context, tx *db.Tx) error {
				return l.Append(tx, event.Event{Account: "a", Type: "t", RefID: "r", At: at})
			}); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := l.Trim(t.Context(), time.Now().Add(-7*24*time.Hour), 100); err != nil || n != 3 {
			t.Fatal(n, err)
		}
		if head, removed, err := l.Head(t.Context()); err != nil || head != 5 || removed != 3 {
			t.Fatal(head, removed, err)
		}
	})
}

// TestNodesAppendInOneOrder: four nodes with many callers each; readers that poll see strictly growing cursors without a gap, and nothing comes late.
func TestNodesAppendInOneOrder(t *testing.T) {
	u := dbtest.PostgresURL(t)
	const nodes, callers, each = 4, 40, 12
	var logs []*event.Log
	var dbs []*db.DB
	for range nodes {
		d, err := db.Open(t.Context(), db.Config{URL: u})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		dbs, logs = append(dbs, d), append(logs, event.NewLog(event.Config{DB: d}))
	}
	var readers, writers sync.WaitGroup
	for _, l := range logs {
		readers.Go(func() {
			for last := int64(0); last < nodes*callers*each; {
				rows, err := l.Read(context.Background(), event.Query{After: last})
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range rows {
					if r.Seq != last+1 {
						t.Errorf("after %d comes %d", last, r.Seq)
						return
					}
					last = r.Seq
				}
			}
		})
	}
	for n, d := range dbs {
		for c := range callers {
			writers.Go(func() {
				for i := range each {
					err := d.Update(context.Background(), func(_ context.Context, tx *db.Tx) error {
						if (n+c+i)%9 == 0 {
							_ = logs[n].Append(tx, event.Event{Account: "a", Type: "t", RefID: "x"})
							return errTakenBack
						}
						return logs[n].Append(tx, event.Event{Account: "a", Type: "t", RefID: "r"})
					})
					if errors.Is(err, errTakenBack) {
						err = d.Update(context.Background(), func(_ context.Context, tx *db.Tx) error {
							return logs[n].Append(tx, event.Event{Account: "a", Type: "t", RefID: "r"})
						})
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	writers.Wait()
	readers.Wait()
}

var errTakenBack = errors.New("taken back")

// TestAnEventOfLongAgoDoesNotTakeNewerOnesWithIt when the log is trimmed.
func TestAnEventOfLongAgoDoesNotTakeNewerOnesWithIt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		l := event.NewLog(event.Config{DB: d})
		now := time.Now()
		for _, age := range []time.Duration{240, 240, 1, 240, 1} { // hours
			if err := d.Update(t.Context(), func(_ context.Context, tx *db.Tx) error {
				return l.Append(tx, event.Event{Account: "a", Type: "t", RefID: "r", At: now.Add(-age * time.Hour)})
			}); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := l.Trim(t.Context(), now.Add(-7*24*time.Hour), 100); err != nil || n != 2 {
			t.Fatal(n, err)
		}
		if n, err := l.Trim(t.Context(), now.Add(-7*24*time.Hour), 100); err != nil || n != 0 {
			t.Fatal(n, err)
		}
		if _, removed, err := l.Head(t.Context()); err != nil || removed != 2 {
			t.Fatal(removed, err)
		}
	})
}

// TestEnvelopeIsJSONWhateverItCarries: control characters, quotes and bytes that are no text.
func TestEnvelopeIsJSONWhateverItCarries(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		l := event.NewLog(event.Config{DB: d})
		err := d.Update(t.Context(), func(_ context.Context, tx *db.Tx) error {
			return l.Append(tx, event.Event{UUID: "u", Account: "a", Type: "t", RefID: "r\x07\"é", Message: "\x01\xff", Payload: json.RawMessage("\"\xff\"")})
		})
		if err != nil {
			t.Fatal(err)
		}
		row, err := l.Get(t.Context(), "a", "u")
		if err != nil || !json.Valid(row.Body) || !utf8.Valid(row.Body) {
			t.Fatalf("%q %v", row.Body, err)
		}
	})
}

// BenchmarkAppend has 128 callers that append one event each.
func BenchmarkAppend(b *testing.B) {
	for name, d := range map[string]func() *db.DB{"sqlite": func() *db.DB { return dbtest.SQLite(b) }, "postgres": func() *db.DB { return dbtest.Postgres(b) }} {
		b.Run(name, func(b *testing.B) {
			d := d()
			l := event.NewLog(event.Config{DB: d})
			b.SetParallelism(128 / runtime.GOMAXPROCS(0))
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := d.Update(context.Background(), func(_ context.Context, tx *db.Tx) error {
						return l.Append(tx, event.Event{Account: "a", Type: "t", RefID: "r", Payload: map[string]any{"state": "live", "duration": 2}})
					}); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			tx, fn := d.Stats()
			b.ReportMetric(float64(fn)/float64(tx), "events/commit")
		})
	}
}
