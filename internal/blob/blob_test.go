package blob

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"
)

func open(t *testing.T) (*Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "media")
	s, err := Open("file:" + dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, dir
}

// leftovers counts temporary files.
func leftovers(t *testing.T, dir string) int {
	t.Helper()
	e, err := os.ReadDir(filepath.Join(dir, tempDir))
	if err != nil {
		t.Fatal(err)
	}
	return len(e)
}

func read(t *testing.T, s *Store, key string) string {
	t.Helper()
	r, size, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil || int64(len(b)) != size {
		t.Fatalf("%d bytes of %d: %v", len(b), size, err)
	}
	return string(b)
}

func TestPutAndReadBack(t *testing.T) {
	s, dir := open(t)
	size, sum, err := s.Put(t.Context(), "rec/2026/a.wav", strings.NewReader("abc"))
	if err != nil || size != 3 || sum != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Fatalf("%d %s %v", size, sum, err)
	}
	if got := read(t, s, "rec/2026/a.wav"); got != "abc" {
		t.Errorf("%q", got)
	}
	info, err := s.Stat(t.Context(), "rec/2026/a.wav")
	if err != nil || info.Size != 3 || time.Since(info.Modified) > time.Hour {
		t.Errorf("%+v %v", info, err)
	}
	if _, _, err := s.Put(t.Context(), "rec/2026/a.wav", strings.NewReader("longer")); err != nil || read(t, s, "rec/2026/a.wav") != "longer" {
		t.Errorf("not replaced: %v", err)
	}
	again, err := Open("file://" + dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if read(t, again, "rec/2026/a.wav") != "longer" || leftovers(t, dir) != 0 {
		t.Error("not there for the next process, or leftovers")
	}
}

func TestDeleteIsFinalAndMayBeRepeated(t *testing.T) {
	s, _ := open(t)
	s.Put(t.Context(), "a/b", strings.NewReader("x"))
	for range 2 {
		if err := s.Delete(t.Context(), "a/b"); err != nil {
			t.Error(err)
		}
	}
	if err := s.Delete(t.Context(), "no/such/thing"); err != nil {
		t.Error(err)
	}
	if _, _, err := s.Open(t.Context(), "a/b"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, err := s.Stat(t.Context(), "a/b"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestDirectoriesAreNoObjects(t *testing.T) {
	s, _ := open(t)
	s.Put(t.Context(), "a/b/c", strings.NewReader("x"))
	if _, _, err := s.Open(t.Context(), "a/b"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, err := s.Stat(t.Context(), "a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	if err := s.Delete(t.Context(), "a"); err != nil || read(t, s, "a/b/c") != "x" {
		t.Errorf("%v", err)
	}
	if _, _, err := s.Put(t.Context(), "a/b/c/d", strings.NewReader("x")); err == nil {
		t.Error("an object became a directory")
	}
}

func TestFileIsSeenOnlyWhenClosed(t *testing.T) {
	s, dir := open(t)
	f, err := s.Create(t.Context(), "rec/live.wav")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Abort()
	io.WriteString(f, "????data")
	if _, err := s.Stat(t.Context(), "rec/live.wav"); !errors.Is(err, ErrNotFound) {
		t.Errorf("seen too early: %v", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	io.WriteString(f, "HEAD")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s, "rec/live.wav"); got != "HEADdata" {
		t.Errorf("%q", got)
	}
	f.Abort()
	if err := f.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v", err)
	}
	if got := read(t, s, "rec/live.wav"); got != "HEADdata" || leftovers(t, dir) != 0 {
		t.Errorf("%q, %d leftovers", got, leftovers(t, dir))
	}
}

func TestFailedWritesLeaveTheOldObject(t *testing.T) {
	s, dir := open(t)
	s.Put(t.Context(), "a", strings.NewReader("old"))
	broken := errors.New("line lost")
	if _, _, err := s.Put(t.Context(), "a", io.MultiReader(strings.NewReader("new"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("shutdown")
	endless := readerFunc(func(b []byte) (int, error) { cancel(cause); return len(b), nil })
	if _, _, err := s.Put(ctx, "a", endless); !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
	f, err := s.Create(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(f, "new")
	f.Abort()
	f.Abort()
	if err := f.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v", err)
	}
	if got := read(t, s, "a"); got != "old" || leftovers(t, dir) != 0 {
		t.Errorf("%q, %d leftovers", got, leftovers(t, dir))
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func TestKeysCannotLeaveTheDirectory(t *testing.T) {
	s, dir := open(t)
	outside := filepath.Join(filepath.Dir(dir), "outside")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../outside", "a/../../outside", ".tmp/x", ".hidden", "a\\b", "a b", "a\x00", "ä", "a:b",
		strings.Repeat("a", maxPart+1), strings.Repeat("a/", maxKey/2) + "a",
	} {
		if _, _, err := s.Open(t.Context(), key); !errors.Is(err, ErrKey) {
			t.Errorf("%q opened: %v", key, err)
		}
		if _, _, err := s.Put(t.Context(), key, strings.NewReader("x")); !errors.Is(err, ErrKey) {
			t.Errorf("%q put: %v", key, err)
		}
		if err := s.Delete(t.Context(), key); !errors.Is(err, ErrKey) {
			t.Errorf("%q deleted: %v", key, err)
		}
		if _, err := s.Stat(t.Context(), key); !errors.Is(err, ErrKey) {
			t.Errorf("%q described: %v", key, err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if r, _, err := s.Open(t.Context(), "link"); err == nil {
		r.Close()
		t.Error("a link led outside")
	}
}

func TestObjectsAreTheServersAlone(t *testing.T) {
	s, dir := open(t)
	s.Put(t.Context(), "a/b", strings.NewReader("x"))
	for name, want := range map[string]fs.FileMode{"a": dirMode, "a/b": fileMode} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
}

func TestOldLeftoversAreSwept(t *testing.T) {
	s, dir := open(t)
	f, err := s.Create(t.Context(), "crash.wav")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(time.Now().Add(-time.Hour)); err != nil || leftovers(t, dir) != 1 {
		t.Errorf("%v, %d left", err, leftovers(t, dir))
	}
	old := time.Now().Add(-2 * staleAfter)
	if err := os.Chtimes(filepath.Join(dir, filepath.FromSlash(f.temp)), old, old); err != nil {
		t.Fatal(err)
	}
	again, err := Open("file:" + dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if leftovers(t, dir) != 0 {
		t.Error("not swept")
	}
	if err := f.Close(); err == nil {
		t.Error("closed without its file")
	}
}

func TestOtherStoresAreRefusedByName(t *testing.T) {
	for _, u := range []string{"s3://bucket?endpoint=x", "", "file:", "/media", "http://x", "file://host/dir"} {
		if s, err := Open(u); !errors.Is(err, ErrScheme) || strings.HasPrefix(u, "s3") && !strings.Contains(err.Error(), `"s3:", supported: file:DIR`) {
			t.Errorf("%q: %v %v", u, s, err)
		}
	}
}

func TestEndedContextTouchesNothing(t *testing.T) {
	s, dir := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Put(ctx, "a", strings.NewReader("x")); !errors.Is(err, context.Canceled) || leftovers(t, dir) != 0 {
		t.Errorf("%v", err)
	}
}

func TestSignedPaths(t *testing.T) {
	s, err := NewSigner(bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1770111168, 0)
	q := s.Sign("/rest/record/1.wav", now.Add(time.Hour))
	if err := s.Verify("/rest/record/1.wav", q, now); err != nil || !Signed(q) {
		t.Error(err)
	}
	parsed, _ := url.ParseQuery(q.Encode())
	if err := s.Verify("/rest/record/1.wav", parsed, now); err != nil {
		t.Error(err)
	}
	if err := s.Verify("/rest/record/1.wav", q, now.Add(time.Hour)); !errors.Is(err, ErrExpired) {
		t.Errorf("%v", err)
	}
	other, _ := NewSigner(bytes.Repeat([]byte("l"), 32))
	later := url.Values{expiresParam: {"1970111168"}, signatureParam: q[signatureParam]}
	for name, err := range map[string]error{
		"path": s.Verify("/rest/record/2.wav", q, now), "key": other.Verify("/rest/record/1.wav", q, now), "time": s.Verify("/rest/record/1.wav", later, now),
		"none": s.Verify("/rest/record/1.wav", nil, now), "zero signer": Signer{}.Verify("/rest/record/1.wav", q, now),
		"noise": s.Verify("/rest/record/1.wav", url.Values{expiresParam: q[expiresParam], signatureParam: {"!!"}}, now),
	} {
		if !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewSigner([]byte("short")); err == nil {
		t.Error("short secret accepted")
	}
}

func TestSignatureBindsEveryByteOfThePath(t *testing.T) {
	s, _ := NewSigner(bytes.Repeat([]byte("k"), 32))
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		err := s.Verify(b, s.Sign(a, time.Unix(100, 0)), time.Unix(99, 0))
		if (err == nil) != (a == b) {
			t.Fatalf("%q for %q: %v", a, b, err)
		}
	})
}
