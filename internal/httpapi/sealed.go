package httpapi

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// seal hides what the table of keys would tell of an operation whose request or answer holds a secret (Op.Secret). Both keys are derived from the
// client's Idempotency-Key (RFC 5869), of which the table holds a hash only: the database alone opens nothing, as long as keys are hard to guess.
type seal struct {
	aead  cipher.AEAD
	body  []byte // key of the bodies' hashes: a plain hash would let passwords be guessed
	place []byte // the row that an answer belongs to
}

var errSealed = errors.New("httpapi: a sealed answer does not open")

func newSeal(s keyScope) (*seal, error) {
	derive := func(use string) ([]byte, error) {
		return hkdf.Key(sha256.New, []byte(s.key), nil, strings.Join([]string{"opentact", use, s.account, s.user}, "\x1f"), 32)
	}
	key, err := derive("answer")
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	body, err := derive("body")
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return &seal{aead, body, []byte(s.column())}, nil
}

// hash stands for the hash of a body.
func (s *seal) hash(of string) string {
	m := hmac.New(sha256.New, s.body)
	m.Write([]byte(of))
	return hex.EncodeToString(m.Sum(nil))
}

// close seals a body, as text.
func (s *seal) close(body []byte) string {
	nonce := make([]byte, s.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails since Go 1.24
	return base64.StdEncoding.EncodeToString(s.aead.Seal(nonce, nonce, body, s.place))
}

// open gives the body back.
func (s *seal) open(text string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if n := s.aead.NonceSize(); err == nil && len(b) >= n {
		b, err = s.aead.Open(nil, b[:n], b[n:], s.place)
		if err == nil {
			return b, nil
		}
	}
	return nil, errSealed
}
