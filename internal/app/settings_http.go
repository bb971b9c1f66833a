package app

import (
	"context"
	"strings"

	"github.com/opentact/opentact/internal/httpapi"
)

// settingsView is Settings of the contract: what a client may know of the installation before it signs in.
type settingsView struct {
	Payments paymentSettings  `json:"payments"`
	Auth     signInSettings   `json:"auth"`
	Platform platformSettings `json:"platform"`
	Webhook  webhookSettings  `json:"webhook"`
	Limits   limitSettings    `json:"limits"`
}

// paymentSettings and signInSettings name outside providers; none is configured, so each is null.
type paymentSettings struct {
	Stripe *struct{} `json:"stripe"`
	PayPal *struct{} `json:"paypal"`
}

type signInSettings struct {
	Apple    *struct{} `json:"apple"`
	Facebook *struct{} `json:"facebook"`
	Google   *struct{} `json:"google"`
}

type platformSettings struct {
	Name     string  `json:"name"`
	Version  string  `json:"version"`
	APIURL   string  `json:"api_url"`
	WSSURL   string  `json:"wss_url"`
	Suffix   string  `json:"sip_suffix"`
	SIPWSURL *string `json:"sip_ws_url"`
}

type webhookSettings struct {
	Sources []string `json:"source_ips"`
}

type limitSettings struct {
	XMLBytes     int `json:"xml_bytes"`
	XMLDepth     int `json:"xml_depth"`
	XMLDocuments int `json:"xml_documents"`
	BatchPhones  int `json:"batch_phones"`
	Recipients   int `json:"sms_recipients"`
}

func (a *App) settingsRoutes(api *httpapi.API) {
	op := httpapi.Op{ID: "GetSettings", Method: "GET", Path: "/rest/settings", Tag: "Settings", Summary: "Facts of this installation", Auth: httpapi.NoAuth}
	httpapi.Handle(api, op, a.settings)
}

func (a *App) settings(context.Context, *struct{}) (settingsView, error) {
	sources := []string{}
	if ip := a.cfg.PublicIP; ip != "" && ip != "auto" {
		sources = append(sources, ip)
	}
	return settingsView{
		Platform: platformSettings{Name: "Opentact", Version: a.build.Version, APIURL: a.cfg.APIURL, WSSURL: strings.Replace(a.cfg.APIURL, "http", "ws", 1) + "/", Suffix: a.cfg.Domain},
		Webhook:  webhookSettings{Sources: sources},
		Limits:   limitSettings{XMLBytes: httpapi.MaxXML, XMLDepth: 32, XMLDocuments: 100, BatchPhones: 10000, Recipients: 1000},
	}, nil
}
