package account

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/money"
)

// Balances tells the money of an account, as q sees it.
type Balances interface {
	Balance(ctx context.Context, q db.Querier, account string) (balance, credit, reserved money.Amount, err error)
}

// Credit sets how far an account's balance may go below zero.
type Credit interface {
	SetCreditLimit(ctx context.Context, tx *db.Tx, account string, limit money.Amount) error
}

// Thresholds keeps the balance below which an account wants to hear of it; nil: none.
type Thresholds interface {
	SetLowBalance(ctx context.Context, tx *db.Tx, account string, at *money.Amount) error
}

// Presence tells whether a user has an authenticated websocket open on this node; Sockets knows of the others.
type Presence interface {
	Online(user string) bool
}

// SIPUser is what signing in needs to know of a SIP user.
type SIPUser struct {
	ID      string
	Account string
	Domain  string // full name
	Session int64  // grows when the user's JWTs shall end
}

// SIPUsers finds SIP users; fault.NotFound when there is none, or none that may sign in.
type SIPUsers interface {
	ByHA1B(ctx context.Context, ha1b string) (SIPUser, error)
	ByID(ctx context.Context, id string) (SIPUser, error)
	// View renders a SIP user as REST answers show it (SipUser).
	View(ctx context.Context, q db.Querier, id string) (json.RawMessage, error)
}

// Person is what a sign-in provider says of somebody.
type Person struct {
	ID            string // at the provider
	Email         string
	EmailVerified bool
	FirstName     string
	LastName      string
	Avatar        string
}

// SignIn checks the token of an outside sign-in provider; fault.Unauthorized when it is not good.
type SignIn interface {
	Verify(ctx context.Context, token string) (Person, error)
}

// ProfileView is a messaging profile as REST answers show it.
type ProfileView struct {
	ID   string
	View json.RawMessage
}

// Profiles lists the messaging profiles of an account, oldest first.
type Profiles interface {
	ProfileViews(ctx context.Context, q db.Querier, account string) ([]ProfileView, error)
}

// Dictionary renders entries of the dictionaries; nil means unknown. It must not block.
type Dictionary interface {
	TimeZone(name string) json.RawMessage
	Country(a2 string) json.RawMessage
}

// Objects keeps avatars under keys "avatar/<user>.<ext>"; blob.Store is one.
type Objects interface {
	Put(ctx context.Context, key string, r io.Reader) (size int64, sum string, err error)
	Open(ctx context.Context, key string) (io.ReadSeekCloser, int64, error)
	Delete(ctx context.Context, key string) error
}

// Mail is one letter to be sent. Templates are those of the contract's enum of mail templates.
type Mail struct {
	Template string
	To       string
	Vars     map[string]string
	Secrets  map[string]string // variables that must not be logged
}

// The letters of this package.
const (
	MailWelcome         = "user_welcome_letter"   // Vars: name; Secrets: password, only when it was generated
	MailPasswordChanged = "user_password_changed" // Vars: name
	MailPasswordReset   = "user_reset_password"   // Vars: name; Secrets: token, link
)

// Mailer takes a letter within the transaction that is its cause; it must not send before the commit (db.Tx.After, or a job).
type Mailer interface {
	Mail(ctx context.Context, tx *db.Tx, m Mail) error
}

// LogMailer writes letters to the log, without their secrets: for servers without a way to send mail.
type LogMailer struct{ Logger *slog.Logger }

// Mail implements Mailer.
func (l LogMailer) Mail(ctx context.Context, tx *db.Tx, m Mail) error {
	tx.After(func() {
		l.Logger.InfoContext(ctx, "mail not sent: no mail service", "template", m.Template, "to", m.To, "vars", m.Vars)
	})
	return nil
}

type discardMail struct{}

func (discardMail) Mail(context.Context, *db.Tx, Mail) error { return nil }

func (s *Service) profiles(ctx context.Context, q db.Querier, account string) ([]ProfileView, error) {
	if s.parts.Profiles == nil {
		return nil, nil
	}
	return s.parts.Profiles.ProfileViews(ctx, q, account)
}

func (s *Service) balance(ctx context.Context, q db.Querier, account string) (balance, credit, reserved money.Amount, err error) {
	if s.parts.Balances == nil {
		return 0, 0, 0, nil
	}
	return s.parts.Balances.Balance(ctx, q, account)
}

func (s *Service) online(u *User) bool {
	return u.Online || s.parts.Presence != nil && s.parts.Presence.Online(u.ID)
}
