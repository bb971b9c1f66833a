package arch

import (
	"os"
	"path/filepath"
	"testing"
)

// rule is one line of the house plan.
type rule struct {
	name  string
	check func(*tree) []finding
}

var rules = []rule{
	{"import ranks", importRanks},
	{"test packages", testPackages},
	{"kernel alone", kernelAlone},
	{"engines without storage", enginesWithoutStorage},
	{"SQL in stores", sqlInStores},
	{"HTTP at the edges", httpInEdges},
	{"package comments", packageComments},
	{"file sizes", fileSizes},
	{"function sizes", functionSizes},
	{"no init", noInit},
	{"frozen state", frozenState},
	{"machine paths", machinePaths},
	{"leftovers", leftovers},
}

func TestTreeKeepsTheHousePlan(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	tree, err := read(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.sources) < 20 {
		t.Fatalf("only %d Go files below %s: wrong root", len(tree.sources), root)
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, f := range r.check(tree) {
				t.Error(f)
			}
		})
	}
}

// moduleRoot walks up from the test's directory to go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil || filepath.Dir(dir) == dir {
			return dir, err
		}
		dir = filepath.Dir(dir)
	}
}
