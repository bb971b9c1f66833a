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

// Created says what Bootstrap did; Password and Token are set only when New.
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
	if found, err := anyUser(ctx, s.db.Read()); err != nil || found {
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
		var f fault.Fields
		if checkOwnToken(&f, o.Token); f.Err() != nil {
			return Created{}, f.Err()
		}
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
