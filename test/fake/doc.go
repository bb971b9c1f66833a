// Package fake plays what stands outside the server in the scenarios: the customer's web server.
//
// customer.go is that server. What it answers depends on the path alone, so that a scenario chooses a behaviour by the URL it gives to the
// server under test: good pages are put there with Put, bad ones are always there:
//
//	/dead            the connection is cut without an answer
//	/slow            no answer until the asking side goes away
//	/drip            the answer begins, then nothing more comes
//	/html            200 with a web page
//	/empty           200 without a body
//	/status/N        status N with a short text
//	/hop?to=URL      302 to URL
//	/ring            302 to itself
//	/huge            200 with 1 MiB that begins like call XML
//	/tone.wav        two seconds of 440 Hz, 8 kHz mono
//
// Every request is kept; Received gives them path by path in the order of arrival.
//
// It never calls the server under test.
package fake
