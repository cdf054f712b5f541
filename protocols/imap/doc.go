// Package imap is a mailbox on an IMAP server: protocols.Session over go-imap's client.
//
// # Who does what
//
// Up to the login nothing of the library is involved: guest reads the greeting, asks for capabilities, brings the
// connection under TLS and logs in, on a wire.Conn, with the mechanisms of package auth. Then the library gets the
// connection with a greeting of our own, "* PREAUTH [CAPABILITY ...]". It issues all further commands and reads their
// answers: SELECT, EXAMINE, FETCH, STORE, SEARCH, EXPUNGE, COPY, MOVE, NOOP, IDLE, LOGOUT.
//
// Between it and the connection stands filter, a net.Conn of ours.
//
// Towards the library it passes on what an answer needs, in canonical form, and nothing else: the library ends the
// connection at every response that it does not know, its process at deep nesting (readBody recurses without limit),
// and loses a text whose UID comes behind it. The filter knows which texts are waited for (want), supplies the UID from
// what it has seen of the folder (box), drops duplicates, and remembers how the response ended: only a text whose
// response was closed as it must, with no other UID in it, ends in io.EOF (verdict). Lines, unwanted literals, the number
// of messages and lines without an answer are limited; literals that are wanted have no limit, they stream.
//
// A literal that was announced too small leaves text of the message where responses should be. Its sender may have
// made that look like responses. The filter sends NOOP with a tag that nobody can guess and believes nothing until it
// is answered (resync); the message counts as not fetched, commands under way as refused.
//
// Towards the server it numbers commands as the reference does (A0001), and puts them into the reference's form
// (translate). The trace for -v is made here, without secrets and without texts.
//
// # Deadlines
//
// wire.Conn ignores the library's deadlines, which are total times (30 seconds a response, 5 minutes a text) while our
// sink may be slow, and applies an inactivity limit to each read. The filter reads only while the server owes an
// answer (await), so that the limit never runs while we are the ones who take their time.
//
// # Two ways
//
// Servers with UIDPLUS are asked for messages by UID: one command lists the folder, one fetches a batch of messages
// (first 8, then twice as many each time, up to 250 or 50 MB), header and body in one literal. The library decodes all
// responses in one goroutine that stands still while a literal is read; so nothing is waited for within a batch, and
// there is never more than one FETCH under way (servers interleave the answers to several, and reading them in order
// would dead-lock). Batches that grow leave little to gain from asking for the next one before the last has drained: a
// thousand messages are eight batches. Marks go out together at the end of a batch, or after a second; until then, and
// if their answers get lost, the ledger knows what was accepted. Messages from 4 MB on are asked for by their header
// first, so that a refused one costs no body. A message that did not come with its batch is asked for again, alone;
// what then does not come is unavailable. So messages may come out of order, where the server leaves one out at first.
//
// All other servers, and those that turn out to have no UIDs, are asked message by message and by number, in the
// reference's own sequence of commands, which such servers have been seeing for decades: SEARCH, FETCH of the sizes,
// and for each message RFC822.HEADER, BODY.PEEK[TEXT], STORE and, as often as the option expunge says, EXPUNGE. Every
// command is waited for. UID SEARCH ALL is added, where it works, to give the ledger something to remember. Here
// removal does not wait for Commit unless expunge is 0: that is what the option means.
//
// Removal is checked: a message counts as removed when the server has told its EXPUNGE, or no longer finds its UID.
//
// # Old and new
//
// \Seen tells, and with keep \Deleted, as in the reference. With Options.Known (option uidl) it is UIDVALIDITY and UID:
// what people read elsewhere is not hidden, what was fetched does not come again, and when UIDVALIDITY has changed all is
// new, so that nothing is flushed that was not fetched. A server without UIDs, or with fewer than messages, is asked for
// flags all the same.
//
// # RFC support
//
//	RFC 1730  IMAP4               yes: servers without IMAP4rev1 are asked in its words
//	RFC 2177  IDLE                yes; without it NOOP
//	RFC 2195  CRAM-MD5            yes
//	RFC 2221  LOGIN-REFERRALS     no: never followed
//	RFC 3501  IMAP4rev1           yes, what a client needs that fetches and deletes
//	RFC 3516  BINARY              no
//	RFC 4315  UIDPLUS             UID EXPUNGE
//	RFC 4959  SASL-IR             yes
//	RFC 4978  COMPRESS            no
//	RFC 5161  ENABLE              no: nothing is enabled, so VANISHED and UTF-8 strings never come
//	RFC 6851  MOVE                yes; without it COPY, STORE, UID EXPUNGE
//	RFC 7162  CONDSTORE, QRESYNC  no; their data is passed over
//	RFC 8314  PREAUTH under TLS   STARTTLS that must be rules PREAUTH out
//	RFC 9051  IMAP4rev2           what it has in common with IMAP4rev1
package imap
