// Package money is exact amounts: whole micro-units (1e-6) of a currency in an int64.
//
// Amount reads and writes itself as a JSON number with at most six decimals, without ever passing through a float.
// Multiplication and division use a 128-bit intermediate and round once, half up (numbers-and-money §4, voice-semantics §9).
// It knows neither accounts nor prices.
package money
