package account

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
)

// Role is what a user may do on the platform (rest-conventions §3.6).
type Role string

// The roles. RoleSIPUser stands in JWTs and identities only, no User has it.
const (
	RoleUser     Role = "User"
	RoleAdmin    Role = "Admin"
	RoleProvider Role = "Provider"
	RoleSIPUser  Role = "SIPUser"
)

// Roles are those that a User can have.
var Roles = []Role{RoleAdmin, RoleUser, RoleProvider}

// User is somebody, or a program, that signs in to an account.
type User struct {
	ID             string
	Account        string
	Admin          bool // administers the account
	Email          string
	Role           Role
	PhoneNumber    string
	FirstName      string
	LastName       string
	Gender         string
	DOB            time.Time
	Avatar         string
	GmailUserID    string
	FacebookUserID string
	AppleUserID    string
	WechatUserID   string
	CreatedOn      time.Time
	ModifiedOn     time.Time
	DeletedOn      time.Time
	Online         bool // has a websocket, as far as Sockets knows

	password string // stored hash
	session  int64  // JWTs of other sessions are not good
}

// Name is how letters address the user.
func (u *User) Name() string {
	if n := strings.TrimSpace(u.FirstName + " " + u.LastName); n != "" {
		return n
	}
	return u.Email
}

// NewUser is what a user is made of; Email and Password are required.
type NewUser struct {
	Email        string
	Password     string
	PhoneNumber  string
	FirstName    string
	LastName     string
	Gender       string
	DOB          time.Time
	Avatar       string
	Role         Role   // empty: RoleUser
	AccountName  string // of the account made with the user; empty: the user's name
	AccountEmail string // empty: the user's
	// Made ends the transaction that makes the user; nil: nothing does.
	Made func(ctx context.Context, tx *db.Tx, u *User) error
}

// UserPatch changes a user; nil members stay, empty ones are cleared where a user can be without.
type UserPatch struct {
	Email, Password, PhoneNumber, FirstName, LastName, Gender, Avatar *string
	DOB                                                               *time.Time // the zero time clears it
	Role                                                              *Role
}

// Asker is who wants a change; what it may do is decided here.
type Asker struct {
	User         string
	Account      string
	AccountAdmin bool
	Admin        bool // platform operator
}

// mayChange: users change themselves, the account's administrator its users, the operator everybody.
func (w Asker) mayChange(u *User) error {
	switch {
	case w.Admin:
		return nil
	case u.Account != w.Account:
		return fault.Missing("User")
	case u.ID == w.User || w.AccountAdmin:
		return nil
	}
	return fault.New(fault.AccessDenied)
}

// SignUp makes an account and its administrator in one transaction with all hooks. A role other than User needs the operator.
func (s *Service) SignUp(ctx context.Context, by Asker, n NewUser) (User, error) {
	if err := s.mayGive(by, n.Role); err != nil {
		return User{}, err
	}
	u, err := s.prepare(ctx, n)
	if err != nil {
		return User{}, err
	}
	var out User
	err = s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		out = u
		if err := s.open(ctx, tx, &out, n, s.startLevel()); err != nil {
			return err
		}
		return s.made(ctx, tx, &out, n)
	})
	return out, err
}

// AddUser makes a user in an account that exists. A role other than User needs the operator.
func (s *Service) AddUser(ctx context.Context, by Asker, account string, n NewUser) (User, error) {
	if err := s.mayGive(by, n.Role); err != nil {
		return User{}, err
	}
	u, err := s.prepare(ctx, n)
	if err != nil {
		return User{}, err
	}
	u.Account = account
	err = s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		if _, err := lockAccount(ctx, tx, account); err != nil {
			return err
		}
		if err := insertUser(ctx, tx, &u); err != nil {
			return err
		}
		return s.made(ctx, tx, &u, n)
	})
	return u, err
}

// made is the end of the transaction that makes a user.
func (s *Service) made(ctx context.Context, tx *db.Tx, u *User, n NewUser) error {
	if err := s.welcome(ctx, tx, u, ""); err != nil || n.Made == nil {
		return err
	}
	return n.Made(ctx, tx, u)
}

func (s *Service) mayGive(by Asker, r Role) error {
	if r != "" && r != RoleUser && !by.Admin {
		return fault.New(fault.AccessDenied)
	}
	return nil
}

// prepare checks and hashes; nothing of it needs the database.
func (s *Service) prepare(ctx context.Context, n NewUser) (User, error) {
	var f fault.Fields
	if n.Role == "" {
		n.Role = RoleUser
	}
	u := User{ID: newID(), Email: n.Email, Role: n.Role, PhoneNumber: n.PhoneNumber, FirstName: n.FirstName, LastName: n.LastName, Gender: n.Gender, DOB: n.DOB, Avatar: n.Avatar}
	checkUser(&f, &u)
	s.checkPassword(&f, n.Password)
	length(&f, "account.name", n.AccountName, 0, maxName)
	if n.AccountEmail != "" {
		checkEmail(&f, "account.email", n.AccountEmail)
	}
	if err := f.Err(); err != nil {
		return User{}, err
	}
	u.CreatedOn = s.now()
	u.ModifiedOn = u.CreatedOn
	var err error
	u.password, err = s.hasher.hash(ctx, n.Password)
	return u, err
}

func checkUser(f *fault.Fields, u *User) {
	checkEmail(f, "email", u.Email)
	optional(f, "phone_number", u.PhoneNumber, 3, 16)
	optional(f, "first_name", u.FirstName, 1, 24)
	optional(f, "last_name", u.LastName, 1, 24)
	optional(f, "gender", u.Gender, 1, 40)
	if u.Avatar != "" {
		length(f, "avatar", u.Avatar, 10, 255)
		checkURL(f, "avatar", u.Avatar, 255)
	}
	if !slices.Contains(Roles, u.Role) {
		f.Add("role", "unknown role", string(u.Role))
	}
}

func optional(f *fault.Fields, path, v string, least, most int) {
	if v != "" {
		length(f, path, v, least, most)
	}
}

// checkPassword never repeats the password as the bad value.
func (s *Service) checkPassword(f *fault.Fields, v string) { checkPassword(f, v, s.cfg.MinPassword) }

func checkPassword(f *fault.Fields, v string, least int) {
	switch n := utf8.RuneCountInString(v); {
	case n == 0:
		f.Add("password", "must not be empty", nil)
	case n < least:
		f.Add("password", "too short", nil)
	case n > maxPassword:
		f.Add("password", "too long", nil)
	}
}

// open adds the account, its administrator and the rows of the hooks.
func (s *Service) open(ctx context.Context, tx *db.Tx, u *User, n NewUser, level Level) error {
	a := Account{ID: newID(), Name: n.AccountName, Email: n.AccountEmail, Level: level, CreatedOn: u.CreatedOn, ModifiedOn: u.CreatedOn}
	if a.Name == "" {
		a.Name = u.Name()
	}
	if a.Email == "" {
		a.Email = u.Email
	}
	if err := insertAccount(ctx, tx, &a); err != nil {
		return err
	}
	u.Account, u.Admin = a.ID, true
	if err := insertUser(ctx, tx, u); err != nil {
		return err
	}
	for _, h := range s.hooks {
		if err := h(ctx, tx, a.ID, level); err != nil {
			return err
		}
	}
	return nil
}

// startLevel is that of new accounts.
func (s *Service) startLevel() Level {
	if s.cfg.Sandbox {
		return Level1
	}
	return Level0
}

// welcome greets the user; a generated password goes into the letter.
func (s *Service) welcome(ctx context.Context, tx *db.Tx, u *User, password string) error {
	m := Mail{Template: MailWelcome, To: u.Email, Vars: map[string]string{"name": u.Name()}}
	if password != "" {
		m.Secrets = map[string]string{"password": password}
	}
	return s.parts.Mailer.Mail(ctx, tx, m)
}

// User reads a user of the asker's account; the operator reads all. fault.NotFound otherwise.
func (s *Service) User(ctx context.Context, by Asker, id string) (User, error) {
	u, err := loadUser(ctx, s.db.Read(), id)
	if err == nil && u.Account != by.Account && !by.Admin {
		return User{}, fault.Missing("User")
	}
	return u, err
}

// UserByID reads any user; fault.NotFound when there is none.
func (s *Service) UserByID(ctx context.Context, q db.Querier, id string) (User, error) {
	return loadUser(ctx, q, id)
}

// Users lists the users of an account, the deactivated ones too, newest first.
func (s *Service) Users(ctx context.Context, q db.Querier, account string) ([]User, error) {
	return usersOf(ctx, q, account)
}

// UpdateUser changes a user. A new password ends all JWTs of the user; a new role needs the operator.
func (s *Service) UpdateUser(ctx context.Context, by Asker, id string, p UserPatch) (User, error) {
	var hash string
	if p.Password != nil {
		var f fault.Fields
		s.checkPassword(&f, *p.Password)
		trial := User{Email: "some@body", Role: RoleUser}
		p.apply(&trial)
		checkUser(&f, &trial)
		if err := f.Err(); err != nil {
			return User{}, err
		}
		if u, err := s.User(ctx, by, id); err != nil { // before the costly hash
			return User{}, err
		} else if err := by.mayChange(&u); err != nil {
			return User{}, err
		}
		var err error
		if hash, err = s.hasher.hash(ctx, *p.Password); err != nil {
			return User{}, err
		}
	}
	var out User
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		u, err := lockUser(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := by.mayChange(&u); err != nil {
			return err
		}
		if err := s.mayTurn(ctx, tx, by, &u, p.Role); err != nil {
			return err
		}
		p.apply(&u)
		var f fault.Fields
		checkUser(&f, &u)
		if err := f.Err(); err != nil {
			return err
		}
		u.ModifiedOn = s.now()
		s.changed(tx)
		if hash != "" {
			if err := s.newPassword(ctx, tx, &u, hash); err != nil {
				return err
			}
		}
		out = u
		return saveUser(ctx, tx, &u)
	})
	return out, err
}

// mayTurn: only the operator changes roles, and the platform keeps an operator.
func (s *Service) mayTurn(ctx context.Context, tx *db.Tx, by Asker, u *User, to *Role) error {
	if to == nil || *to == u.Role {
		return nil
	}
	if !by.Admin {
		return fault.New(fault.AccessDenied)
	}
	if u.Role != RoleAdmin {
		return nil
	}
	others, err := otherOperators(ctx, tx, u.ID)
	if err == nil && others == 0 {
		err = fault.Newf(fault.Conflict, "The platform's last administrator cannot be removed")
	}
	return err
}

// newPassword also ends all JWTs; the row is written by the caller.
func (s *Service) newPassword(ctx context.Context, tx *db.Tx, u *User, hash string) error {
	u.password = hash
	u.session++
	return s.parts.Mailer.Mail(ctx, tx, Mail{Template: MailPasswordChanged, To: u.Email, Vars: map[string]string{"name": u.Name()}})
}

func (p *UserPatch) apply(u *User) {
	for _, m := range []struct{ from, to *string }{
		{p.Email, &u.Email},
		{p.PhoneNumber, &u.PhoneNumber},
		{p.FirstName, &u.FirstName},
		{p.LastName, &u.LastName},
		{p.Gender, &u.Gender},
		{p.Avatar, &u.Avatar},
	} {
		if m.from != nil {
			*m.to = *m.from
		}
	}
	if p.DOB != nil {
		u.DOB = *p.DOB
	}
	if p.Role != nil {
		u.Role = *p.Role
	}
}

// Deactivate signs the user out everywhere and ends the API tokens. The account's administrator stays: fault.Conflict.
func (s *Service) Deactivate(ctx context.Context, by Asker, id string) (User, error) {
	return s.alter(ctx, by, id, func(ctx context.Context, tx *db.Tx, u *User) error {
		if u.Admin {
			return fault.Newf(fault.Conflict, "The account's last administrator cannot be removed")
		}
		if u.DeletedOn.IsZero() {
			u.DeletedOn = s.now()
		}
		u.session++
		return removeTokensOf(ctx, tx, u.ID)
	})
}

// Reactivate lets a deactivated user in again; old JWTs and tokens stay ended.
func (s *Service) Reactivate(ctx context.Context, by Asker, id string) (User, error) {
	return s.alter(ctx, by, id, func(_ context.Context, _ *db.Tx, u *User) error {
		u.DeletedOn = time.Time{}
		return nil
	})
}

// SetAvatar notes where the picture is; an empty url clears it.
func (s *Service) SetAvatar(ctx context.Context, by Asker, id, url string) (User, error) {
	return s.alter(ctx, by, id, func(_ context.Context, _ *db.Tx, u *User) error {
		u.Avatar = url
		return nil
	})
}

func (s *Service) alter(ctx context.Context, by Asker, id string, change func(context.Context, *db.Tx, *User) error) (User, error) {
	var out User
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		u, err := lockUser(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := by.mayChange(&u); err != nil {
			return err
		}
		if err := change(ctx, tx, &u); err != nil {
			return err
		}
		u.ModifiedOn = s.now()
		s.changed(tx)
		out = u
		return saveUser(ctx, tx, &u)
	})
	return out, err
}

// SetPassword changes the password of the user with this e-mail, as the operator's command does; it ends all JWTs of the user.
func (s *Service) SetPassword(ctx context.Context, email, password string) error {
	u, err := userByEmail(ctx, s.db.Read(), email)
	if err != nil {
		return err
	}
	_, err = s.UpdateUser(ctx, Asker{Admin: true}, u.ID, UserPatch{Password: &password})
	return err
}
