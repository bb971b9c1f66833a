package cli

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// TestLintGolden compares what flow lint prints about every document of testdata/lint with its golden file.
func TestLintGolden(t *testing.T) {
	documents, err := filepath.Glob("testdata/lint/*.xml")
	if err != nil || len(documents) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	for _, path := range documents {
		doc, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			golden, err := filepath.Abs(path + ".golden")
			if err != nil {
				t.Fatal(err)
			}
			r := run(t, nil, string(doc), "flow", "lint", "-")
			if *update {
				if err := os.WriteFile(golden, []byte(r.out), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), r.out); d != "" {
				t.Error(d)
			}
			if refused := strings.Contains(r.out, ": error: "); refused != (r.code == 1) {
				t.Errorf("code %d, %q", r.code, r.text)
			}
		})
	}
}

func TestLintOfManyFilesCountsTheRefused(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.xml"), filepath.Join(dir, "bad.xml")
	for path, doc := range map[string]string{good: "<Response><Hangup/></Response>", bad: "<Response>\n<Foo/></Response>"} {
		if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := run(t, nil, "", "flow", "lint", "--json", good, bad)
	var found []complaint
	if err := json.Unmarshal([]byte(r.out), &found); err != nil {
		t.Fatalf("%v: %+v", err, r)
	}
	want := []complaint{{File: bad, Line: 2, Column: 1, Severity: "error", Message: "unknown element <Foo>"}}
	if d := cmp.Diff(want, found); d != "" || r.code != 1 || r.text != "1 of 2 documents would be refused" {
		t.Errorf("%s %+v", d, r)
	}
}
