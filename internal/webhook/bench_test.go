package webhook_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fetch"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/webhook"
)

var both = map[string]func(b *testing.B) *db.DB{
	"sqlite":   func(b *testing.B) *db.DB { return dbtest.SQLite(b) },
	"postgres": func(b *testing.B) *db.DB { return dbtest.Postgres(b) },
}

// receiver takes requests; done is closed with the b.N'th.
func receiver(b *testing.B) (url string, done chan struct{}) {
	var got atomic.Int64
	done = make(chan struct{})
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if got.Add(1) == int64(b.N) {
			close(done)
		}
	}))
	b.Cleanup(sink.Close)
	return sink.URL, done
}

// BenchmarkDeliveries sends events of ten accounts to one endpoint each, with an attempt row before each request.
func BenchmarkDeliveries(b *testing.B) {
	for name, d := range both {
		b.Run(name, func(b *testing.B) {
			sink, done := receiver(b)
			accounts, log, stop := running(b, d(b), sink, 10)
			defer stop()
			b.ResetTimer()
			for n := 0; n < b.N; n += 100 {
				append100(b, log.db, log.log, accounts, min(100, b.N-n))
			}
			<-done
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
			tx, _ := log.db.Stats()
			b.ReportMetric(float64(b.N)/float64(tx), "deliveries/commit")
		})
	}
}

// BenchmarkThreads sends events of eight objects to one endpoint: those of one object go one after the other.
func BenchmarkThreads(b *testing.B) {
	for name, d := range both {
		b.Run(name, func(b *testing.B) {
			sink, done := receiver(b)
			accounts, log, stop := running(b, d(b), sink, 1)
			defer stop()
			threads := []string{ident.New(), ident.New(), ident.New(), ident.New(), ident.New(), ident.New(), ident.New(), ident.New()}
			b.ResetTimer()
			for n := 0; n < b.N; n += 100 {
				append100(b, log.db, log.log, accounts, min(100, b.N-n), threads...)
			}
			<-done
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

// BenchmarkNoEndpoint is what the fan-out costs where nobody has an endpoint.
func BenchmarkNoEndpoint(b *testing.B) {
	d := dbtest.SQLite(b)
	accounts, log, stop := running(b, d, "", 0)
	defer stop()
	accounts = append(accounts, ident.New())
	b.ResetTimer()
	for n := 0; n < b.N; n += 100 {
		append100(b, log.db, log.log, accounts, min(100, b.N-n))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

type benchLog struct {
	db  *db.DB
	log *event.Log
}

// running starts a log and a service, and makes accounts with an endpoint each.
func running(b *testing.B, d *db.DB, url string, endpoints int) (accounts []string, l benchLog, stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := fetch.New(fetch.Options{AllowPrivate: true})
	l = benchLog{d, event.NewLog(event.Config{DB: d})}
	s := webhook.New(webhook.Config{DB: d, Fetch: f, Events: l.log})
	for i := range endpoints {
		accounts = append(accounts, ident.New())
		if _, err := s.CreateEndpoint(ctx, webhook.NewEndpoint{Account: accounts[i], URL: fmt.Sprintf("%s/%d", url, i), Types: []string{"*"}}); err != nil {
			b.Fatal(err)
		}
	}
	done := make(chan error, 2)
	ready := make(chan struct{})
	go func() { done <- l.log.Run(ctx, func() { close(ready) }) }()
	<-ready
	go func() { done <- s.Run(ctx, func() {}) }()
	return accounts, l, func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				b.Error(err)
			}
		}
		f.Close()
	}
}

// append100 appends events of about 1.5 KB in one transaction, each about an object of its own unless threads are given.
func append100(b *testing.B, d *db.DB, l *event.Log, accounts []string, n int, threads ...string) {
	payload := map[string]any{"state": "live", "text": fmt.Sprintf("%01200d", time.Now().UnixNano())}
	err := d.Update(context.Background(), func(_ context.Context, tx *db.Tx) error {
		for i := range n {
			ref := ident.New()
			if len(threads) > 0 {
				ref = threads[i%len(threads)]
			}
			if err := l.Append(tx, event.Event{Account: accounts[i%len(accounts)], Type: "call_state", RefID: ref, Payload: payload}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
