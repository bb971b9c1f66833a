package fault

// Code is the stable machine code of an error, the "meta" member on the wire (rest-conventions §4).
type Code string

// The codes. Status and message of each stand in the table below and nowhere else.
const (
	Validation        Code = "validation_failed"
	InvalidXML        Code = "invalid_xml"
	InvalidJSON       Code = "invalid_json"
	Unauthorized      Code = "unauthorized"
	Balance           Code = "insufficient_balance"
	AccessDenied      Code = "access_denied"
	CallerID          Code = "caller_id_not_allowed"
	Country           Code = "country_not_allowed"
	OptedOut          Code = "opted_out"
	NotFound          Code = "not_found"
	NotImplemented    Code = "not_implemented"
	SMSBalance        Code = "insufficient_balance_sms"
	MethodNotAllowed  Code = "method_not_allowed"
	CountryPermission Code = "country_permission_violation"
	Conflict          Code = "conflict"
	InUse             Code = "in_use"
	Exists            Code = "already_exists"
	KeyMismatch       Code = "idempotency_mismatch"
	CallEnded         Code = "call_ended"
	CursorExpired     Code = "cursor_expired"
	TooLarge          Code = "too_large"
	MediaType         Code = "unsupported_media_type"
	RateLimited       Code = "rate_limited"
	Internal          Code = "internal"
	Upstream          Code = "upstream_failed"
	Unavailable       Code = "unavailable"
)

// Entry is what the table says of a code.
type Entry struct {
	Code    Code   // as the callers of this package name it
	Wire    string // the "meta" member; differs from Code only where one wire code has two statuses
	Status  int    // HTTP status
	Message string // default public message
	Title   string // RFC 9457 title
	Help    string // the page at /errors/<code>
}

var table = []Entry{
	{Validation, "validation_failed", 400, "Validation failed", "Validation failed", "One or more members of the request are missing, of the wrong type or out of range. The member fields names them all, the first hundred of a great many."},
	{InvalidXML, "invalid_xml", 400, "Invalid XML", "Invalid call XML", "The call XML was refused; the message gives line and column."},
	{InvalidJSON, "invalid_json", 400, "Invalid JSON", "Invalid JSON", "The body is not a JSON document."},
	{Unauthorized, "unauthorized", 401, "Forbidden", "Not signed in", "The request carries no credential, or the first one found is not valid."},
	{Balance, "insufficient_balance", 402, "Not enough account balance", "Not enough balance", "The available balance does not cover the operation. Top up, or ask for a credit limit."},
	{AccessDenied, "access_denied", 403, "Access denied", "Access denied", "The credential is good, but its role, its scopes or the state of the account do not allow this."},
	{CallerID, "caller_id_not_allowed", 403, "Caller ID not allowed", "Caller ID not allowed", "The caller number is not leased by the account."},
	{Country, "country_not_allowed", 403, "Country not allowed", "Country not allowed", "The destination country is not switched on for the account or the profile."},
	{OptedOut, "opted_out", 403, "Recipient opted out", "Recipient opted out", "The recipient asked not to receive messages."},
	{NotFound, "not_found", 404, "Not found", "Not found", "No such object in this account."},
	{NotImplemented, "not_implemented", 404, "Not found", "Not part of this server", "The operation belongs to the wider interface, but this server does not offer it."},
	{SMSBalance, "insufficient_balance", 405, "Insufficient Balance", "Insufficient balance", "The available balance does not cover the message."},
	{MethodNotAllowed, "method_not_allowed", 405, "Method not allowed", "Method not allowed", "The path exists, but not with this method; the Allow header lists those it has."},
	{CountryPermission, "country_permission_violation", 406, "Country Permission Violation", "Country not allowed", "Messages to the recipient's country are not switched on for the account."},
	{Conflict, "conflict", 409, "Conflict", "Conflict", "The request contradicts the present state of the object."},
	{InUse, "in_use", 409, "In use", "In use", "The object cannot be removed while others are tied to it."},
	{Exists, "already_exists", 409, "Already exists", "Already exists", "An object with this key exists."},
	{KeyMismatch, "idempotency_mismatch", 409, "Idempotency key was used with another request", "Idempotency key reused", "The same Idempotency-Key came with another body."},
	{CallEnded, "call_ended", 409, "Call already ended", "Call ended", "The call is no longer live."},
	{CursorExpired, "cursor_expired", 410, "Cursor is too old", "Cursor too old", "Events after this cursor were removed by the retention. Read the entities again and start from the newest cursor."},
	{TooLarge, "too_large", 413, "Request too large", "Too large", "The body is larger than the operation allows."},
	{MediaType, "unsupported_media_type", 415, "Unsupported media type", "Unsupported media type", "The Content-Type of the body is not one the operation reads."},
	{RateLimited, "rate_limited", 429, "Too many requests", "Too many requests", "Slow down; Retry-After says for how long."},
	{Internal, "internal", 500, "Internal error", "Internal error", "Something broke on our side. The request id finds it in the log."},
	{Upstream, "upstream_failed", 502, "Upstream failed", "Upstream failed", "A carrier, payment provider or number supplier did not do its part."},
	{Unavailable, "unavailable", 503, "Service unavailable", "Unavailable", "The server is starting, draining, overloaded or has lost its storage. Try again after Retry-After."},
}

// Lookup returns the table's row of a code; an unknown code gives the row of Internal.
func Lookup(c Code) Entry {
	for _, e := range table {
		if e.Code == c {
			return e
		}
	}
	return Lookup(Internal)
}

// LookupWire returns the first row with this wire code.
func LookupWire(wire string) (Entry, bool) {
	for _, e := range table {
		if e.Wire == wire {
			return e, true
		}
	}
	return Entry{}, false
}

// Table returns a copy of all rows, in the order of their statuses.
func Table() []Entry { return append([]Entry(nil), table...) }
