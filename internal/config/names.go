package config

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
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

var (
	foreignName  = regexp.MustCompile(`_SERVICE_(HOST|PORT)(_|$)|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$`)
	foreignValue = regexp.MustCompile(`^(tcp|udp|sctp)://`)
)

// foreign tells of variables that container platforms set for a service that happens to be called opentact, or opentact-something: OPENTACT_PORT=tcp://10.0.0.1:80.
// OPENTACT_HTTP_PORT=9090 was meant for us.
func foreign(key, text string) bool {
	return foreignName.MatchString(key) || strings.HasSuffix(key, "_PORT") && foreignValue.MatchString(text)
}

// sameSubject is how many changes it is worth that two names begin with the same word.
const sameSubject = 2

// nearest finds the known name that takes the fewest changes; known must not be empty.
func nearest(name string, known []string) string {
	subject, _, _ := strings.Cut(name, "-")
	far := func(other string) int {
		if first, _, _ := strings.Cut(other, "-"); first == subject {
			return distance(name, other) - sameSubject
		}
		return distance(name, other)
	}
	return slices.MinFunc(known, func(a, b string) int { return far(a) - far(b) })
}

// Explain is kong's word about a command line, which for an unknown flag always names the nearest known one; kong does so only for a slip of two letters.
func Explain(err error) string {
	text := err.Error()
	var parse *kong.ParseError
	name, unknown := strings.CutPrefix(text, "unknown flag --")
	if !unknown || strings.Contains(name, "did you mean") || !errors.As(err, &parse) || parse.Context == nil {
		return text
	}
	var known []string
	for _, f := range parse.Context.Flags() {
		if !f.Hidden {
			known = append(known, f.Name)
		}
	}
	if len(known) == 0 {
		return text
	}
	return fmt.Sprintf("%s, did you mean %q?", text, "--"+nearest(name, known))
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
