package account

import (
	"context"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
)

const (
	firstSetting      = "account.first_administrator"
	generatedPassword = 24 // characters
)

// Options describe the first administrator.
type Options struct {
	Email    string // empty: admin@localhost
	Password string // empty: generated
	Token    string // API token; empty: generated
	Account  string // name of the platform's own account; empty: "Platform"
}

// Check finds what Bootstrap would refuse: a fault.Validation with the members email, password and token.
func (o Options) Check() error {
	var f fault.Fields
	if o.Email != "" {
		checkEmail(&f, "email", o.Email)
	}
	if o.Password != "" {
		checkPassword(&f, o.Password, minPassword)
	}
	if o.Token != "" {
		checkOwnToken(&f, o.Token)
	}
	return f.Err()
}

// Created says what Bootstrap did, or who was the first administrator; Password and Token are set only when New.
type Created struct {
	User     string
	Account  string
	Email    string
	Password string
	Token    string
	New      bool
}

// Bootstrap makes the first administrator and the platform's own account when the database has no user yet. Several nodes may call it at once: one of
// them makes it, the others see New false.
func (s *Service) Bootstrap(ctx context.Context, o Options) (Created, error) {
	found, err := anyUser(ctx, s.db.Read())
	if err != nil {
		return Created{}, err
	}
	if found {
		u, err := firstUser(ctx, s.db.Read())
		if fault.Is(err, fault.NotFound) { // made by a command, or removed since
			return Created{}, nil
		}
		return Created{User: u.ID, Account: u.Account, Email: u.Email}, err
	}
	if err := o.Check(); err != nil {
		return Created{}, err
	}
	n := NewUser{Email: o.Email, Password: o.Password, Role: RoleAdmin, AccountName: o.Account}
	if n.Email == "" {
		n.Email = "admin@localhost"
	}
	if n.Password == "" {
		n.Password = ident.Secret(generatedPassword)
	}
	if n.AccountName == "" {
		n.AccountName = "Platform"
	}
	token, secret, err := s.mint("", NewToken{Name: "first administrator", TTL: maxTTL})
	if err != nil {
		return Created{}, err
	}
	if o.Token != "" {
		secret = o.Token
		token.Prefix, token.Last4 = secret[:tokenPrefix], secret[len(secret)-tokenSuffix:]
	}
	u, err := s.prepare(ctx, n)
	if err != nil {
		return Created{}, err
	}
	made := Created{User: u.ID, Email: u.Email, Password: n.Password, Token: secret, New: true}
	var out Created
	err = s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		out = Created{}
		mine, err := s.first(ctx, tx, u.ID)
		if err != nil || !mine {
			return err
		}
		admin, key := u, token
		key.User = u.ID
		if err := s.open(ctx, tx, &admin, n, ServiceAccount); err != nil {
			return err
		}
		out = made
		out.Account = admin.Account
		return insertToken(ctx, tx, &key, hashToken(secret))
	})
	return out, err
}

// first tells whether this transaction may make the first administrator: the row of the setting lets one through.
func (s *Service) first(ctx context.Context, tx *db.Tx, user string) (bool, error) {
	_, mine, err := keepSetting(ctx, tx, firstSetting, user, s.now())
	if err != nil || !mine {
		return false, err
	}
	found, err := anyUser(ctx, tx)
	return !found, err
}
