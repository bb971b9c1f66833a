// Package carrier is the contract between the platform and those who carry its messages to phones.
//
// A Driver speaks one protocol to one carrier: Submit hands a message over and says how the carrier names it, Run keeps the link. What comes from the
// carrier goes to a Sink: receipts and inbound messages. A Sink returns only after its commit, and only then the driver acknowledges to the carrier;
// an error means "not taken", and the carrier will try again. Errors of Submit are *Refusal: temporary, permanent, or the link is down.
//
// Drivers are packages below this one; carriertest.Exercise is the suite that each must pass. The package knows no account, no price and no database.
package carrier
