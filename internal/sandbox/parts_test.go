package sandbox

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTableHasEveryNumberOnceAndInOrder(t *testing.T) {
	seen := map[string]bool{}
	for i, n := range Numbers() {
		want := fmt.Sprintf("15005550%03d", i+1)
		if n.Kind == SMS {
			want = fmt.Sprintf("15005550%03d", 101+i-len(voiceTable))
		}
		if string(n.Number) != want || n.Behaviour == "" || seen[string(n.Number)] {
			t.Errorf("%+v, want %s", n, want)
		}
		seen[string(n.Number)] = true
	}
	if len(seen) != 17 {
		t.Errorf("%d numbers", len(seen))
	}
}

func TestMatchingToleratesARecogniser(t *testing.T) {
	for _, c := range []struct {
		want, heard string
		ok          bool
	}{
		{"Press 1 for sales", "press one for sails", true},
		{"Press 1 for sales", "for one press", false},
		{"Goodbye", "good bye", false},
		{"Thank you, goodbye!", "thank you could buy", true},
		{"", "anything", true},
		{"", "", false},
		{"hello", "", false},
		{"don't worry", "don't worry", true},
	} {
		if got := matches(c.want, c.heard); got != c.ok {
			t.Errorf("%q in %q: %t", c.want, c.heard, got)
		}
	}
}

func TestPhrasesAreTheClausesAmongFoils(t *testing.T) {
	got := phrasesFor("Press 1, please. -- Goodbye!")
	if want := []string{"press one", "please", "goodbye"}; len(got) != len(want)+len(foils) || !slices.Equal(got[:3], want) {
		t.Errorf("%q", got)
	}
	if got := phrasesFor(" ?! "); got != nil {
		t.Errorf("for anything: %q", got)
	}
}

func TestTextMatchesItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		if want := len(wordsOf(text)) > 0; matches(text, text) != want {
			t.Fatalf("%q", text)
		}
	})
}

func TestShelfForgetsTheOldest(t *testing.T) {
	s := newShelf(3, 10)
	for i := range 5 {
		r := &Run{ID: fmt.Sprint(i), Kind: KindMachine}
		r.result.Sound = make([]int16, 2)
		s.put(r)
	}
	var left []string
	for _, r := range s.all() {
		left = append(left, fmt.Sprintf("%s:%d", r.ID, len(r.Result().Sound)))
	}
	if got := strings.Join(left, " "); got != "4:2 3:2 2:0" {
		t.Errorf("left: %s", got)
	}
	if _, ok := s.find("1"); ok {
		t.Error("1 is still there")
	}
}

func TestOverloadForgetsAfterAMinute(t *testing.T) {
	o := &overloads{since: map[string]time.Time{}}
	now := time.Unix(1000, 0)
	for i, c := range []struct {
		caller string
		after  time.Duration
		first  bool
	}{{"a", 0, true}, {"b", 0, true}, {"a", time.Second, false}, {"a", time.Second, true}, {"a", 2 * time.Minute, true}, {"b", 2 * time.Minute, true}} {
		if got := o.first(c.caller, now.Add(c.after)); got != c.first {
			t.Errorf("%d: %t", i, got)
		}
	}
	for i := range 3 * maxOverloaded {
		o.first(fmt.Sprint(i), now)
	}
	if len(o.since) > maxOverloaded {
		t.Errorf("%d callers remembered", len(o.since))
	}
}
