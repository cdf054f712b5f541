package auth

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"fetchmail/protocols/mailtest"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// script is a Channel whose server side is a function: it gets what we say and gives what the server answers.
type script struct {
	limit  int
	server func(said string) Step
	last   string
	said   []string
}

func (s *script) InitialLimit() int { return s.limit }

func (s *script) Begin(mech string, initial *string) error {
	s.last = mech
	if initial != nil {
		s.last += " " + *initial
	}
	s.said = append(s.said, s.last)
	return nil
}

func (s *script) Respond(line string) error {
	s.last = line
	s.said = append(s.said, line)
	return nil
}

func (s *script) Receive() (Step, error) { return s.server(s.last), nil }

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// replies is a server that says the given things in turn: "+ text" (encoded here), "OK" or "NO text".
func replies(lines ...string) func(string) Step {
	return func(string) Step {
		if len(lines) == 0 {
			return Step{Kind: Refused, Text: "script is over"}
		}
		line := lines[0]
		lines = lines[1:]
		if text, ok := strings.CutPrefix(line, "+ "); ok {
			return Step{Kind: Continue, Text: b64(text)}
		}
		if text, ok := strings.CutPrefix(line, "+raw "); ok {
			return Step{Kind: Continue, Text: text}
		}
		if line == "OK" {
			return Step{Kind: Done}
		}
		return Step{Kind: Refused, Text: strings.TrimPrefix(line, "NO ")}
	}
}

func mustNew(t *testing.T, mech string) sasl.Client {
	t.Helper()
	c, err := New(mech, "user", "secret", Server{Host: "h", Port: 143})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestExchangeSaysWhatTheMechanismsPrescribe(t *testing.T) {
	for _, c := range []struct {
		mech   string
		limit  int
		server []string
		said   []string
	}{
		{"PLAIN", 999, []string{"OK"}, []string{"PLAIN " + b64("\x00user\x00secret")}},
		{"PLAIN", -1, []string{"+ ", "OK"}, []string{"PLAIN", b64("\x00user\x00secret")}},
		{"PLAIN", 5, []string{"+ ", "OK"}, []string{"PLAIN", b64("\x00user\x00secret")}},
		{"LOGIN", 999, []string{"+ Username:", "+ Password:", "OK"}, []string{"LOGIN", b64("user"), b64("secret")}},
		{"LOGIN", 999, []string{"+ Password:", "OK"}, []string{"LOGIN", b64("secret")}},
		{"NTLM", 999, []string{"+raw NTLM supported", "OK"}, []string{"NTLM", base64.StdEncoding.EncodeToString(ntlmNegotiate())}},
		{"EXTERNAL", 999, []string{"OK"}, []string{"EXTERNAL " + b64("user")}},
		{"XOAUTH2", 999, []string{"OK"}, []string{"XOAUTH2 " + b64("user=user\x01auth=Bearer secret\x01\x01")}},
		{"OAUTHBEARER", 999, []string{"OK"}, []string{"OAUTHBEARER " + b64("n,a=user,\x01host=h\x01port=143\x01auth=Bearer secret\x01\x01")}},
	} {
		ch := &script{limit: c.limit, server: replies(c.server...)}
		if err := Exchange(mustNew(t, c.mech), ch); err != nil {
			t.Errorf("%s: %v", c.mech, err)
		}
		if got, want := strings.Join(ch.said, "|"), strings.Join(c.said, "|"); got != want {
			t.Errorf("%s: said %q, want %q", c.mech, got, want)
		}
	}
}

func TestCRAMMD5ComputesTheExampleOfTheRFC(t *testing.T) {
	c, err := New("CRAM-MD5", "tim", "tanstaaftanstaaf", Server{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Next([]byte("<1896.697170952@postoffice.reston.mci.net>"))
	if want := "tim b913a602c7eda7a495b4e6e7334d3890"; string(got) != want || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := c.Next([]byte("again")); err == nil {
		t.Error("a second challenge was answered")
	}
}

func TestRefusalsLeaveTheConnectionUsable(t *testing.T) {
	for _, c := range []struct {
		mech   string
		server []string
		said   string // last
		reply  string
		cause  string
	}{
		{"PLAIN", []string{"NO bad password"}, "PLAIN ", "bad password", ""},
		{"PLAIN", []string{"+ more", "NO aborted"}, "*", "aborted", "unexpected"},
		{"CRAM-MD5", []string{"+raw !!", "NO aborted"}, "*", "aborted", "BASE64"},
		{"CRAM-MD5", []string{"+ ", "NO aborted"}, "*", "aborted", "empty challenge"},
		{"CRAM-MD5", []string{"+raw " + strings.Repeat("A", maxChallenge+1), "NO aborted"}, "*", "aborted", "limit"},
		{"LOGIN", []string{"+ a", "+ b", "+ c", "NO aborted"}, "*", "aborted", "unexpected"},
		{"XOAUTH2", []string{"+ {\"status\":\"401\"}", "NO denied"}, "", "denied", "401"},
		{"OAUTHBEARER", []string{"+ {\"status\":\"invalid_token\"}", "NO denied"}, b64("\x01"), "denied", "invalid_token"},
		{"SCRAM-SHA-256", []string{"+ r=wrong,s=" + b64("salt") + ",i=4096", "NO aborted"}, "*", "aborted", "nonce"},
	} {
		ch := &script{limit: 999, server: replies(c.server...)}
		err := Exchange(mustNew(t, c.mech), ch)
		var refused *Refusal
		if !errors.As(err, &refused) || refused.Reply != c.reply || !strings.Contains(err.Error(), c.cause) {
			t.Errorf("%s %.40q: %v", c.mech, c.server, err)
		}
		if !strings.HasPrefix(ch.last, c.said) || c.said == "" && ch.last != "" {
			t.Errorf("%s: last said %q, want %q", c.mech, ch.last, c.said)
		}
		if strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%s: the error tells the secret: %v", c.mech, err)
		}
	}
}

func TestServerThatCannotBeTrustedEndsTheConnection(t *testing.T) {
	for name, c := range map[string]struct {
		mech   string
		limit  int
		server []string
	}{
		"success before we have said anything": {"PLAIN", -1, []string{"OK"}},
		"success after abort":                  {"CRAM-MD5", 999, []string{"+raw ?", "OK"}},
		"challenge after abort":                {"CRAM-MD5", 999, []string{"+raw ?", "+ x"}},
		"SCRAM without proof":                  {"SCRAM-SHA-256", 999, []string{"OK"}},
		"token error, then success":            {"XOAUTH2", 999, []string{"+ {}", "OK"}},
	} {
		err := Exchange(mustNew(t, c.mech), &script{limit: c.limit, server: replies(c.server...)})
		var refused *Refusal
		if !errors.Is(err, ErrUntrusted) || errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEndlessExchangeIsAborted(t *testing.T) {
	endless := &client{mech: "X", next: func([]byte) ([]byte, error) { return nil, nil }}
	n := 0
	ch := &script{server: func(said string) Step {
		if n++; said == "*" {
			return Step{Kind: Refused}
		}
		return Step{Kind: Continue}
	}}
	if err := Exchange(endless, ch); err == nil || n > maxRounds+1 {
		t.Errorf("%v after %d steps", err, n)
	}
}

// scramServer plays the server of RFC 5802 with a library of its own.
func scramServer(t *testing.T, hash scram.HashGeneratorFcn, iterations int, spoil func(int, string) string) func(string) Step {
	t.Helper()
	c, err := hash.NewClient("user", "secret", "")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := c.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt", Iters: iterations})
	if err != nil {
		t.Fatal(err)
	}
	s, err := hash.NewServer(func(string) (scram.StoredCredentials, error) { return stored, nil })
	if err != nil {
		t.Fatal(err)
	}
	return scramSteps(s.NewConversation(), spoil)
}

func scramSteps(conv *scram.ServerConversation, spoil func(int, string) string) func(string) Step {
	round := 0
	return func(said string) Step {
		if said == "*" {
			return Step{Kind: Refused, Text: "aborted"}
		}
		if conv.Done() {
			return Step{Kind: Done}
		}
		_, after, found := strings.Cut(said, " ")
		if !found {
			after = said
		}
		text, _ := base64.StdEncoding.DecodeString(after)
		answer, err := conv.Step(string(text))
		if err != nil {
			return Step{Kind: Refused, Text: err.Error()}
		}
		round++
		return Step{Kind: Continue, Text: b64(spoil(round, answer))}
	}
}

func honest(_ int, s string) string { return s }

func TestSCRAMLogsInAndChecksTheServer(t *testing.T) {
	for mech, hash := range map[string]scram.HashGeneratorFcn{"SCRAM-SHA-1": scram.SHA1, "SCRAM-SHA-256": scram.SHA256} {
		if err := Exchange(mustNew(t, mech), &script{limit: 999, server: scramServer(t, hash, 4096, honest)}); err != nil {
			t.Errorf("%s: %v", mech, err)
		}
		for name, spoil := range map[string]func(int, string) string{
			"nonce not ours": func(round int, s string) string {
				if round == 1 {
					return "r=xyz" + s[2:]
				}
				return s
			},
			"too few iterations":  func(_ int, s string) string { return strings.Replace(s, "i=4096", "i=1", 1) },
			"too many iterations": func(_ int, s string) string { return strings.Replace(s, "i=4096", "i=999999999", 1) },
			"huge iterations":     func(_ int, s string) string { return strings.Replace(s, "i=4096", "i=99999999999999999999", 1) },
			"signature not right": func(round int, s string) string {
				if round == 2 {
					return "v=" + b64("no")
				}
				return s
			},
			"no signature": func(round int, s string) string {
				if round == 2 {
					return "e=other-error"
				}
				return s
			},
		} {
			err := Exchange(mustNew(t, mech), &script{limit: 999, server: scramServer(t, hash, 4096, spoil)})
			var refused *Refusal
			if !errors.As(err, &refused) || refused.Err == nil {
				t.Errorf("%s, %s: %v", mech, name, err)
			}
		}
	}
}

// tlsPair is both ends of a TLS connection.
func tlsPair(t *testing.T, version uint16) (ours, theirs tls.ConnectionState) {
	t.Helper()
	a, b := net.Pipe()
	config := mailtest.SelfSigned(t, mailtest.CertSpec{CommonName: "h"}).Config()
	config.MinVersion, config.MaxVersion = version, version
	config.SessionTicketsDisabled = true // a pipe has no room for them
	server, client := tls.Server(b, config), tls.Client(a, &tls.Config{InsecureSkipVerify: true, MinVersion: version})
	done := make(chan error)
	go func() { done <- server.Handshake() }()
	if err := errors.Join(client.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	_, _ = a.Close(), b.Close()
	return client.ConnectionState(), server.ConnectionState()
}

// bindingServer is a SCRAM server that wants the channel binding of its own end of a connection.
func bindingServer(t *testing.T, state tls.ConnectionState) func(string) Step {
	t.Helper()
	c, _ := scram.SHA256.NewClient("user", "secret", "")
	stored, _ := c.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt", Iters: 4096})
	s, _ := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return stored, nil })
	binding, err := scram.NewTLSExporterBinding(&state)
	if state.Version < tls.VersionTLS13 {
		// The server's end of tls-server-end-point is the hash of its own certificate; the client has it, too.
		binding, err = scram.NewTLSServerEndpointBinding(&state)
	}
	if err != nil {
		t.Fatal(err)
	}
	return scramSteps(s.NewConversationWithChannelBindingRequired(binding), honest)
}

func TestSCRAMPlusBindsTheChannel(t *testing.T) {
	client13, server13 := tlsPair(t, tls.VersionTLS13)
	other13, _ := tlsPair(t, tls.VersionTLS13)
	client12, _ := tlsPair(t, tls.VersionTLS12)
	other12, _ := tlsPair(t, tls.VersionTLS12)
	for name, c := range map[string]struct {
		ours, theirs tls.ConnectionState
		ok           bool
	}{
		"TLS 1.3":                    {client13, server13, true},
		"TLS 1.2":                    {client12, client12, true},
		"TLS 1.3, man in the middle": {other13, server13, false},
		"TLS 1.2, man in the middle": {other12, client12, false},
	} {
		mech, err := New("SCRAM-SHA-256-PLUS", "user", "secret", Server{TLS: &c.ours})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := Exchange(mech, &script{limit: 999, server: bindingServer(t, c.theirs)}); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Somebody who has taken -PLUS out of the server's offers is found out.
func TestSCRAMTellsThatItCouldBind(t *testing.T) {
	state, _ := tlsPair(t, tls.VersionTLS13)
	for _, c := range []struct {
		tls     *tls.ConnectionState
		offered string
		want    string
	}{
		{nil, "SCRAM-SHA-256", "n,,"},
		{&state, "SCRAM-SHA-256", "y,,"},
		{&state, "SCRAM-SHA-256 SCRAM-SHA-1-PLUS", "y,,"},
		{&state, "SCRAM-SHA-256 SCRAM-SHA-256-PLUS", "n,,"},
	} {
		mech, err := New("SCRAM-SHA-256", "user", "secret", Server{TLS: c.tls, Offered: strings.Fields(c.offered)})
		if err != nil {
			t.Fatal(err)
		}
		if _, first, err := mech.Start(); err != nil || !strings.HasPrefix(string(first), c.want) {
			t.Errorf("%s, TLS %v: %q, %v", c.offered, c.tls != nil, first, err)
		}
	}
}

func TestSecretsAreInNoPrint(t *testing.T) {
	const word = "pa55w0rd"
	var values []any
	for mech := range mechanisms {
		if strings.HasSuffix(mech, "-PLUS") {
			continue
		}
		c, err := New(mech, "user", word, Server{})
		if err != nil {
			t.Fatal(err)
		}
		_, _, _ = c.Start()
		_, _ = c.Next([]byte("challenge"))
		values = append(values, c, struct{ c sasl.Client }{c}, []sasl.Client{c})
	}
	fixed := Fixed(word)
	_, _ = fixed.Get(t.Context())
	entries := parseNetrc("machine m login l password "+word, func(int, string) {})
	values = append(values, fixed, struct{ s Secret }{fixed}, First(fixed), &fixed, entries, entries[0])
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			text := fmt.Sprintf(verb, v)
			if strings.Contains(text, word) || strings.Contains(text, fmt.Sprintf("%x", word)) {
				t.Errorf("%s of %T prints the secret: %s", verb, v, text)
			}
		}
	}
}

func TestNewRefusesWhatAMechanismCannotCarry(t *testing.T) {
	for _, c := range []struct{ mech, user, secret string }{
		{"PLAIN", "a\x00b", "s"}, {"PLAIN", "a", "s\x00"}, {"LOGIN", "a\x00", "s"}, {"EXTERNAL", "\x00", ""},
		{"CRAM-MD5", "a\r\nb", "s"}, {"XOAUTH2", "a\x01", "s"}, {"XOAUTH2", "a", "s\x01x"}, {"OAUTHBEARER", "a", "t\n"},
		{"SCRAM-SHA-1", "a\x00", "s"}, {"SCRAM-SHA-256-PLUS", "a", "s"}, {"KERBEROS_V4", "a", "s"},
	} {
		if _, err := New(c.mech, c.user, c.secret, Server{}); err == nil {
			t.Errorf("%s %q %q was accepted", c.mech, c.user, c.secret)
		}
	}
}

func TestAPOP(t *testing.T) {
	for _, c := range []struct {
		greeting, stamp string
		err             error
	}{
		{"+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>", "<1896.697170952@dbc.mtview.ca.us>", nil},
		{"+OK hi", "", ErrNoTimestamp},
		{"+OK <>", "", ErrTimestampSyntax},
		{"+OK <a@b> <c@d>", "<a@b>", nil},
		{"+OK <a b@c>", "", ErrInvalidTimestamp},
		{"+OK <1.2@x\xe9>", "", ErrInvalidTimestamp},
		{"+OK <" + strings.Repeat("a", 600) + "@b>", "", ErrTimestampSyntax},
		{"+OK <12@x", "", ErrTimestampSyntax},
		{"+OK <1.2@x> hi", "<1.2@x>", nil},
		{"+OK <12x>", "", ErrInvalidTimestamp},
		{"+OK <1<2@x>>", "", ErrInvalidTimestamp},
		{"+OK x>y<1.2@x>", "<1.2@x>", nil},
		{"+OK <@x>", "", ErrInvalidTimestamp},
		{"+OK <\"a\"@b>", "<\"a\"@b>", nil},
		{"+OK <1@[1.2.3.4]>", "<1@[1.2.3.4]>", nil},
		{"+OK <a..b@c>", "", ErrInvalidTimestamp},
		{"+OK <a@b.>", "", ErrInvalidTimestamp},
		{"+OK <a\x00@b>", "", ErrInvalidTimestamp},
		{"+OK <a@b@c>", "", ErrInvalidTimestamp},
	} {
		stamp, err := Timestamp(c.greeting)
		if stamp != c.stamp || !errors.Is(err, c.err) {
			t.Errorf("%q: got %q, %v", c.greeting, stamp, err)
		}
	}
	// RFC 1939, section 7, has this example.
	if got := Digest("<1896.697170952@dbc.mtview.ca.us>", "tanstaaf"); got != "c4c9334bac560ecc979e58001b3e22fb" {
		t.Errorf("digest %s", got)
	}
}

func FuzzExchange(f *testing.F) {
	f.Add("SCRAM-SHA-256", "cj14LHM9eCxpPTQwOTY=", "")
	f.Add("CRAM-MD5", "PGFAYj4=", "x")
	f.Add("XOAUTH2", "e30=", "*")
	f.Fuzz(func(t *testing.T, mech, first, second string) {
		c, err := New(mech, "user", "secret", Server{})
		if err != nil {
			return
		}
		lines := []string{first, second}
		ch := &script{limit: len(first) - 1, server: func(said string) Step {
			if len(lines) == 0 || said == "*" {
				return Step{Kind: Refused}
			}
			text := lines[0]
			lines = lines[1:]
			return Step{Kind: Continue, Text: text}
		}}
		if err := Exchange(c, ch); err == nil {
			t.Errorf("%s: logged in without the server's OK", mech)
		}
		for _, line := range ch.said {
			if strings.ContainsAny(line, "\r\n") {
				t.Errorf("line end in %q", line)
			}
		}
	})
}

func FuzzTimestamp(f *testing.F) {
	f.Add("+OK <1.2@x>")
	f.Fuzz(func(t *testing.T, greeting string) {
		stamp, err := Timestamp(greeting)
		if err == nil && (len(stamp) < 5 || strings.ContainsFunc(stamp, func(r rune) bool { return r < ' ' || r > 0x7e })) {
			t.Errorf("%q: accepted %q", greeting, stamp)
		}
	})
}
