// Package audio holds the sound of a call: 8 kHz, 16-bit, one channel, in frames of 20 ms.
//
// A [Source] gives frames to whoever owns the clock. source.go has the plain ones (samples, silence, loops, joins),
// tone.go those that are computed (tones, ringback, busy, DTMF). g711.go turns samples into the bytes of PCMU and PCMA and
// back, resample.go changes rates, level.go mixes and measures.
//
// A file on its way into a call goes through decode.go (which kind is it, limits), wav_read.go or mp3.go (samples of the
// file's own rate, channels mixed to one) and the streaming resampler, so that memory is bounded by the 8 kHz result. A recording
// on its way out goes through wav_write.go. dtmf.go finds keys in the sound of a call (ITU-T Q.24), goertzel.go measures one
// frequency.
//
// The package never reads a clock, starts a goroutine, opens a file or a socket; its sources are for one reader at a time.
package audio
