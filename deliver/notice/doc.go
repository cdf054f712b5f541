// Package notice writes the mail that is ours: reports of failed delivery (RFC 3464), warnings about messages that
// were too large, and about logins that failed.
//
// The functions write whole messages with CRLF line ends, without dot stuffing; sending them is a Sink's work. What is
// quoted from servers is cleaned so that it can neither add header lines nor end a part.
package notice
