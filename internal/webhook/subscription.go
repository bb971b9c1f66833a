package webhook

import (
	"context"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
)

// SaveSubscription makes a subscription, or changes that of the same URL and type, and makes or extends the endpoint. The ID of sub, when there is one, names
// the subscription that is to be changed. newSecret is not empty when the endpoint was made or its secret changed.
func (s *Service) SaveSubscription(ctx context.Context, sub Subscription, secret string) (out Subscription, made bool, newSecret string, err error) {
	var f fault.Fields
	checkOptional(&f, secret)
	f.Merge("", s.CheckURL(ctx, sub.URL))
	if err := f.Err(); err != nil {
		return out, false, "", err
	}
	err = s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		out, made, newSecret, err = s.saveSubscription(ctx, tx, sub, secret)
		return err
	})
	return out, made, newSecret, err
}

func (s *Service) saveSubscription(ctx context.Context, tx *db.Tx, sub Subscription, secret string) (out Subscription, made bool, newSecret string, err error) {
	now := s.now()
	if sub.ID != "" {
		old, found, err := subscriptionByID(ctx, tx, sub.Account, sub.ID)
		if err != nil {
			return out, false, "", err
		}
		if !found {
			return out, false, "", fault.Missing("Event subscription")
		}
		if old.URL != sub.URL {
			if err := s.removeSubscription(ctx, tx, sub.Account, sub.ID); err != nil {
				return out, false, "", err
			}
		}
		sub.Created = old.Created
	}
	e, found, err := endpointByURL(ctx, tx, sub.Account, sub.URL)
	if err != nil {
		return out, false, "", err
	}
	if !found {
		if e, err = s.newEndpoint(ctx, tx, sub.Account, sub.URL, secret, now); err != nil {
			return out, false, "", err
		}
		newSecret = e.Secret
	} else if secret != "" && secret != e.Secret {
		e.rotate(secret, now)
		e.Modified, newSecret = now, secret
		if err := saveEndpoint(ctx, tx, e); err != nil {
			return out, false, "", err
		}
	}
	sub.Endpoint, sub.Modified = e.ID, now
	if sub.Created.IsZero() {
		sub.Created = now
	}
	if out, made, err = saveSubscription(ctx, tx, sub); err != nil {
		return out, false, "", err
	}
	return out, made, newSecret, s.changed(ctx, tx, e.ID)
}

// checkOptional refuses a secret that endpoints cannot have, when one is given.
func checkOptional(f *fault.Fields, secret string) {
	if secret == "" {
		return
	}
	if err := CheckSecret(secret); err != nil {
		f.Add("secret", err.Error(), mask)
	}
}

// Subscriptions lists those of a user, newest first.
func (s *Service) Subscriptions(ctx context.Context, account, user string) ([]Subscription, error) {
	return subscriptionsOf(ctx, s.db.Read(), account, user)
}

// RemoveSubscription ends a subscription; an endpoint that only subscriptions made goes with the last of them.
func (s *Service) RemoveSubscription(ctx context.Context, account, id string) error {
	return s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return s.removeSubscription(ctx, tx, account, id) })
}

func (s *Service) removeSubscription(ctx context.Context, tx *db.Tx, account, id string) error {
	sub, found, err := subscriptionByID(ctx, tx, account, id)
	if err != nil {
		return err
	}
	if !found {
		return fault.Missing("Event subscription")
	}
	if err := deleteSubscription(ctx, tx, id); err != nil {
		return err
	}
	e, found, err := endpointByID(ctx, tx, sub.Endpoint)
	if err != nil || !found {
		return err
	}
	if !e.Own && len(e.Subscriptions) == 0 {
		return s.remove(ctx, tx, e.ID)
	}
	return s.changed(ctx, tx, e.ID)
}
