package arch

import (
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"strings"
)

// statement finds what looks like SQL: keywords in capitals anywhere, or a lower-case statement from the first word on.
var statement = regexp.MustCompile(`(?s)\bSELECT\b.+\bFROM\b|\bINSERT\s+INTO\s|\bUPDATE\s+\S+\s+SET\s|\bDELETE\s+FROM\s|` +
	`^\s*(select\s.+\sfrom\s+\S+\s+(where|order|limit|join)\s|insert\s+into\s+\S+\s*(\(|values|select)|update\s+\S+\s+set\s+\S+\s*=|delete\s+from\s+\S+\s+where\s)`)

// sqlInStores: SQL stands in *_store.go and in internal/db.
func sqlInStores(t *tree) []finding {
	var found []finding
	for _, s := range t.sources {
		if s.test() || within(s.dir, sqlRooms) || strings.HasSuffix(s.path, "_store.go") {
			continue
		}
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			e, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			text, joined := literal(e)
			if joined && statement.MatchString(text) {
				found = append(found, t.at(s, e.Pos(), "SQL outside a *_store.go file: %.40q", strings.TrimSpace(text)))
			}
			return !joined
		})
	}
	return found
}

// literal gives the text of a string literal, or of a sum of strings with " ? " for what is not known before the program runs.
func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		text, err := strconv.Unquote(e.Value)
		return text, err == nil
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return "", false
		}
		x, okX := literal(e.X)
		y, okY := literal(e.Y)
		if !okX && !okY {
			return "", false
		}
		if !okX {
			x = " ? "
		}
		if !okY {
			y = " ? "
		}
		return x + y, true
	}
	return "", false
}

// httpInEdges: net/http and httpapi are met in *_http.go only.
func httpInEdges(t *tree) []finding {
	var found []finding
	for _, s := range t.sources {
		if s.test() || within(s.dir, httpRooms) || forTests(s.dir) || strings.HasSuffix(s.path, "_http.go") {
			continue
		}
		for _, imp := range s.imports {
			if imp.path == "net/http" || imp.path == module+"/internal/httpapi" {
				found = append(found, t.at(s, imp.pos, "imports %s outside a *_http.go file", imp.path))
			}
		}
	}
	return found
}
