package sandbox_test

import (
	"context"
	"testing"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/jobs"
	"github.com/opentact/opentact/internal/messaging/carrier/carriertest"
	"github.com/opentact/opentact/internal/messaging/carrier/sandbox"
)

func TestSandboxIsACarrier(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := jobs.NewRunner(jobs.Config{DB: d, Node: "n"})
		sink := carriertest.NewSink()
		c := sandbox.New(sandbox.Config{DB: d, Jobs: r, Sink: sink})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		ready := make(chan struct{})
		go func() { done <- r.Run(ctx, func() { close(ready) }) }()
		<-ready
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		carriertest.Exercise(t, carriertest.Target{
			Driver: c, Sink: sink, Delivered: "15005550101", Undelivered: "15005550102", Rejected: "15005550103", Throttled: "15005550105", Echo: "15005550107",
		})
	})
}

func TestTheTableIsListedInItsOrder(t *testing.T) {
	list := sandbox.Numbers()
	if len(list) != 7 || list[0].Number != "15005550101" || list[6].Number != "15005550107" {
		t.Fatalf("%+v", list)
	}
	for _, n := range list {
		if n.Behaviour == "" {
			t.Errorf("%s has no words", n.Number)
		}
	}
}
