// Package header works on the header of a message as bytes: it finds fields, drops some, rewrites addresses and
// puts new lines in front, and leaves every other byte as it was received.
//
// A Block is parsed once. Everything is linear in the size of the header, whatever a sender has written into it.
// Nothing here does I/O.
//
// The rules are those of fetchmail 6.4 (fetchmail(1), "--norewrite", "--invisible", "dropstatus", "mimedecode"), as far
// as the manual states them; the rest was measured on the program itself.
package header
