// Package number is phone numbers: the inventory, its search, orders, leases, what is switched on for a lease, and where a number leads.
//
// The way of an order, by file: number_http.go decodes the three documented bodies into an Order; order.go verifies it, holds the money, leases what can be
// leased and charges it, all in one transaction; lease.go is the life of a lease (renewal, release, quarantine), subscription.go its services.
// The way of a call or message in: ByTN (lease_store.go) gives the lease of a called number with its target.
//
// A number is e164.Number inside and "tn" on the wire. The package knows no call flow and no message; views of foreign objects come through Views.
package number
