package fault

import (
	"errors"
	"fmt"
	"testing"
)

func TestWrappedErrorKeepsItsPublicMeaning(t *testing.T) {
	err := fmt.Errorf("send: %w", Missing("SMS"))
	if !Is(err, NotFound) || Of(err).Public() != "SMS not found" {
		t.Fatalf("got %v", err)
	}
	if Of(errors.New("disk")) != nil {
		t.Fatal("a plain error must have no public meaning")
	}
}

func TestFieldsKeepOrderAndFirstFault(t *testing.T) {
	var f Fields
	if f.Err() != nil {
		t.Fatal("no faults, no error")
	}
	f.Add("to", "invalid integer number", "12x")
	f.Add("to", "second", nil)
	f.Merge("items.0", Invalid("tn", "missing", nil))
	e := Of(f.Err())
	if e.Public() != "invalid integer number" || len(e.Fields) != 2 || e.Fields["items.0.tn"].Message != "missing" {
		t.Fatalf("got %+v", e)
	}
}

func TestEveryCodeHasOneRow(t *testing.T) {
	seen := map[Code]bool{}
	for _, e := range Table() {
		if seen[e.Code] || e.Status < 400 || e.Message == "" || e.Help == "" || e.Wire == "" {
			t.Errorf("bad row %+v", e)
		}
		seen[e.Code] = true
	}
	if Lookup("no such code").Code != Internal {
		t.Error("unknown code must fall back to internal")
	}
}
