package auth

import (
	"strings"
	"testing"
)

func show(ways []Way) string {
	var s []string
	for _, w := range ways {
		s = append(s, map[Kind]string{Password: "password", APOP: "apop", RPOP: "rpop", SASL: w.Mech, None: "none"}[w.Kind])
	}
	return strings.Join(s, " ")
}

const (
	runOutPOP = "We've run out of allowed authenticators and cannot continue."
	runOutIM  = "h: we've run out of authentication methods and cannot log in."
	noIR      = "server did not advertise SASL-IR extension but fetchmail's implementation requires it for AUTHENTICATE EXTERNAL"
)

// The rows up to the empty line are what fetchmail 6.4.37 was seen to send and print, with all ways refused.
func TestChoose(t *testing.T) {
	for _, c := range []struct {
		proto Protocol
		auth  string
		mechs string // IR: SASL-IR, OFF: LOGINDISABLED, S: secure, TLS
		ways  string
		notes string
		out   string
	}{
		{POP3, "", "", "password", "", ""},
		{POP3, "any", "PLAIN LOGIN", "password", "", ""},
		{POP3, "any", "CRAM-MD5 PLAIN", "CRAM-MD5 password", "", ""},
		{POP3, "any", "EXTERNAL", "password", "", ""},
		{POP3, "password", "CRAM-MD5 PLAIN", "password", "", ""},
		{POP3, "cram-md5", "", "CRAM-MD5", "", ""},
		{POP3, "cram-md5", "CRAM-MD5 PLAIN", "CRAM-MD5", "", ""},
		{POP3, "external", "PLAIN", "", "", runOutPOP},
		{POP3, "gssapi", "PLAIN", "", "", runOutPOP},
		{POP3, "ntlm", "", "NTLM", "", ""},
		{POP3, "msn", "PLAIN", "MSN", "", ""},
		{POP3, "", "NTLM OTP X-OTP GSSAPI EXTERNAL CRAM-MD5 MSN LOGIN PLAIN SCRAM-SHA-1", "NTLM CRAM-MD5 password", "", ""},
		{POP3, "gssapi", "GSSAPI CRAM-MD5", "GSSAPI", "", ""},
		{POP3, "", "TICKET NTLM OTP GSSAPI EXTERNAL CRAM-MD5", "GSSAPI NTLM CRAM-MD5 password", "", ""},
		{POP3, "", "TICKET NTLM CRAM-MD5", "NTLM CRAM-MD5 password", "", ""},
		{POP3, "ssh", "", "none", "", ""},
		{APOPOnly, "", "CRAM-MD5", "apop", "", ""},
		{APOPOnly, "ssh", "", "apop", "", ""},
		{RPOPOnly, "", "", "rpop", "", ""},
		{IMAP, "", "", "password", "", ""},
		{IMAP, "", "PLAIN LOGIN", "password", "", ""},
		{IMAP, "", "CRAM-MD5 PLAIN", "CRAM-MD5 password", "", ""},
		{IMAP, "", "EXTERNAL CRAM-MD5 LOGIN", "CRAM-MD5 password", noIR, ""},
		{IMAP, "", "IR EXTERNAL CRAM-MD5", "EXTERNAL CRAM-MD5 password", "", ""},
		{IMAP, "", "OFF", "", "", runOutIM},
		{IMAP, "", "OFF PLAIN CRAM-MD5", "CRAM-MD5", "", runOutIM},
		{IMAP, "password", "CRAM-MD5", "password", "", ""},
		{IMAP, "password", "OFF CRAM-MD5", "", "h: --auth password requested but server forbids it (LOGINDISABLED).", ""},
		{IMAP, "cram-md5", "", "CRAM-MD5", "", ""},
		{IMAP, "cram-md5", "OFF", "CRAM-MD5", "", ""},
		{IMAP, "", "CRAM-MD5 NTLM OTP X-OTP GSSAPI EXTERNAL MSN LOGIN", "CRAM-MD5 NTLM password", noIR, ""},
		{IMAP, "", "IR TICKET CRAM-MD5 NTLM OTP GSSAPI EXTERNAL", "EXTERNAL GSSAPI CRAM-MD5 NTLM password", "", ""},
		{IMAP, "gssapi", "GSSAPI", "GSSAPI", "", ""},
		{IMAP, "gssapi", "CRAM-MD5", "", "", runOutIM},
		{IMAP, "ntlm", "CRAM-MD5", "", "", runOutIM},
		{IMAP, "ntlm", "CRAM-MD5 NTLM", "NTLM", "", ""},
		{IMAP, "msn", "MSN NTLM", "", "", runOutIM},
		{IMAP, "external", "PLAIN", "", "h: --auth external requested but server does not advertise it.", ""},
		{IMAP, "external", "EXTERNAL", "", noIR, ""},
		{IMAP, "external", "IR EXTERNAL", "EXTERNAL", "", ""},
		{IMAP, "ssh", "PLAIN", "none", "", ""},

		{POP3, "external", "EXTERNAL", "EXTERNAL", "", ""},
		{POP3, "kerberos_v5", "GSSAPI", "GSSAPI", "", ""},
		{POP3, "otp", "OTP", "OTP", "", ""},
		{POP3, "otp", "PLAIN", "", "", runOutPOP},
		{POP3, "Implicit", "", "none", "", ""},
		{POP3, "apop", "", "apop", "", ""},
		{IMAP, "apop", "PLAIN", "", "h: --auth apop requested but IMAP does not have it.", ""},
		{POP3, "any", "cram-md5 SCRAM-SHA-256 XOAUTH2", "CRAM-MD5 password", "", ""},
		{IMAP, "oauthbearer", "S PLAIN XOAUTH2 OAUTHBEARER", "OAUTHBEARER XOAUTH2", "", ""},
		{IMAP, "oauthbearer", "S XOAUTH2", "XOAUTH2", "", ""},
		{POP3, "xoauth2", "S OAUTHBEARER", "OAUTHBEARER", "", ""},
		{IMAP, "oauthbearer", "OAUTHBEARER", "", "h: an OAuth 2.0 token is not sent without TLS.", ""},
		{IMAP, "oauthbearer", "S PLAIN", "", "h: server offers neither OAUTHBEARER nor XOAUTH2.", runOutIM},
		{IMAP, "plain", "", "PLAIN", "", ""},
		{IMAP, "scram-sha-1", "SCRAM-SHA-1", "SCRAM-SHA-1", "", ""},
		{IMAP, "scram-sha-256", "SCRAM-SHA-1", "", "", runOutIM},
		{IMAP, "scram", "S SCRAM-SHA-1 SCRAM-SHA-256", "SCRAM-SHA-256", "", ""},
		{IMAP, "scram", "TLS SCRAM-SHA-1-PLUS SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "", ""},
		{IMAP, "scram", "SCRAM-SHA-256-PLUS SCRAM-SHA-256", "SCRAM-SHA-256", "", ""},
		{IMAP, "scram", "PLAIN", "", "", runOutIM},
	} {
		mechs := strings.Fields(c.mechs)
		got := Choose(Offer{Protocol: c.proto, Auth: c.auth, Host: "h", Mechs: mechs, SASLIR: offers(mechs, "IR"),
			LoginDisabled: offers(mechs, "OFF"), Secure: offers(mechs, "S"), TLS: offers(mechs, "TLS"),
			Ticket: func() bool { return offers(mechs, "TICKET") }})
		if show(got.Ways) != c.ways || strings.Join(got.Notes, "\n") != c.notes || strings.Join(got.RunOut, "\n") != c.out {
			t.Errorf("%d %q %q: got %q, notes %q, run out %q; want %q, %q, %q", c.proto, c.auth, c.mechs,
				show(got.Ways), got.Notes, got.RunOut, c.ways, c.notes, c.out)
		}
		if forced := c.auth != "" && c.auth != "any"; got.Forced != forced {
			t.Errorf("%q: forced is %v", c.auth, got.Forced)
		}
	}
}

func TestNoWayIsOfferedWithoutAReason(t *testing.T) {
	for _, proto := range []Protocol{POP3, IMAP, APOPOnly, RPOPOnly} {
		for _, auth := range []string{"", "any", "password", "cram-md5", "external", "oauthbearer", "ssh", "plain", "nonsense", "scram", "kerberos_v4"} {
			for _, off := range []bool{false, true} {
				c := Choose(Offer{Protocol: proto, Auth: auth, LoginDisabled: off})
				if len(c.Ways) == 0 && len(c.Notes)+len(c.RunOut) == 0 {
					t.Errorf("%d %q %v: no way and no word about it", proto, auth, off)
				}
			}
		}
	}
}

func TestAsksCapabilitiesAsTheReference(t *testing.T) {
	for auth, want := range map[string]bool{"": true, "any": true, "cram-md5": true, "otp": true, "gssapi": true,
		"password": false, "ntlm": false, "msn": false, "external": true, "ssh": false} {
		if got := AsksCapabilities(POP3, auth); got != want {
			t.Errorf("%q: %v", auth, got)
		}
	}
	if AsksCapabilities(APOPOnly, "") || !AsksCapabilities(IMAP, "password") {
		t.Error("APOP asks, or IMAP does not")
	}
}

func TestNeedsPassword(t *testing.T) {
	for auth, want := range map[string]bool{"": true, "password": true, "cram-md5": true, "oauthbearer": true, "ssh": false,
		"implicit": false, "external": false, "gssapi": false, "kerberos_v5": false} {
		if NeedsPassword(auth) != want {
			t.Errorf("%q: %v", auth, !want)
		}
	}
}
