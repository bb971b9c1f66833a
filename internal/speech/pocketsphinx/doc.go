// Package pocketsphinx understands commands and digits in English with the program pocketsphinx_continuous (Debian packages pocketsphinx and
// pocketsphinx-en-us).
//
// pocketsphinx.go has [Engine]: a recording is brought to 16 kHz by straight lines (a clean filter leaves the upper band empty, which the
// model does not know), written to a temporary folder beside a grammar, and given to the program. grammar.go makes the grammar of the phrases
// that are listened for and keeps out words the dictionary lacks; result.go reads what the program printed.
//
// It takes no dictation: every sound is matched to the nearest phrase of the grammar.
package pocketsphinx
