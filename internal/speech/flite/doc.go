// Package flite speaks English with the program flite of Carnegie Mellon University (Debian package flite).
//
// flite.go has [Engine]: Probe asks the program for its voices, Speak runs it once for each text. The text goes in through standard input;
// the sound comes out through a temporary file, because flite writes its header a second time when it knows the length.
// voices.go knows language, gender and rate of each voice, ascii.go spells text in the letters flite reads.
//
// It keeps nothing between two texts; caching is the work of package speech.
package flite
