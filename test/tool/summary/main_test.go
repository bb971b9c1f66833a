package main

import (
	"bytes"
	"strings"
	"testing"
)

const passing = `{"Action":"start","Package":"m/a"}
{"Action":"run","Package":"m/a","Test":"TestX"}
{"Action":"output","Package":"m/a","Test":"TestX","Output":"noise\n"}
{"Action":"pass","Package":"m/a","Test":"TestX/sub","Elapsed":0}
{"Action":"pass","Package":"m/a","Test":"TestX","Elapsed":0}
{"Action":"skip","Package":"m/a","Test":"TestY","Elapsed":0}
{"Action":"pass","Package":"m/a","Elapsed":0.5}
{"Action":"skip","Package":"m/empty","Elapsed":0}
`

const failing = passing + `{"Action":"output","Package":"m/b","Test":"TestZ","Output":"=== RUN   TestZ\n"}
{"Action":"output","Package":"m/b","Test":"TestZ","Output":"    z_test.go:3: got 1\n"}
{"Action":"fail","Package":"m/b","Test":"TestZ","Elapsed":0}
{"Action":"output","Package":"m/b","Output":"FAIL\n"}
{"Action":"fail","Package":"m/b","Elapsed":0}
`

const unbuilt = `{"ImportPath":"m/c [m/c.test]","Action":"build-output","Output":"c.go:1: undefined: x\n"}
{"ImportPath":"m/c [m/c.test]","Action":"build-fail"}
{"Action":"fail","Package":"m/c","Elapsed":0,"FailedBuild":"m/c [m/c.test]"}
`

const panicked = `{"Action":"output","Package":"m/d","Test":"TestP","Output":"panic: boom\n"}
{"Action":"fail","Package":"m/d","Elapsed":0}
`

func TestSummary(t *testing.T) {
	for _, c := range []struct {
		name, in string
		args     []string
		last     string
		ok       bool
		shows    []string
		hides    string
	}{
		{"passes", passing, nil, "2 passed, 0 failed, 1 skipped", true, []string{"m/a"}, "noise"},
		{"a failed test shows its output", failing, nil, "2 passed, 1 failed, 1 skipped", false, []string{"z_test.go:3: got 1", "m/b TestZ"}, "=== RUN"},
		{"a package that does not build fails", passing + unbuilt, nil, "2 passed, 1 failed, 1 skipped", false, []string{"undefined: x"}, "noise"},
		{"a panic fails", passing + panicked, nil, "2 passed, 1 failed, 1 skipped", false, []string{"panic: boom"}, "noise"},
		{"nothing ran", "", nil, "0 passed, 0 failed, 0 skipped", false, []string{"no test ran"}, "Failed:"},
		{"checks count", passing, []string{"-check", "vet=ok", "-check", "format=failed"}, "3 passed, 1 failed, 1 skipped", false, []string{"check format"}, "check vet"},
		{"other lines are passed on", "go: warning\n" + passing, nil, "2 passed, 0 failed, 1 skipped", true, []string{"go: warning"}, "noise"},
		{"a cut line is passed on", passing + `{"Action":"out`, nil, "2 passed, 0 failed, 1 skipped", true, []string{`{"Action":"out`}, "noise"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			r := newReport(&out)
			if err := r.checks(c.args); err != nil {
				t.Fatal(err)
			}
			if err := r.read(strings.NewReader(c.in)); err != nil {
				t.Fatal(err)
			}
			if ok := r.end(); ok != c.ok {
				t.Errorf("ok = %v", ok)
			}
			text := out.String()
			if !strings.HasSuffix(text, c.last+"\n") {
				t.Errorf("last line is not %q:\n%s", c.last, text)
			}
			for _, want := range c.shows {
				if !strings.Contains(text, want) {
					t.Errorf("does not show %q:\n%s", want, text)
				}
			}
			if strings.Contains(text, c.hides) {
				t.Errorf("shows %q:\n%s", c.hides, text)
			}
		})
	}
}

func TestUnknownCheckResultIsRefused(t *testing.T) {
	for _, args := range [][]string{{"-check"}, {"-check", "vet=maybe"}, {"-x", "vet=ok"}} {
		if newReport(&bytes.Buffer{}).checks(args) == nil {
			t.Errorf("%v accepted", args)
		}
	}
}
