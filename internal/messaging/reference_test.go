package messaging

import (
	"fmt"
	"testing"

	"github.com/opentact/opentact/internal/ident"
)

func TestNeighboursOfAThreadHaveOtherReferences(t *testing.T) {
	r := references{most: 16}
	last := map[string]byte{}
	for i := range 3000 {
		thread := fmt.Sprint("thread ", i%8)
		ref := r.next(&Message{ID: ident.New(), Thread: thread, Segments: 2})
		if before, known := last[thread]; known && ref != before+1 {
			t.Fatalf("%s: %d after %d", thread, ref, before)
		}
		last[thread] = ref
		r.next(&Message{ID: ident.New(), Thread: fmt.Sprint("passing ", i), Segments: 3})
		if len(r.recent) > 16 || len(r.older) > 16 {
			t.Fatalf("%d and %d threads are remembered", len(r.recent), len(r.older))
		}
	}
}
