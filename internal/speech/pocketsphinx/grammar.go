package pocketsphinx

import (
	"bufio"
	"io"
	"strings"
)

// defaultPhrases are listened for when a caller has none: digits and the words of call menus.
var defaultPhrases = []string{
	"zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "star", "pound", "hash",
	"yes", "no", "okay", "cancel", "stop", "help", "repeat", "again", "back", "next", "continue", "operator", "agent", "menu", "goodbye",
}

// digitWords are how the characters of a number are spoken.
var digitWords = map[rune]string{
	'0': "zero", '1': "one", '2': "two", '3': "three", '4': "four", '5': "five", '6': "six", '7': "seven", '8': "eight", '9': "nine",
	'*': "star", '#': "pound",
}

// Limits of a grammar.
const (
	maxPhrases     = 500
	maxPhraseWords = 20
)

// words spells a phrase as the dictionary does: small letters and apostrophes, digits as words.
func words(phrase string) []string {
	var b strings.Builder
	for _, r := range strings.ToLower(phrase) {
		switch word, digit := digitWords[r]; {
		case digit:
			b.WriteString(" " + word + " ")
		case r >= 'a' && r <= 'z' || r == '\'':
			b.WriteRune(r)
		case r == '’':
			b.WriteByte('\'')
		default:
			b.WriteByte(' ')
		}
	}
	return strings.Fields(b.String())
}

// spelled are the phrases as words, without doubles and without those that are empty or too long.
func spelled(phrases []string) [][]string {
	var list [][]string
	seen := map[string]bool{}
	for _, p := range phrases {
		w := words(p)
		key := strings.Join(w, " ")
		if len(w) == 0 || len(w) > maxPhraseWords || seen[key] {
			continue
		}
		seen[key] = true
		if list = append(list, w); len(list) == maxPhrases {
			break
		}
	}
	return list
}

// inDictionary keeps the phrases all of whose words the dictionary (one "word phonemes…" a line) has; the program refuses a
// grammar with any other.
func inDictionary(dictionary io.Reader, phrases [][]string) ([][]string, error) {
	missing := map[string]bool{}
	for _, p := range phrases {
		for _, w := range p {
			missing[w] = true
		}
	}
	scanner := bufio.NewScanner(dictionary)
	for scanner.Scan() && len(missing) > 0 {
		line := scanner.Bytes()
		for i, c := range line {
			if c == ' ' || c == '\t' {
				delete(missing, string(line[:i]))
				break
			}
		}
	}
	var known [][]string
	for _, p := range phrases {
		whole := true
		for _, w := range p {
			whole = whole && !missing[w]
		}
		if whole {
			known = append(known, p)
		}
	}
	return known, scanner.Err()
}

// grammar is a JSGF text: one or more of the phrases, in any order.
func grammar(phrases [][]string) string {
	var b strings.Builder
	b.WriteString("#JSGF V1.0;\ngrammar phrases;\npublic <heard> = (")
	for i, p := range phrases {
		if i > 0 {
			b.WriteString(" |")
		}
		b.WriteString(" (" + strings.Join(p, " ") + ")")
	}
	b.WriteString(" )+;\n")
	return b.String()
}
