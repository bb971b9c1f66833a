package db

import (
	"context"
	"testing"
	"time"
)

func queued(d *DB, leads bool) *waiter {
	w := &waiter{ctx: context.Background(), since: time.Now().Add(-time.Second), done: make(chan struct{}), lead: make(chan struct{}), leads: leads}
	d.queue = append(d.queue, w)
	return w
}

// TestTheLeadIsNotGivenToOneWhoHasIt: two leaders at work, the second is still in the queue when the first hands over.
func TestTheLeadIsNotGivenToOneWhoHasIt(t *testing.T) {
	d := &DB{engine: Postgres, leaders: 2}
	w := queued(d, true)
	d.handOver()
	select {
	case <-w.lead:
		t.Error("a leader got the lead again")
	default:
	}
	if d.leaders != 1 {
		t.Errorf("%d leaders are counted, one is there", d.leaders)
	}
}

// TestTheLeadDoesNotEndWithOneWhoIsServedAlready: a waiter is given the lead in the moment in which another leader takes it into a group.
func TestTheLeadDoesNotEndWithOneWhoIsServedAlready(t *testing.T) {
	for range 50 { // a select among two open ways takes either
		d := &DB{engine: Postgres, leaders: 2}
		served := queued(d, false)
		d.handOver() // gives it the lead, since it has waited for long
		if !served.leads || d.leaders != 2 {
			t.Fatal("lead not given")
		}
		d.take() // by the other leader,
		close(served.done)
		next := queued(d, false)
		if d.await(served) {
			d.leadUntil(served)
		}
		select {
		case <-next.lead:
		default:
			t.Fatal("the lead is lost")
		}
	}
}
