package voice

import (
	"testing"
	"time"
)

func TestFetchIsSignedAsTheContractsExample(t *testing.T) {
	h := signedHeader(nil, "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", "0194f2b0-6100-7d5e-8f60-718293a4b5c6", time.Unix(1770111168, 0), []byte(`{"type":"balance","payload":40.0847}`))
	if got := h["Webhook-Signature"]; len(got) != 1 || got[0] != "v1,10bmBjSlcrImmnHSLJIH7vrG+XOeC4lkpM+eYIPqRXQ=" {
		t.Errorf("signature %v", got)
	}
	if h["Webhook-Id"][0] != "msg_0194f2b0-6100-7d5e-8f60-718293a4b5c6" || h["Webhook-Timestamp"][0] != "1770111168" {
		t.Errorf("headers %v", h)
	}
}

func TestFieldsGoBehindTheCustomersOwnQuery(t *testing.T) {
	fields := []field{{"from", "+1 2"}, {"meta.a&b", "\u00e4"}}
	for in, want := range map[string]string{
		"https://x.example.org/p":      "https://x.example.org/p?from=%2B1%202&meta.a%26b=%C3%A4",
		"https://x.example.org/p?":     "https://x.example.org/p?from=%2B1%202&meta.a%26b=%C3%A4",
		"https://x.example.org/?q=a#f": "https://x.example.org/?q=a&from=%2B1%202&meta.a%26b=%C3%A4",
	} {
		if got := withFields(in, fields); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
