// Package frame is the layer of frames of RFC 6455, as the server of an event stream needs it: text messages in, frames out.
//
// Reader (read.go) gives whole messages and control frames, and an *Error with the close code for whatever the standard forbids. It keeps no buffer between
// messages beyond a few bytes, since most connections are idle. Append and AppendClose (write.go) render frames; the same bytes can go to many connections.
//
// It knows no HTTP and no socket, starts nothing, has no extensions (compression costs each connection tens of kilobytes) and sends nothing by itself:
// answering a ping or a close is its user's work.
package frame
