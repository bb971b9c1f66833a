package engine

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxText is the longest text that is spoken, in bytes: 4000 characters of any script.
const MaxText = 16000

// Clean makes text fit for a program's input: valid UTF-8, one line, runs of white space collapsed, no control characters. It returns "" when
// nothing is left to say.
func Clean(text string) string {
	text = strings.ToValidUTF8(text, " ")
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) || r == utf8.RuneError {
			return ' '
		}
		if unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d' { // joiners shape words of several scripts
			return -1
		}
		return r
	}, text)
	return strings.Join(strings.Fields(text), " ")
}
