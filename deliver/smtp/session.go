package smtp

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"strings"

	gosmtp "github.com/emersion/go-smtp"

	"fetchmail/deliver"
)

// session is one connection to a listener that has been greeted.
type session struct {
	conn     *conn
	client   *gosmtp.Client
	host     host
	lmtp     bool
	local    bool              // the listener is on this machine
	ext      map[string]string // extensions by name in upper case
	messages int               // begun on this connection
}

// answerError is an answer that is not the one that was needed.
type answerError struct {
	to    string
	reply deliver.Reply
}

func (e *answerError) Error() string {
	return fmt.Sprintf("%s was answered with %q", e.to, e.reply.Text)
}

// open finds a listener: the first of the hunt list that greets us well.
func (s *Sink) open(ctx context.Context) (*session, *deliver.Fault) {
	ss, fault := hunt(ctx, s, s.openHost)
	if fault != nil {
		protocol := "SMTP"
		if s.LMTP() {
			protocol = "LMTP"
		}
		fault.Detail = append(fault.Detail, fmt.Sprintf("%s connect to %s failed", protocol, s.reached.entry))
	}
	return ss, fault
}

func (s *Sink) lmtp(h host) bool { return s.opts.LMTP || h.unix }

// openHost tries one host: EHLO, and on a new connection HELO if that did not go well; LMTP's LHLO twice.
func (s *Sink) openHost(ctx context.Context, h host) (*session, []string, error) {
	hello := []string{"EHLO", "HELO"}
	switch {
	case s.lmtp(h):
		hello = []string{"LHLO", "LHLO"} // RFC 2033, section 4.1: never HELO, with which the reference tries it again
	case s.opts.HELO:
		hello = hello[1:]
	case h.tls == tlsStart: // HELO offers nothing
		hello = hello[:1]
	}
	var err error
	for _, verb := range hello {
		var c net.Conn
		var lines []string
		if c, lines, err = s.connect(ctx, h); err != nil {
			return nil, lines, err
		}
		var ss *session
		if ss, err = s.greet(ctx, c, h, verb); err == nil {
			return ss, nil, nil
		}
		c.Close()
		if ctx.Err() != nil {
			break
		}
	}
	return nil, nil, err
}

// greet goes through banner, greeting, STARTTLS and login and hands the connection to the library.
func (s *Sink) greet(ctx context.Context, nc net.Conn, h host, verb string) (*session, error) {
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	ss, _, err := s.meet(ctx, nc, h, verb)
	if err != nil {
		return nil, err
	}
	if s.opts.User != "" {
		if err := ss.login(s.opts.User, s.opts.Password); err != nil {
			return nil, err
		}
	}
	return ss, ss.handOver(s.opts.Helo)
}

// meet goes through banner, greeting and STARTTLS.
func (s *Sink) meet(ctx context.Context, nc net.Conn, h host, verb string) (ss *session, banner deliver.Reply, err error) {
	ss = &session{conn: newConn(nc, s.opts.Trace, s.opts.Timeouts.Greeting), host: h, lmtp: s.lmtp(h), local: isLocal(nc)}
	if banner, err = ss.conn.reply(); err != nil {
		return nil, banner, err
	}
	if banner.Code != 220 {
		return nil, banner, &answerError{"the connection", banner}
	}
	if err := ss.hello(verb, s.opts.Helo); err != nil {
		return nil, banner, err
	}
	if h.tls == tlsStart {
		if err := s.startTLS(ctx, ss, verb); err != nil {
			return nil, banner, err
		}
	}
	return ss, banner, nil
}

func isLocal(c net.Conn) bool {
	switch a := c.RemoteAddr().(type) {
	case *net.UnixAddr:
		return true
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	}
	return false
}

// hello sends EHLO, LHLO or HELO and notes the extensions.
func (ss *session) hello(verb, name string) error {
	cmd := verb + " " + name
	r, err := ss.conn.command(cmd, cmd)
	if err != nil {
		return err
	}
	if r.Code < 200 || r.Code > 299 {
		return &answerError{verb, r}
	}
	ss.ext = make(map[string]string)
	if verb == "HELO" {
		return nil
	}
	lines := strings.Split(r.Text, "\n")
	for _, l := range lines[1:] {
		if len(l) > 4 {
			name, arg, _ := strings.Cut(strings.TrimSpace(l[4:]), " ")
			name = strings.ToUpper(name)
			ss.ext[name] = strings.TrimSpace(ss.ext[name] + " " + arg)
		}
	}
	return nil
}

func (ss *session) offers(ext string) bool {
	_, ok := ss.ext[ext]
	return ok
}

func (s *Sink) handshake(ctx context.Context, nc net.Conn, h host) (net.Conn, error) {
	if s.opts.TLS == nil {
		return nil, fmt.Errorf("no TLS is configured for %s", h.entry)
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeouts.Greeting)
	defer cancel()
	tc := tls.Client(nc, s.opts.TLS(h.name))
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return tc, nil
}

// startTLS turns the connection to TLS; what the listener offered before is forgotten. RFC 3207.
func (s *Sink) startTLS(ctx context.Context, ss *session, verb string) error {
	if !ss.offers("STARTTLS") {
		return fmt.Errorf("%s does not offer STARTTLS", ss.host.entry)
	}
	r, err := ss.conn.command("STARTTLS", "STARTTLS")
	if err != nil {
		return err
	}
	if r.Code != 220 {
		return &answerError{"STARTTLS", r}
	}
	if ss.conn.r.Buffered() > 0 {
		return fmt.Errorf("%s sent data before the TLS handshake", ss.host.entry)
	}
	tc, err := s.handshake(ctx, ss.conn.Conn, ss.host)
	if err != nil {
		return err
	}
	ss.conn = newConn(tc, s.opts.Trace, s.opts.Timeouts.Greeting)
	return ss.hello(verb, s.opts.Helo)
}

// login tries the best mechanism offered. As in the reference a refusal changes nothing: MAIL will tell whether the
// listener wanted a login. The order is CRAM-MD5 (RFC 2195), PLAIN (RFC 4616), LOGIN.
func (ss *session) login(user, password string) error {
	enc := base64.StdEncoding.EncodeToString
	offered := " " + strings.ToUpper(ss.ext["AUTH"]) + " "
	var steps []string // answers to 334; "" stands for the CRAM-MD5 digest
	var cmd, shown string
	switch {
	case strings.Contains(offered, " CRAM-MD5 "):
		cmd, steps = "AUTH CRAM-MD5", []string{""}
		shown = cmd
	case strings.Contains(offered, " PLAIN "):
		cmd, shown = "AUTH PLAIN "+enc([]byte("\x00"+user+"\x00"+password)), "AUTH PLAIN *"
	case strings.Contains(offered, " LOGIN "):
		cmd, steps = "AUTH LOGIN", []string{enc([]byte(user)), enc([]byte(password))}
		shown = cmd
	default:
		return nil
	}
	ss.conn.hide = hiding(password, enc([]byte(password)), enc([]byte("\x00"+user+"\x00"+password)))
	r, err := ss.conn.command(cmd, shown)
	for err == nil && r.Code == 334 {
		if len(steps) == 0 {
			_, err = ss.conn.command("*", "*") // RFC 4954, section 4: give up
			return err
		}
		answer := steps[0]
		steps = steps[1:]
		if answer == "" {
			answer = cramMD5(r.Text, user, password)
		}
		r, err = ss.conn.command(answer, "*")
	}
	return err
}

// hiding puts "*" for each of the words, unless it is so short that it stands in words of any kind.
func hiding(words ...string) *strings.Replacer {
	var pairs []string
	for _, w := range words {
		if len(w) >= 4 {
			pairs = append(pairs, w, "*")
		}
	}
	return strings.NewReplacer(pairs...)
}

// cramMD5 answers a challenge; "*" gives up where it is not base64.
func cramMD5(reply, user, password string) string {
	challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.TrimPrefix(reply, "334")))
	if err != nil {
		return "*"
	}
	mac := hmac.New(md5.New, []byte(password))
	mac.Write(challenge)
	return base64.StdEncoding.EncodeToString([]byte(user + " " + hex.EncodeToString(mac.Sum(nil))))
}

// handOver gives the greeted connection to the library, which gets to see a greeting and an EHLO answer made up for it:
// without extensions, so that the parameters of MAIL are left to us.
func (ss *session) handOver(helo string) error {
	verb := "EHLO"
	if ss.lmtp {
		ss.client, verb = gosmtp.NewClientLMTP(ss.conn), "LHLO"
	} else {
		ss.client = gosmtp.NewClient(ss.conn)
	}
	ss.conn.feed = []byte("220 .\r\n250 .\r\n")
	ss.conn.ahead = []byte(verb + " " + helo + "\r\n")
	return ss.client.Hello(helo)
}

// reset sends RSET; false means that the connection is of no use any more.
func (ss *session) reset(limit Timeouts) bool {
	r, err := ss.conn.wait(limit.Greeting).command("RSET", "RSET")
	return err == nil && r.Code >= 200 && r.Code < 300
}
