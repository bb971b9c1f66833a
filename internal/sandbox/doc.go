// Package sandbox is the carrier in the box: a telephone network of one machine that answers real SIP calls with sound, places calls into the platform,
// and lets every feature be tried without any outside party.
//
// A Carrier (carrier.go) is one simulated phone (package phone below it) that is called by every number of the world. What a number does is data:
// table.go lists the magic numbers with their acts, act.go says what each act is. A call into the platform (inbound.go) follows a script (script.go) whose
// results stay readable; expect.go decides whether what was heard is what was expected. shelf.go keeps a bounded number of results with their sound,
// in memory only. The path of a call from the platform: phone, carrier.go, table.go, act.go; of a call into it: carrier_http.go, inbound.go, script.go.
//
// It listens on loopback, opens no database, sends no message itself (Messages takes those), and charges nobody: trunk treats it as any other carrier.
package sandbox
