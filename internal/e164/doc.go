// Package e164 is the telephone number: digits with country code, as ITU-T E.164 writes them.
//
// Number is the only form that other packages pass on; Parse (number.go) makes one from whatever a person or a carrier wrote.
// country.go knows the calling codes and divides the North American Numbering Plan into its countries; special.go knows
// toll-free, premium and emergency numbers; mask.go compares numbers with search masks; thread.go names a pair of numbers.
//
// The package never asks a carrier or a database: whether a number is in service, ported or owned is not its matter.
package e164
