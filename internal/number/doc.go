// Package number is phone numbers: the inventory, its search, orders, leases, what is switched on for a lease, and where a number leads.
//
// The way of an order, by file: order_http.go decodes the three documented bodies into a Request; order.go verifies it, prices it, leases what can be leased and
// charges it, all in one transaction. lease.go is the frame of every change of a lease and its release, subscription.go its features with their services,
// assign.go ties it to a voice target, renew.go is the end of its month: renewal, the notices before the end, release. letters.go names the letters.
// The way of a call or message in: ByTN (lease_store.go) gives the lease of a called number with its target.
//
// A number is e164.Number inside and "tn" on the wire. The package knows no call flow and no message; views of foreign objects come
// through Views, and what waits to be sent from a number that ends is failed through Messages.
package number
