package flow

import "strings"

// Prompts gives the first texts, at most so many, that a run of the document will speak unless something fails: those of its Say
// commands without templates, in their order, until an element that waits for others or decides. Whoever has them spoken ahead spares
// the caller that time.
func (d *Document) Prompts(most int) []SayRequest {
	var out []SayRequest
	ahead(d.Root.Children, most, &out)
	return out
}

// ahead collects the prompts of siblings; false when what follows them is not certain.
func ahead(nodes []*Node, most int, out *[]SayRequest) bool {
	for _, n := range nodes {
		switch n.Name {
		case "Say":
			if r, ok := n.said(); ok {
				*out = append(*out, r)
			}
		case "Gather":
			ahead(prompts(n.Children), most, out)
			return false
		case "Answer", "Play", "Pause", "Meta", "RecordStart":
		default:
			return false
		}
		if len(*out) >= most {
			return false
		}
	}
	return true
}

// prompts are the children of a Gather that it plays.
func prompts(children []*Node) []*Node {
	var out []*Node
	for _, n := range children {
		if n.spec.is&isPrompt != 0 {
			out = append(out, n)
		}
	}
	return out
}

// said is what a Say speaks; false when that is known only at its turn.
func (n *Node) said() (SayRequest, bool) {
	c := &command{node: n, attrs: make(map[string]string, len(n.Attrs))}
	for i := range n.Attrs {
		if a := &n.Attrs[i]; strings.Contains(a.Value, "{{") {
			return SayRequest{}, false
		}
		c.attrs[n.Attrs[i].row.name] = n.Attrs[i].Value
	}
	text := c.attrs[n.spec.value]
	if text == "" {
		text = n.Text
	}
	r := c.toSay(text)
	return r, r.Text != "" && !strings.Contains(text, "{{")
}

// toSay is the request of a Say for its text.
func (c *command) toSay(text string) SayRequest {
	return SayRequest{
		Text: strings.Join(strings.Fields(text), " "), Code: c.str("code"), Lang: c.str("lang"), Gender: c.str("gender"), Type: c.str("type"),
	}
}
