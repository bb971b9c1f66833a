package arch

import "strings"

// importRanks: a package imports lower ranks and its own sub-packages only.
func importRanks(t *tree) []finding {
	var found []finding
	for _, s := range t.sources {
		from, ok := subject(s.dir)
		if !ok {
			found = append(found, t.at(s, s.syntax.Package, "directory %s has no rank: give it a line in test/arch/ranks_test.go", s.dir))
			continue
		}
		for _, imp := range s.imports {
			dir, ok := local(imp.path)
			if !ok {
				continue
			}
			if why := forbidden(s, from, dir); why != "" {
				found = append(found, t.at(s, imp.pos, "imports %s: %s", dir, why))
			}
		}
	}
	return found
}

// forbidden says why a file of subject from must not import dir; empty when it may.
func forbidden(s *source, from, dir string) string {
	to, ok := subject(dir)
	if !ok {
		return "it has no rank"
	}
	if to == "test" && s.test() {
		return "" // fakes of the outside world serve every test
	}
	if from == to {
		return stranger(s.dir, dir)
	}
	a, b := subjects[from], subjects[to]
	switch {
	case b < a:
		return ""
	case b > a:
		return "it ranks higher"
	case siblings[[2]string{from, to}] != "":
		return ""
	}
	return "packages of one rank do not know each other"
}

// stranger judges two packages of one subject.
func stranger(from, to string) string {
	for _, pair := range strangers {
		for i := range pair {
			if within(from, pair[i:i+1]) && within(to, pair[1-i:2-i]) {
				return "these two are joined by their parent only"
			}
		}
	}
	return ""
}

// testPackages: what is named …test is imported by tests, by test/ and by its like only.
func testPackages(t *tree) []finding {
	var found []finding
	for _, s := range t.sources {
		if s.test() || forTests(s.dir) {
			continue
		}
		for _, imp := range s.imports {
			if dir, ok := local(imp.path); ok && (forTests(dir) || within(dir, []string{"test"})) {
				found = append(found, t.at(s, imp.pos, "imports %s: it is for tests only", dir))
			}
		}
	}
	return found
}

// kernelAlone: the kernel stands on the standard library.
func kernelAlone(t *tree) []finding {
	var found []finding
	for _, s := range t.sources {
		if sub, ok := subject(s.dir); !ok || subjects[sub] != kernel || s.test() {
			continue
		}
		for _, imp := range s.imports {
			first, _, _ := strings.Cut(imp.path, "/")
			if strings.Contains(first, ".") && !strings.HasPrefix(imp.path, module) {
				found = append(found, t.at(s, imp.pos, "imports %s: the kernel uses the standard library only", imp.path))
			}
		}
	}
	return found
}

// enginesWithoutStorage: the kernel and the engines keep nothing in a database.
func enginesWithoutStorage(t *tree) []finding {
	var found []finding
	for _, s := range t.sources {
		if sub, ok := subject(s.dir); !ok || subjects[sub] > engine {
			continue
		}
		for _, imp := range s.imports {
			if strings.HasPrefix(imp.path, "database/sql") {
				found = append(found, t.at(s, imp.pos, "imports %s: kernel and engines know no database", imp.path))
			}
		}
	}
	return found
}
