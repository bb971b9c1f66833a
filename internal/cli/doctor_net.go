package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/opentact/opentact/internal/config"
)

// runningServer gives the version of the Opentact that answers at the HTTP address; empty when none does.
func runningServer(ctx context.Context, cfg config.Config) string {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	scheme := "http"
	transport := &http.Transport{Proxy: nil, DisableKeepAlives: true}
	if cfg.HTTPTLSCert != "" {
		scheme = "https"
		// Only the question "is it one of us" is asked, and nothing secret is sent; the certificate's own check is checkCertificate.
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} //nolint:gosec
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+reachable(cfg.HTTPAddr)+"/health/live", nil)
	if err != nil {
		return ""
	}
	answer, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return ""
	}
	answer.Body.Close()
	return answer.Header.Get("X-Opentact-Version")
}

// reachable turns an address to listen on into one to connect to.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

func checkHTTP(ctx context.Context, cfg config.Config, running string) []Check {
	out := []Check{portCheck(ctx, "http address", "tcp", cfg.HTTPAddr, "--http-addr", running)}
	if cfg.HTTPTLSCert != "" {
		out = append(out, checkCertificate("http certificate", cfg.HTTPTLSCert, cfg.HTTPTLSKey))
	}
	return out
}

func checkSIP(ctx context.Context, cfg config.Config, running string) []Check {
	var out []Check
	for _, addr := range cfg.SIPAddr {
		for _, network := range []string{"udp", "tcp"} {
			out = append(out, portCheck(ctx, "sip "+network, network, addr, "--sip-addr", running))
		}
	}
	if cfg.SIPTLSAddr != "" {
		out = append(out, portCheck(ctx, "sip tls", "tcp", cfg.SIPTLSAddr, "--sip-tls-addr", running), checkCertificate("sip certificate", cfg.SIPTLSCert, cfg.SIPTLSKey))
	}
	return out
}

// portCheck tries the address; one that is taken is fine when our own server runs here.
func portCheck(ctx context.Context, name, network, addr, flag, running string) Check {
	err := tryListen(ctx, network, addr)
	switch {
	case err == nil:
		return green(name, "%s is free", addr)
	case errors.Is(err, syscall.EADDRINUSE) && running != "":
		return green(name, "%s is in use by the running server (version %s)", addr, running)
	case errors.Is(err, syscall.EADDRINUSE):
		_, port, _ := net.SplitHostPort(addr)
		return red(name, addr+" is in use by another program", fmt.Sprintf("find it with: ss -lnp '( sport = :%s )', stop it, or choose another %s", port, flag))
	case errors.Is(err, syscall.EACCES):
		return red(name, addr+" may not be used by this user", "use a port above 1023, or: setcap cap_net_bind_service=+ep on the program")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return red(name, addr+" is not an address of this machine", "take one that ip addr shows, or 0.0.0.0 for all, with "+flag)
	}
	return red(name, err.Error(), "correct "+flag)
}

func tryListen(ctx context.Context, network, addr string) error {
	var lc net.ListenConfig
	if network == "udp" {
		conn, err := lc.ListenPacket(ctx, network, addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	l, err := lc.Listen(ctx, network, addr)
	if err != nil {
		return err
	}
	return l.Close()
}

// checkCertificate loads the pair and looks at its dates.
func checkCertificate(name, cert, key string) Check {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return red(name, err.Error(), "give a PEM certificate and its own key")
	}
	leaf := pair.Leaf
	if leaf == nil {
		if leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return red(name, err.Error(), "give a PEM certificate")
		}
	}
	left := time.Until(leaf.NotAfter)
	switch {
	case left < 0:
		return red(name, "expired on "+leaf.NotAfter.Format(time.DateOnly), "renew it")
	case time.Now().Before(leaf.NotBefore):
		return red(name, "begins on "+leaf.NotBefore.Format(time.DateOnly), "correct the clock, or wait")
	case left < certSoon:
		return yellow(name, "ends on "+leaf.NotAfter.Format(time.DateOnly), "renew it soon")
	}
	return green(name, "good until %s for %s", leaf.NotAfter.Format(time.DateOnly), strings.Join(leaf.DNSNames, " "))
}

// checkMedia tries some ports, evenly spread over the range.
func checkMedia(cfg config.Config) []Check {
	const name = "media ports"
	ports := cfg.RTPPorts
	taken := 0
	step := max(ports.Size()/mediaSamples, 1)
	tried := 0
	for p := int(ports.First); p <= int(ports.Last) && tried < mediaSamples; p += step {
		tried++
		conn, err := net.ListenPacket("udp", net.JoinHostPort(mediaHost(cfg), strconv.Itoa(p)))
		if err != nil {
			taken++
			continue
		}
		_ = conn.Close()
	}
	for _, addr := range append([]string{cfg.SIPTLSAddr}, cfg.SIPAddr...) {
		if _, port, err := net.SplitHostPort(addr); err == nil {
			if n, err := strconv.Atoi(port); err == nil && n >= int(ports.First) && n <= int(ports.Last) {
				return []Check{red(name, fmt.Sprintf("the SIP port %d lies inside of %v", n, ports), "move --rtp-ports")}
			}
		}
	}
	switch {
	case taken == tried:
		return []Check{red(name, fmt.Sprintf("none of %d tried ports of %v is free", tried, ports), "choose another range with --rtp-ports")}
	case ports.Size() < 200:
		return []Check{yellow(name, fmt.Sprintf("%v is enough for about %d calls", ports, ports.Size()/4), "widen --rtp-ports")}
	}
	return []Check{green(name, "%v, %d of %d tried are free; about %d calls", ports, tried-taken, tried, ports.Size()/4)}
}

// mediaHost is where media would be received: beside the first SIP address.
func mediaHost(cfg config.Config) string {
	host, _, err := net.SplitHostPort(cfg.SIPAddr[0])
	if err != nil {
		return ""
	}
	return host
}

// checkPublicIP says which address phones are told, and whether they can reach it.
func checkPublicIP(cfg config.Config) []Check {
	const name = "public address"
	host := mediaHost(cfg)
	bound, _ := netip.ParseAddr(host)
	if bound.IsLoopback() {
		if cfg.PublicIP == "auto" {
			return []Check{green(name, "SIP listens on %s: only programs of this machine can call", host)}
		}
		return []Check{yellow(name, fmt.Sprintf("--public-ip is %s, but SIP listens on %s only", cfg.PublicIP, host), "listen on all addresses: --sip-addr 0.0.0.0:5060")}
	}
	own := ownAddresses()
	if cfg.PublicIP != "auto" {
		for _, a := range own {
			if a.String() == cfg.PublicIP {
				return []Check{green(name, "%s is an address of this machine", cfg.PublicIP)}
			}
		}
		return []Check{yellow(name, cfg.PublicIP+" is not an address of this machine, so there is a NAT in front", fmt.Sprintf("let the NAT forward the SIP port and UDP %v unchanged to this machine", cfg.RTPPorts))}
	}
	for _, a := range own {
		if !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast() {
			return []Check{green(name, "%s, an address of this machine", a)}
		}
	}
	list := make([]string, 0, len(own))
	for _, a := range own {
		list = append(list, a.String())
	}
	return []Check{yellow(name, "this machine has private addresses only ("+strings.Join(list, " ")+"): phones outside of its network will hear nothing",
		"give the address that the world sees with --public-ip, and forward the SIP and media ports to this machine")}
}

// ownAddresses are those of this machine that others can use.
func ownAddresses() []netip.Addr {
	var out []netip.Addr
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			out = append(out, p.Addr())
		}
	}
	return out
}

// checkDNS resolves the names that phones and browsers are given.
func checkDNS(ctx context.Context, cfg config.Config) []Check {
	names := map[string]string{"dns sip domain": cfg.Domain}
	if u, err := url.Parse(cfg.APIURL); err == nil {
		names["dns api name"] = u.Hostname()
	}
	var out []Check
	for _, name := range []string{"dns sip domain", "dns api name"} {
		host := names[name]
		if _, err := netip.ParseAddr(host); host == "" || err == nil {
			continue
		}
		if host == "localhost" || strings.HasSuffix(host, ".localhost") {
			out = append(out, green(name, "%s is this machine by definition (RFC 6761 §6.3)", host))
			continue
		}
		out = append(out, resolve(ctx, name, host))
	}
	return out
}

func resolve(ctx context.Context, name, host string) Check {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	var missing *net.DNSError
	switch {
	case errors.As(err, &missing) && missing.IsNotFound:
		return red(name, host+" has no address", "add an A record for it that points to this machine's public address")
	case err != nil:
		return red(name, host+": "+err.Error(), "look at the resolver of this machine (/etc/resolv.conf)")
	}
	return green(name, "%s is %s", host, strings.Join(found, " "))
}

// checkBus connects to the servers of a bus outside of the program.
func checkBus(ctx context.Context, cfg config.Config) []Check {
	if cfg.Bus == "embedded" {
		return []Check{green("bus", "embedded")}
	}
	var out []Check
	for _, text := range strings.Split(cfg.Bus, ",") {
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil || u.Host == "" {
			out = append(out, red("bus", "a server of --bus is not a URL", "write nats://host:4222"))
			continue
		}
		addr := u.Host
		if u.Port() == "" {
			addr = net.JoinHostPort(u.Hostname(), "4222")
		}
		dialer := net.Dialer{Timeout: probeTimeout}
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		if err != nil {
			out = append(out, red("bus", addr+" does not answer: "+err.Error(), "start the NATS server, or correct --bus"))
			continue
		}
		_ = conn.Close()
		out = append(out, green("bus", "%s answers", addr))
	}
	return out
}
