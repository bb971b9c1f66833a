package arch

import (
	"fmt"
	"go/ast"
	"regexp"
	"strings"
)

func sprint(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// The patterns are put together from halves so that this file does not match itself.
var (
	machinePath   = regexp.MustCompile(`(^|[^A-Za-z0-9_.])/(wo` + `rk|fa` + `rm|ro` + `ot)/`)
	temporaryPath = regexp.MustCompile(`(^|[^A-Za-z0-9_.])/tm` + `p/`)
	leftover      = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b`)
)

// machinePaths: nothing depends on where one machine keeps things.
func machinePaths(t *tree) []finding {
	var found []finding
	scan := func(name, text string, temporary bool) {
		for i, line := range strings.Split(text, "\n") {
			if m := machinePath.FindString(line); m != "" {
				found = append(found, finding{name, i + 1, "path of one machine"})
			} else if temporary && temporaryPath.MatchString(line) {
				found = append(found, finding{name, i + 1, "fixed temporary path: ask os.TempDir or os.MkdirTemp"})
			}
		}
	}
	for _, s := range t.sources {
		scan(s.path, s.text, !s.test())
	}
	for _, d := range t.documents {
		scan(d.path, d.text, false)
	}
	return found
}

// leftovers: what is not done is not hinted at, and no test skips itself.
func leftovers(t *tree) []finding {
	var found []finding
	for _, s := range t.sources {
		for _, group := range s.syntax.Comments {
			for _, c := range group.List {
				if m := leftover.FindString(c.Text); m != "" {
					found = append(found, t.at(s, c.Pos(), "comment says %s", m))
				}
			}
		}
		if !strings.HasSuffix(s.path, "_test.go") && !forTests(s.dir) {
			continue
		}
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok {
				switch name := callee(c); name {
				case "t.Skip", "t.Skipf", "t.SkipNow", "b.Skip", "f.Skip":
					found = append(found, t.at(s, c.Pos(), "%s: a test runs or is not there", name))
				}
			}
			return true
		})
	}
	return found
}
