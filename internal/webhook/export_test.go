package webhook

import "time"

// AfterFailure is the health after an attempt that was answered with status, when attempts were gap apart.
func AfterFailure(h Health, status int, gap time.Duration, now time.Time) Health {
	return h.after(result{d: &delivery{gap: gap, started: now}, o: outcome{status: status, err: "x"}}, now)
}

// Allowance tells how many attempts may start.
func Allowance(h Health, n int, now time.Time) (int, time.Time) { return h.allowance(n, now) }
