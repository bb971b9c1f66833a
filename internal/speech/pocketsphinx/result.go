package pocketsphinx

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/speech/engine"
)

// parse reads the program's output: for each utterance its text on a line, then lines "word start end probability". Pauses and the
// silence around words carry names in brackets. The lines of times alone hold all that is needed. pad is the silence that was put before
// the recording, length what the recording lasts.
func parse(out string, pad, length time.Duration) []engine.Segment {
	var list []engine.Segment
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) != 4 || strings.ContainsAny(fields[0], "<[") || fields[0] == "(NULL)" {
			continue
		}
		var numbers [3]float64
		ok := true
		for i := range numbers {
			n, err := strconv.ParseFloat(fields[i+1], 64)
			ok = ok && err == nil && !math.IsNaN(n) && n >= 0 && n < 1e6
			numbers[i] = n
		}
		if !ok {
			continue
		}
		word, _, _ := strings.Cut(fields[0], "(") // "one(2)" is the second pronunciation
		list = append(list, engine.Segment{
			Start: within(seconds(numbers[0])-pad, length), End: within(seconds(numbers[1])-pad, length),
			Text: word, Confidence: min(1, numbers[2]),
		})
	}
	return list
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

func within(d, length time.Duration) time.Duration { return max(0, min(d, length)) }
