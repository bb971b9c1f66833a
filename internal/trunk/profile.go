package trunk

import (
	"context"
	"slices"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
)

// Values of Profile.Record.
const (
	RecordNever   = 0
	RecordAlways  = 1
	RecordCallers = 2 // calls whose caller number is listed
)

// DefaultMedia is the media type of profiles that name no other.
const DefaultMedia = "Proxy Media + Transcoding"

// TrunkSettings are kept and shown; only an administrator sets the numbers. Their JSON is the wire's and the database's alike.
type TrunkSettings struct {
	Media        string `json:"media_type"`
	CallLimit    *int   `json:"call_limit"`
	CPSLimit     *int   `json:"cps_limit"`
	MaxDuration  *int   `json:"max_duration"`
	RingTimeout  *int   `json:"ring_timeout"`
	PDD          *int   `json:"pdd"`
	MediaTimeout *int   `json:"media_timeout"`
}

// Profile is an outbound voice profile: permission, limits and identity for calls to the public network.
type Profile struct {
	ID            string
	Account       string
	Name          string
	Active        bool
	Product       int    // 0: none, which is the default one for calls
	Lease         string // caller ID
	TechPrefix    int
	Trunk         TrunkSettings
	SignPolicy    int           // STIR/SHAKEN, 0..3
	Channels      *float64      // parallel calls; nil: only the account's limit
	CPS           *float64      // new calls a second; nil: only the account's limit
	MaxRate       *money.Amount // per minute
	DailyLimit    *money.Amount // per UTC day
	Record        int
	RecordCallers []e164.Number
	Format        string // wav, mp3
	Tracks        int    // 0: both sides mixed, 1: two channels
	MaxDuration   time.Duration
	Countries     []string // nil: those of the account
	CreatedBy     string
	ModifiedBy    string
	Created       time.Time
	Modified      time.Time
}

// NewProfile gives the defaults.
func NewProfile(account, user string) Profile {
	cps := 5.0
	return Profile{
		Account: account, Active: true, Product: DefaultProduct, Trunk: TrunkSettings{Media: DefaultMedia}, CPS: &cps, RecordCallers: []e164.Number{},
		Format: "wav", MaxDuration: 4 * time.Hour, CreatedBy: user,
	}
}

// Records tells whether a call that shows this caller number is to be recorded.
func (p Profile) Records(from e164.Number) bool {
	return p.Record == RecordAlways || p.Record == RecordCallers && slices.Contains(p.RecordCallers, from)
}

// Profiles lists an account's profiles, newest first.
func (s *Service) Profiles(ctx context.Context, q db.Querier, account string) ([]Profile, error) {
	return profiles(ctx, q, account)
}

// Profile gives a profile of the account, or a 404 "Outbound voice profile not found".
func (s *Service) Profile(ctx context.Context, q db.Querier, account, id string) (Profile, error) {
	return profileByID(ctx, q, account, id, "")
}

// AddProfile keeps a new profile; a tech prefix of zero is assigned, one in use is a 409, a foreign lease or product a 404.
func (s *Service) AddProfile(ctx context.Context, p Profile) (Profile, error) {
	var out Profile
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		out, err = s.AddProfileIn(ctx, tx, p)
		return err
	})
	return out, err
}

// AddProfileIn is AddProfile within a transaction that does more, such as the one that makes an account.
func (s *Service) AddProfileIn(ctx context.Context, tx *db.Tx, p Profile) (Profile, error) {
	want := p.TechPrefix
	p.ID = ident.New()
	p, err := s.related(ctx, tx, p)
	if err != nil {
		return p, err
	}
	if p.TechPrefix, err = s.ClaimPrefix(ctx, tx, want, PrefixOwner{PrefixProfile, p.Account, p.ID}); err != nil {
		return p, err
	}
	return insertProfile(ctx, tx, p, s.now())
}

// ChangeProfile changes a profile by change, which may run more than once.
func (s *Service) ChangeProfile(ctx context.Context, account, id string, change func(*Profile)) (Profile, error) {
	var p Profile
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if p, err = profileByID(ctx, tx, account, id, tx.ForUpdate()); err != nil {
			return err
		}
		old := p.TechPrefix
		change(&p)
		if p, err = s.related(ctx, tx, p); err != nil {
			return err
		}
		if p.TechPrefix != old {
			return s.movePrefix(ctx, tx, &p)
		}
		p, err = updateProfile(ctx, tx, p, s.now())
		return err
	})
	return p, err
}

// movePrefix claims the new prefix before the row that points to it changes, and frees the old one after it.
func (s *Service) movePrefix(ctx context.Context, tx *db.Tx, p *Profile) (err error) {
	want := p.TechPrefix
	if err := parkPrefix(ctx, tx, p.ID); err != nil {
		return err
	}
	if p.TechPrefix, err = s.ClaimPrefix(ctx, tx, want, PrefixOwner{PrefixProfile, p.Account, p.ID}); err != nil {
		return err
	}
	if *p, err = updateProfile(ctx, tx, *p, s.now()); err != nil {
		return err
	}
	return s.FreePrefix(ctx, tx, parked(p.ID))
}

// related checks the objects that a profile points to; the lease is kept by its uuid, also when it was named by its number.
func (s *Service) related(ctx context.Context, tx *db.Tx, p Profile) (Profile, error) {
	if p.Product != 0 {
		if _, err := s.Product(ctx, tx, p.Account, p.Product); err != nil {
			return p, err
		}
	}
	if p.Lease != "" {
		l, err := s.numbers.ByKey(ctx, tx, p.Account, p.Lease)
		if err != nil {
			return p, err
		}
		p.Lease = l.ID
	}
	return p, nil
}

// RemoveProfile removes a profile and gives it; hooks untie others from it or keep it with a 409.
func (s *Service) RemoveProfile(ctx context.Context, account, id string) (Profile, error) {
	var p Profile
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if p, err = profileByID(ctx, tx, account, id, tx.ForUpdate()); err != nil {
			return err
		}
		for _, hook := range s.onRemove {
			if err := hook(ctx, tx, account, id); err != nil {
				return err
			}
		}
		if err := deleteProfile(ctx, tx, id); err != nil {
			return err
		}
		return s.FreePrefix(ctx, tx, id)
	})
	return p, err
}
