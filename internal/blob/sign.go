package blob

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// Names of the query parameters of a signed URL.
const (
	expiresParam   = "expires"
	signatureParam = "signature"
	minSecret      = 16 // bytes
)

// Errors of Verify.
var (
	ErrSignature = errors.New("signature does not match")
	ErrExpired   = errors.New("signed URL has expired")
)

// Signer signs paths, so that whoever holds the URL may read it for a while (HMAC-SHA256 over expiry and path).
type Signer struct {
	secret []byte
}

// NewSigner takes a secret of at least 16 bytes, the same on every node.
func NewSigner(secret []byte) (Signer, error) {
	if len(secret) < minSecret {
		return Signer{}, fmt.Errorf("blob: the secret has %d bytes, %d are needed", len(secret), minSecret)
	}
	return Signer{secret}, nil
}

// Sign gives the query that makes the path, as the server will see it, readable until a time (whole seconds).
func (s Signer) Sign(path string, expires time.Time) url.Values {
	at := strconv.FormatInt(expires.Unix(), 10)
	return url.Values{expiresParam: {at}, signatureParam: {base64.RawURLEncoding.EncodeToString(s.mac(path, at))}}
}

// Verify checks the query that came with a path: ErrSignature, or ErrExpired when the signature is good but its time is over.
func (s Signer) Verify(path string, query url.Values, now time.Time) error {
	at := query.Get(expiresParam)
	given, err := base64.RawURLEncoding.DecodeString(query.Get(signatureParam))
	if err != nil || len(s.secret) == 0 || !hmac.Equal(given, s.mac(path, at)) {
		return ErrSignature
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return ErrSignature
	}
	if !now.Before(time.Unix(seconds, 0)) {
		return ErrExpired
	}
	return nil
}

// Signed tells whether a query carries a signature at all, good or bad.
func Signed(query url.Values) bool { return query.Has(signatureParam) }

func (s Signer) mac(path, expires string) []byte {
	h := hmac.New(sha256.New, s.secret)
	h.Write([]byte("opentact signed path\n" + expires + "\n" + path))
	return h.Sum(nil)
}
