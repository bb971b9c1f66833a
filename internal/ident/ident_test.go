package ident

import (
	"strings"
	"sync"
	"testing"
)

func TestNewGrowsStrictly(t *testing.T) {
	last := ""
	for range 20000 {
		id := New()
		if id <= last || id[14] != '7' || !strings.ContainsRune("89ab", rune(id[19])) {
			t.Fatalf("%s after %s", id, last)
		}
		last = id
	}
}

func TestNewIsUniqueAcrossGoroutines(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				id := New()
				mu.Lock()
				if seen[id] {
					t.Errorf("double %s", id)
				}
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestParse(t *testing.T) {
	if got, err := Parse("0194F1C2-7A10-7C3E-9B41-2F6D0C8E5A11"); err != nil || got != "0194f1c2-7a10-7c3e-9b41-2f6d0c8e5a11" {
		t.Fatal(got, err)
	}
	for _, bad := range []string{"", "x", "0194f1c2_7a10-7c3e-9b41-2f6d0c8e5a11", "0194f1c2-7a10-7c3e-9b41-2f6d0c8e5a1g"} {
		if Valid(bad) {
			t.Errorf("%q accepted", bad)
		}
	}
}

func TestSecret(t *testing.T) {
	if s := Secret(48); len(s) != 48 || s == Secret(48) {
		t.Fatal(s)
	}
}
