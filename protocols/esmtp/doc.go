// Package esmtp is the client's side of an ESMTP session that sends no mail: what etrn and odmr have in common.
//
// # Session
//
// Open dials, reads the greeting, says EHLO, and where the options want it changes to TLS with STARTTLS (RFC 3207) and
// says EHLO again: what was offered before is forgotten. From there on Command sends one line at a time and reads the
// reply to it. Nothing is ever sent ahead, so words of the server that wait before a command are a break of the
// protocol.
//
// # Limits
//
// A line of a reply has at most 12,288 octets, a reply at most 128 lines; the time-out is that of package wire, for each
// read. CR, LF and NUL never get into a command.
//
// # Words
//
// The faults carry the words of the reference, as Detail. Its exit statuses 128 and 129, which are internal ones, are
// not copied: a server that refuses is a fault of the protocol, one that hangs up or is silent one of the socket, and
// its own words are shown.
//
// # Standards
//
//	RFC 5321   EHLO, replies, QUIT: yes; HELO: no, it offers nothing
//	RFC 3207   STARTTLS: yes
//	RFC 4954   AUTH: yes, with the mechanisms of package auth
package esmtp
