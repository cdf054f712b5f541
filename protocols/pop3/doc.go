// Package pop3 is a mailbox on a POP3 server: a protocols.Session over github.com/knadh/go-pop3.
//
// # Below the library
//
// The library works on a connection of ours that hands out one line a Read, so that its buffer is empty whenever one
// of its methods returns. Login and single-line commands go through the library. Message text, lists, SASL exchanges,
// TLS and the answers to commands that were sent ahead are read past it, from the same buffer. The connection refuses
// CR, LF and NUL within a command, bounds every line, and gives the library no other answer than +OK or -ERR.
//
// # Data path
//
// The text of a message is handed out in runs of the connection's buffer: no allocation a line, constant memory. The
// dot of a dot-stuffed line is left out, all other bytes stay as they are. A text that ends without its final dot is an
// error that wraps io.ErrUnexpectedEOF.
//
// # Asking ahead
//
// With PIPELINING (RFC 2449, section 6.6) TOP or RETR for a window of messages is under way while one is read, and each
// DELE goes out with the next batch. Three bounds hold: messages, their announced size, and 8,000 bytes of commands
// without an answer. The last one excludes a deadlock: so much fits into our own send buffer even if the server reads
// nothing before we have read what it wrote. Answers are read in order. An answer that is neither +OK nor -ERR while
// others are outstanding ends the session, because what belongs to which message cannot be told any more.
//
// # Old and new
//
// List says how. All UIDs come in one answer, also where the option fastuidl asks for a search by bisection: that takes
// a round trip for each step, and is wrong about messages that were put between old ones.
//
// # Deletion
//
// POP3 deletes at QUIT and only then (RFC 1939, section 6). Commit reads the answers to all DELE commands, makes sure
// that nothing unread waits on the connection, says QUIT, and confirms what both DELE and QUIT have granted. Close says
// RSET before QUIT, or drops the connection when anything is under way. Messages that the list of UIDs leaves out or
// names twice are deleted only if they were fetched in this session.
//
// # Standards
//
//	RFC 1939   POP3: yes
//	RFC 1460   LAST, and RFC 1081 RPOP: yes, for old servers
//	RFC 2449   CAPA, PIPELINING, SASL, RESP-CODES (IN-USE, LOGIN-DELAY): yes; EXPIRE, IMPLEMENTATION: no use
//	RFC 2595   STLS: yes
//	RFC 5034   AUTH: yes, mechanisms as in package auth
//	RFC 3206   AUTH and SYS response codes: not told apart
//	RFC 6856   UTF8, LANG: no
package pop3
