package config

import (
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxDrain  = 24 * time.Hour
	maxRate   = 1_000_000
	minEvents = time.Hour // clients that were away come back to their cursor
	minMedia  = 4         // ports: a call with two legs
	firstUser = 1024      // the lowest port for media
)

var (
	domainForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)
	engineForm = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)
)

// Finish fills in the settings that follow from others and checks all; the error is Faults. Call it once after parsing.
func (c *Config) Finish() error {
	c.derive()
	var f Faults
	c.checkStores(&f)
	c.checkHTTP(&f)
	c.checkSIP(&f)
	c.checkRest(&f)
	return f.err()
}

func (c *Config) derive() {
	if c.DB == "" {
		c.DB = "sqlite:" + filepath.Join(c.Data, "opentact.db")
	}
	if c.Blob == "" {
		c.Blob = "file:" + filepath.Join(c.Data, "media")
	}
	if c.APIURL == "" {
		c.APIURL = c.ownURL()
	}
	c.APIURL = strings.TrimRight(c.APIURL, "/")
	c.Domain = strings.ToLower(strings.TrimSuffix(c.Domain, "."))
	for i, a := range c.SIPAddr {
		c.SIPAddr[i] = strings.TrimSpace(a)
	}
}

// ownURL is the HTTP address as a URL; an address that means "all" is named localhost, or by the public address.
func (c *Config) ownURL() string {
	host, port, err := net.SplitHostPort(c.HTTPAddr)
	if err != nil {
		return ""
	}
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		host = "localhost"
		if c.PublicIP != "auto" {
			host = c.PublicIP
		}
	}
	scheme := "http"
	if c.HTTPTLSCert != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

func (c *Config) checkStores(f *Faults) {
	if c.Data == "" {
		f.add("--data", "must not be empty")
	}
	oneOfSchemes(f, "--db", c.DB, "sqlite:", "postgres://", "postgresql://")
	oneOfSchemes(f, "--blob", c.Blob, "file:")
	if path, ok := strings.CutPrefix(c.Blob, "file://"); ok && !strings.HasPrefix(path, "/") {
		f.add("--blob", "names a host, write file:///DIR or file:DIR")
	}
	if c.Bus == "embedded" {
		return
	}
	for _, u := range strings.Split(c.Bus, ",") {
		oneOfSchemes(f, "--bus", strings.TrimSpace(u), "embedded", "nats://", "tls://")
	}
}

// oneOfSchemes does not repeat the value, which may hold a password.
func oneOfSchemes(f *Faults, key, text string, schemes ...string) {
	if !slices.ContainsFunc(schemes, func(s string) bool { return strings.HasPrefix(text, s) && len(text) > len(s) }) {
		f.add(key, "must start with one of %s", strings.Join(schemes, " "))
	}
}

func (c *Config) checkHTTP(f *Faults) {
	address(f, "--http-addr", c.HTTPAddr)
	if (c.HTTPTLSCert == "") != (c.HTTPTLSKey == "") {
		f.add("--http-tls-cert", "and --http-tls-key are given together or not at all")
	}
	u, err := url.Parse(c.APIURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		f.add("--api-url", "%q is not a URL like https://api.example.com", c.APIURL)
	}
}

func (c *Config) checkSIP(f *Faults) {
	if len(c.SIPAddr) == 0 {
		f.add("--sip-addr", "must not be empty")
	}
	for i, a := range c.SIPAddr {
		address(f, "--sip-addr", a)
		if slices.Contains(c.SIPAddr[:i], a) {
			f.add("--sip-addr", "%s is given twice", a)
		}
	}
	if c.SIPTLSAddr != "" {
		address(f, "--sip-tls-addr", c.SIPTLSAddr)
	}
	given := []bool{c.SIPTLSAddr != "", c.SIPTLSCert != "", c.SIPTLSKey != ""}
	if slices.Contains(given, true) && slices.Contains(given, false) {
		f.add("--sip-tls-addr", "--sip-tls-cert and --sip-tls-key are given together or not at all")
	}
	if a, err := netip.ParseAddr(c.PublicIP); c.PublicIP != "auto" && (err != nil || a.IsUnspecified() || a.Zone() != "") {
		f.add("--public-ip", "%q is neither auto nor an IP address", c.PublicIP)
	}
	if c.RTPPorts.First < firstUser || c.RTPPorts.Size() < minMedia {
		f.add("--rtp-ports", "%v must lie above %d and hold at least %d ports", c.RTPPorts, firstUser-1, minMedia)
	}
	if len(c.Domain) > 253 || !domainForm.MatchString(c.Domain) {
		f.add("--domain", "%q is not a domain name", c.Domain)
	}
}

func (c *Config) checkRest(f *Faults) {
	if user, host, ok := strings.Cut(c.AdminEmail, "@"); !ok || user == "" || host == "" || strings.ContainsAny(c.AdminEmail, " \t\r\n") {
		f.add("--admin-email", "%q is not an e-mail address", c.AdminEmail)
	}
	if c.SandboxCredit < 0 {
		f.add("--sandbox-credit", "must not be negative")
	}
	for key, v := range map[string]string{"--speech-tts": c.SpeechTTS, "--speech-stt": c.SpeechSTT} {
		if !engineForm.MatchString(v) {
			f.add(key, "%q is not the name of an engine; none turns it off", v)
		}
	}
	if c.EventRetention < minEvents {
		f.add("--event-retention", "%v must be at least %v", c.EventRetention, minEvents)
	}
	if c.RateLimit < 1 || c.RateLimit > maxRate {
		f.add("--rate-limit", "%d must lie between 1 and %d", c.RateLimit, maxRate)
	}
	if c.RateBurst < 1 || c.RateBurst > maxRate {
		f.add("--rate-burst", "%d must lie between 1 and %d", c.RateBurst, maxRate)
	}
	if c.Drain < 0 || c.Drain > maxDrain {
		f.add("--drain", "%v must lie between 0s and %v", c.Drain, maxDrain)
	}
	choice(f, "--log-level", c.LogLevel, "trace", "debug", "info", "warn", "error")
	choice(f, "--log-format", c.LogFormat, "auto", "text", "json")
}

func choice(f *Faults, key, v string, allowed ...string) {
	if !slices.Contains(allowed, v) {
		f.add(key, "%q is not one of %s; did you mean %s?", v, strings.Join(allowed, " "), nearest(v, allowed))
	}
}

// address checks HOST:PORT; an empty host means all addresses, port 0 a free one.
func address(f *Faults, key, v string) {
	host, port, err := net.SplitHostPort(v)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil || strings.ContainsAny(host, " /") || n > 65535 {
		f.add(key, "%q is not an address like 127.0.0.1:8080", v)
	}
}
