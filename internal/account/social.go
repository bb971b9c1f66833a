package account

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
)

// network is an outside sign-in provider: the column of its ids, and where they stand in a User.
type network struct {
	column string
	id     func(*User) *string
}

var (
	gmail    = network{"gmail_user_id", func(u *User) *string { return &u.GmailUserID }}
	facebook = network{"facebook_user_id", func(u *User) *string { return &u.FacebookUserID }}
)

// socialUser finds the user by the provider's id, then by verified e-mail; the first sign-in of somebody unknown makes user and account
// (rest-conventions §3.5).
func (s *Service) socialUser(ctx context.Context, by network, who Person) (User, error) {
	u, err := s.knownPerson(ctx, by, who)
	if !fault.Is(err, fault.NotFound) {
		return u, err
	}
	if !who.EmailVerified {
		return User{}, fault.New(fault.Unauthorized)
	}
	u, err = s.firstSignIn(ctx, by, who)
	if fault.Is(err, fault.Exists) { // the same person signed in on another connection
		return s.knownPerson(ctx, by, who)
	}
	return u, err
}

func (s *Service) knownPerson(ctx context.Context, by network, who Person) (User, error) {
	if who.ID == "" {
		return User{}, fault.New(fault.Unauthorized)
	}
	u, err := userBySocial(ctx, s.db.Read(), by.column, who.ID)
	if !fault.Is(err, fault.NotFound) || !who.EmailVerified || who.Email == "" {
		return u, err
	}
	u, err = userByEmail(ctx, s.db.Read(), who.Email)
	if err != nil {
		return User{}, err
	}
	if *by.id(&u) != "" { // tied to another identity of the same provider
		return User{}, fault.New(fault.Unauthorized)
	}
	return s.alter(ctx, Asker{Admin: true}, u.ID, func(_ context.Context, _ *db.Tx, u *User) error {
		*by.id(u) = who.ID
		return nil
	})
}

func (s *Service) firstSignIn(ctx context.Context, by network, who Person) (User, error) {
	password := randomUUID()
	n := NewUser{Email: who.Email, Password: password, FirstName: cut(who.FirstName, 24), LastName: cut(who.LastName, 24)}
	u, err := s.prepare(ctx, n)
	if err != nil {
		return User{}, err
	}
	*by.id(&u) = who.ID
	level := s.startLevel()
	var out User
	err = s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		out = u
		if err := s.open(ctx, tx, &out, n, level); err != nil {
			return err
		}
		return s.welcome(ctx, tx, &out, password)
	})
	return out, err
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

// randomUUID is a version 4 uuid (RFC 9562 §5.4), for a password in that form.
func randomUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
