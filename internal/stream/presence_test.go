package stream_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/cluster"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/stream"
)

// open counts the sockets of users that the database knows on any node.
func (h *house) open(user string) int {
	h.t.Helper()
	n, err := account.Sockets{Node: "nobody's"}.Elsewhere(context.Background(), h.d.Read(), []string{user})
	if err != nil {
		h.t.Fatal(err)
	}
	return n[user]
}

// await waits until a user has so many.
func (h *house) await(user string, want int) {
	h.t.Helper()
	for end := time.Now().Add(20 * time.Second); h.open(user) != want; {
		if time.Now().After(end) {
			h.t.Fatalf("%s has %d sockets, want %d", user, h.open(user), want)
		}
	}
}

// TestTheLimitOfSocketsIsThatOfAllNodes, also when they come to two nodes at the same moment, and ends with the sockets.
func TestTheLimitOfSocketsIsThatOfAllNodes(t *testing.T) {
	d := dbtest.Postgres(t)
	alive := func(context.Context, *db.Tx) error { return nil }
	node := func(name string, fence func(context.Context, *db.Tx) error) stoppable {
		log := event.NewLog(event.Config{DB: d})
		return serve(t, d, log, stream.NewGate(stream.Config{DB: d, Log: log, Sessions: &sessions{}, Presence: account.Sockets{Node: name}, Fence: fence}))
	}
	one, other := node("1", alive), node("2", alive)
	defer one.stop()
	defer other.stop()
	var all sync.WaitGroup
	var in, out atomic.Int64
	var mu sync.Mutex
	var clients []*client
	for i := range 30 {
		h := []stoppable{one, other}[i%2]
		all.Go(func() {
			c := h.dial("/?jwt=a-u", nil)
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			_, _, err := c.c.Read(ctx)
			switch {
			case err == nil:
				in.Add(1)
				mu.Lock()
				clients = append(clients, c)
				mu.Unlock()
			case websocket.CloseStatus(err) == 4429:
				out.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if in.Load() > 20 || in.Load() < 10 || in.Load()+out.Load() != 30 {
		t.Fatalf("%d sockets were let in, %d were not", in.Load(), out.Load())
	}
	one.await("u", int(in.Load())) // those that were not let in have gone
	for i := int(in.Load()); i < 20; i++ {
		clients = append(clients, other.signIn("a-u"))
	}
	for _, h := range []stoppable{one, other} {
		h.dial("/?jwt=a-u", nil).closed(4429)
		h.signIn("a-v")
	}
	for _, c := range clients {
		_ = c.c.CloseNow()
	}
	one.await("u", 0)
	one.signIn("a-u")
	dead := node("3", func(context.Context, *db.Tx) error { return cluster.ErrLost })
	defer dead.stop()
	dead.dial("/?jwt=a-w", nil).closed(1001) // nobody would take its row away
	if n := one.open("w"); n != 0 {
		t.Error("a dead node's socket stays for ever", n)
	}
	if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error { return account.Sockets{Node: "2"}.Forget(ctx, tx, "1") }); err != nil {
		t.Fatal(err)
	}
	if u, v := one.open("u"), one.open("v"); u != 0 || v != 1 {
		t.Error("after the end of a node", u, v)
	}
}

// BenchmarkSignIn opens sockets of many users, 64 at a time: on SQLite, on PostgreSQL alone, and on PostgreSQL where other nodes are told.
func BenchmarkSignIn(b *testing.B) {
	for name, open := range map[string]func() (*db.DB, stream.Presence){
		"sqlite":         func() (*db.DB, stream.Presence) { return dbtest.SQLite(b), nil },
		"postgres alone": func() (*db.DB, stream.Presence) { return dbtest.Postgres(b), nil },
		"postgres":       func() (*db.DB, stream.Presence) { return dbtest.Postgres(b), account.Sockets{Node: "1"} },
	} {
		b.Run(name, func(b *testing.B) {
			d, presence := open()
			log := event.NewLog(event.Config{DB: d})
			h := serve(b, d, log, stream.NewGate(stream.Config{DB: d, Log: log, Sessions: &sessions{}, Presence: presence}))
			defer h.stop()
			b.SetParallelism(64 / runtime.GOMAXPROCS(0))
			var users atomic.Int64
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					h.rawSignedIn(fmt.Sprintf("a-u%d", users.Add(1)))
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sockets/s")
		})
	}
}
