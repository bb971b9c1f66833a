package sip

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/icholy/digest"
)

// Algorithm is a digest algorithm.
type Algorithm string

// The two algorithms, strongest first (RFC 8760).
const (
	SHA256 Algorithm = "SHA-256"
	MD5    Algorithm = "MD5"
)

// Errors of Authenticator.Verify. All but ErrCredentials call for a (new) challenge; ErrStale for one with stale=true.
var (
	ErrNoCredentials = errors.New("sip: no credentials")
	ErrStale         = errors.New("sip: nonce too old or used before")
	ErrCredentials   = errors.New("sip: wrong user or password")
)

// HA1 is hash(user:realm:password) in hexadecimal, the form in which passwords are stored (RFC 8760 §2.4).
func HA1(alg Algorithm, user, realm, password string) string {
	return hexHash(alg, user+":"+realm+":"+password)
}

func hexHash(alg Algorithm, text string) string {
	if alg == SHA256 {
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:])
	}
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Authenticator is the server side of digest: nonces are proofs of their own age, so a challenge costs no memory; only the counts of
// nonces that were used rightly are kept, for two nonce lives.
type Authenticator struct {
	key [32]byte
	now func() time.Time

	mu      sync.Mutex
	since   time.Time
	counts  map[string]int // highest nc of each nonce
	earlier map[string]int
}

// NewAuthenticator makes one with a key of its own. Nodes that share a key accept each other's challenges.
func NewAuthenticator(key [32]byte, now func() time.Time) *Authenticator {
	if now == nil {
		now = time.Now
	}
	return &Authenticator{key: key, now: now, since: now(), counts: map[string]int{}, earlier: map[string]int{}}
}

// Challenge gives the values of WWW-Authenticate (or Proxy-Authenticate) headers, one for each algorithm in the given order.
func (a *Authenticator) Challenge(realm string, stale bool, algorithms ...Algorithm) []string {
	if len(algorithms) == 0 {
		algorithms = []Algorithm{SHA256, MD5}
	}
	nonce := a.nonce(realm)
	values := make([]string, len(algorithms))
	for i, alg := range algorithms {
		values[i] = "Digest realm=" + quote(realm) + `, nonce="` + nonce + `", algorithm=` + string(alg) + `, qop="auth"`
		if stale {
			values[i] += ", stale=true"
		}
	}
	return values
}

const nonceRaw = 8 + 8 + 16 // time, random, proof

func (a *Authenticator) nonce(realm string) string {
	raw := make([]byte, nonceRaw)
	binary.BigEndian.PutUint64(raw, uint64(a.now().UnixMilli()))
	rand.Read(raw[8:16])
	copy(raw[16:], a.proof(raw[:16], realm))
	return base64.RawURLEncoding.EncodeToString(raw)
}

func (a *Authenticator) proof(raw []byte, realm string) []byte {
	h := hmac.New(sha256.New, a.key[:])
	h.Write(raw)
	h.Write([]byte(realm))
	return h.Sum(nil)[:16]
}

// fresh says whether a nonce is ours and not older than nonceLife.
func (a *Authenticator) fresh(nonce, realm string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(nonce)
	if err != nil || len(raw) != nonceRaw || !hmac.Equal(raw[16:], a.proof(raw[:16], realm)) {
		return false
	}
	age := a.now().Sub(time.UnixMilli(int64(binary.BigEndian.Uint64(raw))))
	return age >= 0 && age <= nonceLife
}

// Verify checks an Authorization header of a request for realm and gives its user. lookup gives the stored HA1 of a user for an algorithm, or
// false. An unknown user costs as much time as a wrong password.
func (a *Authenticator) Verify(header, method, realm string, lookup func(user string, alg Algorithm) (string, bool)) (string, error) {
	if len(header) < 7 || !strings.EqualFold(header[:7], digest.Prefix) {
		return "", ErrNoCredentials
	}
	c, err := digest.ParseCredentials(digest.Prefix + header[7:])
	if err != nil || c.Realm != realm || c.Username == "" || !strings.EqualFold(c.QOP, "auth") || c.Cnonce == "" || c.Nc < 1 {
		return "", ErrNoCredentials
	}
	alg := MD5
	switch strings.ToUpper(c.Algorithm) {
	case "", "MD5":
	case "SHA-256":
		alg = SHA256
	default:
		return "", ErrNoCredentials
	}
	if !a.fresh(c.Nonce, realm) {
		return c.Username, ErrStale
	}
	ha1, known := lookup(c.Username, alg)
	if !known {
		ha1 = hexHash(alg, c.Nonce)
	}
	ha2 := hexHash(alg, method+":"+c.URI)
	want := hexHash(alg, ha1+":"+c.Nonce+":"+ncText(header)+":"+c.Cnonce+":"+c.QOP+":"+ha2)
	if subtle.ConstantTimeCompare([]byte(want), []byte(strings.ToLower(c.Response))) != 1 || !known {
		return c.Username, ErrCredentials
	}
	if !a.count(c.Nonce, c.Nc) {
		return c.Username, ErrStale
	}
	return c.Username, nil
}

// ncText is the nonce count as it was sent: the hash covers its eight digits.
func ncText(header string) string {
	for part := range strings.SplitSeq(header[len(digest.Prefix):], ",") {
		if key, value, _ := strings.Cut(part, "="); strings.EqualFold(strings.TrimSpace(key), "nc") {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}

// count refuses a nonce count that is not higher than the last one (RFC 7616 §3.4, nc).
func (a *Authenticator) count(nonce string, nc int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := a.now(); now.Sub(a.since) > nonceLife {
		a.since, a.earlier, a.counts = now, a.counts, map[string]int{}
	}
	last := max(a.counts[nonce], a.earlier[nonce])
	if nc <= last || len(a.counts) >= maxNonces && a.counts[nonce] == 0 {
		return false
	}
	a.counts[strings.Clone(nonce)] = nc
	return true
}
