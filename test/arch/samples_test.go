package arch

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

const base = "internal/"

// sample is a tree of one rule's concern; want is a part of the finding, empty when there must be none.
type sample struct {
	rule  string
	name  string
	files map[string]string
	want  string
}

func one(path, text string) map[string]string { return map[string]string{path: text} }

func importing(path string, imports ...string) map[string]string {
	text := "package p\n"
	for _, i := range imports {
		text += fmt.Sprintf("import _ %q\n", i)
	}
	return one(path, text)
}

func here(dir string) string { return module + "/" + dir }

var samples = []sample{
	{"import ranks", "kernel up", importing(base+"money/m.go", here("internal/db")), "it ranks higher"},
	{"import ranks", "kernel sideways", importing(base+"money/m.go", here("internal/e164")), "one rank"},
	{"import ranks", "engine to platform", importing(base+"sip/s.go", here("internal/bus")), "it ranks higher"},
	{"import ranks", "engine sideways", importing(base+"sip/s.go", here("internal/rtp")), "one rank"},
	{"import ranks", "audio to rtp", importing(base+"audio/a.go", here("internal/rtp")), "one rank"},
	{"import ranks", "rtp to audio", importing(base+"rtp/a.go", here("internal/audio")), ""},
	{"import ranks", "speech engine to audio", importing(base+"speech/flite/a.go", here("internal/audio"), here("internal/speech")), ""},
	{"import ranks", "db to event", importing(base+"db/a.go", here("internal/event")), "it ranks higher"},
	{"import ranks", "event to db", importing(base+"event/a.go", here("internal/db")), ""},
	{"import ranks", "event to jobs", importing(base+"event/a.go", here("internal/jobs")), "one rank"},
	{"import ranks", "jobs to httpapi", importing(base+"jobs/a.go", here("internal/httpapi")), "it ranks higher"},
	{"import ranks", "account to billing", importing(base+"account/a.go", here("internal/billing")), "it ranks higher"},
	{"import ranks", "number to billing", importing(base+"number/a.go", here("internal/billing"), here("internal/account")), ""},
	{"import ranks", "product to product", importing(base+"voice/a.go", here("internal/messaging")), "one rank"},
	{"import ranks", "product's part to product", importing(base+"messaging/carrier/sandbox/a.go", here("internal/sandbox")), "one rank"},
	{"import ranks", "product's test to product", importing(base+"voice/a_test.go", here("internal/trunk")), "one rank"},
	{"import ranks", "product to app", importing(base+"voice/a.go", here("internal/app")), "it ranks higher"},
	{"import ranks", "call to flow", importing(base+"voice/call/a.go", here("internal/voice/flow")), "joined by their parent"},
	{"import ranks", "flow to call", importing(base+"voice/flow/a.go", here("internal/voice/call")), "joined by their parent"},
	{"import ranks", "voice to both", importing(base+"voice/a.go", here("internal/voice/flow"), here("internal/voice/call")), ""},
	{"import ranks", "app to cli", importing(base+"app/a.go", here("internal/cli")), "it ranks higher"},
	{"import ranks", "cli to app", importing(base+"cli/a.go", here("internal/app")), ""},
	{"import ranks", "command to cli", importing("cmd/opentact/main.go", here("internal/cli")), ""},
	{"import ranks", "unknown room", importing(base + "util/a.go"), "has no rank"},
	{"import ranks", "test to fake", importing(base+"voice/a_test.go", here("test/fake/phone")), ""},

	{"test packages", "program to dbtest", importing(base+"voice/a.go", here("internal/db/dbtest")), "for tests only"},
	{"test packages", "program to fake", importing(base+"app/a.go", here("test/fake")), "for tests only"},
	{"test packages", "test to dbtest", importing(base+"voice/a_test.go", here("internal/db/dbtest")), ""},
	{"test packages", "suite to dbtest", importing(base+"messaging/carrier/carriertest/a.go", here("internal/db/dbtest")), ""},

	{"kernel alone", "library", importing(base+"e164/a.go", "github.com/nyaruka/phonenumbers"), "standard library only"},
	{"kernel alone", "standard library", importing(base+"e164/a.go", "strings", "encoding/json"), ""},

	{"engines without storage", "engine", importing(base+"smpp/a.go", "database/sql"), "know no database"},
	{"engines without storage", "platform", importing(base+"db/a.go", "database/sql"), ""},

	{"SQL in stores", "one literal", one(base+"voice/a.go", "package p\nconst q = `SELECT id\nFROM calls`"), "SQL outside"},
	{"SQL in stores", "pieces", one(base+"voice/a.go", `package p; func f(c string) string { return "SELECT " + c + " FROM calls" }`), "SQL outside"},
	{"SQL in stores", "insert", one(base+"voice/a_http.go", `package p; const q = "INSERT INTO calls (id) VALUES ($1)"`), "SQL outside"},
	{"SQL in stores", "update", one(base+"event/a.go", `package p; const q = "UPDATE calls SET x = 1"`), "SQL outside"},
	{"SQL in stores", "lower case", one(base+"event/a.go", `package p; const q = "delete from calls where id = $1"`), "SQL outside"},
	{"SQL in stores", "store", one(base+"voice/a_store.go", `package p; const q = "DELETE FROM calls"`), ""},
	{"SQL in stores", "english", one(base+"voice/a.go", `package p; const q = "select a number from the list, then delete it"`), ""},
	{"SQL in stores", "test", one(base+"voice/a_test.go", `package p; const q = "SELECT id FROM calls"`), ""},

	{"HTTP at the edges", "net/http", importing(base+"voice/a.go", "net/http"), "outside a *_http.go file"},
	{"HTTP at the edges", "httpapi", importing(base+"voice/a_store.go", here("internal/httpapi")), "outside a *_http.go file"},
	{"HTTP at the edges", "edge", importing(base+"voice/a_http.go", "net/http", here("internal/httpapi")), ""},
	{"HTTP at the edges", "room", importing(base+"fetch/a.go", "net/http"), ""},

	{"package comments", "none", one(base+"voice/a.go", "// Package p is here.\npackage p"), "no doc.go"},
	{"package comments", "empty doc.go", one(base+"voice/doc.go", "package p"), "no doc.go"},
	{"package comments", "other name", one(base+"voice/doc.go", "// Package q is voice.\npackage p"), "no doc.go"},
	{"package comments", "told", one(base+"voice/doc.go", "// Package p is voice.\npackage p"), ""},
	{"package comments", "program", one("cmd/opentact/main.go", "// Opentact is the server.\npackage main"), ""},

	{"file sizes", "long", one(base+"voice/a.go", "package p\n"+strings.Repeat("\n", maxFile)), "file of 601 lines"},
	{"file sizes", "full", one(base+"voice/a.go", "package p\n"+strings.Repeat("\n", maxFile-1)), ""},

	{"function sizes", "long", one(base+"voice/a.go", "package p\nfunc f() {\n"+strings.Repeat("_ = 1\n", maxFunc)+"}"), "function f of 82 lines"},
	{"function sizes", "full", one(base+"voice/a.go", "package p\nfunc f() {\n"+strings.Repeat("_ = 1\n", maxFunc-2)+"}"), ""},
	{"function sizes", "literal", one(base+"voice/a.go", "package p\nfunc f() *T { return &T{\n"+strings.Repeat("a,\n", maxFunc)+"}}"), ""},
	{"function sizes", "routes", one(base+"voice/a_http.go", "package p\nfunc f() {\n"+strings.Repeat("httpapi.Handle(a)\n", maxFunc)+"}"), ""},
	{"function sizes", "several callees", one(base+"voice/a.go", "package p\nfunc f() {\nb()\n"+strings.Repeat("c()\n", maxFunc)+"}"), "function f"},
	{"function sizes", "cases", one(base+"voice/a_test.go", "package p\nfunc f() {\nx := []int{\n"+strings.Repeat("1,\n", maxFunc)+"}\ng(x)\n}"), ""},

	{"no init", "init", one(base+"voice/a.go", "package p\nfunc init() {}"), "func init"},
	{"no init", "method", one(base+"voice/a.go", "package p\nfunc (t T) init() {}"), ""},

	{"frozen state", "no value", one(base+"voice/a.go", "package p\nvar n int"), "it has no value"},
	{"frozen state", "assigned", one(base+"voice/a.go", "package p\nvar n = 1\nfunc f() { n = 2 }"), "it is changed"},
	{"frozen state", "counted", one(base+"voice/a.go", "package p\nvar n = 1\nfunc f() { n++ }"), "it is changed"},
	{"frozen state", "entry set", one(base+"voice/a.go", "package p\nvar m = map[int]int{}\nfunc f() { m[1] = 2 }"), "it is changed"},
	{"frozen state", "entry deleted", one(base+"voice/a.go", "package p\nvar m = map[int]int{}\nfunc f() { delete(m, 1) }"), "it is changed"},
	{"frozen state", "field set", one(base+"voice/a.go", "package p\nvar v = T{}\nfunc f() { v.x.y = 2 }"), "it is changed"},
	{"frozen state", "made", one(base+"voice/a.go", "package p\nvar m = make(map[int]int)"), "comes from make"},
	{"frozen state", "lock", one(base+"voice/a.go", "package p\nvar m = sync.Mutex{}"), "holds a lock"},
	{"frozen state", "pool", one(base+"voice/a.go", "package p\nvar m = &sync.Pool{New: nil}"), "holds a lock"},
	{"frozen state", "atomic", one(base+"voice/a.go", "package p\nvar m = struct{ n atomic.Int64 }{}"), "holds a lock"},
	{"frozen state", "client", one(base+"voice/a.go", "package p\nvar c = other.NewClient()"), "comes from other.NewClient"},
	{"frozen state", "own client", one(base+"voice/a.go", "package p\nfunc NewClient() *Client { return nil }\nvar c = NewClient()"), "no plain value"},
	{"frozen state", "changed from outside", map[string]string{
		base + "voice/a.go": "package voice\nvar Limit = 1", base + "app/a.go": "package app\nimport \"" + here("internal/voice") + "\"\nfunc f() { voice.Limit = 2 }",
	}, "it is changed"},
	{"frozen state", "constants in all but name", one(base+"voice/a.go", `package p
var (
	ErrGone = errors.New("gone")
	form    = regexp.MustCompile("x")
	names   = map[string]int{"a": 1}
	table   = build()
	_ Role  = (*T)(nil)
)
//go:embed a.html
var page []byte
func build() [256]int16 { var table [256]int16; table[1] = 2; return table }`), ""},

	{"machine paths", "own directory", one(base+"voice/a.go", "package p\nconst d = \"/ro"+"ot/x\""), "path of one machine"},
	{"machine paths", "temporary", one(base+"voice/a.go", "package p\nconst d = \"/tm"+"p/x\""), "fixed temporary path"},
	{"machine paths", "document", one("README.md", "see /wo"+"rk/x"), "path of one machine"},
	{"machine paths", "address", one(base+"voice/a.go", "package p\nconst d = \"https://example.com/ro"+"ot/x\""), ""},

	{"leftovers", "mark", one(base+"voice/a.go", "package p\n// TO"+"DO: later"), "comment says"},
	{"leftovers", "skip", one(base+"voice/a_test.go", "package p\nfunc TestX(t *testing.T) { t.Skip() }"), "a test runs"},
	{"leftovers", "none", one(base+"voice/a_test.go", "package p\nfunc TestX(t *testing.T) { g.Skip() }"), ""},
}

func TestRulesFindWhatTheyAreFor(t *testing.T) {
	broken := map[string]bool{}
	for _, s := range samples {
		t.Run(s.rule+"/"+s.name, func(t *testing.T) {
			found := checkSample(t, s)
			switch {
			case s.want == "" && len(found) > 0:
				t.Errorf("unexpected: %v", found)
			case s.want != "" && (len(found) != 1 || !strings.Contains(found[0].String(), s.want)):
				t.Errorf("found %v, want one with %q", found, s.want)
			}
		})
		broken[s.rule] = broken[s.rule] || s.want != ""
	}
	for _, r := range rules {
		if !broken[r.name] {
			t.Errorf("no sample breaks the rule %q", r.name)
		}
	}
}

func checkSample(t *testing.T, s sample) []finding {
	t.Helper()
	files := fstest.MapFS{}
	for name, text := range s.files {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	tree, err := read(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		if r.name == s.rule {
			return r.check(tree)
		}
	}
	t.Fatalf("no rule %q", s.rule)
	return nil
}

func TestFindingNamesFileAndLine(t *testing.T) {
	tree, err := read(fstest.MapFS{"internal/voice/a.go": {Data: []byte("package p\n\n\nfunc init() {}\n")}})
	if err != nil {
		t.Fatal(err)
	}
	found := noInit(tree)
	if len(found) != 1 || !strings.HasPrefix(found[0].String(), "internal/voice/a.go:4: ") {
		t.Errorf("found %v", found)
	}
}
