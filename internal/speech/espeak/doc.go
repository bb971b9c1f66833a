// Package espeak speaks some hundred languages with the program espeak-ng (Debian package espeak-ng).
//
// espeak.go has [Engine]: Probe asks the program for its voices, Speak runs it once for each text, with the text on standard input and
// the sound on standard output (a WAV whose header tells no true length). voices.go reads the list of voices and makes two of each
// language: the program's own, which is a man, and one with the variant of a woman.
//
// It keeps nothing between two texts; caching is the work of package speech.
package espeak
