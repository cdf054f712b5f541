// Package auth logs in: which mechanism is used, how its exchange goes, and where the password comes from.
//
// # Ways
//
// Choose is the policy: from the option auth and what the server offers it makes the ordered list of ways to try. It
// follows fetchmail(1), --auth, and what fetchmail 6.4.37 was seen to do; it does no I/O.
//
// # Exchange
//
// Exchange runs any SASL mechanism (RFC 4422) over a Channel, which pop3 and imap implement: RFC 5034 and RFC 9051,
// section 6.2.2. It bounds what a server may send, and aborts with "*" when the mechanism finds something wrong. A
// mechanism that has to be sure of the server (SCRAM) is asked at the end: an OK that comes before the server has
// proved itself is a failure.
//
// # Mechanisms
//
//	PLAIN                   RFC 4616
//	LOGIN                   draft-murchison-sasl-login
//	CRAM-MD5                RFC 2195
//	EXTERNAL                RFC 4422, appendix A
//	SCRAM-SHA-1, -SHA-256   RFC 5802, RFC 7677, also -PLUS: tls-exporter (RFC 9266) and tls-server-end-point (RFC 5929)
//	OAUTHBEARER             RFC 7628
//	XOAUTH2                 Google, Microsoft
//	GSSAPI                  RFC 4752: Kerberos 5 (RFC 4120, RFC 4121), AES only; tickets in files, or a keytab
//	NTLM, MSN               MS-NLMP, version 2
//	OTP                     RFC 2444, RFC 2289
//	APOP                    RFC 1939, section 7 (a command of POP3, not SASL)
//
// # Secrets
//
// A Secret knows where a password comes from and is asked when it is needed. The text is kept in closures: no verb of
// fmt, at whatever depth of whatever struct, prints it.
package auth
