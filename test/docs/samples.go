package docs

import (
	"fmt"
	"strings"
)

// sample is one block of a page.
type sample struct {
	line int // of its first line, from 1
	text string
}

// samples takes the blocks with one mark out of a page. A block that is not closed, or has no mark at all, is an error: nobody could tell whether it runs.
func samples(page, wanted string) ([]sample, error) {
	var found []sample
	var block []string
	opened, mark := 0, ""
	for i, line := range strings.Split(page, "\n") {
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case !isFence && opened > 0:
			block = append(block, line)
		case !isFence:
		case opened == 0 && strings.TrimSpace(fence) == "":
			return nil, fmt.Errorf("line %d: a block without a mark", i+1)
		case opened == 0:
			opened, mark, block = i+1, strings.TrimSpace(fence), nil
		default:
			if mark == wanted {
				found = append(found, sample{opened + 1, strings.Join(block, "\n") + "\n"})
			}
			opened = 0
		}
	}
	if opened > 0 {
		return nil, fmt.Errorf("line %d: a block that is not closed", opened)
	}
	return found, nil
}

// script joins samples to one bash script that ends at the first command that fails, and says before each block where it stands.
func script(list []sample) string {
	var b strings.Builder
	b.WriteString("set -euo pipefail\n")
	for _, s := range list {
		fmt.Fprintf(&b, "echo '# line %d'\n%s", s.line, s.text)
	}
	return b.String()
}
