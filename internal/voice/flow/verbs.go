package flow

import "strings"

// The table of elements. A new verb is a file verb_x.go, a line here, and golden files in testdata/x.
var verbs = []*spec{
	&responseSpec,
	&answerSpec,
	&saySpec,
	&playSpec,
	&pauseSpec,
	&toneSpec,
	&recordSpec,
	&recordStartSpec,
	&recordStopSpec,
	&recordWaitSpec,
	&dialSpec,
	&toSpec,
	&numberSpec,
	&sipSpec,
	&gatherSpec,
	&dtmfSpec,
	&switchSpec,
	&caseSpec,
	&defaultSpec,
	&errorSpec,
	&callbackSpec,
	&redirectSpec,
	&curlSpec,
	&headerSpec,
	&bodySpec,
	&metaSpec,
	&rejectSpec,
	&hangupSpec,
	&callSpec,
	&scheduleSpec,
}

// Elements without a verb of their own; those that belong to one verb stand in its file.
var (
	responseSpec = spec{name: "Response", bare: true, holds: isCommand}
	defaultSpec  = spec{name: "Default", is: isDefault, holds: isCommand}
	errorSpec    = spec{
		name: "Error", is: isError, holds: isCommand,
		attrs: []attr{{name: "say", alias: []string{"play"}, def: "false", kind: boolean}},
	}
	metaSpec = spec{
		name: "Meta", bare: true, is: isCommand | isMeta, inside: true, text: oneValue,
		attrs: []attr{{name: "name", kind: metaName, must: true}, {name: "value", kind: anyText}},
		check: func(n *Node) *complaint {
			if !n.has("value") && n.Text == "" {
				return n.complain("<Meta> needs a value or text")
			}
			return nil
		},
	}
)

var byName = index(verbs)

// index maps the spelling of the contract and the all-lower one to each row.
func index(rows []*spec) map[string]*spec {
	m := make(map[string]*spec, 2*len(rows))
	for _, s := range rows {
		m[s.name] = s
		m[strings.ToLower(s.name)] = s
	}
	return m
}

// lookup finds an element in any spelling; nil when it is unknown.
func lookup(name string) *spec {
	if s := byName[name]; s != nil {
		return s
	}
	return byName[strings.ToLower(name)]
}
