package cli

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/opentact/opentact/internal/config"
	"github.com/opentact/opentact/internal/db"
)

// migrateCmd works on the schema.
type migrateCmd struct {
	Up     migrateUpCmd     `cmd:"" help:"Bring the schema to the newest version."`
	Status migrateStatusCmd `cmd:"" help:"List the steps of the schema and which are done."`
}

type migrateUpCmd struct {
	config.Config `embed:""`
}

type migrateStatusCmd struct {
	config.Config `embed:""`
	JSON          bool `name:"json" help:"Print JSON."`
}

func (c *migrateUpCmd) Run(ctx context.Context, p *Program) error {
	d, err := openSchema(ctx, &c.Config, p)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.MigrateUp(ctx); err != nil {
		return err
	}
	steps, err := d.MigrateStatus(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.Out, "The schema is up to date: %d steps.\n", len(steps))
	return err
}

func (c *migrateStatusCmd) Run(ctx context.Context, p *Program) error {
	d, err := openSchema(ctx, &c.Config, p)
	if err != nil {
		return err
	}
	defer d.Close()
	steps, err := d.MigrateStatus(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		list := []map[string]any{}
		for _, s := range steps {
			list = append(list, map[string]any{"version": s.Version, "name": s.Name, "applied": s.Applied})
		}
		return printJSON(p.Out, list)
	}
	w := tabwriter.NewWriter(p.Out, 0, 0, 2, ' ', 0)
	for _, s := range steps {
		state := "pending"
		if s.Applied {
			state = "applied"
		}
		fmt.Fprintf(w, "%s\t%s\n", state, s.Name)
	}
	return w.Flush()
}

func openSchema(ctx context.Context, c *config.Config, p *Program) (*db.DB, error) {
	log, err := open(c, p.Err)
	if err != nil {
		return nil, err
	}
	return db.Open(ctx, db.Config{URL: c.DB, Logger: log})
}
