// Package odmr fetches mail by On-Demand Mail Relay: RFC 2645.
//
// # Turn
//
// We log in to the ODMR host and say ATRN with our domains. If it agrees the roles turn: the host is now the client of
// SMTP, and our listener, to which we connect, is its server. From there on bytes are carried between the two.
//
// Nothing can be lost here: the host keeps each message until our listener itself has answered its end with 250. A
// connection that breaks off anywhere costs a message that is sent again.
//
// # Carrying
//
// What passes is looked at, not kept: commands and replies are paired, so that it is known when the text of a message
// begins and ends. The bytes pass as they are, with one exception. A dot alone between line ends that are not both CRLF
// would be the end of the text for some listeners, and what follows would be commands from this machine, which may be
// allowed more than others (SMTP smuggling): such a dot is doubled. When the host and the listener agree on STARTTLS with
// one another the rest passes unseen.
//
// # Time
//
// The option timeout bounds how long nothing moves. A host that drips bytes of a message does not live for ever on that:
// as in package wire, waiting is paid from a budget of two time-outs, which each byte fills by 1/256 of one. While the
// listener works on a whole message it has at least ten minutes: RFC 5321, section 4.5.3.2.6.
//
// # End
//
// The poll has gone well if the host has said QUIT. Otherwise whoever has hung up is to blame. A poll that is to stop
// goes on until the listener has answered the message in hand.
//
// # Standards
//
//	RFC 2645   ATRN: yes; CRAM-MD5 first
//	RFC 4954   other mechanisms where CRAM-MD5 is not offered; those with the password in clear only under TLS
package odmr
