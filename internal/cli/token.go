package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/config"
)

// tokenCmd administers API tokens in the database itself.
type tokenCmd struct {
	Create tokenCreateCmd `cmd:"" help:"Make an API token and print it, this once."`
}

type tokenCreateCmd struct {
	Email         string        `placeholder:"EMAIL" help:"Whose token. Default: the administrator's."`
	Name          string        `default:"command line" help:"Label of the token."`
	TTL           time.Duration `name:"ttl" default:"8760h" help:"How long it works."`
	Scope         []string      `placeholder:"SCOPE" help:"What it opens, such as messaging or voice:read. Default: everything."`
	JSON          bool          `name:"json" help:"Print JSON."`
	config.Config `embed:"" group:"Settings of the server"`
}

func (c *tokenCreateCmd) Run(ctx context.Context, p *Program) error {
	admin, err := openAdmin(ctx, &c.Config, p.Err)
	if err != nil {
		return err
	}
	defer admin.Close()
	if c.Email == "" {
		c.Email = c.AdminEmail
	}
	token, secret, err := admin.Accounts.CreateTokenFor(ctx, c.Email, account.NewToken{Name: c.Name, TTL: c.TTL, Scopes: c.Scope})
	if err != nil {
		return sentence("no token for "+c.Email, err)
	}
	if c.JSON {
		return printJSON(p.Out, map[string]any{"uuid": token.ID, "token": secret, "expired_on": token.ExpiredOn.UTC(), "scopes": token.Scopes})
	}
	_, err = fmt.Fprintln(p.Out, secret)
	return err
}
