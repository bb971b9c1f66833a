package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Limits of keys and of what a crash may leave behind.
const (
	maxKey      = 512
	maxPart     = 128
	tempDir     = ".tmp"             // no part of a key begins with a dot
	staleAfter  = 7 * 24 * time.Hour // until then an operator can rescue an unfinished recording
	dirMode     = 0o700
	fileMode    = 0o600
	fileScheme  = "file:"
	knownScheme = "file:DIR"
)

// Errors that callers tell apart.
var (
	ErrNotFound = errors.New("object not found")
	ErrKey      = errors.New("invalid object key")
	ErrScheme   = errors.New("unsupported object store")
)

// Store is a directory of objects. It is safe for many goroutines, and for several processes.
type Store struct {
	root *os.Root
}

// Info describes an object.
type Info struct {
	Size     int64 // bytes
	Modified time.Time
}

// Open opens the store at a URL: "file:" and a directory, which is made when it is missing. Other schemes are ErrScheme. Temporary files
// that a crash left more than a week ago are removed.
func Open(url string) (*Store, error) {
	scheme, _, _ := strings.Cut(url, ":")
	dir, ok := strings.CutPrefix(url, fileScheme)
	if !ok || dir == "" {
		return nil, fmt.Errorf("%w: %q, supported: %s", ErrScheme, scheme+":", knownScheme)
	}
	if rest, ok := strings.CutPrefix(dir, "//"); ok {
		if dir = rest; !strings.HasPrefix(dir, "/") {
			return nil, fmt.Errorf("%w: file://%s names a host, write file:///DIR or file:DIR", ErrScheme, dir)
		}
	}
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(filepath.Join(dir, tempDir), dirMode); err != nil {
		return nil, fmt.Errorf("blob: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("blob: %w", err)
	}
	s := &Store{root}
	if err := s.Sweep(time.Now().Add(-staleAfter)); err != nil {
		root.Close()
		return nil, err
	}
	return s, nil
}

// Close frees the directory; open objects stay usable.
func (s *Store) Close() error { return s.root.Close() }

// Open opens an object for reading and gives its size in bytes. The caller must close it. ErrNotFound, ErrKey.
func (s *Store) Open(ctx context.Context, key string) (io.ReadSeekCloser, int64, error) {
	if err := usable(ctx, key); err != nil {
		return nil, 0, err
	}
	f, err := s.root.Open(key)
	if err != nil {
		return nil, 0, known(key, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		f.Close()
		return nil, 0, known(key, err)
	}
	return f, info.Size(), nil
}

// Stat describes an object. ErrNotFound, ErrKey.
func (s *Store) Stat(ctx context.Context, key string) (Info, error) {
	if err := usable(ctx, key); err != nil {
		return Info{}, err
	}
	info, err := s.root.Stat(key)
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return Info{}, known(key, err)
	}
	return Info{info.Size(), info.ModTime()}, nil
}

// Delete removes an object; one that is not there is no error.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := usable(ctx, key); err != nil {
		return err
	}
	info, err := s.root.Stat(key)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil
	}
	if err == nil {
		err = s.root.Remove(key)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return known(key, err)
	}
	return s.syncDir(filepath.Dir(key))
}

// Sweep removes temporary files that were last written before a time.
func (s *Store) Sweep(before time.Time) error {
	left, err := fs.ReadDir(s.root.FS(), tempDir)
	if err != nil {
		return fmt.Errorf("blob: %w", err)
	}
	for _, e := range left {
		info, err := e.Info()
		if err == nil && info.ModTime().Before(before) {
			err = s.root.Remove(filepath.Join(tempDir, e.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("blob: %w", err)
		}
	}
	return nil
}

// usable allows parts of letters, digits, dots, dashes and underscores, joined by slashes, none beginning with a dot.
func usable(ctx context.Context, key string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(key) > maxKey {
		return fmt.Errorf("%w: longer than %d bytes", ErrKey, maxKey)
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part[0] == '.' || len(part) > maxPart || strings.ContainsFunc(part, notAllowed) {
			return fmt.Errorf("%w: %q", ErrKey, key)
		}
	}
	return nil
}

func notAllowed(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_')
}

func known(key string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrNotFound, key)
	}
	return fmt.Errorf("blob: %s: %w", key, err)
}
