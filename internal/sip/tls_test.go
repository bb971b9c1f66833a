package sip

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"
)

// certified is a TLS configuration of the host "bob.example", which trusts itself alone.
func certified(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bob.example"}, DNSNames: []string{"bob.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: roots, MinVersion: tls.VersionTLS12}
}

func TestCertificateOfTheDomainIsAskedForWhereverItIs(t *testing.T) {
	conf := certified(t)
	secure := func(c *Config) { c.ListenTLS, c.TLS = []string{"127.0.0.1:0"}, conf }
	a, b := newPhone(t, secure), newPhone(t, secure)
	var at Bound
	for _, bound := range b.Addr() {
		if bound.Transport == "TLS" {
			at = bound
		}
	}
	over := func(host string) func(*InviteRequest) {
		return func(r *InviteRequest) {
			r.RequestURI, r.Dest, r.Transport = "sip:bob@"+host, at.Addr.String(), "TLS"
		}
	}
	out, in := live(t, a, b, over("bob.example"))
	in.Hangup(Reason{})
	expect[Ended](t, out)
	req := InviteRequest{Body: []byte("v=0\r\n")}
	over("mallory.example")(&req)
	if _, err := a.Endpoint.Invite(t.Context(), req); err == nil {
		t.Error("another domain's certificate, or its connection, is taken")
	}
}
