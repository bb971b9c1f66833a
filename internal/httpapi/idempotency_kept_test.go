package httpapi

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/fault"
)

// onNode is a bench that is one node of those on d.
func onNode(t *testing.T, d *db.DB, node string) *bench {
	return newBench(t, func(o *Options) { o.Answers = NewAnswers(d, node, o.Now) })
}

// note writes an effect that can be counted.
func note(ctx context.Context, tx *db.Tx, name string) error {
	_, err := tx.Exec(ctx, "INSERT INTO setting (name, value, modified_on) VALUES ($1, 'x', 1)", name)
	return err
}

func effects(t *testing.T, d *db.DB) int {
	t.Helper()
	var n int
	if err := d.Read().QueryRow(t.Context(), "SELECT count(*) FROM setting WHERE name LIKE 'effect%'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// order registers a POST that is one transaction with its key: it writes twice, then ends as end says.
func order(b *bench, d *db.DB, end func() error) *atomic.Int64 {
	ran := &atomic.Int64{}
	Handle(b.API, Op{ID: "CreateOrder", Method: "POST", Path: "/rest/order", Status: 201}, func(ctx context.Context, _ *struct{}) (string, error) {
		n := ran.Add(1)
		SetTotal(ctx, int(n))
		err := d.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return note(ctx, tx, "effect"+RequestID(ctx)) })
		if err != nil {
			return "", err
		}
		err = d.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
			return errors.Join(note(ctx, tx, "other"+RequestID(ctx)), end())
		})
		return "order " + RequestID(ctx), err
	})
	return ran
}

func TestTheEffectIsKeptWithTheAnswerOrNotAtAll(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := onNode(t, d, "a")
		var end error
		order(b, d, func() error { return end })
		for _, c := range []struct {
			key    string
			end    error
			status int
			rows   int
		}{
			{"refused", fault.New(fault.Balance), 402, 0}, {"broken", errors.New("broken"), 500, 0}, {"broken", nil, 201, 1}, {"refused", nil, 402, 1}, {"good", nil, 201, 2},
		} {
			end = c.end
			r := b.do(t, "POST", "/rest/order", `{}`, "Idempotency-Key: "+c.key).want(t, c.status)
			again := r
			if c.status < 500 {
				again = b.do(t, "POST", "/rest/order", `{}`, "Idempotency-Key: "+c.key).want(t, c.status)
			}
			if effects(t, d) != c.rows || again.text != r.text || again.header.Get("X-Total-Count") != r.header.Get("X-Total-Count") {
				t.Error(c, effects(t, d), r.text, again.text)
			}
		}
	})
}

func TestNodesWithOneKeyMakeOneEffect(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		nodes := []*bench{onNode(t, d, "a"), onNode(t, d, "b")}
		for _, b := range nodes {
			order(b, d, func() error { return nil })
		}
		for round := range 10 {
			var mu sync.Mutex
			seen := map[string]int{}
			var all sync.WaitGroup
			for i := range 20 {
				all.Go(func() {
					for {
						r := nodes[i%2].do(t, "POST", "/rest/order", `{}`, fmt.Sprint("Idempotency-Key: ", round))
						if r.status == 409 && r.header.Get("Retry-After") == "1" {
							continue
						}
						mu.Lock()
						defer mu.Unlock()
						seen[r.want(t, 201).text]++
						return
					}
				})
			}
			all.Wait()
			if len(seen) != 1 || effects(t, d) != round+1 {
				t.Fatal(round, seen, effects(t, d))
			}
		}
	})
}

func TestAnOperationMayKeepItsAnswerItself(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		ran := 0
		register := func(b *bench, after error) {
			Handle(b.API, Op{ID: "SendSMS", Method: "POST", Path: "/rest/sms", Keeps: true}, func(ctx context.Context, _ *struct{}) (string, error) {
				ran++
				SetStatus(ctx, 201)
				answer, err := Prepare(ctx, fmt.Sprint("kept ", ran))
				if err != nil {
					return "", err
				}
				err = d.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
					answer.In(tx)
					return note(ctx, tx, fmt.Sprint("effect", ran))
				})
				return "not kept", errors.Join(err, after)
			})
		}
		a, c := onNode(t, d, "a"), onNode(t, d, "b")
		register(a, errors.New("dead right after the commit"))
		register(c, nil)
		b := onNode(t, d, "c")
		register(b, nil)
		if r := b.do(t, "POST", "/rest/sms", `{}`).want(t, 201); r.body["payload"] != "not kept" {
			t.Error(r.text)
		}
		a.do(t, "POST", "/rest/sms", `{}`, "Idempotency-Key: k").want(t, 500)
		for _, b := range []*bench{a, c} {
			if r := b.do(t, "POST", "/rest/sms", `{}`, "Idempotency-Key: k").want(t, 201); r.body["payload"] != "kept 2" || r.header.Get("Idempotency-Replayed") != "true" {
				t.Error(r.text)
			}
		}
		if r := c.do(t, "POST", "/rest/sms", `{}`, "Idempotency-Key: k2").want(t, 201); r.body["payload"] != "kept 3" || ran != 3 || effects(t, d) != 3 {
			t.Error(r.text, ran)
		}
	})
}

// liveBench registers a live operation: before its effect it promises, and the effect ends as end says.
func liveBench(t *testing.T, d *db.DB, node string, before, end func() error) *bench {
	b := onNode(t, d, node)
	Handle(b.API, Op{ID: "CreateCall", Method: "POST", Path: "/rest/call", Live: true, Status: 201}, func(ctx context.Context, _ *struct{}) (string, error) {
		if err := before(); err != nil {
			return "", err
		}
		err := Commit(ctx, "promised", func(ctx context.Context, tx *db.Tx) error { return note(ctx, tx, "effect"+RequestID(ctx)) })
		if err != nil {
			return "", err
		}
		return "made", end()
	})
	return b
}

func fine() error { return nil }

func TestALiveOperationPromisesBeforeItsEffect(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		at, go_ := make(chan struct{}), make(chan struct{})
		slow := func() error { at <- struct{}{}; <-go_; return nil }
		other := liveBench(t, d, "b", fine, fine)
		post := func(b *bench, key string, status int, payload string) {
			t.Helper()
			if r := b.do(t, "POST", "/rest/call", `{}`, "Idempotency-Key: "+key).want(t, status); status < 300 && r.body["payload"] != payload {
				t.Error(key, r.text)
			}
		}

		// The node dies before its effect: the claim is nobody's once that is known, and not before.
		dies := liveBench(t, d, "a", slow, fine)
		var all sync.WaitGroup
		all.Go(func() { post(dies, "before", 201, "promised") }) // it comes back to life, and gives the answer of the one that has the key now
		<-at
		post(other, "before", 409, "")
		if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error { return other.opt.Answers.TakeBack(ctx, tx, "a") }); err != nil {
			t.Fatal(err)
		}
		post(other, "before", 201, "promised")
		go_ <- struct{}{}
		all.Wait()
		post(other, "before", 201, "promised")

		// The node dies after its promise: it stands, with what was written beside it.
		dies = liveBench(t, d, "a", fine, slow)
		all.Go(func() { post(dies, "after", 201, "promised") })
		<-at
		if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error { return other.opt.Answers.TakeBack(ctx, tx, "a") }); err != nil {
			t.Fatal(err)
		}
		post(other, "after", 201, "promised")
		go_ <- struct{}{}
		all.Wait()
		if n := effects(t, d); n != 2 {
			t.Error("effects", n)
		}
	})
}

func TestALiveOperationThatFailsTakesItsPromiseBack(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		ends := []error{fault.New(fault.Balance), fault.New(fault.Upstream), nil}
		b := liveBench(t, d, "a", fine, func() (err error) { err, ends = ends[0], ends[1:]; return err })
		for _, c := range []struct {
			key    string
			status int
			left   int // ends
		}{{"refused", 402, 2}, {"refused", 402, 2}, {"broken", 502, 1}, {"broken", 201, 0}, {"broken", 201, 0}} {
			r := b.do(t, "POST", "/rest/call", `{}`, "Idempotency-Key: "+c.key).want(t, c.status)
			if len(ends) != c.left {
				t.Error(c, r.text, ends)
			}
		}
	})
}

func TestKeysAreForgottenAfterADay(t *testing.T) {
	b := newBench(t, withKeys(t))
	n := counting(b, nil)
	b.do(t, "POST", "/rest/call", `{}`, good, "Idempotency-Key: k").want(t, 201)
	b.clock.pass(keyLife + time.Second)
	b.do(t, "POST", "/rest/call", `{"to":"b"}`, good, "Idempotency-Key: k").want(t, 201)
	if *n != 2 {
		t.Error("ran", *n)
	}
	b.clock.pass(keyLife + time.Second)
	if err := b.opt.Answers.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := b.opt.Answers.db.Read().QueryRow(t.Context(), "SELECT count(*) FROM idempotency").Scan(&left); err != nil || left != 0 {
		t.Error(left, err)
	}
}
