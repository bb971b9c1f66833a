package cli

import (
	"context"
	"fmt"
	"os"

	"github.com/opentact/opentact/internal/cli/client"
)

// loginCmd checks a credential and remembers it. With an e-mail it makes an API token of its own, so that no password is kept.
type loginCmd struct {
	API   string `name:"api" placeholder:"URL" help:"Address of the server (OPENTACT_API). Default: http://127.0.0.1:8080."`
	Token string `placeholder:"TEXT" help:"API token (OPENTACT_TOKEN). Default: read from standard input."`
	Email string `placeholder:"EMAIL" help:"Sign in with e-mail and password instead; the password is read from standard input."`
}

// person is what a server says of who signed in.
type person struct {
	Email   string `json:"email"`
	Account struct {
		Name string `json:"name"`
	} `json:"account"`
}

func (c *loginCmd) Run(ctx context.Context, p *Program) error {
	if c.API == "" {
		c.API = defaultAPI
	}
	if err := c.credential(ctx, p); err != nil {
		return err
	}
	api, err := client.New(c.API, c.Token)
	if err != nil {
		return misuse("--api: %v", err)
	}
	var who person
	if err := api.Do(ctx, "GET", "/rest/user", nil, &who); err != nil {
		return advised(api, err)
	}
	path, err := profile{API: api.Base(), Token: c.Token}.save(p.Env)
	if err != nil {
		return fmt.Errorf("the login was not kept: %w", err)
	}
	_, err = fmt.Fprintf(p.Out, "Signed in to %s as %s (account %s); kept in %s.\n", api.Base(), who.Email, who.Account.Name, path)
	return err
}

// credential fills in the token: as given, from standard input, or made with e-mail and password.
func (c *loginCmd) credential(ctx context.Context, p *Program) error {
	var err error
	switch {
	case c.Email == "" && c.Token != "":
		return nil
	case c.Email == "":
		c.Token, err = readSecret(p, "API token: ")
		return err
	}
	password, err := readSecret(p, "Password: ")
	if err != nil {
		return err
	}
	api, err := client.NewWithPassword(c.API, c.Email, password)
	if err != nil {
		return misuse("--api: %v", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "a machine"
	}
	var made struct {
		Token string `json:"token"`
	}
	err = api.Do(ctx, "POST", "/rest/token", map[string]any{"name": "opentact login on " + host}, &made)
	if client.IsStatus(err, 401) {
		return fmt.Errorf("%s does not know this e-mail and password", api.Base())
	}
	c.Token = made.Token
	return advised(api, err)
}
