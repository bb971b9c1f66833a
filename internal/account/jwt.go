package account

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
)

// Life of a JWT and the skew of clocks that is forgiven (rest-conventions §3.3).
const (
	jwtLife    = 86400 * time.Second
	jwtSkew    = 60 * time.Second
	jwtSetting = "account.jwt_secret"
)

// claims are what a JWT says. The session of the user stands in front of the jti, so that a password change ends all JWTs made before it, to the
// one, whatever the clocks of the nodes say.
type claims struct {
	UUID   string   `json:"uuid"`
	Role   Role     `json:"role"`
	Domain string   `json:"domain"`
	Scopes []string `json:"scopes,omitempty"` // only when it was got by an API token that may not do everything
	jwt.RegisteredClaims
}

func (c *claims) session() (int64, error) {
	head, _, ok := strings.Cut(c.ID, "-")
	if !ok {
		return 0, errors.New("no session in jti")
	}
	return strconv.ParseInt(head, 10, 64)
}

// key gives the signing secret, read or made at the first use; all nodes of a database share it.
func (s *Service) key(ctx context.Context) ([]byte, error) {
	if k := s.jwtKey.Load(); k != nil {
		return *k, nil
	}
	fresh := make([]byte, minSecret)
	_, _ = rand.Read(fresh) // never fails since Go 1.24
	var text string
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		text, _, err = keepSetting(ctx, tx, jwtSetting, hex.EncodeToString(fresh), s.now())
		return err
	})
	if err != nil {
		return nil, err
	}
	k, err := hex.DecodeString(text)
	if err != nil || len(k) < minSecret {
		return nil, errors.New("account: the stored JWT secret is damaged")
	}
	s.jwtKey.Store(&k)
	return k, nil
}

// sign makes a fresh JWT of 24 hours.
func (s *Service) sign(ctx context.Context, id string, role Role, domain string, session int64, scopes []string) (string, error) {
	k, err := s.key(ctx)
	if err != nil {
		return "", err
	}
	now := s.now().Truncate(time.Second)
	c := claims{UUID: id, Role: role, Domain: domain, RegisteredClaims: jwt.RegisteredClaims{
		ID: strconv.FormatInt(session, 10) + "-" + newID(), IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(jwtLife)),
	}}
	if len(scopes) > 0 && !covers(scopes, allScopes) {
		c.Scopes = scopes
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(k)
}

// readJWT checks form, algorithm, signature and times; everything else is Unauthorized.
func (s *Service) readJWT(ctx context.Context, text string) (claims, error) {
	k, err := s.key(ctx)
	if err != nil {
		return claims{}, err
	}
	var c claims
	_, err = jwt.ParseWithClaims(text, &c, func(*jwt.Token) (any, error) { return k, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithLeeway(jwtSkew), jwt.WithIssuedAt(), jwt.WithExpirationRequired(),
		jwt.WithTimeFunc(s.now))
	if err != nil || c.UUID == "" || c.ID == "" {
		return claims{}, fault.Wrap(fault.Unauthorized, err)
	}
	return c, nil
}

// Revoke ends one JWT before its time.
func (s *Service) Revoke(ctx context.Context, jti string) error {
	return s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		s.changed(tx)
		return revokeJTI(ctx, tx, jti, s.now().Add(jwtLife+jwtSkew))
	})
}
