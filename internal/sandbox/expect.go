package sandbox

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/sandbox/phone"
)

// leastMatch is the share of the expected words that must be heard, in their order. Recognition over a telephone line is
// far from perfect, and what a test wants to know is which sentence was said.
const leastMatch = 0.5

// foils are listened for beside what is expected, so that an engine that knows nothing but a list can also hear something else.
var foils = []string{
	"yes", "no", "seven", "eleven", "monday", "morning", "water", "people", "never", "again", "open", "family", "music", "garden", "yellow",
	"paper", "because", "question", "little", "usually", "hospital", "information", "remember", "company", "everybody", "november", "beautiful",
	"operation", "understand", "following", "available", "possible", "business", "account", "tomorrow", "evening", "picture", "weather",
	"government", "important", "president", "understand the question", "please try again", "would you like to", "how are you", "what is that",
	"have not been", "it was the", "there is a", "we will be", "i do not know",
}

// phrasesFor are the clauses of want among the foils; nothing when anything will do.
func phrasesFor(want string) []string {
	var clauses []string
	for _, clause := range strings.FieldsFunc(want, func(r rune) bool { return strings.ContainsRune(".,;:!?\n", r) }) {
		if words := wordsOf(clause); len(words) > 0 {
			clauses = append(clauses, strings.Join(words, " "))
		}
	}
	if clauses == nil {
		return nil
	}
	return append(clauses, foils...)
}

// expect waits until the far side has said want since the place from, and tells what was heard and up to which place.
func (n *Carrier) expect(ctx context.Context, c *phone.Call, from int, want string) (ok bool, heard string, upTo int) {
	limit, cancel := context.WithTimeout(ctx, n.times.Expect)
	defer cancel()
	upTo = from
	for {
		_, err := c.AwaitSilence(limit, upTo, quietAfter)
		upTo = c.Mark() // what is said while the words are looked for belongs to the next step
		ok, heard = n.judge(ctx, c.HeardSince(from), want)
		if ok || err != nil {
			return ok, heard, upTo
		}
	}
}

// judge compares sound with words.
func (n *Carrier) judge(ctx context.Context, samples []int16, want string) (ok bool, heard string) {
	samples = audio.Trim(samples, 0)
	if over := len(samples) - audio.Samples(mostToRead); over > 0 {
		samples = samples[over:]
	}
	said := soundIn(samples)
	if n.cfg.Recognise == nil {
		return said >= leastSound, heardSound(said)
	}
	if said < leastSound {
		return false, ""
	}
	ctx, cancel := context.WithTimeout(ctx, readingTime)
	defer cancel()
	heard, err := n.cfg.Recognise(ctx, samples, phrasesFor(want))
	if err != nil {
		n.log.Debug("sandbox cannot recognise", "error", err)
		return false, heardSound(said)
	}
	return matches(want, heard), heard
}

func heardSound(d time.Duration) string {
	return fmt.Sprintf("%.1f s of sound, words not recognised", d.Seconds())
}

// soundIn is how much of samples is louder than a silent line.
func soundIn(samples []int16) time.Duration {
	loud := 0
	for len(samples) >= audio.FrameSamples {
		if audio.Level(samples[:audio.FrameSamples]) > audio.DefaultSilence {
			loud++
		}
		samples = samples[audio.FrameSamples:]
	}
	return time.Duration(loud) * audio.FrameDuration
}

// matches tells whether enough words of want are in heard in their order. An empty want is matched by any words.
func matches(want, heard string) bool {
	w, h := wordsOf(want), wordsOf(heard)
	if len(w) == 0 {
		return len(h) > 0
	}
	return float64(common(w, h)) >= leastMatch*float64(len(w))
}

// digitWords are the names of digits, since recognisers write words.
var digitWords = [10]string{"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}

// wordsOf is text in small letters without punctuation, digits as words.
func wordsOf(text string) []string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		switch {
		case r >= '0' && r <= '9':
			b.WriteString(" " + digitWords[r-'0'] + " ")
		case unicode.IsLetter(r), r == '\'':
			b.WriteRune(r)
		default:
			b.WriteByte(' ')
		}
	}
	return strings.Fields(b.String())
}

// common is the length of the longest common subsequence.
func common(a, b []string) int {
	row := make([]int, len(b)+1)
	for _, x := range a {
		diagonal := 0
		for j, y := range b {
			above := row[j+1]
			if x == y {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(above, row[j])
			}
			diagonal = above
		}
	}
	return row[len(b)]
}
