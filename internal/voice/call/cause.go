package call

import "strconv"

// Cause says why a leg ended.
type Cause struct {
	Q850   int
	SIP    int    // what the far side answered, or what it is to be told
	Reason string // ECallReason
	By     string // caller, callee, platform, api or ""
	Stack  string // the original of the far side: "SIP 486" of an answer, "Q.850 16" of a BYE or CANCEL that gives a cause
}

// Who may end a leg.
const (
	ByCaller   = "caller"
	ByCallee   = "callee"
	ByPlatform = "platform"
	ByAPI      = "api"
)

// Q.850 causes that the engine itself gives.
const (
	NormalClearing   = 16
	NoAnswer         = 19
	LoseRace         = 26
	Unspecified      = 31
	Congestion       = 34
	OutOfOrder       = 38
	TemporaryFailure = 41
	Incompatible     = 88
	TimerExpired     = 102
	OriginatorCancel = 487
)

// causes is the table of ITU-T Q.850 causes with what each becomes in SIP and as the customer's word.
var causes = []struct {
	q850   int
	name   string
	sip    int
	reason string
}{
	{0, "NONE", 480, "normal"},
	{1, "UNALLOCATED_NUMBER", 404, "unreachable"},
	{2, "NO_ROUTE_TRANSIT_NET", 404, "no_route"},
	{3, "NO_ROUTE_DESTINATION", 404, "no_route"},
	{16, "NORMAL_CLEARING", 487, "normal"},
	{17, "USER_BUSY", 486, "busy"},
	{18, "NO_USER_RESPONSE", 480, "no_answer"},
	{19, "NO_ANSWER", 480, "no_answer"},
	{20, "SUBSCRIBER_ABSENT", 480, "unreachable"},
	{21, "CALL_REJECTED", 603, "rejected"},
	{22, "NUMBER_CHANGED", 410, "unreachable"},
	{25, "EXCHANGE_ROUTING_ERROR", 483, "unreachable"},
	{26, "LOSE_RACE", 487, "canceled"},
	{27, "DESTINATION_OUT_OF_ORDER", 502, "unreachable"},
	{28, "INVALID_NUMBER_FORMAT", 484, "unreachable"},
	{29, "FACILITY_REJECTED", 501, "rejected"},
	{31, "NORMAL_UNSPECIFIED", 480, "unreachable"},
	{34, "NORMAL_CIRCUIT_CONGESTION", 503, "unreachable"},
	{38, "NETWORK_OUT_OF_ORDER", 503, "unreachable"},
	{41, "NORMAL_TEMPORARY_FAILURE", 503, "unreachable"},
	{42, "SWITCH_CONGESTION", 503, "unreachable"},
	{44, "REQUESTED_CHAN_UNAVAIL", 503, "unreachable"},
	{50, "FACILITY_NOT_SUBSCRIBED", 403, "rejected"},
	{52, "OUTGOING_CALL_BARRED", 403, "rejected"},
	{54, "INCOMING_CALL_BARRED", 403, "rejected"},
	{55, "INCOMING_CALL_BARRED_IN_CUG", 403, "same_domain_only"},
	{57, "BEARERCAPABILITY_NOTAUTH", 403, "rejected"},
	{58, "BEARERCAPABILITY_NOTAVAIL", 503, "unreachable"},
	{63, "SERVICE_UNAVAILABLE", 503, "unreachable"},
	{65, "BEARERCAPABILITY_NOTIMPL", 488, "unreachable"},
	{79, "SERVICE_NOT_IMPLEMENTED", 501, "unreachable"},
	{88, "INCOMPATIBLE_DESTINATION", 488, "unreachable"},
	{96, "MANDATORY_IE_MISSING", 400, "unreachable"},
	{102, "RECOVERY_ON_TIMER_EXPIRE", 504, "unreachable"},
	{111, "PROTOCOL_ERROR", 500, "internal"},
	{127, "INTERWORKING", 500, "unreachable"},
	{487, "ORIGINATOR_CANCEL", 487, "canceled"},
	{821, "NO_IDENTITY", 428, "shaken_no_identity"},
	{822, "BAD_IDENTITY_INFO", 436, "shaken_invalid"},
	{823, "UNSUPPORTED_CERTIFICATE", 437, "shaken_invalid"},
	{824, "INVALID_IDENTITY", 438, "shaken_invalid"},
}

// fromSIP are the final answers that have a cause of their own.
var fromSIP = map[int]int{
	400: 41, 401: 21, 402: 21, 403: 21, 404: 1, 405: 63, 406: 79, 407: 21, 408: 102, 410: 22, 413: 127, 414: 127, 415: 79, 416: 127,
	420: 127, 421: 127, 423: 127, 428: 821, 436: 822, 437: 823, 438: 824, 480: 18, 481: 41, 482: 25, 483: 25, 484: 28, 485: 3, 486: 17,
	487: 487, 488: 88, 500: 41, 501: 79, 502: 38, 503: 41, 504: 102, 505: 127, 513: 127, 600: 17, 603: 21, 604: 3, 606: 88, 607: 21, 608: 21,
}

// FromSIP is the Q.850 cause of a final SIP status.
func FromSIP(status int) int {
	if q850, ok := fromSIP[status]; ok {
		return q850
	}
	switch {
	case status < 300:
		return NormalClearing
	case status < 500:
		return Unspecified
	}
	return 127
}

// SIPStatus is the status that refuses a call for a cause; 480 for causes that are not in the table.
func SIPStatus(q850 int) int {
	for _, c := range causes {
		if c.q850 == q850 {
			return c.sip
		}
	}
	return 480
}

// Name is the name of a cause, such as USER_BUSY; CAUSE_99 for one without a name.
func Name(q850 int) string {
	for _, c := range causes {
		if c.q850 == q850 {
			return c.name
		}
	}
	return "CAUSE_" + strconv.Itoa(q850)
}

// ReasonOf is the ECallReason that a cause stands for when nothing better is known.
func ReasonOf(q850 int) string {
	for _, c := range causes {
		if c.q850 == q850 {
			return c.reason
		}
	}
	return "unreachable"
}

// complete fills what follows from the rest.
func (c Cause) complete() Cause {
	if c.Q850 == 0 && c.SIP >= 300 {
		c.Q850 = FromSIP(c.SIP)
	}
	if c.Q850 == 0 {
		c.Q850 = NormalClearing
	}
	if c.Reason == "" {
		c.Reason = ReasonOf(c.Q850)
	}
	return c
}

// status is what an unanswered caller is told.
func (c Cause) status() int {
	switch {
	case c.SIP >= 300 && c.SIP <= 699:
		return c.SIP
	case c.Q850 == NormalClearing: // 487 is for callers who gave up themselves
		return 480
	}
	return SIPStatus(c.Q850)
}

// EndedError is the cause of a call's context and the error of methods that came too late.
type EndedError struct{ Cause Cause }

// Error names the cause.
func (e *EndedError) Error() string { return "call: ended: " + Name(e.Cause.Q850) }
