package scenario

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// line is one step of a script with its place.
type line struct {
	file string
	n    int
	verb string
	rest string
}

func (l line) String() string { return fmt.Sprintf("%s:%d: %s %s", l.file, l.n, l.verb, l.rest) }

// read cuts a script into steps and puts in the files that it uses.
func read(files fs.FS, name string, depth int) ([]line, error) {
	if depth > 4 {
		return nil, fmt.Errorf("%s: scripts use each other in a circle", name)
	}
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, err
	}
	var out []line
	for i, raw := range strings.Split(string(text), "\n") {
		switch {
		case strings.TrimSpace(raw) == "" || strings.HasPrefix(raw, "#"):
			continue
		case raw[0] == ' ' || raw[0] == '\t':
			if len(out) == 0 {
				return nil, fmt.Errorf("%s:%d: nothing to go on with", name, i+1)
			}
			out[len(out)-1].rest += "\n" + strings.TrimSpace(raw)
			continue
		}
		verb, rest, _ := strings.Cut(raw, " ")
		if verb != "use" {
			out = append(out, line{name, i + 1, verb, strings.TrimSpace(rest)})
			continue
		}
		used, err := read(files, path.Join(path.Dir(name), strings.TrimSpace(rest)+".inc"), depth+1)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
		out = append(out, used...)
	}
	for _, l := range out {
		if !known(l.verb) {
			return nil, fmt.Errorf("%s:%d: unknown step %q", l.file, l.n, l.verb)
		}
	}
	return out, nil
}

// fill replaces ${name}; an unknown name is an error.
func fill(text string, value func(name string) (string, bool)) (string, error) {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(text, "${")
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		name, rest, ok := strings.Cut(after, "}")
		if !ok {
			return "", fmt.Errorf("${ without }")
		}
		v, ok := value(name)
		if !ok {
			return "", fmt.Errorf("nothing is known as ${%s}", name)
		}
		b.WriteString(v)
		text = rest
	}
}
