// Package fault is the one vocabulary of errors.
//
// The place that knows why something cannot be done makes an *Error with a Kind and a Code; every place between
// adds what it was doing with fmt.Errorf("…: %w", err); one function at the edge (httpapi, the SIP front) renders it.
// An error that is not an *Error is shown to customers as "internal" with a reference, never with its text.
//
// Bad input is collected, not thrown at the first fault: a Fields value gathers every bad member with its path.
//
// It never logs, and it knows nothing of HTTP bodies or SIP.
package fault
