package messaging_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/messaging"
)

// BenchmarkLife is a message's whole life with 128 clients: created, success, delivered, each with its event.
func BenchmarkLife(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { life(b, dbtest.SQLite(b)) })
	b.Run("postgres", func(b *testing.B) {
		d, err := db.Open(context.Background(), db.Config{URL: dbtest.PostgresURL(b)})
		if err != nil {
			b.Fatal(err)
		}
		life(b, d)
		if err := d.Close(); err != nil {
			b.Error(err)
		}
	})
}

const clients = 128

func life(b *testing.B, d *db.DB) {
	r := build(b, d, options{credit: "1000000"})
	senders := r.lease(40, "")
	var delivered atomic.Int64
	done := make(chan struct{})
	cancel := r.log.Subscribe(func(row event.Row) {
		if row.Type == "sms" && bytes.Contains(row.Body, []byte(`"delivered":true`)) && delivered.Add(1) == int64(b.N) {
			close(done)
		}
	})
	defer cancel()
	var start syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &start); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				_, err := r.sms.Send(context.Background(), messaging.Request{
					Account: r.account, User: r.user, From: senders[int(i)%len(senders)], To: []string{fmt.Sprintf("1646%07d", 2000000+i*7919%7000000)}, Text: fmt.Sprint("Your atlas is ready for pickup, number ", i),
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepted/s")
	<-done
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "delivered/s")
	var end syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &end); err != nil {
		b.Fatal(err)
	}
	// On a busy machine this says more than the clock: what one message costs of one core, in this process.
	cpu := time.Duration(end.Utime.Nano() + end.Stime.Nano() - start.Utime.Nano() - start.Stime.Nano())
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/message")
	r.stop()
	if tx, fn := d.Stats(); tx > 0 {
		b.ReportMetric(float64(b.N)/float64(tx), "messages/commit")
		b.ReportMetric(float64(fn)/float64(tx), "functions/commit")
	}
}
