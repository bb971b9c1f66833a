// Package ident makes and reads identifiers: uuid version 7 (RFC 9562 §5.7), whose order is the order of their making.
//
// New makes one; Parse takes any version in any case and gives the canonical lower-case text.
// Identifiers travel as plain strings of 36 characters; this package never talks to a database.
package ident
