package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// Signature is what the header webhook-signature holds for one secret (Standard Webhooks, "v1"): HMAC-SHA256 over "<id>.<timestamp>.<body>". The key is the
// base64 part of a secret that begins with whsec_, else the secret as it is written.
func Signature(secret, id string, at time.Time, body []byte) string {
	key := []byte(secret)
	if coded, ok := strings.CutPrefix(secret, "whsec_"); ok {
		if raw, err := base64.StdEncoding.DecodeString(coded); err == nil {
			key = raw
		}
	}
	h := hmac.New(sha256.New, key)
	h.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
	h.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// sign sets the three headers of a signed request.
func sign(set func(name, value string), secret, id string, at time.Time, body []byte) {
	set("Webhook-Id", id)
	set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
	set("Webhook-Signature", Signature(secret, id, at, body))
}
