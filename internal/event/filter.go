package event

import "bytes"

// Filter narrows what somebody gets to events that touch one of the listed objects (events.md §2); each is a uuid.
type Filter struct {
	SIPDomain        []string `json:"sip_domain,omitempty" format:"uuid" maxItems:"100"`
	SIPUser          []string `json:"sip_user,omitempty" format:"uuid" maxItems:"100"`
	SIPSwitch        []string `json:"sip_switch,omitempty" format:"uuid" maxItems:"100"`
	SIPConnection    []string `json:"sip_connection,omitempty" format:"uuid" maxItems:"100"`
	SIPControlApp    []string `json:"sip_control_app,omitempty" format:"uuid" maxItems:"100"`
	TNLease          []string `json:"tn_lease,omitempty" format:"uuid" maxItems:"100"`
	MessagingProfile []string `json:"messaging_profile,omitempty" format:"uuid" maxItems:"100"`
	Batch            []string `json:"batch,omitempty" format:"uuid" maxItems:"100"`
}

// Passes tells whether an event touches a listed object; nil and an empty filter let everything through. Envelopes name their objects by uuid, so the uuid in
// the rendered bytes decides.
func (f *Filter) Passes(body []byte) bool {
	if f == nil {
		return true
	}
	none := true
	for _, list := range [][]string{f.SIPDomain, f.SIPUser, f.SIPSwitch, f.SIPConnection, f.SIPControlApp, f.TNLease, f.MessagingProfile, f.Batch} {
		for _, id := range list {
			none = false
			if bytes.Contains(body, []byte(id)) {
				return true
			}
		}
	}
	return none
}
