package fetch

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// MaxURL is the longest URL that is accepted, in bytes.
const MaxURL = 4096

// CheckURL refuses a URL that can never be fetched: bad syntax, another scheme than http and https, no host, a port other than 80,
// 443 and 1024 to 65535, or a literal address (or localhost) that the policy forbids. Names are not resolved: Do does that each time.
// The error is a *Error of kind URL or Address.
func (p Policy) CheckURL(s string) error {
	_, err := p.parse(s)
	return err
}

func (p Policy) parse(s string) (*url.URL, error) {
	if len(s) > MaxURL {
		return nil, badURL("URL is longer than " + strconv.Itoa(MaxURL) + " characters")
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, badURL("invalid URL") // the cause may quote a password
	}
	return u, p.checkParsed(u)
}

func (p Policy) checkParsed(u *url.URL) error {
	switch {
	case u.Scheme == "":
		return badURL("URL must start with http:// or https://")
	case u.Scheme != "http" && u.Scheme != "https":
		return badURL("URL scheme not allowed: " + u.Scheme)
	case u.Opaque != "" || u.Hostname() == "":
		return badURL("URL has no host")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.Atoi(port); err != nil || !portAllowed(n) {
			return badURL("port not allowed: " + port)
		}
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if a, err := netip.ParseAddr(host); err == nil {
		return p.Check(a)
	}
	if !p.AllowPrivate && (host == "localhost" || strings.HasSuffix(host, ".localhost")) {
		return &Error{Kind: Address, Message: "address not allowed: " + host}
	}
	return nil
}

func badURL(message string) error { return &Error{Kind: URL, Message: message} }

func portAllowed(n int) bool { return n == 80 || n == 443 || n >= 1024 && n <= 65535 }
