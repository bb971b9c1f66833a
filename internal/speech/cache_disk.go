package speech

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/audio"
)

// Names of files in the cache folder: <key>.wav, and <number>.part while one is written.
const (
	pieceSuffix   = ".wav"
	partSuffix    = ".part"
	pieceOverhead = 44 // bytes of a WAV before its sound
)

// diskCache keeps pieces as WAV files, the ones used last up to a count of bytes. The time of a file is when it was used last, so the order
// survives a restart.
type diskCache struct {
	root *os.Root
	now  func() time.Time

	mu    sync.Mutex
	used  recency
	parts int // files begun, which numbers them
}

// openDiskCache reads which pieces there are and removes what a crash left half written.
func openDiskCache(dir string, most int64) (*diskCache, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	d := &diskCache{root: root, now: time.Now, used: newRecency(most)}
	if err := d.load(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return d, nil
}

func (d *diskCache) load() error {
	entries, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return err
	}
	var pieces []fs.FileInfo
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), partSuffix) {
			if err := d.root.Remove(entry.Name()); err != nil {
				return err
			}
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() && isPiece(entry.Name()) {
			pieces = append(pieces, info)
		}
	}
	slices.SortFunc(pieces, func(a, b fs.FileInfo) int { return cmp.Compare(a.ModTime().UnixNano(), b.ModTime().UnixNano()) })
	for _, info := range pieces {
		d.drop(d.used.add(strings.TrimSuffix(info.Name(), pieceSuffix), info.Size()))
	}
	return nil
}

// isPiece keeps the hands off files that are not ours.
func isPiece(name string) bool {
	key, ok := strings.CutSuffix(name, pieceSuffix)
	return ok && len(key) == 64 && strings.Trim(key, "0123456789abcdef") == ""
}

func (d *diskCache) close() error { return d.root.Close() }

// take reads a piece; one that is damaged is removed, as if it had never been.
func (d *diskCache) take(key string) ([]int16, bool) {
	d.mu.Lock()
	ok := d.used.touch(key)
	d.mu.Unlock()
	if !ok {
		return nil, false
	}
	samples, err := d.read(key)
	if err != nil {
		d.mu.Lock()
		d.used.remove(key)
		d.mu.Unlock()
		_ = d.root.Remove(key + pieceSuffix) // if it stays, the next piece of that name replaces it
		return nil, false
	}
	now := d.now()
	_ = d.root.Chtimes(key+pieceSuffix, now, now) // only the order after a restart depends on it
	return samples, true
}

func (d *diskCache) read(key string) ([]int16, error) {
	file, err := d.root.Open(key + pieceSuffix)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	samples, err := audio.DecodeFile(file, audio.Limits{MaxBytes: info.Size()})
	if err == nil && (len(samples) == 0 || int64(len(samples))*bytesPerSample+pieceOverhead != info.Size()) {
		err = errors.New("damaged")
	}
	return samples, err
}

// put writes a piece under another name, brings it to the disk and renames it, so that no half piece is ever read.
func (d *diskCache) put(key string, samples []int16) error {
	d.mu.Lock()
	d.parts++
	name, part := key+pieceSuffix, strconv.Itoa(d.parts)+partSuffix
	d.mu.Unlock()
	file, err := d.root.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	err = audio.EncodeWAV(file, samples)
	if err == nil {
		err = file.Sync()
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = d.root.Rename(part, name)
	}
	if err != nil {
		return errors.Join(err, d.root.Remove(part))
	}
	d.mu.Lock()
	gone := d.used.add(key, int64(len(samples))*bytesPerSample+pieceOverhead)
	d.mu.Unlock()
	d.drop(gone)
	return nil
}

func (d *diskCache) drop(keys []string) {
	for _, key := range keys {
		_ = d.root.Remove(key + pieceSuffix) // a file that stays is found again at the next start
	}
}
