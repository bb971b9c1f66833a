package config

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// prefix begins the names of our environment variables.
const prefix = "OPENTACT_"

// setting is one field of Config.
type setting struct {
	name   string // of the flag, without dashes in front: http-addr
	secret string // "", "all" (never shown), or "url" (its password is never shown)
	index  int
	typ    reflect.Type
}

// settings is the name table that flags, environment and file share.
func settings() []setting {
	var out []setting
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("name")
		if name == "" {
			name = dashed(f.Name)
		}
		out = append(out, setting{name, f.Tag.Get("secret"), i, f.Type})
	}
	return out
}

// dashed turns AdminEmail into admin-email; names with capital runs carry their flag in a tag.
func dashed(field string) string {
	return strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(field, "$1-$2"))
}

// envName of http-addr is OPENTACT_HTTP_ADDR.
func envName(name string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// fileName of http-addr is http.addr.
func fileName(name string) string { return strings.ReplaceAll(name, "-", ".") }

// plainName takes a key of the file, with any of dot, dash and underscore between its words, back to the flag's name.
func plainName(key string) string {
	return strings.ToLower(strings.NewReplacer(".", "-", "_", "-").Replace(key))
}

// foreign are variables that container platforms set for a service that happens to be called opentact, or opentact-something.
var foreign = regexp.MustCompile(`_SERVICE_(HOST|PORT)(_|$)|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`)

// nearest finds the known name that takes the fewest changes; known must not be empty.
func nearest(name string, known []string) string {
	return slices.MinFunc(known, func(a, b string) int { return distance(name, a) - distance(name, b) })
}

// distance is the number of inserted, deleted and changed bytes between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
