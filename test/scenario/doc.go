// Package scenario tests the whole server from outside: it starts the built program and plays text files against it, on SQLite and on PostgreSQL.
//
// Each testdata/*.txt is one scenario with a server and a customer's web server (test/fake) of its own; adding a scenario is adding a file. script.go
// reads the files, step.go and step_live.go know the steps, play.go carries out a file, and house runs the program. Besides the files there are tests
// in Go for what takes counting: load_test.go (SIPp places a thousand calls), garbage_test.go
// (broken SIP), body_test.go (broken bodies for every POST), media_test.go (SIPp with sound and keys), outage_test.go
// (the database goes and comes back; a second signal).
//
// A step is a line; lines that begin with white space go on with it; lines that begin with # are comments. ${name} is replaced
// in every step; there are from the start customer (URL of the web server), base (URL of the API), sip (host:port of SIP), token and random (digits).
//
//	server --no-sandbox             flags of the server; only as the first step
//	use NAME                        plays testdata/NAME.inc here
//	as WHO                          credentials of the following requests: admin, nobody, basic USER:PASSWORD, or a token
//	header NAME VALUE               for the next request only
//	POST /rest/x {"json": 1}        a request (GET, POST, PUT, PATCH, DELETE); a body that begins with < is sent as XML
//	status 201                      of the last answer
//	expect PATH OP VALUE && …       of the last document: an answer, an event, a request that the customer got
//	save NAME PATH                  keeps a value of the last document; an array of scalars is kept as JSON
//	set NAME VALUE
//	await 5s GET /rest/x => COND    asks until the condition holds; the answer becomes the last document
//	socket NAME TYPES [since C]     signs in to the websocket for the types (comma list or *); ${NAME.cursor} is the last cursor seen
//	event NAME 5s COND              the next event on that socket that fits becomes the last document; those before it are passed over,
//	                                so that the order of steps is the order of events
//	close NAME                      ends the socket
//	page /path BODY                 lets the customer answer BODY at /path
//	received 5s /path [COND]        the next request that the customer got there becomes the last document
//	sound PROPERTY OP NUMBER        of the last answer, a WAV: seconds, level (dBFS), loudest (of any 100 ms, dBFS), tone:HZ (share of the energy
//	                                in the best 100 ms), silence (seconds of the longest gap)
//	sipp FILE key=value …           runs SIPp with test/sipp/FILE against the server: number=, calls=, rate=; it has to succeed
//
// Paths and conditions are those of house: payload.data[0].tn, payload.logs[name=Gather].success, payload.length.
//
// Nothing here sleeps: what takes time is waited for, with a limit.
package scenario
