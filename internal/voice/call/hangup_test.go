package call

import (
	"testing"

	"github.com/opentact/opentact/internal/sip"
)

func TestHangingUpADialledLegLeavesTheCallToItsScript(t *testing.T) {
	b := newPhone(t)
	w, results := dialWorld(t, DialRequest{Targets: to("200")}, map[string]*phone{"200": b})
	caller := newPhone(t).dial(w, "100")
	callee := b.incoming()
	callee.answer(200)
	expect[sip.Answered](caller)
	b1 := w.facts.leg(t, "bridged", func(l Leg) bool { return l.State == Bridged && l.Direction == Out })
	c, ok := w.engine.Find(b1.ID)
	if !ok || !c.HangupLeg(b1.ID, Cause{Q850: 17, Reason: "api", By: ByAPI}) {
		t.Fatal("the leg was not found")
	}
	expect[sip.Ended](callee)
	r := result(t, results)
	if r.Status != StatusAnswered || !r.Targets[0].Success || r.Targets[0].Q850 != 17 {
		t.Errorf("result %+v", r)
	}
	if c.Context().Err() != nil || c.A().State.Over() {
		t.Error("the call is over")
	}
	if c.HangupLeg(b1.ID, Cause{Q850: 16}) {
		t.Error("a leg that is over was found")
	}
	caller.bye()
}
