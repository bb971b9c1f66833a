package account

import (
	"context"
	"strconv"
	"strings"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
)

// SessionAlive tells whether what was signed in with a JWT (its jti) or an API token (its uuid) may go on: the user is active, and the JWT or token was not
// ended. Expiry alone ends nothing: a websocket outlives its JWT.
func (s *Service) SessionAlive(ctx context.Context, q db.Querier, user, token, jti string) (bool, error) {
	u, err := s.UserByID(ctx, q, user)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !u.DeletedOn.IsZero() {
		return false, nil
	}
	a, err := s.Load(ctx, q, u.Account)
	if err != nil || !a.Active() {
		return false, err
	}
	if jti != "" {
		head, _, _ := strings.Cut(jti, "-")
		if n, err := strconv.ParseInt(head, 10, 64); err != nil || n != u.session {
			return false, nil
		}
		ended, err := revokedJTI(ctx, q, jti)
		return !ended, err
	}
	if token == "" {
		return true, nil
	}
	list, err := s.Tokens(ctx, user)
	for _, t := range list {
		if t.ID == token {
			return true, err
		}
	}
	return false, err
}
