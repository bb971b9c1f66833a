package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"sort"
	"strings"

	"github.com/opentact/opentact/internal/ident"
)

// maxSegments is the longest path that can name an operation.
const maxSegments = 16

// node is one segment of the tree of paths. A literal goes before a parameter with a fixed end ("{uuid}.wav"), that
// before a plain parameter; a branch without the method is left for the next one.
type node struct {
	literal map[string]*node
	affixed []affixed
	any     *node
	routes  map[string]*route
}

type affixed struct {
	prefix, suffix string
	node           *node
}

// route is an operation at a path, with the names of the parameters along it.
type route struct {
	op    *operation
	names []string
}

// add puts an operation at a path; a second one at the same place is a broken program.
func (n *node) add(method, path string, op *operation) {
	at := n
	var names []string
	for _, seg := range splitPath(path) {
		open, end := strings.IndexByte(seg, '{'), strings.IndexByte(seg, '}')
		switch {
		case open < 0:
			at = at.literalChild(seg)
		case end < open:
			panic(fmt.Sprintf("httpapi: bad path %q", path))
		default:
			names = append(names, seg[open+1:end])
			at = at.paramChild(seg[:open], seg[end+1:])
		}
	}
	if at.routes == nil {
		at.routes = map[string]*route{}
	}
	if at.routes[method] != nil {
		panic(fmt.Sprintf("httpapi: two operations at %s %s", method, path))
	}
	at.routes[method] = &route{op: op, names: names}
}

func (n *node) literalChild(seg string) *node {
	if n.literal == nil {
		n.literal = map[string]*node{}
	}
	if n.literal[seg] == nil {
		n.literal[seg] = &node{}
	}
	return n.literal[seg]
}

func (n *node) paramChild(prefix, suffix string) *node {
	if prefix == "" && suffix == "" {
		if n.any == nil {
			n.any = &node{}
		}
		return n.any
	}
	for _, a := range n.affixed {
		if a.prefix == prefix && a.suffix == suffix {
			return a.node
		}
	}
	child := &node{}
	n.affixed = append(n.affixed, affixed{prefix, suffix, child})
	return child
}

// match is a route with the values of its parameters.
type match struct {
	route  *route
	values []string
}

// find looks for the method at a path; HEAD is GET.
func (n *node) find(method string, segs []string, values []string) (match, bool) {
	if len(segs) == 0 {
		if r := n.routes[method]; r != nil {
			return match{r, values}, true
		}
		return match{}, false
	}
	seg := segs[0]
	if child := n.literal[seg]; child != nil {
		if m, ok := child.find(method, segs[1:], values); ok {
			return m, true
		}
	}
	for _, a := range n.affixed {
		if mid, ok := cut(seg, a); ok {
			if m, ok := a.node.find(method, segs[1:], with(values, mid)); ok {
				return m, true
			}
		}
	}
	if n.any != nil && seg != "" {
		return n.any.find(method, segs[1:], with(values, seg))
	}
	return match{}, false
}

func cut(seg string, a affixed) (string, bool) {
	if len(seg) <= len(a.prefix)+len(a.suffix) || !strings.HasPrefix(seg, a.prefix) || !strings.HasSuffix(seg, a.suffix) {
		return "", false
	}
	return lowerUUID(seg[len(a.prefix) : len(seg)-len(a.suffix)]), true
}

// with copies, since branches share what is before them.
func with(values []string, v string) []string {
	return append(values[:len(values):len(values)], v)
}

// methods adds the methods that a path has.
func (n *node) methods(segs []string, out map[string]bool) {
	if len(segs) == 0 {
		for m := range n.routes {
			out[m] = true
		}
		return
	}
	if child := n.literal[segs[0]]; child != nil {
		child.methods(segs[1:], out)
	}
	for _, a := range n.affixed {
		if _, ok := cut(segs[0], a); ok {
			a.node.methods(segs[1:], out)
		}
	}
	if n.any != nil && segs[0] != "" {
		n.any.methods(segs[1:], out)
	}
}

// allow is the value of the Allow header of a path, empty when there is no such path.
func (n *node) allow(segs []string) string {
	set := map[string]bool{}
	n.methods(segs, set)
	return allowHeader(set)
}

// allowHeader is the value of the Allow header of a path with these methods, empty when there are none.
func allowHeader(set map[string]bool) string {
	if len(set) == 0 {
		return ""
	}
	if set[http.MethodGet] {
		set[http.MethodHead] = true
	}
	set[http.MethodOptions] = true
	list := make([]string, 0, len(set))
	for m := range set {
		list = append(list, m)
	}
	sort.Strings(list)
	return strings.Join(list, ", ")
}

// splitPath gives the segments of a path without its trailing slash.
func splitPath(path string) []string {
	path = strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

// segments splits the path of a request: each part unescaped on its own, uuids in lower case.
func segments(u *url.URL) ([]string, bool) {
	path := u.Path
	if u.RawPath != "" {
		path = u.RawPath
	}
	segs := splitPath(path)
	if len(segs) > maxSegments {
		return nil, false
	}
	for i, s := range segs {
		if u.RawPath != "" {
			un, err := url.PathUnescape(s)
			if err != nil {
				return nil, false
			}
			s = un
		}
		segs[i] = lowerUUID(s)
	}
	return segs, true
}

func lowerUUID(s string) string {
	if len(s) != 36 {
		return s
	}
	if id, err := ident.Parse(s); err == nil {
		return id
	}
	return s
}
