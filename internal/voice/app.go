package voice

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/number"
	"github.com/opentact/opentact/internal/voice/flow"
)

// App is a SIP control app: it runs a call flow for the calls of its numbers.
type App struct {
	ID, Account, Name string
	Active            bool
	Product           int // 0: none
	TechPrefix        int
	AutoAnswer        bool
	MaxMinutes        int // 0: the platform's longest call
	VerifyPolicy      int
	MinAttest         string
	WebhookURL        string
	WebhookMethod     string
	WebhookTimeout    *int // milliseconds; nil: default, 0: none
	WebhookSecret     string
	FlowURL           string
	FlowMethod        string
	FlowTimeout       *int // milliseconds; nil: default, 0: none
	FallbackURL       string
	Ingress, Egress   TrunkSettings
	Profile           string // outbound voice profile of its Dials; "" is the account's oldest active one
	ParkTimeout       time.Duration
	StaticFlow        string
	CreatedBy         string
	ModifiedBy        string
	Created, Modified time.Time
}

// TrunkSettings are the media settings of an app.
type TrunkSettings struct {
	MediaType string `json:"media_type"`
}

// mediaType is what apps always use (voice-semantics §6).
const mediaType = "Proxy Media + Transcoding"

// tech prefixes of apps have six digits.
const (
	lowestPrefix = 100000
	prefixes     = 900000
	prefixTries  = 50
)

// newApp is an app with the contract's defaults.
func newApp(account, user string, now time.Time) App {
	return App{
		ID: ident.New(), Account: account, Active: true, MinAttest: "C", WebhookMethod: "POST", FlowMethod: "GET", ParkTimeout: defaultParkTimeout,
		Ingress: TrunkSettings{mediaType}, Egress: TrunkSettings{mediaType}, CreatedBy: user, Created: now, Modified: now,
	}
}

// CreateApp makes an app: change fills it in.
func (s *Service) CreateApp(ctx context.Context, account, user string, change func(*App)) (App, error) {
	var made App
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		a := newApp(account, user, s.now())
		change(&a)
		if err := s.checkApp(ctx, tx, &a); err != nil {
			return err
		}
		var err error
		if a.TechPrefix, err = s.claimPrefix(ctx, tx, &a); err != nil {
			return err
		}
		made = a
		return insertApp(ctx, tx, &a)
	})
	return made, err
}

// checkApp finds the objects that an app names.
func (s *Service) checkApp(ctx context.Context, q db.Querier, a *App) error {
	if s.cfg.Profiles == nil {
		return nil
	}
	if a.Profile != "" {
		if _, err := s.cfg.Profiles.ProfileView(ctx, q, a.Account, a.Profile); err != nil {
			return err
		}
	}
	if a.Product != 0 {
		if _, err := s.cfg.Profiles.ProductView(ctx, q, a.Account, a.Product); err != nil {
			return err
		}
	}
	return nil
}

// claimPrefix gives the app a tech prefix that nobody has. The schema holds it unique among apps.
func (s *Service) claimPrefix(ctx context.Context, tx *db.Tx, a *App) (int, error) {
	if s.cfg.Prefixes != nil {
		return s.cfg.Prefixes.ClaimPrefix(ctx, tx, a.Account, a.ID)
	}
	for range prefixTries {
		n, err := rand.Int(rand.Reader, big.NewInt(prefixes))
		if err != nil {
			return 0, fmt.Errorf("tech prefix: %w", err)
		}
		p := lowestPrefix + int(n.Int64())
		if taken, err := prefixTaken(ctx, tx, p); err != nil || !taken {
			return p, err
		}
	}
	return 0, fault.Newf(fault.Unavailable, "no free tech prefix")
}

// ChangeApp changes an app of the account; live calls keep the old values.
func (s *Service) ChangeApp(ctx context.Context, account, user, id string, change func(*App)) (App, error) {
	var out App
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		a, err := appOf(ctx, tx, account, id)
		if err != nil {
			return err
		}
		profile, product := a.Profile, a.Product
		change(&a)
		if a.Profile != profile || a.Product != product {
			if err := s.checkApp(ctx, tx, &a); err != nil {
				return err
			}
		}
		a.ModifiedBy, a.Modified = user, s.now()
		out = a
		tx.After(s.hots.apps.drop)
		return updateApp(ctx, tx, &a)
	})
	return out, err
}

// RemoveApp removes an app that no lease is tied to; fault.InUse otherwise.
func (s *Service) RemoveApp(ctx context.Context, account, id string) (App, error) {
	var out App
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if out, err = appOf(ctx, tx, account, id); err != nil {
			return err
		}
		leases, err := s.cfg.Numbers.ByApp(ctx, tx, account, id)
		if err != nil {
			return err
		}
		if len(leases) > 0 {
			return fault.Busy("SIP control app")
		}
		if s.cfg.Prefixes != nil {
			if err := s.cfg.Prefixes.FreePrefix(ctx, tx, id); err != nil {
				return err
			}
		}
		tx.After(s.hots.apps.drop)
		return deleteApp(ctx, tx, id)
	})
	return out, err
}

// App reads an app of the account; a 404 "SIP control app not found".
func (s *Service) App(ctx context.Context, account, id string) (App, error) {
	return appOf(ctx, s.db.Read(), account, id)
}

// Apps lists the account's apps, newest first.
func (s *Service) Apps(ctx context.Context, account string) ([]App, error) {
	return appsOf(ctx, s.db.Read(), account)
}

// AssignLeases ties leases to an app and unties others, all or nothing, and gives those that are tied now.
func (s *Service) AssignLeases(ctx context.Context, by number.By, id string, add, remove []string) ([]number.Lease, error) {
	var out []number.Lease
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if _, err = appOf(ctx, tx, by.Account, id); err != nil {
			return err
		}
		out, err = s.cfg.Numbers.Assign(ctx, tx, by, number.Target{App: id}, add, remove)
		return err
	})
	return out, err
}

// SaveFlow keeps a document as the app's static call flow and gives its warnings; fault.InvalidXML for one that is refused.
func (s *Service) SaveFlow(ctx context.Context, account, user, id, xml string) (App, []string, error) {
	warnings, err := lint(xml)
	if err != nil {
		return App{}, nil, err
	}
	a, err := s.ChangeApp(ctx, account, user, id, func(a *App) { a.StaticFlow = xml })
	return a, warnings, err
}

// RemoveFlow removes the static call flow; a 404 when there is none.
func (s *Service) RemoveFlow(ctx context.Context, account, user, id string) error {
	a, err := s.App(ctx, account, id)
	if err != nil {
		return err
	}
	if a.StaticFlow == "" {
		return fault.New(fault.NotFound)
	}
	_, err = s.ChangeApp(ctx, account, user, id, func(a *App) { a.StaticFlow = "" })
	return err
}

// lint checks a document; its refusal names the member xml.
func lint(xml string) ([]string, error) {
	warnings, err := flow.Lint([]byte(xml))
	if err != nil {
		return nil, err
	}
	if warnings == nil {
		warnings = []string{}
	}
	return warnings, nil
}

// AppView shows an app inside other objects: scalars. "null" for an empty id.
func (s *Service) AppView(ctx context.Context, q db.Querier, account, id string) (json.RawMessage, error) {
	if id == "" {
		return null, nil
	}
	a, err := appOf(ctx, q, account, id)
	if err != nil {
		return nil, err
	}
	return encode(appScalars(&a)), nil
}
