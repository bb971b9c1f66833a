//go:build failpoint

package failpoint

import "testing"

func TestEnvironmentIsReadStrictly(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "db.committed:1": 1, "db.committed:7:kill": 1, "db.committed:7:exit, jobs.handled:1:sleep=5s": 2,
		"db.commited:1": -1, "db.committed": -1, "db.committed:0": -1, "db.committed:x": -1, "db.committed:1:stop": -1, "db.committed:1:sleep=long": -1,
	} {
		p, err := parse(text)
		if want < 0 && err == nil || want >= 0 && (err != nil || len(p) != want) {
			t.Errorf("%q: %d points, %v", text, len(p), err)
		}
	}
}
