package blob

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
)

// File is an object being written. Nobody sees it before Close; Abort gives it up. It belongs to one goroutine.
type File struct {
	store *Store
	key   string
	temp  string
	f     *os.File
	done  bool
}

// Create begins an object that is written piece by piece, with Seek for formats whose header comes last. An object of the same key is
// replaced as a whole at Close. The usual shape is: defer f.Abort(), write, return f.Close().
func (s *Store) Create(ctx context.Context, key string) (*File, error) {
	if err := usable(ctx, key); err != nil {
		return nil, err
	}
	// The name begins as the object's does, for whoever looks for it after a crash.
	temp := path.Join(tempDir, path.Base(key)+"~"+rand.Text())
	f, err := s.root.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, fmt.Errorf("blob: %s: %w", key, err)
	}
	return &File{store: s, key: key, temp: temp, f: f}, nil
}

// Write appends at the present place.
func (f *File) Write(b []byte) (int, error) { return f.f.Write(b) }

// Seek moves the present place.
func (f *File) Seek(offset int64, whence int) (int64, error) { return f.f.Seek(offset, whence) }

// Close makes the object durable and visible: fsync, rename, fsync of the directory. After an error there is no new object. Closing
// again, or after Abort, is an error.
func (f *File) Close() error {
	if f.done {
		return fmt.Errorf("blob: %s: %w", f.key, os.ErrClosed)
	}
	f.done = true
	err := errors.Join(f.f.Sync(), f.f.Close())
	if err == nil {
		err = f.store.place(f.temp, f.key)
	}
	if err != nil {
		f.store.root.Remove(f.temp) // a leftover is swept later
		return fmt.Errorf("blob: %s: %w", f.key, err)
	}
	return nil
}

// Abort throws away what was written. After Close or Abort it does nothing.
func (f *File) Abort() {
	if f.done {
		return
	}
	f.done = true
	f.f.Close()
	f.store.root.Remove(f.temp) // a leftover is swept later
}

// Put writes an object from a reader and gives its size in bytes and its SHA-256 in hex. When the reader fails or ctx ends there is no
// new object.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) (size int64, sum string, err error) {
	f, err := s.Create(ctx, key)
	if err != nil {
		return 0, "", err
	}
	defer f.Abort()
	h := sha256.New()
	size, err = io.Copy(io.MultiWriter(f.f, h), untilDone{ctx, r})
	if err != nil {
		return 0, "", fmt.Errorf("blob: %s: %w", key, err)
	}
	if err := f.Close(); err != nil {
		return 0, "", err
	}
	return size, hex.EncodeToString(h.Sum(nil)), nil
}

// untilDone fails with the context's cause between two reads.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(b []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(b)
}

// place renames a whole temporary file to its key.
func (s *Store) place(temp, key string) error {
	dir := path.Dir(key)
	if _, err := s.root.Stat(dir); err != nil {
		if err := s.root.MkdirAll(dir, dirMode); err != nil {
			return err
		}
		// A new directory is durable once those above it are.
		for d := dir; d != "."; d = path.Dir(d) {
			if err := s.syncDir(path.Dir(d)); err != nil {
				return err
			}
		}
	}
	if err := s.root.Rename(temp, key); err != nil {
		return err
	}
	return s.syncDir(dir)
}

func (s *Store) syncDir(dir string) error {
	d, err := s.root.Open(filepath.FromSlash(dir))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
