package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/opentact/opentact/internal/fault"
)

// Parameters of Argon2id (RFC 9106), about 25 ms and 19 MiB a try; a stored hash names those it was made with.
const (
	argonMemory  = 19 * 1024 // KiB
	argonTime    = 2
	argonThreads = 1
	argonSalt    = 16
	argonKey     = 32

	argonMaxMemory = 256 * 1024 // most that a stored hash may ask for, KiB
	argonMaxTime   = 10
)

// Bounds of the work on passwords at one moment: it must not starve the calls of the same machine.
const (
	hashAtOnce  = 2
	hashWaiting = 64
	hashWait    = 5 * time.Second
)

// hasher makes and checks hashes, a few at once; who would wait too long is turned away as Unavailable.
type hasher struct {
	slots   chan struct{}
	waiting atomic.Int32
	dummy   string // checked when there is no such user, so that both cases take the same time
}

func newHasher() *hasher {
	h := &hasher{slots: make(chan struct{}, hashAtOnce)}
	h.dummy = encodeHash(make([]byte, argonSalt), make([]byte, argonKey))
	return h
}

func (h *hasher) enter(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}:
		return nil
	default:
	}
	if h.waiting.Add(1) > hashWaiting {
		h.waiting.Add(-1)
		return busy()
	}
	defer h.waiting.Add(-1)
	limit := time.NewTimer(hashWait)
	defer limit.Stop()
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-limit.C:
		return busy()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func busy() error {
	return &fault.Error{Code: fault.Unavailable, Retry: time.Second}
}

func (h *hasher) leave() { <-h.slots }

// hash gives the text to store.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer h.leave()
	salt := make([]byte, argonSalt)
	_, _ = rand.Read(salt) // never fails since Go 1.24
	key := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonKey)
	return encodeHash(salt, key), nil
}

func encodeHash(salt, key []byte) string {
	b := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads, b.EncodeToString(salt), b.EncodeToString(key))
}

// match tells whether password made the stored text.
func (h *hasher) match(ctx context.Context, stored, password string) (bool, error) {
	p := strings.Split(stored, "$")
	if len(p) != 6 || p[1] != "argon2id" {
		return false, nil
	}
	var version int
	var memory, rounds uint32
	var threads uint8
	if _, err := fmt.Sscanf(p[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false, nil
	}
	if _, err := fmt.Sscanf(p[3], "m=%d,t=%d,p=%d", &memory, &rounds, &threads); err != nil {
		return false, nil
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(p[4])
	key, err2 := base64.RawStdEncoding.DecodeString(p[5])
	if err1 != nil || err2 != nil || len(key) == 0 || threads == 0 || rounds == 0 || rounds > argonMaxTime || memory > argonMaxMemory {
		return false, nil
	}
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer h.leave()
	made := argon2.IDKey([]byte(password), salt, rounds, memory, threads, uint32(len(key)))
	return subtle.ConstantTimeCompare(made, key) == 1, nil
}

// pretend spends the time of a match.
func (h *hasher) pretend(ctx context.Context, password string) error {
	_, err := h.match(ctx, h.dummy, password)
	return err
}
