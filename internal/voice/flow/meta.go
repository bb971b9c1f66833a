package flow

import (
	"strconv"
	"strings"
)

// storeMeta keeps a Meta that stands in a block on the call.
func (m *Machine) storeMeta(n *Node) {
	name, value, ok := m.metaOf(n, nil)
	if !ok {
		m.memory.warnings = append(m.memory.warnings, "meta name is not valid: "+cut(name, 80))
		return
	}
	if _, known := m.memory.meta[name]; !known {
		if len(m.memory.meta) >= maxMetaNames {
			m.memory.warnings = append(m.memory.warnings, "more than "+strconv.Itoa(maxMetaNames)+" meta names; ignored: "+name)
			return
		}
		m.memory.metaOrder = append(m.memory.metaOrder, name)
	}
	m.memory.meta[name] = value
	if m.cfg.MetaSet != nil {
		m.cfg.MetaSet(name, value)
	}
}

// metaOf gives name and typed value of a Meta element.
func (m *Machine) metaOf(n *Node, c *command) (name string, value any, ok bool) {
	raw := n.Text
	if a := n.attr("value"); a != nil {
		raw = a.Value
	}
	name = strings.TrimSpace(m.expand(n.attr("name").Value, asIs, c))
	_, wrong := checkMetaName(name)
	return name, typed(strings.TrimSpace(m.expand(raw, asIs, c))), wrong == ""
}

// typed reads a value as it is written: true, false, numbers, else text. Digits with a leading zero stay text, because
// they are codes and not amounts.
func typed(v string) any {
	switch v {
	case "true":
		return true
	case "false":
		return false
	}
	digits := strings.TrimPrefix(v, "-")
	if digits == "" || strings.Trim(digits, "0123456789.") != "" || len(digits) > 1 && digits[0] == '0' && digits[1] != '.' {
		return v
	}
	if n, err := strconv.ParseInt(v, 10, 64); err == nil {
		return n
	}
	if f, err := strconv.ParseFloat(v, 64); err == nil && strings.Contains(v, ".") && digits[0] != '.' && !strings.HasSuffix(digits, ".") {
		return f
	}
	return v
}

// metaNames gives the names that go with a command's requests and their values: the call's, then the command's own.
func (m *Machine) metaNames(c *command) ([]string, map[string]any) {
	names := append([]string(nil), m.memory.metaOrder...)
	values := make(map[string]any, len(m.memory.meta))
	for k, v := range m.memory.meta {
		values[k] = v
	}
	for _, n := range c.node.Children {
		if n.Name != "Meta" {
			continue
		}
		name, v, ok := m.metaOf(n, c)
		if !ok {
			c.warn("meta name is not valid: %s", cut(name, 80))
			continue
		}
		if _, known := values[name]; !known {
			names = append(names, name)
		}
		values[name] = v
	}
	return names, values
}
