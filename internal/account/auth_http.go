package account

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/ident"
)

// maxCredential is the most bytes of a credential that are looked at.
const maxCredential = 4096

// principal is what a good credential stands for: a user, or a SIP user.
type principal struct {
	user    User
	sip     SIPUser
	account Account
	scopes  []string // nil: all
	token   string   // id of the API token
	jti     string   // of the JWT
}

// Authenticate implements httpapi.Authenticator. A bad credential is fault.Unauthorized, a disabled account or a forbidden actFor is
// fault.AccessDenied, an unknown actFor fault.NotFound.
func (s *Service) Authenticate(ctx context.Context, c httpapi.Credentials, actFor string) (httpapi.Identity, error) {
	p, err := s.recognise(ctx, c)
	if err != nil {
		if db.Down(err) {
			err = fault.Wrap(fault.Unavailable, err)
		}
		return httpapi.Identity{}, err
	}
	if !p.account.Active() {
		return httpapi.Identity{}, fault.New(fault.AccessDenied)
	}
	id := httpapi.Identity{
		Account: p.account.ID, User: p.user.ID, Email: p.user.Email, Role: string(p.user.Role), AccountAdmin: p.user.Admin || p.user.Role == RoleAdmin,
		Scopes: p.scopes, SIPUser: p.sip.ID, Token: p.token, JTI: p.jti, Unlimited: p.account.Level == ServiceAccount, Zone: p.account.TimeZone,
	}
	if id.SIPUser != "" {
		id.Role = string(RoleSIPUser)
	}
	if actFor == "" || actFor == id.Account {
		return id, nil
	}
	if p.user.Role != RoleAdmin {
		return httpapi.Identity{}, fault.New(fault.AccessDenied)
	}
	if _, err := ident.Parse(actFor); err != nil {
		return httpapi.Identity{}, fault.Missing("Account")
	}
	other, err := s.Cached(ctx, actFor)
	if err != nil {
		return httpapi.Identity{}, err
	}
	id.Account, id.Zone = other.ID, other.TimeZone
	return id, nil
}

// recognise asks what is known of the credential from a moment ago, else checks it.
func (s *Service) recognise(ctx context.Context, c httpapi.Credentials) (principal, error) {
	if len(c.Value)+len(c.User)+len(c.Password) > maxCredential || !utf8.ValidString(c.Value+c.User+c.Password) || strings.Contains(c.User, "\x00") {
		return principal{}, fault.New(fault.Unauthorized)
	}
	key := s.print(c)
	p, ok, gen := s.identities.get(key)
	if ok && !c.SignIn { // a sign-in outlives the moment, so it is checked afresh: the password may have changed on another node
		return p, nil
	}
	p, err := s.check(ctx, c, key)
	if err != nil {
		return principal{}, err
	}
	if !p.user.DeletedOn.IsZero() {
		return principal{}, fault.New(fault.Unauthorized)
	}
	home := p.user.Account
	if p.sip.ID != "" {
		home = p.sip.Account
	}
	if p.account, err = loadAccount(ctx, s.db.Read(), home); err != nil {
		return principal{}, unknown(err)
	}
	s.identities.put(key, p, gen)
	return p, nil
}

// print is the credential as a key of look-ups; without the secret of this process it tells nothing.
func (s *Service) print(c httpapi.Credentials) (key [32]byte) {
	m := hmac.New(sha256.New, s.processed)
	var n [4]byte
	for _, part := range []string{c.Kind.String(), c.Value, c.User, c.Password} {
		binary.BigEndian.PutUint32(n[:], uint32(len(part)))
		m.Write(n[:])
		m.Write([]byte(part))
	}
	m.Sum(key[:0])
	return key
}

// unknown turns "no such row" into a bad credential; other trouble stays.
func unknown(err error) error {
	if fault.Is(err, fault.NotFound) {
		return fault.Wrap(fault.Unauthorized, err)
	}
	return err
}

func (s *Service) check(ctx context.Context, c httpapi.Credentials, key [32]byte) (principal, error) {
	switch c.Kind {
	case httpapi.Basic:
		return s.checkBasic(ctx, c.User, c.Password, key)
	case httpapi.JWT:
		return s.checkJWT(ctx, c.Value)
	case httpapi.APIToken:
		return s.checkToken(ctx, c.Value, c.RemoteIP)
	case httpapi.Google:
		return s.checkSocial(ctx, s.parts.Google, gmail, c.Value)
	case httpapi.Facebook:
		return s.checkSocial(ctx, s.parts.Facebook, facebook, c.Value)
	case httpapi.HA1B:
		if s.parts.SIPUsers == nil {
			break
		}
		u, err := s.parts.SIPUsers.ByHA1B(ctx, strings.ToLower(c.Value))
		return principal{sip: u}, unknown(err)
	}
	return principal{}, fault.New(fault.Unauthorized)
}

func (s *Service) checkBasic(ctx context.Context, email, password string, key [32]byte) (principal, error) {
	u, err := userByEmail(ctx, s.db.Read(), email)
	if fault.Is(err, fault.NotFound) {
		if err := s.hasher.pretend(ctx, password); err != nil {
			return principal{}, err
		}
	}
	if err != nil {
		return principal{}, unknown(err)
	}
	stored, ok, gen := s.basics.get(key)
	if ok && stored == u.password { // another password since then makes the entry useless on every node
		return principal{user: u}, nil
	}
	// Requests that bring the same pair at the same moment share one hash; it must not end with the first of them.
	good, err, _ := s.matches.Do(string(key[:])+u.password, func() (any, error) {
		return s.hasher.match(context.WithoutCancel(ctx), u.password, password)
	})
	if err != nil {
		return principal{}, err
	}
	if good != true {
		return principal{}, fault.New(fault.Unauthorized)
	}
	s.basics.put(key, u.password, gen)
	return principal{user: u}, nil
}

func (s *Service) checkJWT(ctx context.Context, text string) (principal, error) {
	c, err := s.readJWT(ctx, text)
	if err != nil {
		return principal{}, err
	}
	session, err := c.session()
	if err != nil {
		return principal{}, fault.Wrap(fault.Unauthorized, err)
	}
	if over, err := revokedJTI(ctx, s.db.Read(), c.ID); err != nil || over {
		if over {
			err = fault.New(fault.Unauthorized)
		}
		return principal{}, err
	}
	p := principal{jti: c.ID, scopes: c.Scopes}
	now := int64(0)
	switch {
	case c.Role != RoleSIPUser:
		p.user, err = loadUser(ctx, s.db.Read(), c.UUID)
		now = p.user.session
	case s.parts.SIPUsers == nil:
		return principal{}, fault.New(fault.Unauthorized)
	default:
		p.sip, err = s.parts.SIPUsers.ByID(ctx, c.UUID)
		now = p.sip.Session
	}
	if err != nil {
		return principal{}, unknown(err)
	}
	if now != session {
		return principal{}, fault.New(fault.Unauthorized)
	}
	return p, nil
}

func (s *Service) checkToken(ctx context.Context, secret, ip string) (principal, error) {
	t, err := tokenByHash(ctx, s.db.Read(), hashToken(secret), s.now())
	if err != nil {
		return principal{}, unknown(err)
	}
	u, err := loadUser(ctx, s.db.Read(), t.User)
	if err != nil {
		return principal{}, unknown(err)
	}
	s.touch(ctx, &t, ip)
	p := principal{user: u, token: t.ID, scopes: t.Scopes}
	if covers(t.Scopes, allScopes) {
		p.scopes = nil
	}
	return p, nil
}

// touch notes the use of a token, at most once a minute; a database that cannot take it now does not hold the request up.
func (s *Service) touch(ctx context.Context, t *Token, ip string) {
	now := s.now()
	since := now.Add(-lastUsedEvery)
	if t.LastUsedOn.After(since) {
		return
	}
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		return touchToken(ctx, tx, t.ID, ip, now, since)
	})
	if err != nil {
		s.log.WarnContext(ctx, "api token use not noted", "token", t.ID, "error", err)
	}
}

func (s *Service) checkSocial(ctx context.Context, from SignIn, by network, token string) (principal, error) {
	if from == nil {
		return principal{}, fault.New(fault.Unauthorized)
	}
	who, err := from.Verify(ctx, token)
	if err != nil {
		return principal{}, err
	}
	u, err := s.socialUser(ctx, by, who)
	return principal{user: u}, unknown(err)
}

// asker is the identity as the rules of this package want it.
func asker(id httpapi.Identity) Asker {
	return Asker{User: id.User, Account: id.Account, AccountAdmin: id.AccountAdmin, Admin: id.IsAdmin()}
}

// authRoutes are the operations of signing in and of API tokens.
func (s *Service) authRoutes(a *httpapi.API) {
	httpapi.Handle(a, httpapi.Op{
		ID: "Auth", Method: "GET", Path: "/rest/auth", Tag: "Auth", Auth: httpapi.UserOrSIPUser, SignIn: true,
		Summary: "Sign in: a fresh JWT",
	}, s.httpSignIn)
	httpapi.Handle(a, httpapi.Op{
		ID: "AuthForm", Method: "POST", Path: "/rest/auth", Tag: "Auth", Auth: httpapi.UserOrSIPUser, SignIn: true, Secret: true,
		Summary: "Sign in with credentials in a form",
	}, s.httpSignIn)
	httpapi.Handle(a, httpapi.Op{
		ID: "AuthRevoke", Method: "DELETE", Path: "/rest/auth", Tag: "Auth", Auth: httpapi.UserOrSIPUser, SignIn: true,
		Summary: "Sign out: the JWT of this request ends",
	}, s.httpSignOut)
	httpapi.Handle(a, httpapi.Op{
		ID: "CreateToken", Method: "POST", Path: "/rest/token", Tag: "Auth", Auth: httpapi.User, Status: 201, Secret: true,
		Summary: "Make an API token; it is shown only now",
	}, s.httpNewToken)
	httpapi.Handle(a, httpapi.Op{
		ID: "GetTokenList", Method: "GET", Path: "/rest/token/list", Tag: "Auth", Auth: httpapi.User,
		Summary: "API tokens of the user",
	}, s.httpTokens)
	httpapi.Handle(a, httpapi.Op{
		ID: "ModifyToken", Method: "PATCH", Path: "/rest/token/{uuid}", Tag: "Auth", Auth: httpapi.User,
		Summary: "Rename an API token, or restart its life",
	}, s.httpPatchToken)
	httpapi.Handle(a, httpapi.Op{
		ID: "RemoveAll", Method: "DELETE", Path: "/rest/token/all", Tag: "Auth", Auth: httpapi.User,
		Summary: "End all API tokens of the user",
	}, s.httpRemoveTokens)
	httpapi.Handle(a, httpapi.Op{
		ID: "RemoveByTokenString", Method: "DELETE", Path: "/rest/token/{token}", Tag: "Auth", Auth: httpapi.User,
		Summary: "End an API token, named by itself or by its uuid",
	}, s.httpRemoveToken)
}

// httpSignIn answers User with token, or SipUser with token.
func (s *Service) httpSignIn(ctx context.Context, _ *struct{}) (any, error) {
	id := httpapi.Who(ctx)
	if id.SIPUser != "" {
		return s.sipSignIn(ctx, id.SIPUser)
	}
	u, err := loadUser(ctx, s.db.Read(), id.User)
	if err != nil {
		return nil, unknown(err)
	}
	out, err := s.userFull(ctx, s.db.Read(), &u)
	if err != nil {
		return nil, err
	}
	out.Token, err = s.sign(ctx, u.ID, u.Role, s.baseDomain(), u.session, id.Scopes)
	return out, err
}

func (s *Service) sipSignIn(ctx context.Context, sipUser string) (any, error) {
	u, err := s.parts.SIPUsers.ByID(ctx, sipUser)
	if err != nil {
		return nil, unknown(err)
	}
	view, err := s.parts.SIPUsers.View(ctx, s.db.Read(), u.ID)
	if err != nil {
		return nil, err
	}
	token, err := s.sign(ctx, u.ID, RoleSIPUser, u.Domain, u.Session, nil)
	if err != nil {
		return nil, err
	}
	return withMember(view, "token", token)
}

func (s *Service) httpSignOut(ctx context.Context, _ *struct{}) (httpapi.Empty, error) {
	id := httpapi.Who(ctx)
	if id.JTI == "" {
		return httpapi.Empty{}, fault.Newf(fault.Validation, "only a JWT can be revoked here")
	}
	return httpapi.Empty{}, s.Revoke(ctx, id.JTI)
}

// tokenWire is Token; the value of Token is masked but in the answer that makes it.
type tokenWire struct {
	UUID       string        `json:"uuid"`
	Name       *string       `json:"name"`
	Token      string        `json:"token"`
	TTL        int64         `json:"ttl"`
	ExpiredOn  httpapi.Time  `json:"expired_on"`
	User       userRef       `json:"user"`
	CreatedOn  httpapi.Time  `json:"created_on"`
	ModifiedOn httpapi.Time  `json:"modified_on"`
	Prefix     string        `json:"prefix"`
	Last4      string        `json:"last4"`
	LastUsedOn *httpapi.Time `json:"last_used_on"`
	LastUsedIP *string       `json:"last_used_ip"`
	Scopes     []string      `json:"scopes"`
}

func (s *Service) tokenView(t *Token, u *User) tokenWire {
	return tokenWire{
		UUID: t.ID, Name: text(t.Name), Token: t.Prefix + "…" + t.Last4, TTL: int64(t.TTL / time.Second), ExpiredOn: httpapi.TimeOf(t.ExpiredOn), User: s.userRef(u),
		CreatedOn: httpapi.TimeOf(t.CreatedOn), ModifiedOn: httpapi.TimeOf(t.ModifiedOn), Prefix: t.Prefix, Last4: t.Last4,
		LastUsedOn: httpapi.TimeOrNil(t.LastUsedOn), LastUsedIP: text(t.LastUsedIP), Scopes: t.Scopes,
	}
}

type tokenNew struct {
	Name   string   `json:"name" required:"true" minLength:"1" maxLength:"255"`
	TTL    int64    `json:"ttl" min:"60" max:"315360000" default:"31536000" doc:"seconds"`
	Scopes []string `json:"scopes" maxItems:"32" doc:"* or groups, each alone or with :read"`
}

// Validate checks the scopes.
func (in *tokenNew) Validate(f *fault.Fields) { checkScopes(f, in.Scopes) }

func (s *Service) httpNewToken(ctx context.Context, in *tokenNew) (tokenWire, error) {
	id := httpapi.Who(ctx)
	t, secret, err := s.CreateToken(ctx, id.User, NewToken{Name: in.Name, TTL: time.Duration(in.TTL) * time.Second, Scopes: in.Scopes, Within: id.Scopes})
	if err != nil {
		return tokenWire{}, err
	}
	out, err := s.ownToken(ctx, &t)
	out.Token = secret
	return out, err
}

// ownToken renders a token of the user who asks.
func (s *Service) ownToken(ctx context.Context, t *Token) (tokenWire, error) {
	u, err := loadUser(ctx, s.db.Read(), t.User)
	return s.tokenView(t, &u), err
}

func (s *Service) httpTokens(ctx context.Context, in *httpapi.List) ([]tokenWire, error) {
	id := httpapi.Who(ctx)
	list, err := s.Tokens(ctx, id.User)
	if err != nil {
		return nil, err
	}
	u, err := loadUser(ctx, s.db.Read(), id.User)
	if err != nil {
		return nil, err
	}
	return httpapi.Listed(ctx, *in, list, func(t *Token) (tokenWire, error) { return s.tokenView(t, &u), nil })
}

type tokenPatch struct {
	UUID string              `path:"uuid" format:"uuid"`
	Name httpapi.Opt[string] `json:"name" minLength:"1" maxLength:"255" notnull:"true"`
	TTL  httpapi.Opt[int64]  `json:"ttl" min:"60" max:"315360000" notnull:"true" doc:"seconds from now"`
}

func (s *Service) httpPatchToken(ctx context.Context, in *tokenPatch) (tokenWire, error) {
	p := TokenPatch{Name: in.Name.Ptr(nil)}
	if in.TTL.Set {
		ttl := time.Duration(in.TTL.V) * time.Second
		p.TTL = &ttl
	}
	t, err := s.UpdateToken(ctx, httpapi.Who(ctx).User, in.UUID, p)
	if err != nil {
		return tokenWire{}, err
	}
	return s.ownToken(ctx, &t)
}

func (s *Service) httpRemoveTokens(ctx context.Context, _ *struct{}) (httpapi.Empty, error) {
	return httpapi.Empty{}, s.RemoveTokens(ctx, httpapi.Who(ctx).User)
}

type tokenKey struct {
	Token string `path:"token"`
}

func (s *Service) httpRemoveToken(ctx context.Context, in *tokenKey) (tokenWire, error) {
	t, err := s.RemoveToken(ctx, httpapi.Who(ctx).User, in.Token)
	if err != nil {
		return tokenWire{}, err
	}
	return s.ownToken(ctx, &t)
}
