package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/app"
	"github.com/opentact/opentact/internal/config"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
)

const generatedPassword = 20 // characters

// userCmd administers users in the database itself.
type userCmd struct {
	Add    userAddCmd    `cmd:"" help:"Add a user with an account, or to an account."`
	Passwd userPasswdCmd `cmd:"" help:"Change a password, read from standard input."`
}

type userAddCmd struct {
	Email         string `arg:"" help:"E-mail, also the name to sign in with."`
	Password      string `placeholder:"TEXT" help:"Default: generated and printed."`
	Role          string `enum:"User,Admin,Provider" default:"User" help:"User, Admin (operator of the platform) or Provider."`
	Account       string `placeholder:"UUID" help:"Account to join. Default: one of its own."`
	Name          string `placeholder:"TEXT" help:"Name of the new account."`
	JSON          bool   `name:"json" help:"Print JSON."`
	config.Config `embed:"" group:"Settings of the server"`
}

type userPasswdCmd struct {
	Email         string `arg:"" help:"Whose password."`
	config.Config `embed:"" group:"Settings of the server"`
}

func (c *userAddCmd) Run(ctx context.Context, p *Program) error {
	generated := c.Password == ""
	if generated {
		c.Password = ident.Secret(generatedPassword)
	}
	admin, err := openAdmin(ctx, &c.Config, p.Err)
	if err != nil {
		return err
	}
	defer admin.Close()
	asker := account.Asker{Admin: true}
	wanted := account.NewUser{Email: c.Email, Password: c.Password, Role: account.Role(c.Role), AccountName: c.Name}
	var user account.User
	if c.Account != "" {
		user, err = admin.Accounts.AddUser(ctx, asker, c.Account, wanted)
	} else {
		user, err = admin.Accounts.SignUp(ctx, asker, wanted)
	}
	if err != nil {
		return sentence("the user was not added", err)
	}
	shown := map[string]string{"uuid": user.ID, "email": user.Email, "role": string(user.Role), "account": user.Account}
	if generated {
		shown["password"] = c.Password
	}
	if c.JSON {
		return printJSON(p.Out, shown)
	}
	fmt.Fprintf(p.Out, "Added %s (%s), account %s.\n", user.Email, user.Role, user.Account)
	if generated {
		fmt.Fprintf(p.Out, "Password: %s\n", c.Password)
	}
	return nil
}

func (c *userPasswdCmd) Run(ctx context.Context, p *Program) error {
	password, err := readSecret(p, "New password: ")
	if err != nil {
		return err
	}
	admin, err := openAdmin(ctx, &c.Config, p.Err)
	if err != nil {
		return err
	}
	defer admin.Close()
	if err := admin.Accounts.SetPassword(ctx, c.Email, password); err != nil {
		return sentence("the password was not changed", err)
	}
	_, err = fmt.Fprintf(p.Out, "Changed the password of %s; its sessions have ended.\n", c.Email)
	return err
}

func openAdmin(ctx context.Context, c *config.Config, w io.Writer) (*app.Admin, error) {
	if c.LogLevel == "info" {
		c.LogLevel = "warn" // the start of the parts is of no interest here
	}
	log, err := open(c, w)
	if err != nil {
		return nil, err
	}
	admin, err := app.OpenAdmin(ctx, *c, log)
	return admin, withFix(err)
}

// sentence says what was not done and why, in the words that customers get; other errors as they are.
func sentence(what string, err error) error {
	if e := fault.Of(err); e != nil {
		return fmt.Errorf("%s: %s", what, e.Public())
	}
	return fmt.Errorf("%s: %w", what, err)
}
