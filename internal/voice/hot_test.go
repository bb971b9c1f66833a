package voice

import (
	"errors"
	"testing"
	"time"
)

func TestOnlyCallsThatFollowCloselyShareAnAnswer(t *testing.T) {
	var h hot[int]
	reads := 0
	at := time.Unix(1000, 0)
	ask := func(after time.Duration) int {
		at = at.Add(after)
		v, err := h.get("key", at, func() (int, error) { reads++; return reads, nil })
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for i := range hotFrom {
		if got := ask(hotIdle / 50); got != i+1 {
			t.Errorf("call %d saw what call %d read", i+1, got)
		}
	}
	for i, step := range []struct {
		after time.Duration
		more  int
	}{{hotIdle / 2, 0}, {hotIdle / 2, 0}, {hotIdle, 1}, {hotIdle / 2, 2}} {
		if got := ask(step.after); got != hotFrom+step.more {
			t.Errorf("step %d: read %d, want %d", i, got, hotFrom+step.more)
		}
	}
	for range hotFrom {
		ask(hotIdle / 50)
	}
	reads = 0
	for range int(hotFor / (hotIdle / 2)) {
		ask(hotIdle / 2)
	}
	if reads != 1 {
		t.Errorf("%d reads: a stream of calls must see new values after %s", reads, hotFor)
	}
	reads = 0
	h.drop()
	if ask(0) != 1 {
		t.Error("remembered after a change")
	}
}

func TestAnswersReadBeforeAChangeAreNotKept(t *testing.T) {
	var h hot[string]
	now := time.Unix(1000, 0)
	if v, _ := h.get("key", now, func() (string, error) { h.drop(); return "old", nil }); v != "old" {
		t.Error(v)
	}
	if v, _ := h.get("key", now, func() (string, error) { return "new", nil }); v != "new" {
		t.Error(v)
	}
	wrong := errors.New("away")
	if _, err := h.get("other", now, func() (string, error) { return "", wrong }); err != wrong {
		t.Error(err)
	}
	if v, err := h.get("other", now, func() (string, error) { return "back", nil }); v != "back" || err != nil {
		t.Error(v, err)
	}
}
