package trunk

import (
	"context"
	"slices"

	"github.com/opentact/opentact/internal/httpapi"
)

// Routes registers carriers, products, rates and outbound voice profiles.
func (s *Service) Routes(a *httpapi.API) {
	s.carrierRoutes(a)
	s.productRoutes(a)
	s.profileRoutes(a)
}

func (s *Service) carrierRoutes(a *httpapi.API) {
	const base = "/rest/admin/carrier"
	op := func(id, method, path, summary string, status int) httpapi.Op {
		return httpapi.Op{ID: id, Method: method, Path: path, Tag: "Admin", Summary: summary, Auth: httpapi.Admin, Status: status}
	}
	httpapi.Handle(a, op("AdminListCarriers", "GET", base, "List voice trunks and SMS links", 200), s.listCarriers)
	httpapi.Handle(a, op("AdminCreateCarrier", "POST", base, "Make a carrier", 201), s.createCarrier)
	httpapi.Handle(a, op("AdminGetCarrier", "GET", base+"/{uuid}", "Read a carrier", 200), s.getCarrier)
	httpapi.Handle(a, op("AdminUpdateCarrier", "PATCH", base+"/{uuid}", "Change a carrier", 200), s.updateCarrier)
	httpapi.Handle(a, op("AdminRemoveCarrier", "DELETE", base+"/{uuid}", "Remove a carrier", 200), s.removeCarrier)
}

// carrierView is Carrier of the contract; the members of the other kind are null.
type carrierView struct {
	UUID         string       `json:"uuid"`
	Name         string       `json:"name"`
	Kind         string       `json:"kind"`
	Active       bool         `json:"is_active"`
	Priority     int          `json:"priority"`
	Weight       int          `json:"weight"`
	Hosts        []Host       `json:"hosts"`
	Login        *string      `json:"auth_login"`
	Codecs       []string     `json:"codecs"`
	NumberFormat *string      `json:"number_format"`
	Channels     *float64     `json:"channel_limit"`
	CPS          *float64     `json:"cps_limit"`
	RateTable    *int         `json:"rate_table_id"`
	InboundIPs   []string     `json:"inbound_ips"`
	OptionsPing  *int         `json:"options_ping"`
	Protocol     *string      `json:"protocol"`
	Host         *string      `json:"host"`
	Port         *int         `json:"port"`
	SystemID     *string      `json:"system_id"`
	Bind         *string      `json:"bind"`
	Window       *int         `json:"window"`
	TPS          *float64     `json:"tps"`
	ReceiptID    *string      `json:"dlr_id_format"`
	Prefixes     []string     `json:"prefixes"`
	State        string       `json:"state"`
	Created      httpapi.Time `json:"created_on"`
	Modified     httpapi.Time `json:"modified_on"`
}

// orNil gives nil for the zero value.
func orNil[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func (s *Service) viewCarrier(c Carrier) carrierView {
	v := carrierView{
		UUID: c.ID, Name: c.Name, Kind: c.Kind, Active: c.Active, Priority: c.Priority, Weight: c.Weight, Prefixes: c.Prefixes, State: "down",
		Created: httpapi.TimeOf(c.Created), Modified: httpapi.TimeOf(c.Modified),
	}
	if s.Up(c.ID) && (!c.Sandbox() || s.box.Load() != nil) {
		v.State = "up"
	}
	if c.Kind == SMS {
		m := c.SMS
		v.Protocol, v.Host, v.Port, v.SystemID = &m.Protocol, orNil(m.Host), orNil(m.Port), orNil(m.SystemID)
		v.Bind, v.Window, v.TPS, v.ReceiptID = &m.Bind, &m.Window, &m.TPS, &m.ReceiptID
		return v
	}
	l := c.Voice
	v.Hosts, v.Login, v.Codecs, v.NumberFormat, v.Channels, v.CPS = l.Hosts, orNil(l.Login), l.Codecs, &l.NumberFormat, l.Channels, l.CPS
	v.RateTable, v.InboundIPs, v.OptionsPing = orNil(l.RateTable), l.InboundIPs, &l.OptionsPing
	return v
}

// hostIn is one address of a carrier.
type hostIn struct {
	Host      string `json:"host" required:"true" minLength:"1" maxLength:"255"`
	Port      int    `json:"port" min:"1" max:"65535" default:"5060"`
	Transport string `json:"transport" enum:"udp,tcp,tls" default:"udp"`
}

// carrierMembers are the members that may change.
type carrierMembers struct {
	Active       *bool                 `json:"is_active"`
	Priority     *int                  `json:"priority" min:"0" max:"65535" doc:"the lower one is tried first"`
	Weight       *int                  `json:"weight" min:"0" max:"65535" doc:"share of the calls among carriers of one priority"`
	Prefixes     httpapi.Opt[[]string] `json:"prefixes" maxItems:"1000" pattern:"[0-9]{1,15}" doc:"first digits of the numbers that it takes; none: all"`
	Hosts        httpapi.Opt[[]hostIn] `json:"hosts" maxItems:"16"`
	Login        httpapi.Opt[string]   `json:"auth_login" maxLength:"255"`
	Secret       httpapi.Opt[string]   `json:"auth_password" maxLength:"255"`
	Codecs       *[]string             `json:"codecs" minItems:"1" maxItems:"10" enum:"PCMU,PCMA,G722,opus,G729" fold:"true"`
	NumberFormat *string               `json:"number_format" enum:"digits,e164,national"`
	Channels     httpapi.Opt[float64]  `json:"channel_limit" min:"0"`
	CPS          httpapi.Opt[float64]  `json:"cps_limit" above:"0"`
	RateTable    httpapi.Opt[int]      `json:"rate_table_id" min:"1" max:"1000000"`
	InboundIPs   httpapi.Opt[[]string] `json:"inbound_ips" maxItems:"256" doc:"addresses and CIDR blocks that its calls come from"`
	OptionsPing  *int                  `json:"options_ping" min:"0" max:"3600"`
	Protocol     *string               `json:"protocol" enum:"smpp,http,sandbox"`
	Host         httpapi.Opt[string]   `json:"host" maxLength:"2048"`
	Port         httpapi.Opt[int]      `json:"port" min:"1" max:"65535"`
	SystemID     httpapi.Opt[string]   `json:"system_id" maxLength:"255"`
	Password     httpapi.Opt[string]   `json:"password" maxLength:"255"`
	Bind         *string               `json:"bind" enum:"transceiver,pair"`
	Window       *int                  `json:"window" min:"1" max:"1000"`
	TPS          *float64              `json:"tps" above:"0" max:"100000"`
	ReceiptID    *string               `json:"dlr_id_format" enum:"dec,hex,text"`
}

// set changes a value when there is a new one.
func set[T any](into *T, v *T) {
	if v != nil {
		*into = *v
	}
}

// apply changes a carrier; members of the other kind do nothing.
func (m *carrierMembers) apply(c *Carrier) {
	set(&c.Active, m.Active)
	set(&c.Priority, m.Priority)
	set(&c.Weight, m.Weight)
	c.Prefixes = clean(m.Prefixes.Or(c.Prefixes))
	if c.Kind == SMS {
		m.applySMS(&c.SMS)
		return
	}
	v := &c.Voice
	if m.Hosts.Set {
		v.Hosts = []Host{}
		for _, h := range m.Hosts.V {
			v.Hosts = append(v.Hosts, Host(h))
		}
	}
	v.Login, v.Password = m.Login.Or(v.Login), m.Secret.Or(v.Password)
	if m.Codecs != nil {
		v.Codecs = clean(*m.Codecs)
	}
	set(&v.NumberFormat, m.NumberFormat)
	v.Channels, v.CPS, v.RateTable = m.Channels.Ptr(v.Channels), m.CPS.Ptr(v.CPS), m.RateTable.Or(v.RateTable)
	v.InboundIPs = clean(m.InboundIPs.Or(v.InboundIPs))
	set(&v.OptionsPing, m.OptionsPing)
}

func (m *carrierMembers) applySMS(l *SMSLink) {
	set(&l.Protocol, m.Protocol)
	l.Host, l.Port, l.SystemID, l.Password = m.Host.Or(l.Host), m.Port.Or(l.Port), m.SystemID.Or(l.SystemID), m.Password.Or(l.Password)
	set(&l.Bind, m.Bind)
	set(&l.Window, m.Window)
	set(&l.TPS, m.TPS)
	set(&l.ReceiptID, m.ReceiptID)
}

func (s *Service) listCarriers(ctx context.Context, in *httpapi.List) ([]carrierView, error) {
	list, err := s.Carriers(ctx, s.db.Read(), "")
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b Carrier) int { return b.Created.Compare(a.Created) })
	return httpapi.Listed(ctx, *in, list, func(c *Carrier) (carrierView, error) { return s.viewCarrier(*c), nil })
}

type carrierNew struct {
	Name string `json:"name" required:"true" minLength:"1" maxLength:"255"`
	Kind string `json:"kind" required:"true" enum:"voice,sms"`
	carrierMembers
}

func (s *Service) createCarrier(ctx context.Context, in *carrierNew) (carrierView, error) {
	c := newCarrier(in.Name, in.Kind)
	in.apply(&c)
	c, err := s.AddCarrier(ctx, c)
	return s.viewCarrier(c), err
}

type carrierKey struct {
	UUID string `path:"uuid" format:"uuid"`
}

func (s *Service) getCarrier(ctx context.Context, in *carrierKey) (carrierView, error) {
	c, err := s.CarrierByID(ctx, s.db.Read(), in.UUID)
	return s.viewCarrier(c), err
}

type carrierUpdate struct {
	carrierKey
	Name *string `json:"name" minLength:"1" maxLength:"255"`
	carrierMembers
}

func (s *Service) updateCarrier(ctx context.Context, in *carrierUpdate) (carrierView, error) {
	c, err := s.ChangeCarrier(ctx, in.UUID, func(c *Carrier) {
		set(&c.Name, in.Name)
		in.apply(c)
	})
	return s.viewCarrier(c), err
}

func (s *Service) removeCarrier(ctx context.Context, in *carrierKey) (carrierView, error) {
	c, err := s.RemoveCarrier(ctx, in.UUID)
	return s.viewCarrier(c), err
}
