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

// relations shows products inside each other.
type relations struct{ m *domains }

var null = json.RawMessage("null")

// AppView shows a SIP control app.
func (r relations) AppView(context.Context, db.Querier, string, string) (json.RawMessage, error) {
	return null, nil
}

// ProfileView shows a messaging profile.
func (r relations) ProfileView(context.Context, db.Querier, string, string) (json.RawMessage, error) {
	return null, nil
}

// CampaignView shows an SMS campaign.
func (r relations) CampaignView(context.Context, db.Querier, string, string) (json.RawMessage, error) {
	return null, nil
}
