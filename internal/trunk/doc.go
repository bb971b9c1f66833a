// Package trunk is the way between this platform and the public network: carriers, outbound voice profiles, SIP products with their rates,
// and the choice of a route.
//
// Main types: Service (trunk.go), Carrier (carrier.go), Profile (profile.go), Product (product.go), Rate (rate.go), Route (route.go).
//
// The path of a call to the public network, by file: route.go goes through the checks of the profile (profile_store.go), the number, the country,
// the caller ID (caller.go), the rate (rate_store.go) and the day's spending (spend_store.go), and chooses carriers from the table in memory
// (table.go, choice.go); admit.go counts it against the limits of channels and new calls a second. A check that fails is a Refusal: it tells REST,
// SIP and the call record alike what was wrong. The path of a call from the public network: Match (table.go) names the carrier by the source
// address. health.go knows which carriers answer.
//
// The table is read at the start, after each change on this node, and every few seconds for changes made by others. Limits are counted on each
// node by itself. The package places no call, sends no message and moves no money; SMS carriers are kept here for those who use them.
package trunk
