package cli

import (
	"fmt"
	"runtime"
)

// versionCmd says what the program was made from.
type versionCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *versionCmd) Run(p *Program) error {
	if c.JSON {
		return printJSON(p.Out, map[string]string{"version": p.Version, "commit": p.Commit, "built_on": p.BuiltOn, "go": runtime.Version()})
	}
	_, err := fmt.Fprintf(p.Out, "opentact %s\ncommit %s\n%s\n", p.Version, p.Commit, runtime.Version())
	if err == nil && p.BuiltOn != "" {
		_, err = fmt.Fprintf(p.Out, "built on %s\n", p.BuiltOn)
	}
	return err
}
