package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/opentact/opentact/internal/fault"
)

// Auth says who may call an operation.
type Auth int

// The rules, as the columns of the contract: "-", U, AA, S, U or S, A, P, U or P; Optional looks at a credential
// only when there is one.
const (
	NoAuth Auth = iota
	User
	AccountAdmin
	SIPUser
	UserOrSIPUser
	Admin
	Provider
	UserOrProvider
	Optional
)

// Roles of an identity.
const (
	RoleUser     = "User"
	RoleAdmin    = "Admin"
	RoleProvider = "Provider"
	RoleSIPUser  = "SIPUser"
)

// Identity is who is asking.
type Identity struct {
	Account      string // uuid; with X-Account the one acted for
	User         string // uuid; empty for SIP users
	Email        string
	Role         string
	AccountAdmin bool
	Scopes       []string // of an API token; empty or "*" is everything
	SIPUser      string   // uuid of a SIP user, else empty
	Token        string   // uuid of the API token used
	JTI          string   // of the JWT used
	Unlimited    bool     // no rate limit
	Zone         string   // the account's time zone name
}

// Anonymous tells that nobody signed in.
func (i Identity) Anonymous() bool { return i.User == "" && i.SIPUser == "" }

// IsAdmin tells whether it is a platform operator.
func (i Identity) IsAdmin() bool { return i.Role == RoleAdmin }

// Authenticator checks a credential. A bad one is fault.Unauthorized, a disabled account fault.AccessDenied; other
// errors are failures of the check itself. actFor is the X-Account header, which only an Admin may use.
type Authenticator interface {
	Authenticate(ctx context.Context, c Credentials, actFor string) (Identity, error)
}

// AuthFunc is an Authenticator made of a function.
type AuthFunc func(ctx context.Context, c Credentials, actFor string) (Identity, error)

// Authenticate calls the function.
func (f AuthFunc) Authenticate(ctx context.Context, c Credentials, actFor string) (Identity, error) {
	return f(ctx, c, actFor)
}

// scope is what an API token needs for an operation.
type scope struct {
	group string
	read  bool
}

// knowsGroup tells whether a token can be given the group.
func knowsGroup(group string) bool {
	switch group {
	case "account", "billing", "numbers", "sip", "voice", "messaging", "events", "admin":
		return true
	}
	return false
}

// scopeOf derives the scope from the Op: its own group, or the one of its tag. A group that no token can have is a broken program.
func scopeOf(op Op) scope {
	if op.SignIn {
		return scope{}
	}
	s := scope{group: op.Scope, read: op.Method == http.MethodGet || op.Method == http.MethodHead || readingPath(op.Path)}
	if g, reading := strings.CutSuffix(s.group, ":read"); reading {
		s.group, s.read = g, true
	}
	if s.group == "" {
		s.group = groupOf(op.Tag)
	}
	if !knowsGroup(s.group) {
		panic(fmt.Sprintf("httpapi: operation %s has the unknown scope %q", op.ID, op.Scope))
	}
	return s
}

func groupOf(tag string) string {
	switch tag {
	case "Payment", "Transaction", "Invoice", "Report":
		return "billing"
	case "Dictionary", "TN", "TN_Order", "TN_Lease", "TN_Profile":
		return "numbers"
	case "SIP_Product", "SIP_Connection", "SIP_Control_App", "SIP_Domain", "SIP_User", "SIP_User_Invite", "SIP_Switch", "App":
		return "sip"
	case "Outbound_Voice_Profile", "Call", "Record", "Batch":
		return "voice"
	case "Messaging_Profile", "SMS", "TCR":
		return "messaging"
	case "Event", "Webhook":
		return "events"
	case "Admin":
		return "admin"
	}
	return "account"
}

// Rule says who may use what is not an Op: the role, and the scope that an API token needs ("events:read"; empty: any token).
type Rule struct {
	Auth  Auth
	Scope string
}

// admits checks role and scope.
func (r Rule) admits(id Identity) error {
	if err := allowed(r.Auth, id); err != nil {
		return err
	}
	group, read := strings.CutSuffix(r.Scope, ":read")
	if !(scope{group: group, read: read}).allows(id.Scopes) {
		return fault.New(fault.AccessDenied)
	}
	return nil
}

// allows tells whether the scopes of a token cover it.
func (s scope) allows(scopes []string) bool {
	if len(scopes) == 0 || s.group == "" {
		return true
	}
	for _, have := range scopes {
		if have == "*" || have == s.group || s.read && have == s.group+":read" {
			return true
		}
	}
	return false
}

// allowed checks role against rule.
func allowed(auth Auth, id Identity) error {
	sip := id.SIPUser != ""
	provider := id.Role == RoleProvider && !sip
	admin := id.Role == RoleAdmin && !sip
	user := !sip && !provider
	ok := false
	switch auth {
	case NoAuth, Optional:
		ok = true
	case User:
		ok = user
	case AccountAdmin:
		ok = user && (id.AccountAdmin || admin)
	case SIPUser:
		ok = sip
	case UserOrSIPUser:
		ok = true // providers sign in too
	case Admin:
		ok = admin
	case Provider:
		ok = provider
	case UserOrProvider:
		ok = user || provider
	}
	if !ok {
		return fault.New(fault.AccessDenied)
	}
	return nil
}

// admit finds the credential of a request, checks it, and checks role and scope.
func (a *API) admit(ctx context.Context, st *state, req *request) error {
	rule := st.op.op.Auth
	if rule == NoAuth {
		return nil
	}
	c, ok := FindCredentials(st.r)
	if !ok && req.formTyped() {
		if err := req.read(); err != nil {
			return err
		}
		c, ok = fromValues(req.fields, "jwt")
	}
	if !ok {
		if rule == Optional {
			return nil
		}
		return errNoCredential()
	}
	c.RemoteIP, c.SignIn = st.remote, st.op.op.SignIn
	id, err := a.signIn(ctx, c, st.r.Header.Get(headerActFor))
	if err != nil {
		if c.SignIn && fault.Is(err, fault.AccessDenied) {
			return errNoCredential()
		}
		return err
	}
	st.identity = id
	if err := allowed(rule, id); err != nil {
		return err
	}
	if !st.op.scope.allows(id.Scopes) {
		return fault.New(fault.AccessDenied)
	}
	return nil
}

// signIn asks the Authenticator unless address or e-mail had too many bad tries.
func (a *API) signIn(ctx context.Context, c Credentials, actFor string) (Identity, error) {
	now := a.now()
	if wait := a.tries.blocked(c, now); wait > 0 {
		return Identity{}, &fault.Error{Code: fault.RateLimited, Retry: wait}
	}
	if c.Kind == None || a.opt.Auth == nil {
		a.tries.bad(c, now)
		return Identity{}, errNoCredential()
	}
	id, err := a.opt.Auth.Authenticate(ctx, c, lowerUUID(strings.TrimSpace(actFor)))
	if err == nil {
		a.tries.good(c)
		return id, nil
	}
	if fault.Is(err, fault.Unauthorized) {
		a.tries.bad(c, now)
		clean := errNoCredential()
		clean.Cause = errors.Unwrap(err)
		return Identity{}, clean
	}
	return Identity{}, err
}
