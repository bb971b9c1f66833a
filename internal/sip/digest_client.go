package sip

import (
	"strings"

	"github.com/icholy/digest"
)

// answerChallenge gives the credentials for the strongest algorithm of a 401 or 407. It answers no other realm than the one that is set, no
// qop it cannot do, and a second challenge only when the first nonce was stale: a wrong password stays wrong.
func answerChallenge(m *message, auth *Auth, method, uri string, tries int) (Header, bool) {
	if auth == nil || tries >= maxAuthTry {
		return Header{}, false
	}
	from, to := "WWW-Authenticate", "Authorization"
	if m.status == 407 {
		from, to = "Proxy-Authenticate", "Proxy-Authorization"
	}
	var best *digest.Challenge
	for _, h := range m.headers {
		if h.Name != from || len(h.Value) < 7 || !strings.EqualFold(h.Value[:7], digest.Prefix) {
			continue
		}
		chal, err := digest.ParseChallenge(digest.Prefix + h.Value[7:])
		if err != nil || auth.Realm != "" && chal.Realm != auth.Realm || tries > 0 && !chal.Stale {
			continue
		}
		if strength(chal) > strength(best) {
			best = chal
		}
	}
	if strength(best) == 0 {
		return Header{}, false
	}
	credentials, err := digest.Digest(best, digest.Options{Method: method, URI: uri, Username: clean(auth.User), Password: auth.Password, Count: 1})
	if err != nil {
		return Header{}, false
	}
	return Header{to, credentials.String()}, true
}

// strength orders algorithms (RFC 8760 §2.1); 0 is one we do not use.
func strength(c *digest.Challenge) int {
	if c == nil || len(c.QOP) > 0 && !c.SupportsQOP("auth") {
		return 0
	}
	switch strings.ToUpper(c.Algorithm) {
	case "", "MD5":
		return 1
	case "SHA-256":
		return 2
	}
	return 0
}
