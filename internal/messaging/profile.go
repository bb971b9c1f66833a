package messaging

import (
	"context"
	"encoding/json"
	"time"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
)

// DefaultName is the name of the profile that every account begins with.
const DefaultName = "default messaging profile"

// Profile groups numbers of an account, with their callbacks, texts and pool settings.
type Profile struct {
	ID             string
	Account        string
	Name           string
	Default        bool
	CallbackURL    string
	CallbackURL2   string
	CallbackSecret string
	Pool           bool // messages may name the profile in place of a sender
	LongCodeWeight int  // 0..9
	TollFreeWeight int
	SkipUnhealthy  bool
	Sticky         bool
	QueueTimeout   time.Duration
	OptOutEnable   bool // automatic answers to consent words
	OptOutMessage  string
	OptInMessage   string
	HelpMessage    string
	AutoReplies    []AutoReply
	CreatedBy      string
	ModifiedBy     string
	Created        time.Time
	Modified       time.Time
}

// AutoReply answers an inbound text that fits the mask.
type AutoReply struct {
	Pattern string `json:"pattern" required:"true" minLength:"1" maxLength:"255"`
	Message string `json:"message" required:"true" minLength:"1" maxLength:"918"`
}

// NewProfile gives the settings that a profile has when nothing is said.
func NewProfile(account, name string) Profile {
	return Profile{Account: account, Name: name, LongCodeWeight: 1, TollFreeWeight: 1, QueueTimeout: 14400 * time.Second, OptOutEnable: true}
}

// urls lists the profile's callback addresses.
func (p *Profile) urls() []string {
	if p == nil || p.CallbackURL == "" && p.CallbackURL2 == "" {
		return nil
	}
	var out []string
	for _, u := range []string{p.CallbackURL, p.CallbackURL2} {
		if u != "" {
			out = append(out, u)
		}
	}
	return out
}

// OnAccount gives a new account its default profile and, while the sandbox is on, its ready-made campaign; it is an account.Hook.
func (s *Service) OnAccount(ctx context.Context, tx *db.Tx, acc string, _ account.Level) error {
	p := NewProfile(acc, DefaultName)
	p.ID, p.Created = ident.New(), s.now()
	p.Modified = p.Created
	if err := insertProfile(ctx, tx, p); err != nil {
		return err
	}
	if err := s.accounts.SetDefaultProfile(ctx, tx, acc, p.ID); err != nil {
		return err
	}
	if !s.sandbox {
		return nil
	}
	return insertReady(ctx, tx, acc, s.now())
}

// CreateProfile keeps a new profile; ID and times are given here.
func (s *Service) CreateProfile(ctx context.Context, p Profile) (Profile, error) {
	p.ID, p.Created = ident.New(), s.now()
	p.Modified = p.Created
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return insertProfile(ctx, tx, p) })
	return p, err
}

// ModifyProfile changes a profile by change, which may run more than once; 404 "Messaging profile not found".
func (s *Service) ModifyProfile(ctx context.Context, acc, id, user string, change func(*Profile)) (Profile, error) {
	var p Profile
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if p, err = s.profile(ctx, tx, acc, id); err != nil {
			return err
		}
		sticky := p.Sticky
		change(&p)
		p.Modified, p.ModifiedBy = s.now(), user
		if p.Sticky && !sticky {
			if err := s.findContacts(ctx, tx, &p); err != nil {
				return err
			}
		}
		return updateProfile(ctx, tx, p)
	})
	s.profiles.drop()
	return p, err
}

// RemoveProfile removes a profile; its numbers fall back to the account's default profile, which itself stays (fault.Conflict).
func (s *Service) RemoveProfile(ctx context.Context, acc, id string) (Profile, error) {
	p, err := loadProfile(ctx, s.db.Read(), acc, id)
	if err != nil {
		return p, err
	}
	fallback, err := s.accounts.DefaultProfile(ctx, s.db.Read(), acc)
	if err != nil {
		return p, err
	}
	if fallback == id {
		return p, fault.Busy("Messaging profile")
	}
	if fallback != "" { // without one a profile with numbers stays
		if err := s.moveLeases(ctx, acc, id, fallback); err != nil {
			return p, err
		}
	}
	err = s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		switch std, err := s.accounts.HoldDefaultProfile(ctx, tx, acc); {
		case err != nil:
			return err
		case std == id:
			return fault.Busy("Messaging profile")
		}
		left, err := s.numbers.ByProfile(ctx, tx, acc, id)
		if err != nil {
			return err
		}
		if len(left) > 0 {
			return fault.Busy("Messaging profile")
		}
		return deleteProfile(ctx, tx, id)
	})
	s.profiles.drop()
	return p, err
}

// Profile gives a profile of the account, or a 404.
func (s *Service) Profile(ctx context.Context, acc, id string) (Profile, error) {
	return s.profile(ctx, s.db.Read(), acc, id)
}

// profile loads a profile and tells whether it is the account's default one: the account knows.
func (s *Service) profile(ctx context.Context, q db.Querier, acc, id string) (Profile, error) {
	p, err := loadProfile(ctx, q, acc, id)
	if err != nil {
		return p, err
	}
	std, err := s.accounts.DefaultProfile(ctx, q, acc)
	p.Default = p.ID == std
	return p, err
}

// allProfiles is profile for all that an account has.
func (s *Service) allProfiles(ctx context.Context, q db.Querier, acc string) ([]Profile, error) {
	list, err := listProfiles(ctx, q, acc)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	std, err := s.accounts.DefaultProfile(ctx, q, acc)
	for i := range list {
		list[i].Default = list[i].ID == std
	}
	return list, err
}

// Profiles lists the account's profiles, oldest first.
func (s *Service) Profiles(ctx context.Context, acc string) ([]Profile, error) {
	return s.allProfiles(ctx, s.db.Read(), acc)
}

// ProfileViews lists the messaging profiles of an account as REST answers nest them, oldest first.
func (s *Service) ProfileViews(ctx context.Context, q db.Querier, acc string) ([]account.ProfileView, error) {
	list, err := s.allProfiles(ctx, q, acc)
	out := make([]account.ProfileView, 0, len(list))
	for i := range list {
		out = append(out, account.ProfileView{ID: list[i].ID, View: profileScalars(&list[i])})
	}
	return out, err
}

// ProfileView shows a profile inside a lease and its subscription: "null" for an empty id, a 404 for one that is not the account's.
func (s *Service) ProfileView(ctx context.Context, q db.Querier, acc, id string) (json.RawMessage, error) {
	if id == "" {
		return json.RawMessage("null"), nil
	}
	p, err := s.profile(ctx, q, acc, id)
	if err != nil {
		return nil, err
	}
	return profileInSubscription(&p), nil
}

// cachedProfile gives a profile that may be two seconds old; nil for an empty id and for one that is gone.
func (s *Service) cachedProfile(ctx context.Context, acc, id string) (*Profile, error) {
	if id == "" {
		return nil, nil
	}
	p, err := s.profiles.get(acc+id, func() (*Profile, error) {
		p, err := s.profile(ctx, s.db.Read(), acc, id)
		if fault.Is(err, fault.NotFound) {
			return nil, nil
		}
		return &p, err
	})
	return p, err
}
