package fetch

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// follow gives the next hop when the answer is a redirect that can be followed, else nil. 303 makes any request but HEAD a GET, 301
// and 302 make a POST a GET; 307 and 308 repeat the request (RFC 9110 §15.4).
func follow(h hop, status int, answer http.Header) *hop {
	next := hop{method: h.method, body: h.body, header: h.header.Clone()}
	switch status {
	case http.StatusMovedPermanently, http.StatusFound:
		if h.method == http.MethodPost {
			next.method = http.MethodGet
		}
	case http.StatusSeeOther:
		if h.method != http.MethodHead {
			next.method = http.MethodGet
		}
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil
	}
	location, err := url.Parse(answer.Get("Location"))
	if err != nil || answer.Get("Location") == "" {
		return nil
	}
	next.url = h.url.ResolveReference(location)
	if next.url.Fragment == "" {
		next.url.Fragment = h.url.Fragment
	}
	if next.method != h.method {
		next.body = nil
		drop(next.header, bodyHeaders)
	}
	if origin(h.url) != origin(next.url) {
		drop(next.header, credentialHeaders)
	}
	return &next
}

func drop(h http.Header, names []string) {
	for _, n := range names {
		h.Del(n)
	}
}

// origin is what credentials belong to: scheme, host and port.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// bodyHeaders describe a body and go with it.
var bodyHeaders = []string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Location", "Digest", "Content-Digest"}

// credentialHeaders are not carried to another origin.
var credentialHeaders = []string{
	"Authorization", "Cookie", "Host", "Proxy-Authorization", "Www-Authenticate", "X-Api-Key", "Api-Key", "X-Auth-Token", "X-Access-Token",
	"X-Csrf-Token",
}

// ownHeaders are the transport's to write; a caller's are ignored (RFC 9110 §7.6.1).
var ownHeaders = []string{
	"Connection", "Content-Length", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}
