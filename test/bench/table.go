package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// figure is one line of the result.
type figure struct {
	name   string
	value  string
	target string
	peers  string
	met    bool
	judged bool // there is a target
}

// table prints figures as they come and again together.
type table struct {
	out  io.Writer
	rows []figure
}

func (t *table) add(f figure) {
	t.rows = append(t.rows, f)
	fmt.Fprintf(t.out, "  %-48s %-22s %s\n", f.name, f.value, f.verdict())
}

func (f figure) verdict() string {
	switch {
	case !f.judged:
		return ""
	case f.met:
		return "ok     (" + f.target + ")"
	}
	return "MISSED (" + f.target + ")"
}

// most adds a figure that should be at most the target.
func (t *table) most(name string, value, target float64, unit, peers string) {
	t.add(figure{name, show(value) + " " + unit, "≤ " + show(target), peers, value <= target, true})
}

// least adds a figure that should be at least the target.
func (t *table) least(name string, value, target float64, unit, peers string) {
	t.add(figure{name, show(value) + " " + unit, "≥ " + show(target), peers, value >= target, true})
}

// plain adds a figure without a target.
func (t *table) plain(name, value string) { t.add(figure{name: name, value: value}) }

func show(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// print writes all figures; it tells whether every target was met.
func (t *table) print() bool {
	ok := true
	line := func(a, b, c, d string) {
		fmt.Fprintln(t.out, strings.TrimRight(fmt.Sprintf("%-48s %-22s %-18s %s", a, b, c, d), " "))
	}
	fmt.Fprintln(t.out)
	line("figure", "measured", "target", "peers on such a machine")
	line(strings.Repeat("-", 47), strings.Repeat("-", 21), strings.Repeat("-", 17), strings.Repeat("-", 30))
	for _, f := range t.rows {
		target := f.target
		if f.judged && !f.met {
			target += "  MISSED"
			ok = false
		}
		line(f.name, f.value, target, f.peers)
	}
	return ok
}

// share gives the value below which that share of the durations lies.
func share(all []time.Duration, part float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Clone(all)
	slices.Sort(sorted)
	return sorted[min(len(sorted)-1, int(part*float64(len(sorted))))]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
