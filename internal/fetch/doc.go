// Package fetch makes HTTP requests to addresses that customers chose, without lending them our network.
//
// Client.Do (fetch.go) checks the URL (url.go), asks the transport (transport.go), which resolves the name once, drops addresses that
// are not public (address.go), dials what is left and checks the dialled address again on the socket. Redirects (redirect.go) are
// followed by hand: each hop is checked and gets the whole time again, credentials stay with their origin. Error (errors.go) tells
// callers what kind of failure it was, in words that customers may see.
//
// The package never uses a proxy, never speaks anything but HTTP and HTTPS with TLS 1.2 or later, never decompresses, never keeps
// cookies and never retries.
package fetch
