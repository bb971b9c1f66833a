package arch

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// noInit: what a package needs is built by its constructors, in the order that app gives.
func noInit(t *tree) []finding {
	var found []finding
	for _, s := range t.sources {
		for _, d := range s.syntax.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				found = append(found, t.at(s, f.Pos(), "func init: build it in a constructor"))
			}
		}
	}
	return found
}

// pure lists the calls whose result does not change afterwards, besides functions of the package itself that give a table.
var pure = []string{
	"errors.New", "errors.Join", "fmt.Errorf", "fmt.Sprintf", "fault.New", "fault.Newf", "fault.Missing", "fault.Invalid",
	"regexp.MustCompile", "strings.NewReplacer", "db.NewBulk", "strings.Repeat", "strings.Fields", "strings.Split", "strings.ToUpper", "strings.ToLower",
	"netip.MustParsePrefix", "netip.MustParseAddr", "netip.AddrFrom4", "money.MustParse", "template.Must", "big.NewInt",
	"reflect.TypeOf", "reflect.TypeFor", "time.Date", "time.FixedZone", "slices.Concat",
	"base32.NewEncoding", "base64.NewEncoding", "crc32.MakeTable", "len", "cap", "string", "byte", "rune", "float64", "float32",
	"int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64", "math.Log", "math.Log10", "math.Pow", "math.Sqrt",
	"math.Sin", "math.Cos", "asn1.ObjectIdentifier", "time.Duration", "event.Type", "json.RawMessage", "maps.Keys", "slices.Sorted",
}

// frozenState: package-level variables are constants in all but name.
func frozenState(t *tree) []finding {
	var found []finding
	all := t.packages()
	foreign := foreignWrites(t)
	for dir, files := range all {
		writes := packageWrites(files)
		for p := range foreign[dir] {
			writes[p] = true
		}
		results := resultTypes(files)
		for _, s := range files {
			if s.test() {
				continue
			}
			found = append(found, t.fileState(s, writes, results)...)
		}
	}
	slices.SortFunc(found, func(a, b finding) int { return strings.Compare(a.path, b.path) })
	return found
}

func (t *tree) fileState(s *source, writes map[string]bool, results map[string]ast.Expr) []finding {
	var found []finding
	for _, d := range s.syntax.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			for i, name := range v.Names {
				if name.Name == "_" || keptState[s.dir+"."+name.Name] != "" || embedded(g, v) {
					continue
				}
				why := changeable(v, i, results)
				if writes[name.Name] && why == "" {
					why = "it is changed"
				}
				if why != "" {
					found = append(found, t.at(s, name.Pos(), "package-level variable %s: %s", name.Name, why))
				}
			}
		}
	}
	return found
}

// embedded tells whether the files of a variable are put in by the compiler.
func embedded(g *ast.GenDecl, v *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{g.Doc, v.Doc} {
		if doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") }) {
			return true
		}
	}
	return false
}

// changeable says why the i-th variable of a declaration may change; empty when it cannot.
func changeable(v *ast.ValueSpec, i int, results map[string]ast.Expr) string {
	switch {
	case len(v.Values) == 0:
		return "it has no value, so something must set it"
	case len(v.Values) != len(v.Names):
		return "one call sets several: write them out"
	case v.Type != nil && guarded(v.Type), guarded(v.Values[i]):
		return "it holds a lock, an atomic or a channel"
	}
	return mutable(v.Values[i], results)
}

// guarded tells whether an expression or type mentions what only shared state needs.
func guarded(e ast.Expr) bool {
	hit := false
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ChanType:
			hit = true
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			hit = hit || ok && (x.Name == "sync" || x.Name == "atomic")
		}
		return !hit
	})
	return hit
}

// mutable says why a value may change without being assigned.
func mutable(e ast.Expr, results map[string]ast.Expr) string {
	switch e := e.(type) {
	case *ast.CallExpr:
		if _, ok := e.Fun.(*ast.ParenExpr); ok {
			return ""
		}
		if _, ok := e.Fun.(*ast.ArrayType); ok { // []byte("…")
			return ""
		}
		if f, ok := e.Fun.(*ast.FuncLit); ok {
			return fixedResult(f.Type)
		}
		name := callee(e)
		if slices.Contains(pure, name) {
			return ""
		}
		if r, ok := results[name]; ok {
			if fixed(r) || plainPointer(r, results) {
				return ""
			}
			return "its value comes from " + name + ", which gives no plain value"
		}
		return "its value comes from " + name + ", which test/arch does not know as free of state"
	}
	return ""
}

func fixedResult(f *ast.FuncType) string {
	if f.Results != nil && len(f.Results.List) == 1 && fixed(f.Results.List[0].Type) {
		return ""
	}
	return "its value comes from a function that gives no plain value"
}

// fixed tells whether a type is a plain value or a table of them.
func fixed(e ast.Expr) bool {
	switch e.(type) {
	case *ast.StarExpr, *ast.ChanType, *ast.InterfaceType:
		return false
	}
	return !guarded(e)
}

// plainPointer tells whether a type points to a type of the same package, not exported, that holds no lock: a row of a table.
func plainPointer(e ast.Expr, types map[string]ast.Expr) bool {
	star, ok := e.(*ast.StarExpr)
	if !ok {
		return false
	}
	name, ok := star.X.(*ast.Ident)
	return ok && !name.IsExported() && types[name.Name] != nil && fixed(types[name.Name])
}

// resultTypes gives the single result type of each function of a package, and of each type's name (a conversion) itself.
func resultTypes(files []*source) map[string]ast.Expr {
	types := map[string]ast.Expr{}
	for _, s := range files {
		for _, d := range s.syntax.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Type.Results != nil && len(d.Type.Results.List) == 1 {
					types[d.Name.Name] = d.Type.Results.List[0].Type
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok {
						types[ts.Name.Name] = ts.Type
					}
				}
			}
		}
	}
	return types
}

// packageWrites lists the package-level names that some file of the package assigns to, counts up, deletes from or clears.
// A pointer taken to a variable is trusted: rows of tables are passed on by pointer.
// A local variable of the same name hides the package's one; writes to that are not counted.
func packageWrites(files []*source) map[string]bool {
	writes := map[string]bool{}
	for _, s := range files {
		if strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		for _, d := range s.syntax.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			locals := localNames(f)
			written(f.Body, func(e ast.Expr) {
				if x := root(e); x != nil && !locals[x.Name] {
					writes[x.Name] = true
				}
			})
		}
	}
	return writes
}

// foreignWrites lists, by directory, the exported names that other packages assign to: pkg.Name = ….
func foreignWrites(t *tree) map[string]map[string]bool {
	writes := map[string]map[string]bool{}
	for _, s := range t.sources {
		dirs := map[string]string{}
		for _, imp := range s.imports {
			if dir, ok := local(imp.path); ok {
				dirs[path.Base(dir)] = dir
			}
		}
		written(s.syntax, func(e ast.Expr) {
			sel, ok := e.(*ast.SelectorExpr)
			if !ok {
				return
			}
			x, ok := sel.X.(*ast.Ident)
			if !ok || dirs[x.Name] == "" || !sel.Sel.IsExported() {
				return
			}
			dir := dirs[x.Name]
			if writes[dir] == nil {
				writes[dir] = map[string]bool{}
			}
			writes[dir][sel.Sel.Name] = true
		})
	}
	return writes
}

// written calls fn with each expression that node changes.
func written(node ast.Node, fn func(ast.Expr)) {
	ast.Inspect(node, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, e := range n.Lhs {
					fn(e)
				}
			}
		case *ast.IncDecStmt:
			fn(n.X)
		case *ast.CallExpr:
			if name := callee(n); (name == "delete" || name == "clear") && len(n.Args) > 0 {
				fn(n.Args[0])
			}
		}
		return true
	})
}

// root gives the variable that an expression changes: table[1].name changes table.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// localNames lists every name that a function declares anywhere in it.
func localNames(f *ast.FuncDecl) map[string]bool {
	names := map[string]bool{}
	add := func(e ast.Node) {
		if x, ok := e.(*ast.Ident); ok {
			names[x.Name] = true
		}
	}
	if f.Recv != nil {
		for _, field := range f.Recv.List {
			for _, n := range field.Names {
				add(n)
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, e := range n.Lhs {
					add(e)
				}
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				add(n.Key)
				add(n.Value)
			}
		case *ast.FuncType:
			for _, list := range []*ast.FieldList{n.Params, n.Results} {
				if list == nil {
					continue
				}
				for _, field := range list.List {
					for _, name := range field.Names {
						add(name)
					}
				}
			}
		case *ast.ValueSpec:
			for _, name := range n.Names {
				add(name)
			}
		}
		return true
	})
	return names
}
