package call

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestOwnAddressIsAskedForOnceInAWhile(t *testing.T) {
	var s sources
	asked := 0
	now := time.Unix(1000, 0)
	own := netip.MustParseAddr("192.0.2.1")
	ask := func(netip.Addr) (netip.Addr, error) { asked++; return own, nil }
	a, b := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")
	for _, remote := range []netip.Addr{a, b, a, b} {
		if got, err := s.get(remote, now, ask); got != own || err != nil {
			t.Fatal(got, err)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times for 2 far sides", asked)
	}
	if _, err := s.get(a, now.Add(sourceFor+1), ask); err != nil || asked != 3 {
		t.Errorf("asked %d times after the routes may have changed, %v", asked, err)
	}
	wrong := errors.New("no route")
	far := netip.MustParseAddr("203.0.113.1")
	if _, err := s.get(far, now.Add(sourceFor+1), func(netip.Addr) (netip.Addr, error) { return netip.Addr{}, wrong }); err != wrong {
		t.Error(err)
	}
	if got, err := s.get(far, now.Add(sourceFor+1), ask); got != own || err != nil {
		t.Error("a failure was remembered", got, err)
	}
}
