// Package sandbox is a carrier in the box: a driver that carries messages to simulated phones and to numbers of the platform itself.
//
// Submit (sandbox.go) looks the recipient up in a table of magic numbers (numbers.go); what the network will say later (receipts, answers) is put into a job in the
// same moment, so that it survives the end of the process (network.go). Carrier ids are made of the message's uuid: a message submitted twice has one id.
//
// It never speaks to anything outside of the process.
package sandbox
