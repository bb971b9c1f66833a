package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// source is one parsed Go file.
type source struct {
	path    string // from the root, with slashes
	dir     string
	text    string
	syntax  *ast.File
	imports []imported
}

type imported struct {
	path string
	pos  token.Pos
}

// document is a text file that is not Go.
type document struct{ path, text string }

// tree is everything that the rules look at.
type tree struct {
	fset      *token.FileSet
	sources   []*source
	documents []document
}

// finding is one place that breaks a rule.
type finding struct {
	path string
	line int
	text string
}

func (f finding) String() string { return fmt.Sprintf("%s:%d: %s", f.path, f.line, f.text) }

// skippedDirs are not read: history, builds, data and fixtures.
var skippedDirs = []string{".git", "bin", "data", "testdata", "node_modules", "dist", "vendor"}

// textFiles are the endings (or whole names) of the other files that text_test.go reads.
var textFiles = []string{".md", ".sh", ".sql", ".yaml", ".yml", ".ts", ".tsx", "Makefile", "run"}

// read parses the tree below root.
func read(root fs.FS) (*tree, error) {
	t := &tree{fset: token.NewFileSet()}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(skippedDirs, d.Name()):
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		return t.add(root, name)
	})
	return t, err
}

func (t *tree) add(root fs.FS, name string) error {
	isText := slices.ContainsFunc(textFiles, func(end string) bool {
		return path.Base(name) == end || strings.HasPrefix(end, ".") && path.Ext(name) == end
	})
	if path.Ext(name) != ".go" && !isText {
		return nil
	}
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return err
	}
	if path.Ext(name) != ".go" {
		t.documents = append(t.documents, document{name, string(text)})
		return nil
	}
	file, err := parser.ParseFile(t.fset, filepath.ToSlash(name), text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	if ast.IsGenerated(file) {
		return nil
	}
	s := &source{path: name, dir: path.Dir(name), text: string(text), syntax: file}
	for _, spec := range file.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		s.imports = append(s.imports, imported{p, spec.Pos()})
	}
	t.sources = append(t.sources, s)
	return nil
}

func (t *tree) at(s *source, pos token.Pos, format string, args ...any) finding {
	return finding{s.path, t.fset.Position(pos).Line, fmt.Sprintf(format, args...)}
}

func (t *tree) line(pos token.Pos) int { return t.fset.Position(pos).Line }

// packages groups the files by directory.
func (t *tree) packages() map[string][]*source {
	dirs := map[string][]*source{}
	for _, s := range t.sources {
		dirs[s.dir] = append(dirs[s.dir], s)
	}
	return dirs
}

// test tells whether the file is compiled for tests only.
func (s *source) test() bool {
	return strings.HasSuffix(s.path, "_test.go") || within(s.dir, []string{"test"})
}

// local gives the directory of an import of this module.
func local(importPath string) (string, bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}
