package arch

import (
	"go/ast"
	"path"
	"sort"
	"strings"
)

// packageComments: every package tells what it is in doc.go (a program may do so in main.go).
func packageComments(t *tree) []finding {
	var found []finding
	for dir, files := range t.packages() {
		told := false
		for _, s := range files {
			name := path.Base(s.path)
			if name != "doc.go" && !(s.syntax.Name.Name == "main" && name == "main.go") {
				continue
			}
			told = told || s.syntax.Doc != nil && strings.HasPrefix(s.syntax.Doc.Text(), introduction(s.syntax.Name.Name))
		}
		if !told {
			found = append(found, finding{files[0].path, 1, "package " + dir + " has no doc.go with a package comment"})
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].path < found[j].path })
	return found
}

// introduction is how a package comment begins.
func introduction(name string) string {
	if name == "main" {
		return "" // a program's comment starts with the name of the program
	}
	return "Package " + name + " "
}

// fileSizes: a file is one subject.
func fileSizes(t *tree) []finding {
	var found []finding
	for _, s := range t.sources {
		if n := strings.Count(s.text, "\n"); n > maxFile {
			found = append(found, finding{s.path, maxFile + 1, sprint("file of %d lines; the most is %d", n, maxFile)})
		}
	}
	return found
}

// functionSizes: a function does one thing. Tables may be long.
func functionSizes(t *tree) []finding {
	var found []finding
	for _, s := range t.sources {
		for _, d := range s.syntax.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil || isTable(f.Body) {
				continue
			}
			n := t.line(f.Body.Rbrace) - t.line(f.Pos()) + 1
			if n > maxFunc && n-t.tableLines(f.Body) > maxFunc {
				found = append(found, t.at(s, f.Pos(), "function %s of %d lines; the most is %d", f.Name.Name, n, maxFunc))
			}
		}
	}
	return found
}

// isTable tells whether a body is one composite literal, or a plain list of calls of the same function (a list of routes).
func isTable(body *ast.BlockStmt) bool {
	if len(body.List) == 1 {
		if r, ok := body.List[0].(*ast.ReturnStmt); ok && len(r.Results) > 0 {
			return isLiteral(r.Results[0])
		}
	}
	names := map[string]bool{}
	for _, stmt := range body.List {
		e, ok := stmt.(*ast.ExprStmt)
		if !ok {
			return false
		}
		c, ok := e.X.(*ast.CallExpr)
		if !ok {
			return false
		}
		names[callee(c)] = true
	}
	return len(names) == 1
}

func isLiteral(e ast.Expr) bool {
	if u, ok := e.(*ast.UnaryExpr); ok {
		e = u.X
	}
	_, ok := e.(*ast.CompositeLit)
	return ok
}

// tableLines counts the lines of the slice, array and map literals of a body: a test's cases do not make it long.
func (t *tree) tableLines(body *ast.BlockStmt) int {
	lines := 0
	ast.Inspect(body, func(n ast.Node) bool {
		c, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		switch c.Type.(type) {
		case *ast.ArrayType, *ast.MapType:
			lines += t.line(c.Rbrace) - t.line(c.Lbrace)
			return false
		}
		return true
	})
	return lines
}

// callee names what a call calls: "httpapi.Handle", "make".
func callee(c *ast.CallExpr) string {
	fun := c.Fun
	switch f := fun.(type) {
	case *ast.IndexExpr:
		fun = f.X
	case *ast.IndexListExpr:
		fun = f.X
	}
	switch f := fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			return x.Name + "." + f.Sel.Name
		}
		return "." + f.Sel.Name
	}
	return ""
}
