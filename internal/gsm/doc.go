// Package gsm is the text of short messages: the GSM 7-bit alphabet and UCS-2 (3GPP TS 23.038), segments and their header (TS 23.040).
//
// Analyze and Split (segment.go) say what a text costs and cut it; alphabet.go and national.go hold the alphabets with the national
// language shift tables, septets.go packs seven bits into octets, ucs2.go is the other encoding, udh.go reads and writes the user data
// header, dcs.go the data coding scheme, smart.go replaces look-alikes that would make a message dearer.
//
// A text travels as: Smart → Analyze → Split → a carrier's PDU → ParseUDH → Decode. The package knows nothing of carriers, prices or PDUs.
// National tables are understood when receiving and never used for sending.
package gsm
