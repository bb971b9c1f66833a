package house

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// Doc is a JSON value as encoding/json gives it.
type Doc struct{ Value any }

// Find gives the value at a path such as payload.data[0].tn, payload.items[name=Gather].success, payload.records.length.
// [k=v] takes the first element whose member k is v as text. It tells whether there is such a value; null is one.
func (d Doc) Find(path string) (any, bool) {
	v := d.Value
	for _, step := range steps(path) {
		switch {
		case step == "":
			continue
		case step[0] == '[':
			list, ok := v.([]any)
			if !ok {
				return nil, false
			}
			if v, ok = element(list, step[1:len(step)-1]); !ok {
				return nil, false
			}
		case step == "length":
			switch l := v.(type) {
			case []any:
				v = float64(len(l))
			case string:
				v = float64(len([]rune(l)))
			default:
				return nil, false
			}
		default:
			m, ok := v.(map[string]any)
			if !ok {
				return nil, false
			}
			if v, ok = m[step]; !ok {
				return nil, false
			}
		}
	}
	return v, true
}

// steps cuts a path at dots outside brackets and before brackets. A quoted member may hold dots: fields."params.to".
func steps(path string) []string {
	var out []string
	var b strings.Builder
	quoted, bracket := false, false
	flush := func() {
		if b.Len() > 0 {
			out = append(out, b.String())
			b.Reset()
		}
	}
	for _, c := range path {
		switch {
		case c == '"' && !bracket:
			quoted = !quoted
		case quoted:
			b.WriteRune(c)
		case c == '[':
			flush()
			bracket = true
			b.WriteRune(c)
		case c == ']':
			b.WriteRune(c)
			flush()
			bracket = false
		case c == '.' && !bracket:
			flush()
		default:
			b.WriteRune(c)
		}
	}
	flush()
	return out
}

func element(list []any, key string) (any, bool) {
	if name, want, ok := strings.Cut(key, "="); ok {
		for _, v := range list {
			if got, ok := (Doc{v}).Find(name); ok && Text(got) == want {
				return v, true
			}
		}
		return nil, false
	}
	i, err := strconv.Atoi(key)
	if err == nil && i < 0 {
		i += len(list)
	}
	if err != nil || i < 0 || i >= len(list) {
		return nil, false
	}
	return list[i], true
}

// At is Find as a document; what is not there is null.
func (d Doc) At(path string) Doc { v, _ := d.Find(path); return Doc{v} }

// Str is the text of the value at path, empty for null.
func (d Doc) Str(path string) string {
	v, _ := d.Find(path)
	if v == nil {
		return ""
	}
	return Text(v)
}

// Num is the number at path, 0 when there is none.
func (d Doc) Num(path string) float64 {
	v, _ := d.Find(path)
	f, _ := v.(float64)
	return f
}

// List is the array at path.
func (d Doc) List(path string) []Doc {
	v, _ := d.Find(path)
	list, _ := v.([]any)
	out := make([]Doc, len(list))
	for i := range list {
		out[i] = Doc{list[i]}
	}
	return out
}

// Text is a value as a script writes it: strings bare, numbers without exponent, anything else as JSON.
func Text(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// Condition is one comparison of a value in a document.
type Condition struct {
	Path, Op, Want string
	re             *regexp.Regexp
}

var conditionForm = regexp.MustCompile(`^(\S+)\s+(=|!=|~|!~|<=|>=|<|>|is)\s+(.+)$`)

// Conditions reads "path op value && path op value". Ops: = != < <= > >= compare numbers as numbers and anything else as text; ~ and !~
// match a regular expression; "is missing", "is present", "is null", "is string", "is number", "is list", "is object", "is uuid", "is time".
func Conditions(text string) ([]Condition, error) {
	var out []Condition
	for part := range strings.SplitSeq(text, " && ") {
		m := conditionForm.FindStringSubmatch(strings.TrimSpace(part))
		if m == nil {
			return nil, fmt.Errorf("not a condition: %q", part)
		}
		c := Condition{Path: m[1], Op: m[2], Want: m[3]}
		if strings.Contains(c.Op, "~") {
			re, err := regexp.Compile(c.Want)
			if err != nil {
				return nil, err
			}
			c.re = re
		}
		if c.Op == "is" && kinds[c.Want] == nil && c.Want != "missing" {
			return nil, fmt.Errorf("unknown kind %q", c.Want)
		}
		out = append(out, c)
	}
	return out, nil
}

var (
	uuidForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	timeForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)
)

var kinds = map[string]func(v any) bool{
	"present": func(any) bool { return true },
	"null":    func(v any) bool { return v == nil },
	"string":  func(v any) bool { _, ok := v.(string); return ok },
	"number":  func(v any) bool { _, ok := v.(float64); return ok },
	"list":    func(v any) bool { _, ok := v.([]any); return ok },
	"object":  func(v any) bool { _, ok := v.(map[string]any); return ok },
	"uuid":    func(v any) bool { s, ok := v.(string); return ok && uuidForm.MatchString(s) },
	"time":    func(v any) bool { s, ok := v.(string); return ok && timeForm.MatchString(s) },
}

// Check gives the first condition that does not hold of doc.
func Check(doc any, conds []Condition) error {
	for _, c := range conds {
		v, ok := Doc{doc}.Find(c.Path)
		if !c.holds(v, ok) {
			got := "missing"
			if ok {
				got = Text(v)
			}
			return fmt.Errorf("%s %s %s does not hold: it is %s", c.Path, c.Op, c.Want, short([]byte(got)))
		}
	}
	return nil
}

func (c Condition) holds(v any, present bool) bool {
	if c.Op == "is" {
		if c.Want == "missing" {
			return !present
		}
		return present && kinds[c.Want](v)
	}
	if !present {
		return false
	}
	switch c.Op {
	case "~":
		return c.re.MatchString(Text(v))
	case "!~":
		return !c.re.MatchString(Text(v))
	case "=":
		return equal(v, c.Want)
	case "!=":
		return !equal(v, c.Want)
	}
	a, aok := v.(float64)
	b, err := strconv.ParseFloat(c.Want, 64)
	if !aok || err != nil {
		return false
	}
	return c.Op == "<" && a < b || c.Op == "<=" && a <= b || c.Op == ">" && a > b || c.Op == ">=" && a >= b
}

// equal compares with JSON when want is JSON, as text otherwise.
func equal(v any, want string) bool {
	var w any
	if json.Unmarshal([]byte(want), &w) == nil {
		return reflect.DeepEqual(v, w)
	}
	return Text(v) == want
}
