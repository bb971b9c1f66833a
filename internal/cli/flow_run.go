package cli

import (
	"context"
	"fmt"

	"github.com/opentact/opentact/internal/cli/terminal"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/fetch"
	"github.com/opentact/opentact/internal/voice/flow"
)

// flowRunCmd runs a document against a simulated caller: what is typed are the keys.
type flowRunCmd struct {
	File string `arg:"" help:"Document."`
	From string `default:"+13125550144" placeholder:"NUMBER" help:"Who calls."`
	To   string `default:"12125550170" placeholder:"NUMBER" help:"The number that is called."`
	Dial string `enum:"answered,busy,no_answer" default:"answered" help:"What becomes of dialled parties: answered, busy or no_answer."`
}

func (c *flowRunCmd) Run(ctx context.Context, p *Program) error {
	text, err := readDocument(p, c.File)
	if err != nil {
		return err
	}
	doc, err := flow.Parse(text)
	if err != nil {
		at := located(c.File, "error", fault.Of(err).Public())
		return fmt.Errorf("%s:%d:%d: %s", at.File, at.Line, at.Column, at.Message)
	}
	fmt.Fprintf(p.Out, "%s calls %s. Type keys and Enter to press them, h to hang up.\n", c.From, c.To)
	requests := fetch.New(fetch.Options{AllowPrivate: true})
	defer requests.Close()
	return terminal.Run(ctx, terminal.Config{In: p.In, Out: p.Out, From: c.From, To: c.To, Dial: flow.DialStatus(c.Dial), Fetch: requests}, doc)
}
