package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// event is one line of go test -json (go doc test2json; build events: go help buildjson).
type event struct {
	Action, Package, Test, Output, ImportPath, FailedBuild string
	Elapsed                                                float64
}

// report is what has been seen so far.
type report struct {
	out                     io.Writer
	passed, failed, skipped int
	failures                []string            // names, in the order of their end
	lines                   map[string][]string // output by package and test, until it ends
	counts                  map[string]int      // tests that ended, by package
	broken                  map[string]bool     // packages with a failed test
}

func newReport(out io.Writer) *report {
	return &report{out: out, lines: map[string][]string{}, counts: map[string]int{}, broken: map[string]bool{}}
}

func main() {
	r := newReport(os.Stdout)
	if err := r.checks(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "summary:", err)
		os.Exit(2)
	}
	if err := r.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "summary:", err)
		os.Exit(2)
	}
	if !r.end() {
		os.Exit(1)
	}
}

// checks takes the -check flags.
func (r *report) checks(args []string) error {
	for i := 0; i < len(args); i += 2 {
		if args[i] != "-check" || i+1 == len(args) {
			return fmt.Errorf("usage: summary {-check NAME=ok|failed}")
		}
		name, result, _ := strings.Cut(args[i+1], "=")
		switch result {
		case "ok":
			r.passed++
		case "failed":
			r.failed++
			r.failures = append(r.failures, "check "+name)
		default:
			return fmt.Errorf("check %s: result %q is neither ok nor failed", name, result)
		}
	}
	return nil
}

// read takes the stream to its end. A line that is not JSON (a message of the go command) is passed on.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			r.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) line(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
		fmt.Fprint(r.out, line)
		return
	}
	key := e.Package + "\x00" + e.Test
	switch e.Action {
	case "build-output":
		r.lines[e.ImportPath] = append(r.lines[e.ImportPath], e.Output)
	case "output":
		r.lines[key] = append(r.lines[key], e.Output)
	case "pass", "fail", "skip":
		if e.Test != "" {
			r.test(e, key)
		} else {
			r.pkg(e, key)
		}
		delete(r.lines, key)
	}
}

// test takes the end of a test or subtest.
func (r *report) test(e event, key string) {
	r.counts[e.Package]++
	switch e.Action {
	case "pass":
		r.passed++
	case "skip":
		r.skipped++
	case "fail":
		r.failed++
		r.broken[e.Package] = true
		r.failures = append(r.failures, e.Package+" "+e.Test)
		r.show(e.Package+" "+e.Test, r.lines[key])
	}
}

// pkg takes the end of a package.
func (r *report) pkg(e event, key string) {
	switch {
	case e.Action == "fail" && !r.broken[e.Package]:
		r.failed++
		r.failures = append(r.failures, e.Package)
		r.show(e.Package, slices.Concat(r.lines[e.FailedBuild], r.unfinished(e.Package), r.lines[key]))
	case e.Action == "fail":
		r.show(e.Package, slices.Concat(r.unfinished(e.Package), r.lines[key]))
	}
	if n := r.counts[e.Package]; n > 0 || e.Action == "fail" {
		fmt.Fprintf(r.out, "%-4s  %-60s %4d tests %7.2fs\n", e.Action, e.Package, n, e.Elapsed)
	}
}

// unfinished gives the output of tests of a package that never ended: a panic or a time-out stops the process within one.
func (r *report) unfinished(pkg string) []string {
	var keys []string
	for key := range r.lines {
		if p, test, ok := strings.Cut(key, "\x00"); ok && p == pkg && test != "" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	var out []string
	for _, key := range keys {
		out = append(out, r.lines[key]...)
		delete(r.lines, key)
	}
	return out
}

// show prints what a test or package wrote, without the go command's own progress lines.
func (r *report) show(name string, lines []string) {
	fmt.Fprintf(r.out, "--- FAILED %s\n", name)
	for _, line := range lines {
		if strings.HasPrefix(line, "=== ") {
			continue
		}
		fmt.Fprint(r.out, "    ", strings.TrimSuffix(line, "\n"), "\n")
	}
}

// end prints the failures again and the last line, and tells whether all is well.
func (r *report) end() bool {
	if len(r.failures) > 0 {
		fmt.Fprintln(r.out, "\nFailed:")
		for _, name := range r.failures {
			fmt.Fprintln(r.out, "  ", name)
		}
	}
	ran := 0
	for _, n := range r.counts {
		ran += n
	}
	if ran == 0 {
		fmt.Fprintln(r.out, "no test ran")
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	return r.failed == 0 && ran > 0
}
