package house

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
)

// Number buys a number and, unless flow is empty, makes an app with that static flow and lets the number lead to it. It gives the digits.
func Number(ctx context.Context, c *Client, flow string) (string, error) {
	found, err := c.Do(ctx, "POST", "/rest/tn/search?take=1", `{"npa": "212"}`)
	if err != nil {
		return "", err
	}
	tn := found.Str("data[0].tn")
	order, err := c.Do(ctx, "POST", "/rest/order", fmt.Sprintf(`{"items": [{"tn": %s, "features": ["voice", "sms"]}]}`, tn))
	if err != nil {
		return "", err
	}
	lease := order.Str("items[0].tn_lease")
	if lease == "" {
		return "", fmt.Errorf("the order of %s failed: %s", tn, Text(order.Value))
	}
	if flow == "" {
		return tn, nil
	}
	app, err := c.Do(ctx, "POST", "/rest/sip/app", map[string]any{"name": "app of " + tn})
	if err != nil {
		return "", err
	}
	if _, err := c.Do(ctx, "POST", "/rest/sip/app/call/flow/"+app.Str("uuid"), flow); err != nil {
		return "", err
	}
	_, err = c.Do(ctx, "POST", "/rest/sip/app/"+app.Str("uuid")+"/tnlease", map[string]any{"add": []string{lease}})
	return tn, err
}

// Sender buys a number that sends and receives messages under the default profile.
func Sender(ctx context.Context, c *Client) (string, error) {
	tn, err := Number(ctx, c, "")
	if err != nil {
		return "", err
	}
	profiles, err := c.Do(ctx, "GET", "/rest/profile/messaging", nil)
	if err != nil {
		return "", err
	}
	_, err = c.Do(ctx, "POST", "/rest/lease/tn/"+tn+"/subscription/sms", map[string]any{"messaging_profile": profiles.Str("[is_default=true].uuid")})
	return tn, err
}

// OutboundProfile lets the account's oldest outbound voice profile, made when there is none, allow many calls a second, and gives its uuid.
func OutboundProfile(ctx context.Context, c *Client) (string, error) {
	list, err := c.Do(ctx, "GET", "/rest/profile/outbound_voice", nil)
	if err != nil {
		return "", err
	}
	method, path := "POST", "/rest/profile/outbound_voice"
	if oldest := list.Str("[-1].uuid"); oldest != "" {
		method, path = "PATCH", path+"/"+oldest
	}
	p, err := c.Do(ctx, method, path, `{"name": "out", "cps_limit": 10000}`)
	return p.Str("uuid"), err
}

// EachEvent reads the durable log of events from its beginning; types is a comma list, empty for all.
func EachEvent(ctx context.Context, c *Client, types string, fn func(Doc) error) error {
	since := ""
	for {
		page, err := c.Do(ctx, "GET", "/rest/event?take=100&type="+url.QueryEscape(types)+"&since="+since, nil)
		if err != nil {
			return err
		}
		for _, e := range page.List("data") {
			if err := fn(e); err != nil {
				return err
			}
		}
		next := page.Str("cursor")
		if page.Str("more") != "true" {
			return nil
		}
		if next == "" || next == since {
			return fmt.Errorf("the event log has more, but its cursor stays at %q", since)
		}
		since = next
	}
}

// SignIn gives the JWT of a user.
func SignIn(ctx context.Context, base, email, password string) (string, error) {
	c := NewClient(base, "")
	defer c.HTTP.CloseIdleConnections()
	h := http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(email+":"+password))}}
	a, err := c.Request(ctx, "GET", "/rest/auth", nil, h)
	if err != nil {
		return "", err
	}
	token := Doc{a.Doc}.Str("payload.token")
	if token == "" {
		return "", fmt.Errorf("sign-in: status %d: %s", a.Status, short(a.Body))
	}
	return token, nil
}
