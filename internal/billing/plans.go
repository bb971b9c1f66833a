package billing

import (
	"context"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/money"
)

// DefaultPlan is the price plan of numbers that name no other.
const DefaultPlan = "US"

// TollFreePlan is the price plan of toll-free numbers.
const TollFreePlan = "US Toll Free"

// Prices are the price members of a plan; their JSON is the wire's and the database's alike (numbers-and-money §6).
type Prices struct {
	NRC          money.Amount `json:"nrc"`
	MRC          money.Amount `json:"mrc"`
	SMSNRC       money.Amount `json:"sms_nrc"`
	SMSMRC       money.Amount `json:"sms_mrc"`
	SMSSend      money.Amount `json:"sms_per_send_cost"`
	SMSReceive   money.Amount `json:"sms_per_receive_cost"`
	MMSNRC       money.Amount `json:"mms_nrc"`
	MMSMRC       money.Amount `json:"mms_mrc"`
	MMSSend      money.Amount `json:"mms_per_send_cost"`
	MMSReceive   money.Amount `json:"mms_per_receive_cost"`
	VoiceNRC     money.Amount `json:"voice_nrc"`
	VoiceMRC     money.Amount `json:"voice_mrc"`
	VoiceIn      money.Amount `json:"voice_incoming_per_min_cost"`
	VoiceOut     money.Amount `json:"voice_outgoing_per_min_cost"`
	FaxNRC       money.Amount `json:"fax_nrc"`
	FaxMRC       money.Amount `json:"fax_mrc"`
	FaxIn        money.Amount `json:"fax_incoming_per_min_cost"`
	FaxOut       money.Amount `json:"fax_outgoing_per_min_cost"`
	EmergencyNRC money.Amount `json:"emergency_nrc"`
	EmergencyMRC money.Amount `json:"emergency_mrc"`
	EmergencyIn  money.Amount `json:"emergency_incoming_per_min_cost"`
	EmergencyOut money.Amount `json:"emergency_outgoing_per_min_cost"`
	TTS          money.Amount `json:"tts_per_char_cost"`
	ASR          money.Amount `json:"call_asr_per_15s_cost"` // of started 15 seconds
}

// Plan is a price plan of numbers, a platform TN profile on the wire.
type Plan struct {
	UUID        string
	Name        string
	Description string
	Active      bool
	TollFree    bool
	Country     string
	Priority    string
	Prices      Prices
	Created     time.Time
	Modified    time.Time
}

// Leases counts the numbers that an account has leased, by the uuids of their plans.
type Leases interface {
	CountByPlan(ctx context.Context, q db.Querier, account string) (map[string]int, error)
}

// CountLeases names who counts leases; numbers are made after billing.
func (s *Service) CountLeases(l Leases) { s.leases = l }

// Special is a plan's prices agreed for one account, until it expires.
type Special struct {
	UUID     string
	Account  string
	Plan     Plan
	Prices   Prices
	Expires  time.Time
	Created  time.Time
	Modified time.Time
}

// samplePlans are the plans of a new installation: sample values, which the administrator replaces.
func samplePlans() []Plan {
	local := Prices{
		NRC: money.MustParse("0.1"), MRC: money.MustParse("1"), SMSNRC: money.MustParse("0.01"),
		SMSSend: money.MustParse("0.0075"), SMSReceive: money.MustParse("0.003"),
		VoiceIn: money.MustParse("0.0055"), VoiceOut: money.MustParse("0.0085"),
	}
	free := local
	free.MRC, free.VoiceIn = money.MustParse("2"), money.MustParse("0.018")
	return []Plan{
		{Name: DefaultPlan, Description: "Local numbers of the United States and Canada", Active: true, Country: "US", Priority: "normal", Prices: local},
		{Name: TollFreePlan, Description: "Toll-free numbers", Active: true, TollFree: true, Country: "US", Priority: "normal", Prices: free},
	}
}
