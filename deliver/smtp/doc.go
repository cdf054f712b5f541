// Package smtp hands messages to an SMTP or LMTP listener.
//
// # Connection
//
// The sink connects when the first message comes, to the first host of the hunt list that greets it well, and keeps the
// connection until Close, BatchLimit messages, or until it is lost; then the next message uses a new one. One that was
// idle for long, because a server is slow, and was closed by the listener meanwhile costs no message. The phase up to
// the first MAIL (banner, EHLO or LHLO, HELO on a new connection where EHLO was refused, STARTTLS, AUTH) is ours. From
// there on github.com/emersion/go-smtp speaks, over a net.Conn of ours which owns deadlines (RFC 5321, section
// 4.5.3.2), limits on answers, the trace without credentials, the parameters of MAIL, pipelining and the answers as
// they were sent. An answer without a code ends the connection: nobody could tell any more which answer belongs to
// which command.
//
// # Transaction
//
// MAIL, all RCPT, DATA, the text, final dot. A refusal at any point is answered with RSET, except LMTP's after the dot.
// A temporary refusal of one recipient defers the message for all. If all recipients were refused for good,
// Envelope.Fallback gets a RCPT in the same transaction. Towards a listener on another machine (or behind a tunnel,
// which its answers give away) that offers PIPELINING (RFC 2920) MAIL and RCPT go out together, some KB at a time, and
// DATA with them if there is one recipient only; with more, a recipient's temporary refusal must be known before the
// text can be begun.
//
// # Addresses
//
// They come from the headers of messages. What could become a second command or a parameter (CR, LF, NUL, angle
// brackets, addresses of more than 900 octets) is not shown to the listener: such a recipient is refused, such a sender,
// to whom nothing could be reported anyway, becomes the null sender.
//
// # The text
//
// All bytes pass as they are, with leading dots doubled; package dots says how a message is kept from ending early.
//
// # Verdict
//
// 2xx is Accepted, 5xx Refused, a code of Options.Antispam Spam; everything else is Deferred.
package smtp
