package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"

	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/voice/flow"
)

// flowCmd checks and tries call-flow documents.
type flowCmd struct {
	Lint flowLintCmd `cmd:"" help:"Check documents: FILE:LINE:COLUMN of each fault and warning."`
	Run  flowRunCmd  `cmd:"" help:"Run a document here, against a simulated caller; what is typed are the keys."`
}

type flowLintCmd struct {
	Files []string `arg:"" name:"file" help:"Documents; - is standard input."`
	JSON  bool     `name:"json" help:"Print JSON."`
}

// complaint is one finding in a document.
type complaint struct {
	File     string `json:"file"`
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Severity string `json:"severity"` // error or warning
	Message  string `json:"message"`
}

func (c *flowLintCmd) Run(_ context.Context, p *Program) error {
	found, bad := []complaint{}, 0
	for _, name := range c.Files {
		doc, err := readDocument(p, name)
		if err != nil {
			return err
		}
		list := lint(name, doc)
		for _, x := range list {
			if x.Severity == "error" {
				bad++
			}
		}
		found = append(found, list...)
	}
	if err := c.print(p.Out, found); err != nil {
		return err
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d documents would be refused", bad, len(c.Files))
	}
	return nil
}

func (c *flowLintCmd) print(w io.Writer, found []complaint) error {
	if c.JSON {
		return printJSON(w, found)
	}
	for _, x := range found {
		if _, err := fmt.Fprintf(w, "%s:%d:%d: %s: %s\n", x.File, x.Line, x.Column, x.Severity, x.Message); err != nil {
			return err
		}
	}
	return nil
}

// lint gives at most one error, as a document is refused at the first, and all warnings.
func lint(name string, doc []byte) []complaint {
	warnings, err := flow.Lint(doc)
	var list []complaint
	for _, w := range warnings {
		list = append(list, located(name, "warning", w))
	}
	if err != nil {
		text := err.Error()
		if e := fault.Of(err); e != nil {
			text = e.Public()
		}
		list = append(list, located(name, "error", text))
	}
	return list
}

// place is how package flow begins its messages.
var place = regexp.MustCompile(`^line (\d+), column (\d+): `)

func located(name, severity, text string) complaint {
	c := complaint{File: name, Line: 1, Column: 1, Severity: severity, Message: text}
	if m := place.FindStringSubmatch(text); m != nil {
		c.Line, _ = strconv.Atoi(m[1]) // digits by the pattern
		c.Column, _ = strconv.Atoi(m[2])
		c.Message = text[len(m[0]):]
	}
	return c
}

const maxDocument = 1 << 20 // bytes read; the limit of a document is lower and has its own message

func readDocument(p *Program, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(p.In, maxDocument))
	}
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no file %s", name)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxDocument))
}
