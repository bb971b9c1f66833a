package app

import (
	"context"
	"encoding/json"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/stream"
)

// sessions answers the websocket gate from the accounts.
type sessions struct {
	accounts *account.Service
	db       *db.DB
}

func (s sessions) Alive(ctx context.Context, w stream.Session) (bool, error) {
	return s.accounts.SessionAlive(ctx, s.db.Read(), w.User, w.Token, w.JTI)
}

func (s sessions) AuthViews(ctx context.Context, q db.Querier, w stream.Session) (user, acct json.RawMessage, err error) {
	if user, err = s.accounts.UserView(ctx, q, w.User); err != nil {
		return nil, nil, err
	}
	acct, err = s.accounts.RefView(ctx, q, w.Account)
	return user, acct, err
}

// appViews shows SIP control apps; voice is it.
type appViews interface {
	AppView(ctx context.Context, q db.Querier, account, id string) (json.RawMessage, error)
}

// relations shows products inside numbers.
type relations struct{ m *domains }

// AppView shows a SIP control app.
func (r relations) AppView(ctx context.Context, q db.Querier, account, id string) (json.RawMessage, error) {
	if id == "" || r.m.voice == nil {
		return json.RawMessage("null"), nil
	}
	return r.m.voice.AppView(ctx, q, account, id)
}

// ProfileView shows a messaging profile.
func (r relations) ProfileView(ctx context.Context, q db.Querier, account, id string) (json.RawMessage, error) {
	return r.m.messages.ProfileView(ctx, q, account, id)
}

// CampaignView shows an SMS campaign.
func (r relations) CampaignView(ctx context.Context, q db.Querier, account, id string) (json.RawMessage, error) {
	return r.m.messages.CampaignView(ctx, q, account, id)
}
