package flow

import "strconv"

// Document is a call XML document that passed every check of xml.md §1.
type Document struct {
	Root     *Node
	Warnings []string // unknown attributes, with line and column
}

// Empty is the document of an answer without XML: a call that runs it is parked.
func Empty() *Document {
	return &Document{Root: &Node{Name: "Response", Line: 1, Column: 1, spec: byName["Response"]}}
}

// Empty tells whether there is nothing to run.
func (d *Document) Empty() bool { return len(d.Root.Children) == 0 }

// Node is an element.
type Node struct {
	Name     string // canonical spelling
	Line     int
	Column   int // in characters, from 1
	Attrs    []Attr
	Children []*Node
	Text     string // trimmed

	spec  *spec
	index int // among its siblings of all names
}

// Attr is an attribute that the element knows.
type Attr struct {
	Name   string // canonical spelling of the name that was used
	Value  string // trimmed; checked and normalized unless it holds a template
	Line   int
	Column int

	row *attr // row of the element's table
}

// attr gives the attribute by the table's name, whatever alias was used.
func (n *Node) attr(name string) *Attr {
	for i := range n.Attrs {
		if n.Attrs[i].row.name == name {
			return &n.Attrs[i]
		}
	}
	return nil
}

// has tells whether the attribute was written, under this or an alias spelling.
func (n *Node) has(name string) bool { return n.attr(name) != nil }

// spelled tells whether an attribute was written with exactly this spelling of its name.
func (n *Node) spelled(name string) bool {
	for i := range n.Attrs {
		if n.Attrs[i].Name == name {
			return true
		}
	}
	return false
}

// child gives the first child with the name.
func (n *Node) child(name string) *Node {
	for _, c := range n.Children {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// step is the node's part of a path: "Say[0]".
func (n *Node) step() string { return n.Name + "[" + strconv.Itoa(n.index) + "]" }

// under joins a path and the step of a node.
func (n *Node) under(path string) string {
	if path == "" {
		return n.step()
	}
	return path + "." + n.step()
}

// commands gives the children that report, in the words of the event's children[] and error[].
func (n *Node) commands() []string {
	steps := []string{}
	if n == nil {
		return steps
	}
	for _, c := range n.Children {
		if c.spec.reports() {
			steps = append(steps, c.step())
		}
	}
	return steps
}

// View gives the element as events show it.
func (n *Node) View() View {
	v := View{Name: n.Name, Attributes: make(map[string]string, len(n.Attrs)), Children: make([]View, len(n.Children))}
	for _, a := range n.Attrs {
		v.Attributes[a.Name] = a.Value
	}
	if n.Text != "" {
		v.Text = &n.Text
	}
	for i, c := range n.Children {
		v.Children[i] = c.View()
	}
	return v
}
