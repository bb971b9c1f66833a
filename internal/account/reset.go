package account

import (
	"context"
	"net/url"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
)

// Life of a reset token and how often one may be asked for (rest-conventions §10).
const (
	resetLife    = time.Hour
	resetEvery   = time.Minute
	resetWindow  = time.Hour
	resetPer     = 5 // in a window
	resetLength  = 48
	maxResetLink = 4096
)

// AskReset mails a token that sets a new password once, within an hour. fault.NotFound for an unknown e-mail, fault.RateLimited when asked too often.
func (s *Service) AskReset(ctx context.Context, email, callback string) error {
	secret := ident.Secret(resetLength)
	return s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		u, err := userByEmail(ctx, tx, email)
		if err != nil {
			return err
		}
		if u, err = lockUser(ctx, tx, u.ID); err != nil {
			return err
		}
		if !u.DeletedOn.IsZero() {
			return fault.Missing("User")
		}
		now := s.now()
		n, oldest, newest, err := resetsSince(ctx, tx, u.ID, now.Add(-resetWindow))
		if err != nil {
			return err
		}
		if wait := newest.Add(resetEvery).Sub(now); n > 0 && wait > 0 {
			return &fault.Error{Code: fault.RateLimited, Retry: wait}
		}
		if n >= resetPer {
			return &fault.Error{Code: fault.RateLimited, Retry: oldest.Add(resetWindow).Sub(now)}
		}
		if err := insertReset(ctx, tx, hashToken(secret), u.ID, now, now.Add(resetLife)); err != nil {
			return err
		}
		return s.parts.Mailer.Mail(ctx, tx, Mail{
			Template: MailPasswordReset, To: u.Email, Vars: map[string]string{"name": u.Name()},
			Secrets: map[string]string{"token": secret, "link": resetLink(callback, secret)},
		})
	})
}

// resetLink is the callback with the token added to its query; empty without a callback.
func resetLink(callback, secret string) string {
	u, err := url.Parse(callback)
	if callback == "" || err != nil || len(callback) > maxResetLink {
		return ""
	}
	q := u.Query()
	q.Set("token", secret)
	u.RawQuery = q.Encode()
	return u.String()
}

// Reset sets a new password with a mailed token, which ends; it also ends all JWTs of the user. fault.NotFound when the token is not good.
// done ends the transaction, unless it is nil.
func (s *Service) Reset(ctx context.Context, secret, password string, done func(context.Context, *db.Tx) error) error {
	var f fault.Fields
	s.checkPassword(&f, password)
	if err := f.Err(); err != nil {
		return err
	}
	id, err := resetUser(ctx, s.db.Read(), hashToken(secret), s.now()) // before the costly hash
	if err != nil {
		return err
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	return s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		u, err := lockUser(ctx, tx, id)
		if err != nil {
			return err
		}
		if !u.DeletedOn.IsZero() {
			return fault.New(fault.NotFound)
		}
		if err := useReset(ctx, tx, hashToken(secret), s.now()); err != nil {
			return err
		}
		if err := endResets(ctx, tx, id, s.now()); err != nil {
			return err
		}
		if err := s.newPassword(ctx, tx, &u, hash); err != nil {
			return err
		}
		u.ModifiedOn = s.now()
		s.changed(tx)
		if err := saveUser(ctx, tx, &u); err != nil || done == nil {
			return err
		}
		return done(ctx, tx)
	})
}
