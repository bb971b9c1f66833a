package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Secrets of endpoints are this prefix and the base64 of 24 to 64 bytes.
const (
	secretPrefix = "whsec_"
	secretLeast  = 24
	secretMost   = 64
	secretMade   = 32
)

var errSecret = errors.New("must be whsec_ and the base64 of 24 to 64 bytes")

// MakeSecret makes a secret of 32 random bytes.
func MakeSecret() string {
	b := make([]byte, secretMade)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return secretPrefix + base64.StdEncoding.EncodeToString(b)
}

// CheckSecret refuses a secret that no endpoint can have.
func CheckSecret(s string) error {
	coded, ok := strings.CutPrefix(s, secretPrefix)
	raw, err := base64.StdEncoding.DecodeString(coded)
	if !ok || err != nil || len(raw) < secretLeast || len(raw) > secretMost {
		return errSecret
	}
	return nil
}

// key is what a secret signs with: the bytes behind whsec_, else the secret as it is written.
func key(secret string) []byte {
	if coded, ok := strings.CutPrefix(secret, secretPrefix); ok {
		if raw, err := base64.StdEncoding.DecodeString(coded); err == nil {
			return raw
		}
	}
	return []byte(secret)
}

// Signature is what the header webhook-signature holds for one secret (Standard Webhooks, "v1"): HMAC-SHA256 over "<id>.<timestamp>.<body>". The key is the
// base64 part of a secret that begins with whsec_, else the secret as it is written.
func Signature(secret, id string, at time.Time, body []byte) string {
	return signature(key(secret), id, strconv.FormatInt(at.Unix(), 10), body)
}

func signature(key []byte, id, timestamp string, body []byte) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(id + "." + timestamp + "."))
	h.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// sign sets the three headers of a signed request, with one signature for each secret.
func sign(set func(name, value string), secrets []string, id string, at time.Time, body []byte) {
	list := make([]string, len(secrets))
	for i, s := range secrets {
		list[i] = Signature(s, id, at, body)
	}
	set("Webhook-Id", id)
	set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
	set("Webhook-Signature", strings.Join(list, " "))
}
