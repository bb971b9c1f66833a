// Package blob keeps recordings and other media as objects under keys.
//
// Open (blob.go) opens a Store on a file: URL. Put and Create (write.go) write to a temporary file, fsync it, and rename it into place, so
// that a key names a whole object or none, also after a power cut; Store.Open and Stat read. Signer (sign.go) makes the signatures of URLs
// that work without credentials for a while.
//
// Keys are chosen by the program, never by customers; whoever puts a customer's text into a key gets ErrKey. The package knows neither
// accounts nor formats, and never serves HTTP.
package blob
