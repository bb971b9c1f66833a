// Package pocketsphinx understands commands and digits, and some free speech, in English with the program pocketsphinx_continuous (Debian packages pocketsphinx and
// pocketsphinx-en-us).
//
// pocketsphinx.go has [Engine]: a recording is brought to 16 kHz by straight lines (a clean filter leaves the upper band empty, which the
// model does not know), written to a temporary folder beside a grammar, and given to the program. grammar.go makes the grammar of the phrases
// that are listened for and keeps out words the dictionary lacks; result.go reads what the program printed.
//
// With a grammar every sound is matched to its nearest phrase. Without one the model of the language is all there is, and it was made of wide-band
// speech: of a telephone call it understands some words.
package pocketsphinx
