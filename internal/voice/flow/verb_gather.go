package flow

import (
	"context"
	"strconv"
	"strings"
	"time"
)

var (
	gatherSpec = spec{
		name: "Gather", is: isCommand, media: true,
		holds: isPrompt | isDTMF | isSwitch | isDefault | side,
		attrs: []attr{
			{name: "dtmf_length", alias: []string{"length", "numDigits"}, kind: number(1, 32)},
			{name: "dtmf_stop", alias: []string{"finishOnKey"}, kind: keys},
			{name: "timeout", def: "5000", kind: duration},
			{name: "attempts", def: "1", kind: number(1, 10)},
			{name: "url", kind: anyURL},
			{name: "callback", kind: anyURL},
			{name: "method", def: "GET", kind: enum("GET", "POST")},
			{name: "url_timeout", def: "5000", kind: duration},
			{name: "barge", def: "true", kind: boolean},
		},
		run: runGather,
	}
	dtmfSpec = spec{
		name: "DTMF", is: isDTMF, holds: isCommand,
		attrs: []attr{{name: "value", kind: keyList, must: true}},
	}
	switchSpec = spec{name: "Switch", is: isCommand | isSwitch, holds: isCase | isDefault | isError}
	caseSpec   = spec{
		name: "Case", is: isCase, holds: isCommand,
		attrs: []attr{{name: "dtmf", kind: keyList, must: true}},
	}
)

// menu is the blocks of a Gather or a Switch.
type menu struct {
	cases      []place
	dflt, errs place
}

// gathering is one run of a Gather.
type gathering struct {
	menu
	length  int
	stop    string
	timeout time.Duration
}

func runGather(ctx context.Context, m *Machine, c *command) (string, error) {
	g := m.newGathering(c)
	for attempt, most := 1, c.count("attempts"); ; attempt++ {
		entered, complete, err := m.collect(ctx, c, g)
		if err != nil {
			return "", err
		}
		m.memory.dtmf = entered
		if tag := c.tag(); tag != "" {
			m.memory.gathered[tag] = entered
		}
		c.message = entered
		chosen := m.chosen(g.menu, entered, c)
		c.result["dtmf"], c.result["attempt"], c.result["matched"] = entered, attempt, chosen.node != nil
		reason, err := m.judge(ctx, c, g, judged{entered, attempt, complete, chosen})
		if err == nil || ctx.Err() != nil {
			return reason, err
		}
		if attempt >= most {
			return "", err
		}
	}
}

// newGathering reads the attributes with the defaults of the dialect, xml.md §4.13.
func (m *Machine) newGathering(c *command) gathering {
	g := gathering{menu: menuOf(c.node, c.path), length: c.count("dtmf_length"), stop: c.str("dtmf_stop"), timeout: c.ms("timeout")}
	older := c.node.spelled("numDigits") || c.node.spelled("finishOnKey") || c.node.has("callback") || c.node.child("Switch") != nil
	if g.length == 0 {
		g.length = 1
		for _, b := range g.cases {
			if older {
				break
			}
			for _, v := range strings.Split(m.caseKeys(b.node, nil), ",") {
				g.length = max(g.length, len(v))
			}
		}
	}
	if older && !c.node.has("dtmf_stop") {
		g.stop = "*"
	}
	return g
}

// menuOf finds the blocks of a Gather, also those in its Switch; those of the Gather itself go first.
func menuOf(n *Node, path string) menu {
	var u menu
	var inner []*Node
	for _, k := range n.Children {
		switch k.Name {
		case "DTMF", "Case":
			u.cases = append(u.cases, at(k, path))
		case "Default":
			if u.dflt.node == nil {
				u.dflt = at(k, path)
			}
		case "Error":
			if u.errs.node == nil {
				u.errs = at(k, path)
			}
		case "Switch":
			inner = append(inner, k)
		}
	}
	for _, k := range inner {
		sub := menuOf(k, k.under(path))
		u.cases = append(u.cases, sub.cases...)
		if u.dflt.node == nil {
			u.dflt = sub.dflt
		}
		if u.errs.node == nil {
			u.errs = sub.errs
		}
	}
	return u
}

// caseKeys gives the comma list that selects a block.
func (m *Machine) caseKeys(n *Node, c *command) string {
	name := "value"
	if n.Name == "Case" {
		name = "dtmf"
	}
	v := n.attr(name).Value
	if !strings.Contains(v, "{{") {
		return v
	}
	list, wrong := checkKeyList(m.expand(v, asIs, c))
	if wrong != "" && c != nil {
		c.warn("attribute %q of <%s> %s", name, n.Name, wrong)
	}
	return list
}

// chosen gives the block that the entry selects.
func (m *Machine) chosen(u menu, entered string, c *command) place {
	if entered == "" {
		return place{}
	}
	for _, b := range u.cases {
		for _, v := range strings.Split(m.caseKeys(b.node, c), ",") {
			if v == entered {
				return b
			}
		}
	}
	return place{}
}

// collect runs the prompts and reads one entry; complete means that its length or the stop key ended it.
func (m *Machine) collect(ctx context.Context, c *command, g gathering) (entered string, complete bool, err error) {
	m.cfg.Phone.Keys().Forget()
	if err := m.prompt(ctx, c); err != nil {
		return "", false, err
	}
	for len(entered) < g.length {
		key, err := m.nextKey(ctx, g.timeout)
		if ctx.Err() != nil {
			return entered, false, ctx.Err()
		}
		if err != nil {
			return entered, false, nil
		}
		if strings.IndexByte(g.stop, key) >= 0 {
			return entered, true, nil
		}
		entered += string(key)
	}
	return entered, true, nil
}

func (m *Machine) nextKey(ctx context.Context, wait time.Duration) (byte, error) {
	within, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return m.cfg.Phone.Keys().Next(within)
}

// prompt runs the prompts; with barge the first key ends them at once.
func (m *Machine) prompt(ctx context.Context, c *command) error {
	within, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if !c.flag("barge") {
			return
		}
		select {
		case <-m.cfg.Phone.Keys().Pressed():
			cancel(errBarge)
		case <-within.Done():
		}
	}()
	outer := m.prompting
	m.prompting = true
	defer func() {
		m.prompting = outer
		cancel(nil)
		<-watched
	}()
	for _, n := range c.node.Children {
		if n.spec.is&isPrompt == 0 {
			continue
		}
		if m.runNode(within, n, c.path) == goOn {
			continue
		}
		if ctx.Err() == nil && !m.over {
			return nil // a key
		}
		c.unwound = true
		return failure(reasonInterrupted)
	}
	return nil
}

// judged is one entry and what it selected.
type judged struct {
	digits   string
	attempt  int
	complete bool
	chosen   place
}

// judge does steps 3 to 7 of xml.md §4.13; an error is a failed attempt, with the block it would run set.
func (m *Machine) judge(ctx context.Context, c *command, g gathering, j judged) (string, error) {
	c.jump, c.block, c.onError, c.response = nil, place{}, firstOf(g.errs, g.dflt), nil
	delete(c.result, "status") // of the attempt before
	if c.node.has("callback") {
		doc, err := m.askOlder(ctx, c, j)
		if err != nil {
			return "", failure("URL failed: " + err.Error())
		}
		if doc != nil {
			c.jump = doc
			return j.success(), nil
		}
	}
	switch {
	case j.digits == "":
		return "", failure("No digits")
	case j.chosen.node != nil:
		c.block = j.chosen
		return j.success(), nil
	case c.node.has("url"):
		doc, err := m.askNewer(ctx, c, j.digits)
		if err != nil {
			return "", failure("URL failed: " + err.Error())
		}
		c.jump = doc
		return j.success(), nil
	case len(g.cases) == 0:
		return j.success(), nil
	}
	c.onError = firstOf(g.dflt, g.errs)
	return "", failure("No match")
}

func (j judged) success() string {
	switch {
	case j.chosen.node != nil:
		return "Digits matched"
	case j.digits == "":
		return "Continued by callback"
	}
	return "Digits collected"
}

func firstOf(a, b place) place {
	if a.node != nil {
		return a
	}
	return b
}

// askNewer asks the url for the continuation, webhooks.md §5.2.
func (m *Machine) askNewer(ctx context.Context, c *command, entered string) (*Document, error) {
	fields := m.flowFields(c, entered, true)
	r := FetchRequest{Method: c.str("method"), URL: withFields(c.str("url"), fields), Timeout: fetchTime(c.ms("url_timeout")), Signed: true}
	if r.Method == "POST" {
		r.ContentType, r.Body = "application/json", encoded(m.asObject(c, fields))
	}
	doc, err := m.fetchFlow(ctx, c, r)
	if err == nil && doc == nil {
		return nil, failure(reasonEmpty)
	}
	return doc, err
}

// askOlder makes the request of the older dialect, webhooks.md §5.3.
func (m *Machine) askOlder(ctx context.Context, c *command, j judged) (*Document, error) {
	success := j.chosen.node != nil || j.digits != "" && j.complete
	fields := append([]field{
		{"code", j.digits}, {"success", strconv.FormatBool(success)}, {"attempts", strconv.Itoa(j.attempt)},
	}, m.metaFields(c)...)
	r := FetchRequest{Method: c.str("method"), URL: withFields(c.str("callback"), fields), Timeout: fetchTime(c.ms("url_timeout")), Signed: true}
	if r.Method == "POST" {
		r.ContentType = "application/json"
		r.Body = encoded(m.olderBody(executed{name: "Gather", message: j.digits, success: success}))
	}
	return m.fetchFlow(ctx, c, r)
}

func (m *Machine) olderBody(last executed) map[string]any {
	history := make([]any, 0, len(m.history)+1)
	for _, e := range append(m.history[:len(m.history):len(m.history)], last) {
		var why any
		if !e.success && e.reason != "" {
			why = e.reason
		}
		history = append(history, map[string]any{"success": e.success, "payload": map[string]any{
			"success": e.success,
			"command": map[string]any{"command": e.name},
			"error":   map[string]any{"error": why},
			"message": map[string]any{"message": e.message},
		}})
	}
	i := m.cfg.Phone.Info()
	call := map[string]any{"account_uuid": i.AccountUUID, "from": i.From, "to": i.To, "state": "started", "sip_control_app": nil}
	if i.AppUUID != "" { // these members and no others, webhooks.md §5.3
		call["sip_control_app"] = map[string]any{"uuid": i.AppUUID, "name": i.AppName, "subdomain": orNull(i.AppSubdomain)}
	}
	return map[string]any{"history": history, "call": call}
}

// runSwitch is a Switch outside of a Gather: it tests the digits of the last one, and reports nothing itself.
func (m *Machine) runSwitch(ctx context.Context, n *Node, path string) next {
	u := menuOf(n, path)
	if b := m.chosen(u, m.memory.dtmf, nil); b.node != nil {
		return m.runBlock(ctx, b.node.Children, b.path)
	}
	if m.memory.dtmf == "" {
		return m.runError(ctx, firstOf(u.errs, u.dflt), "No digits")
	}
	return m.runError(ctx, firstOf(u.dflt, u.errs), "No match")
}
