package app

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
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
	acct, err = s.accounts.PlainView(ctx, q, w.Account)
	return user, acct, err
}

// appViews shows SIP control apps and calls; voice is it.
type appViews interface {
	AppView(ctx context.Context, q db.Querier, account, id string) (json.RawMessage, error)
	CallView(ctx context.Context, account, id string) (json.RawMessage, error)
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

// objects shows what entries of the ledger are about, by their kinds (numbers-and-money §5).
type objects struct{ m *domains }

// RefObject shows the lease, message or call of an entry; null when it is gone, or for kinds without an object.
func (o objects) RefObject(ctx context.Context, refType, account, id string) (json.RawMessage, error) {
	view, err := o.show(ctx, refType, account, id)
	if fault.Is(err, fault.NotFound) || err == nil && view == nil {
		return json.RawMessage("null"), nil
	}
	return view, err
}

func (o objects) show(ctx context.Context, refType, account, id string) (json.RawMessage, error) {
	switch refType {
	case "sms_outgoing", "sms_incoming", "mms_outgoing", "mms_incoming":
		return o.m.messages.MessageView(ctx, account, id)
	case "voice_outgoing", "voice_incoming", "tts", "call_asr":
		if o.m.voice == nil {
			return nil, nil
		}
		return o.m.voice.CallView(ctx, account, id)
	case "tcr_campaign_nrc", "tcr_campaign_mrc":
		return nil, nil
	}
	if strings.HasSuffix(refType, "_nrc") || strings.HasSuffix(refType, "_mrc") { // of a number or one of its features
		return o.m.numbers.LeaseView(ctx, account, id)
	}
	return nil, nil
}
