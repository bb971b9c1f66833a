package account

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
)

// Forms and lives of API tokens (rest-conventions §3.4).
const (
	tokenLength   = 48
	tokenPrefix   = 6
	tokenSuffix   = 4
	minOwnToken   = 16
	maxOwnToken   = 128
	minTTL        = time.Minute
	defaultTTL    = 31536000 * time.Second
	maxTTL        = 315360000 * time.Second
	lastUsedEvery = time.Minute
	maxScopes     = 32
)

// scopeGroups are the first words of scopes.
var scopeGroups = []string{"account", "billing", "numbers", "sip", "voice", "messaging", "events", "admin"}

// allScopes opens everything that the user's role allows.
const allScopes = "*"

// Token is an API token without the token itself, which nobody can read again.
type Token struct {
	ID         string
	User       string
	Name       string
	Prefix     string
	Last4      string
	TTL        time.Duration
	ExpiredOn  time.Time
	Scopes     []string
	LastUsedOn time.Time
	LastUsedIP string
	CreatedOn  time.Time
	ModifiedOn time.Time
}

// NewToken is what a token is made of; zero values take the defaults.
type NewToken struct {
	Name   string
	TTL    time.Duration
	Scopes []string
	Within []string // scopes of who asks: the new token gets none beyond them; nil: all
}

func hashToken(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// CreateToken makes an API token and gives it in clear, this once.
func (s *Service) CreateToken(ctx context.Context, user string, n NewToken) (Token, string, error) {
	t, secret, err := s.mint(user, n)
	if err != nil {
		return Token{}, "", err
	}
	err = s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		u, err := lockUser(ctx, tx, user)
		if err != nil {
			return err
		}
		if !u.DeletedOn.IsZero() {
			return fault.Missing("User")
		}
		return insertToken(ctx, tx, &t, hashToken(secret))
	})
	return t, secret, err
}

// CreateTokenFor is CreateToken for the user with this e-mail, as the operator's command does.
func (s *Service) CreateTokenFor(ctx context.Context, email string, n NewToken) (Token, string, error) {
	u, err := userByEmail(ctx, s.db.Read(), email)
	if err != nil {
		return Token{}, "", err
	}
	return s.CreateToken(ctx, u.ID, n)
}

func (s *Service) mint(user string, n NewToken) (Token, string, error) {
	var f fault.Fields
	length(&f, "name", n.Name, 1, maxName)
	if n.TTL == 0 {
		n.TTL = defaultTTL
	}
	checkTTL(&f, n.TTL)
	if len(n.Scopes) == 0 {
		n.Scopes = []string{allScopes}
		if len(n.Within) > 0 {
			n.Scopes = slices.Clone(n.Within)
		}
	}
	checkScopes(&f, n.Scopes)
	if err := f.Err(); err != nil {
		return Token{}, "", err
	}
	for _, scope := range n.Scopes {
		if !covers(n.Within, scope) {
			return Token{}, "", fault.New(fault.AccessDenied)
		}
	}
	now := s.now()
	secret := ident.Secret(tokenLength)
	t := Token{ID: newID(), User: user, Name: n.Name, TTL: n.TTL, ExpiredOn: now.Add(n.TTL), Scopes: n.Scopes, CreatedOn: now, ModifiedOn: now}
	t.Prefix, t.Last4 = secret[:tokenPrefix], secret[len(secret)-tokenSuffix:]
	return t, secret, nil
}

func checkTTL(f *fault.Fields, ttl time.Duration) {
	if ttl < minTTL || ttl > maxTTL {
		f.Add("ttl", "must be 60 to 315360000 seconds", int64(ttl/time.Second))
	}
}

func checkScopes(f *fault.Fields, scopes []string) {
	if len(scopes) > maxScopes {
		f.Add("scopes", "too many scopes", len(scopes))
		return
	}
	for i, sc := range scopes {
		if sc != allScopes && !slices.Contains(scopeGroups, strings.TrimSuffix(sc, ":read")) {
			f.Add("scopes."+strconv.Itoa(i), "unknown scope", sc)
		}
	}
}

// covers tells whether the scopes held allow one more token with the scope wanted; nil holds everything.
func covers(held []string, want string) bool {
	if held == nil || slices.Contains(held, allScopes) || slices.Contains(held, want) {
		return true
	}
	return slices.Contains(held, strings.TrimSuffix(want, ":read"))
}

// checkOwnToken checks a token that the operator chose: 16 to 128 visible ASCII characters without a dot, as a dot would make it a JWT.
func checkOwnToken(f *fault.Fields, token string) {
	bad := strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' || r == '.' })
	if len(token) < minOwnToken || len(token) > maxOwnToken || bad {
		f.Add("token", "must be 16 to 128 visible characters without a dot", nil)
	}
}

// Tokens lists the living tokens of a user, newest first.
func (s *Service) Tokens(ctx context.Context, user string) ([]Token, error) {
	return tokensOf(ctx, s.db.Read(), user, s.now())
}

// TokenPatch changes a token; a given TTL begins now.
type TokenPatch struct {
	Name *string
	TTL  *time.Duration
}

// UpdateToken changes name or life of a user's token.
func (s *Service) UpdateToken(ctx context.Context, user, id string, p TokenPatch) (Token, error) {
	var f fault.Fields
	if p.Name != nil {
		length(&f, "name", *p.Name, 1, maxName)
	}
	if p.TTL != nil {
		checkTTL(&f, *p.TTL)
	}
	if err := f.Err(); err != nil {
		return Token{}, err
	}
	var out Token
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		t, err := tokenOf(ctx, tx, user, id, s.now())
		if err != nil {
			return err
		}
		t.ModifiedOn = s.now()
		if p.Name != nil {
			t.Name = *p.Name
		}
		if p.TTL != nil {
			t.TTL, t.ExpiredOn = *p.TTL, t.ModifiedOn.Add(*p.TTL)
		}
		s.changed(tx)
		out = t
		return saveToken(ctx, tx, &t)
	})
	return out, err
}

// RemoveToken ends a token of the user, named by its uuid or by the token itself.
func (s *Service) RemoveToken(ctx context.Context, user, key string) (Token, error) {
	id, hash := "", hashToken(key)
	if v, err := ident.Parse(key); err == nil {
		id = v
	}
	var out Token
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		s.changed(tx)
		out, err = removeToken(ctx, tx, user, id, hash)
		return err
	})
	return out, err
}

// RemoveTokens ends all tokens of the user.
func (s *Service) RemoveTokens(ctx context.Context, user string) error {
	return s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		s.changed(tx)
		return removeTokensOf(ctx, tx, user)
	})
}

// RemoveExpired takes away what is over: API tokens, revocations, reset tokens and cart entries. It gives the number of rows.
func (s *Service) RemoveExpired(ctx context.Context) (int64, error) {
	var n int64
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		n, err = removeExpired(ctx, tx, s.now())
		return err
	})
	return n, err
}
