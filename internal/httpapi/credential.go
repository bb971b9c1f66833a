package httpapi

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// Kind is the kind of a credential.
type Kind int

// The kinds (rest-conventions §3.1). None marks one that is there but cannot be read.
const (
	None Kind = iota
	Basic
	JWT
	APIToken
	Google
	Facebook
	HA1B
)

// String names the kind for logs.
func (k Kind) String() string {
	return [...]string{"none", "basic", "jwt", "api_token", "google", "facebook", "ha1b"}[k]
}

// Credentials are what a request brought to prove who it is from.
type Credentials struct {
	Kind           Kind
	Value          string // all kinds but Basic
	User, Password string // Basic: e-mail and password
	RemoteIP       string
	SignIn         bool // the operation is a sign-in: a disabled account is then unauthorized, not denied
}

const (
	headerActFor      = "X-Account"
	headerIdempotency = "Idempotency-Key"
)

// TokenKind tells a JWT from an API token by its form: three dot-separated parts are a JWT.
func TokenKind(token string) Kind {
	if strings.Count(token, ".") == 2 {
		return JWT
	}
	return APIToken
}

func tokenCredential(token string) Credentials {
	return Credentials{Kind: TokenKind(token), Value: token}
}

// FindCredentials looks in headers, then in the query; the first one found decides.
func FindCredentials(r *http.Request) (Credentials, bool) {
	if h := strings.TrimSpace(r.Header.Get("Authorization")); h != "" {
		return fromAuthorization(h), true
	}
	if v := strings.TrimSpace(r.Header.Get("X-Auth-Token")); v != "" {
		return tokenCredential(v), true
	}
	for _, h := range []struct {
		name string
		kind Kind
	}{{"X-Auth-Google-Token", Google}, {"X-Auth-Facebook-Token", Facebook}, {"X-Auth-Ha1b-Token", HA1B}} {
		if v := strings.TrimSpace(r.Header.Get(h.name)); v != "" {
			return Credentials{Kind: h.kind, Value: v}, true
		}
	}
	if r.URL.RawQuery == "" {
		return Credentials{}, false
	}
	return fromValues(r.URL.Query(), "jwt", "bearer")
}

// fromValues looks in a query or a form; tokens names the parameters that hold a JWT or an API token.
func fromValues(v url.Values, tokens ...string) (Credentials, bool) {
	for _, name := range tokens {
		if s := v.Get(name); s != "" {
			return tokenCredential(s), true
		}
	}
	if s := v.Get("google_token"); s != "" {
		return Credentials{Kind: Google, Value: s}, true
	}
	if s := v.Get("facebook_token"); s != "" {
		return Credentials{Kind: Facebook, Value: s}, true
	}
	if s := v.Get("ha1b"); s != "" {
		return Credentials{Kind: HA1B, Value: s}, true
	}
	return Credentials{}, false
}

// fromAuthorization reads the header: Basic, Bearer, or a bare token.
func fromAuthorization(h string) Credentials {
	scheme, rest, two := strings.Cut(h, " ")
	rest = strings.TrimSpace(rest)
	switch {
	case !two:
		return tokenCredential(h)
	case strings.EqualFold(scheme, "Bearer") && rest != "":
		return tokenCredential(rest)
	case strings.EqualFold(scheme, "Basic"):
		b, err := base64.StdEncoding.DecodeString(rest)
		if err != nil {
			b, err = base64.RawStdEncoding.DecodeString(rest)
		}
		user, password, ok := strings.Cut(string(b), ":")
		if err == nil && ok {
			return Credentials{Kind: Basic, User: user, Password: password}
		}
	}
	return Credentials{Kind: None}
}
