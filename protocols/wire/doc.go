// Package wire is the connection below the protocol clients: dialing, TLS and its policy, time limits, cancellation.
//
// # One connection for every protocol
//
// The client libraries never see a socket. They work on a Conn, which keeps for itself what they do badly: deadlines,
// the buffer in which the server's bytes wait, the change to TLS, and what happens after an error. There is one buffer
// from the greeting to the end; StartTLS refuses if anything is in it.
//
// # Time
//
// There is one inactivity limit, the option timeout. It holds for the look-up of the name, for the connection to each
// address, for every read and write of the TLS handshake, and for every read and write after it. So that a server that
// sends a byte now and then does not live for ever, waiting is paid from a budget of two such limits, which a command of
// ours fills again and every byte received fills by 1/256 of a limit: with the usual 300 seconds that is a little less
// than one byte a second. A limit for a whole command (an endless flood of untagged replies) is the protocol's.
//
// # Cancellation
//
// The context of Dial belongs to the connection for its whole life. When it ends, the socket is closed; every call
// that is blocked and every later one returns an error that wraps the context's cause.
//
// # Addresses
//
// A name may have several addresses; they are tried in the order of the resolver (RFC 6724), each a quarter of a second
// after the one before it or as soon as that one has failed (RFC 8305, without its look-ups in parallel). A DialError
// has an Attempt for each of them.
//
// # TLS
//
// The policy is that of fetchmail(1) 6.4, its words on standard error are those of the reference, and the tests compare
// them with it. What differs: nothing below TLS 1.2 is spoken unless sslproto asks for it by name; SSL 3 is refused;
// sslfingerprint also takes SHA-1 and SHA-256; a certificate needs no common name; a folder of certificates need not be
// hashed; a client certificate that cannot be read gives a warning. What Go cannot do: key exchange by finite-field
// Diffie-Hellman, RSA keys below 1024 bits, signatures with SHA-1 under sslcertck.
//
// A failure is a TLSError: the reference's lines, and a cause. If that is a CertError it says which check failed, what
// was seen (subject, names, issuer, dates, SHA-256 fingerprint) and what can be done about it.
//
// # Plugins
//
// fetchmail(1), --plugin: the command is looked up in PATH and run without a shell, on a socket pair. It is ended, at
// last by SIGKILL, when the connection is closed.
//
// # Proxies
//
// Dialer.Proxy sends connections through SOCKS5 (RFC 1928, user and password as in RFC 1929). The proxy looks the name
// up; so there is one attempt, and its address is the proxy's.
package wire
