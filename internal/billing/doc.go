// Package billing is money of accounts: balance, reservations (holds), the append-only ledger, and the prices of number plans.
//
// Service is its one type. A charge goes: price (plans.go) → Hold while the work is under way → Settle when it is done, or Release when it is not (service.go);
// each change of a balance is one ledger row whose balance before equals the balance after of the row before it (ledger_store.go). balance events are
// written with the change, at most one a second and account, the last value always (notify.go). billing_http.go shows transactions and price plans.
//
// The schema holds the invariant: balance + credit limit - reserved is never negative. Amounts are micro-dollars and never pass through a float.
// HoldAll and SettleAll (batch.go) are Hold and Settle for many objects, with few statements for each account; Lock takes accounts' rows before other writes.
// It knows no number, call or message: those name themselves in ref_type and ref_uuid.
package billing
