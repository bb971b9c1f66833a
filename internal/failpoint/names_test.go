package failpoint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestEachPointHasOneHitAndEachHitItsPoint(t *testing.T) {
	hits := map[string][]string{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		collect(t, path, hits)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, p := range Points() {
		if listed[p.Name] || p.Interrupts == "" {
			t.Errorf("%s is listed twice, or does not say what it interrupts", p.Name)
		}
		listed[p.Name] = true
		if len(hits[p.Name]) != 1 {
			t.Errorf("%s has %d hits, want one: %v", p.Name, len(hits[p.Name]), hits[p.Name])
		}
	}
	for name, where := range hits {
		if !listed[name] {
			t.Errorf("%s at %v is not on the list", name, where)
		}
	}
}

// collect notes the argument of every failpoint.Hit of a file.
func collect(t *testing.T, path string, hits map[string][]string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		f, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || f.Sel.Name != "Hit" {
			return true
		}
		if x, ok := f.X.(*ast.Ident); !ok || x.Name != "failpoint" {
			return true
		}
		at := set.Position(call.Pos()).String()
		literal, ok := call.Args[0].(*ast.BasicLit)
		if !ok {
			t.Errorf("%s: the name must be written out", at)
			return true
		}
		name, _ := strconv.Unquote(literal.Value)
		hits[name] = append(hits[name], at)
		return true
	})
}
