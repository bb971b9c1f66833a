package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// next says whether the following sibling runs.
type next bool

const (
	goOn  next = true
	leave next = false // the context ended, another document takes over, or the flow ended the call
)

// Reasons of commands whose context ended.
const (
	reasonHangup      = "Hangup"
	reasonInterrupted = "Interrupted"
	reasonShutdown    = "Server is stopping"
	reasonBarge       = "Stopped by key"
)

// errBarge ends the prompts of a Gather: a key was pressed.
var errBarge = errors.New("flow: key pressed")

// failure is a failed command in the contract's words.
type failure string

func (f failure) Error() string { return string(f) }

// executed is one line of the history that older callbacks carry.
type executed struct {
	name, reason, message string
	success               bool
}

// command is one run of one node.
type command struct {
	node     *Node
	path     string
	attrs    map[string]string // by the table's names, templates filled in, checked
	shown    map[string]string // the same by the names that were used
	result   map[string]any
	response *Response
	warnings []string
	message  string // what the history says of it; "" is the reason

	// What follows the report.
	block   place     // runs after success
	onError place     // runs after a failure
	jump    *Document // takes over
	insert  *Document // runs in place
	unwound bool      // children that ran inside already left
}

// place is a block and its path; the zero value is no block.
type place struct {
	node *Node
	path string
}

// at is the place of a child under the path of its parent.
func at(n *Node, parent string) place {
	if n == nil {
		return place{}
	}
	return place{n, n.under(parent)}
}

// runBlock runs siblings in their order; elements that are no commands are passed over.
func (m *Machine) runBlock(ctx context.Context, children []*Node, path string) next {
	for _, n := range children {
		if ctx.Err() != nil {
			return leave
		}
		if n.spec.is&isCommand == 0 {
			continue
		}
		if m.runNode(ctx, n, path) == leave {
			return leave
		}
	}
	return next(ctx.Err() == nil)
}

// runNode counts and runs one child of a block.
func (m *Machine) runNode(ctx context.Context, n *Node, path string) next {
	if m.commands++; m.commands > m.cfg.Limits.Commands {
		m.flowError(fmt.Sprintf("More than %d commands", m.cfg.Limits.Commands))
		return leave
	}
	if !n.spec.inside {
		m.endBridge(ctx)
	}
	switch n.Name {
	case "Meta":
		m.storeMeta(n)
		return goOn
	case "Switch":
		return m.runSwitch(ctx, n, n.under(path))
	}
	return m.runCommand(ctx, n, n.under(path))
}

// runCommand runs one verb, reports it, and runs what follows from its result.
func (m *Machine) runCommand(ctx context.Context, n *Node, path string) next {
	started := m.cfg.Now()
	c := &command{node: n, path: path, result: map[string]any{}, warnings: m.memory.takeWarnings()}
	c.onError = at(n.child("Error"), path)
	reason, err := m.do(ctx, c)
	ended := ctx.Err() != nil
	if err != nil {
		reason = err.Error()
		if ended {
			reason, err = interruption(ctx, err)
		}
	}
	failed := err != nil
	ran := []string{}
	if failed && !ended {
		ran = c.onError.node.commands()
	}
	m.report(Outcome{
		Name: n.Name, Path: path, Success: !failed, Reason: reason, Attributes: c.shown,
		Children: n.commands(), Error: ran, Result: c.result, Element: n.View(),
		Response: c.response, Warnings: c.warnings, Started: started, Ended: m.cfg.Now(),
	}, c.message)
	if ended || c.unwound || m.over {
		return leave
	}
	if failed {
		return m.runError(ctx, c.onError, reason)
	}
	return m.follow(ctx, c)
}

// do readies the command and the call for the verb and runs it.
func (m *Machine) do(ctx context.Context, c *command) (string, error) {
	if err := m.prepare(c); err != nil {
		if c.node.spec.filter {
			c.warn("%s", err)
			return c.filtered(false)
		}
		return "", err
	}
	if c.node.spec.media && !(c.node.spec.hasRow("early") && c.flag("early")) {
		if err := m.answer(ctx); err != nil {
			return "", err
		}
	}
	return c.node.spec.run(ctx, m, c)
}

// follow does what a successful command asked for.
func (m *Machine) follow(ctx context.Context, c *command) next {
	switch {
	case c.jump != nil:
		m.jump = c.jump
		return leave
	case c.insert != nil:
		if !m.admit() {
			return leave
		}
		return m.runBlock(ctx, c.insert.Root.Children, c.path)
	case c.block.node != nil:
		return m.runBlock(ctx, c.block.node.Children, c.block.path)
	}
	return goOn
}

// runError runs the block of a failed command: its Error, or the Default of a Gather.
func (m *Machine) runError(ctx context.Context, b place, reason string) next {
	if b.node == nil {
		return goOn
	}
	if b.node.Name == "Error" {
		if say := b.node.attr("say"); say != nil && m.expand(say.Value, asIs, nil) == "true" {
			m.speakReason(ctx, reason)
		}
	}
	return m.runBlock(ctx, b.node.Children, b.path)
}

// speakReason says why a command failed. It is no command: it reports nothing and nothing depends on it.
func (m *Machine) speakReason(ctx context.Context, reason string) {
	samples, _, err := m.cfg.Voices.Speak(ctx, SayRequest{Text: reason, Lang: "en-US", Gender: "FEMALE", Type: "Standard", Free: true})
	if err != nil || m.answer(ctx) != nil {
		return
	}
	_ = m.play(ctx, looped(samples, 1), m.leg(""), false)
}

// interruption words the end of a context. A command that had failed by itself is still reported as interrupted.
func interruption(ctx context.Context, err error) (string, error) {
	switch context.Cause(ctx) {
	case errBarge:
		return reasonBarge, nil
	case ErrReplaced:
		return reasonInterrupted, err
	case ErrShutdown:
		return reasonShutdown, err
	}
	return reasonHangup, err
}

// report hands an outcome to the journal and keeps its line for older callbacks.
func (m *Machine) report(o Outcome, message string) {
	if message == "" {
		message = o.Reason
	}
	m.history = append(m.history, executed{name: o.Name, reason: o.Reason, message: message, success: o.Success})
	m.cfg.Journal.Done(o)
}

// answer answers the call when it is not.
func (m *Machine) answer(ctx context.Context) error {
	if m.cfg.Phone.Answered() {
		return nil
	}
	if err := m.cfg.Phone.Answer(ctx); err != nil {
		return failure("Call is gone")
	}
	return nil
}

func (m *Machine) endBridge(ctx context.Context) {
	if !m.cfg.Phone.Info().Bridged {
		return
	}
	if b, ok := m.cfg.Phone.(Bridged); ok {
		b.EndBridge(ctx)
	}
}

// prepare fills in the templates of the node's attributes and checks what could not be checked before.
func (m *Machine) prepare(c *command) error {
	c.attrs = make(map[string]string, len(c.node.Attrs))
	c.shown = make(map[string]string, len(c.node.Attrs))
	var first error
	for i := range c.node.Attrs {
		a := &c.node.Attrs[i]
		v, err := m.filled(c, a)
		if err != nil && first == nil {
			first = err
		}
		c.attrs[a.row.name], c.shown[a.Name] = v, v
	}
	return first
}

// filled gives an attribute's value at this moment.
func (m *Machine) filled(c *command, a *Attr) (string, error) {
	if !strings.Contains(a.Value, "{{") {
		return a.Value, nil
	}
	how := asIs
	switch {
	case a.row.kind.url:
		how = inURL
	case c.node.Name == "Curl" && a.row.name == "body" && jsonBody(a.Value, c.node.attr("content_type")):
		how = inJSON
	}
	v := strings.TrimSpace(m.expand(a.Value, how, c))
	canonical, wrong := a.row.kind.check(v)
	if wrong != "" {
		return v, failure(fmt.Sprintf("attribute %q of <%s> %s", a.Name, c.node.Name, wrong))
	}
	return canonical, nil
}

// main gives the value that stands as attribute or as text; the attribute wins.
func (m *Machine) main(c *command) (string, error) {
	name := c.node.spec.value
	if v := c.attrs[name]; v != "" {
		return v, nil
	}
	row := c.node.spec.row(name)
	if !strings.Contains(c.node.Text, "{{") {
		return c.node.Text, nil
	}
	how := asIs
	if row.kind.url {
		how = inURL
	}
	v := strings.TrimSpace(m.expand(c.node.Text, how, c))
	canonical, wrong := row.kind.check(v)
	if wrong != "" {
		return v, failure(fmt.Sprintf("text of <%s> %s", c.node.Name, wrong))
	}
	return canonical, nil
}

func (s *spec) hasRow(name string) bool { a, _ := s.attr(name); return a != nil }

func (c *command) tag() string { return c.attrs["tag"] }

// str gives an attribute or its default.
func (c *command) str(name string) string {
	if v, ok := c.attrs[name]; ok {
		return v
	}
	return c.node.spec.row(name).def
}

func (c *command) flag(name string) bool { return c.str(name) == "true" }

// count gives a whole number; values were checked, so one that is missing is 0.
func (c *command) count(name string) int {
	n, _ := strconv.Atoi(c.str(name))
	return n
}

// ms gives a duration.
func (c *command) ms(name string) time.Duration {
	return time.Duration(c.count(name)) * time.Millisecond
}

func (c *command) warn(format string, args ...any) {
	w := fmt.Sprintf(format, args...)
	if !slices.Contains(c.warnings, w) {
		c.warnings = append(c.warnings, w)
	}
}

// sleep waits on the call's time.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// seconds is a duration as the contract's number of seconds, milliseconds as decimals.
func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }
