package voice

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/db/dbtest"
)

func TestSoundsAreKeptAsTheirServerAllows(t *testing.T) {
	var later atomic.Int64
	h := build(t, dbtest.SQLite(t), func(c *Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	})
	var file bytes.Buffer
	h.must(audio.EncodeWAV(&file, h.hum(100*time.Millisecond)))
	var mu sync.Mutex
	counts := map[string]int{}
	count := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		counts[what]++
	}
	asked := func(what string) int {
		mu.Lock()
		defer mu.Unlock()
		return counts[what]
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count(r.URL.Path)
		for name, value := range map[string]string{"Etag": r.URL.Query().Get("etag"), "Cache-Control": r.URL.Query().Get("cc")} {
			if value != "" {
				w.Header().Set(name, value)
			}
		}
		if etag := r.Header.Get("If-None-Match"); etag != "" {
			count("not modified " + r.URL.Path)
			w.WriteHeader(304)
			return
		}
		_, _ = w.Write(file.Bytes())
	}))
	defer web.Close()
	play := func(account, path string) {
		t.Helper()
		samples, err := fetcher{s: h.s, account: account}.Media(t.Context(), web.URL+path)
		if err != nil || len(samples) != 800 {
			t.Errorf("%s: %d samples, %v", path, len(samples), err)
		}
	}
	for _, tc := range []struct {
		path, query  string
		asked, again int // of three times
	}{
		{"/silent", "", 3, 0},
		{"/etag", "?etag=a", 3, 2},
		{"/fresh", "?cc=max-age%3D60", 1, 0},
		{"/private", "?cc=private,max-age%3D60", 1, 0},
		{"/ask", "?cc=no-cache,max-age%3D60&etag=a", 3, 2},
		{"/never", "?cc=no-store,max-age%3D60&etag=a", 3, 0},
	} {
		for range 3 {
			play("ann", tc.path+tc.query)
		}
		if asked(tc.path) != tc.asked || asked("not modified "+tc.path) != tc.again {
			t.Errorf("%s: asked %d times, %d of them whether it changed", tc.path, asked(tc.path), asked("not modified "+tc.path))
		}
	}
	play("bob", "/fresh?cc=max-age%3D60")
	if asked("/fresh") != 2 {
		t.Error("one account heard what another one was given")
	}
	later.Store(int64(time.Minute))
	play("ann", "/fresh?cc=max-age%3D60")
	if asked("/fresh") != 3 {
		t.Error("a sound stays fresh beyond its time")
	}
}

func TestLeastUsedSoundsAreForgotten(t *testing.T) {
	var c sounds
	fresh := map[string][]string{"Cache-Control": {"max-age=60"}}
	third := make([]int16, maxSounds/2/3)
	for _, key := range []string{"a", "b", "c"} {
		c.keep(sound{key: key, samples: third}, fresh, time.Now())
	}
	c.get("a")
	c.keep(sound{key: "d", samples: third}, fresh, time.Now())
	c.keep(sound{key: "e", samples: make([]int16, maxSounds)}, fresh, time.Now())
	for key, want := range map[string]bool{"a": true, "b": false, "c": true, "d": true, "e": false} {
		if _, ok := c.get(key); ok != want {
			t.Errorf("%s is kept: %v", key, ok)
		}
	}
	c.keep(sound{key: "a", samples: third}, map[string][]string{"Cache-Control": {"no-store"}}, time.Now())
	if _, ok := c.get("a"); ok || c.bytes != 2*2*len(third) || c.used.Len() != 2 {
		t.Errorf("%d bytes of %d sounds", c.bytes, c.used.Len())
	}
}
