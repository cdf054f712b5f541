package mailtest

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// POP3Mail is one message of a POP3 mailbox.
type POP3Mail struct {
	Raw []byte // with CRLF line ends, not dot-stuffed
	UID string // "" is filled in by Put
	// Size is what STAT, LIST and the first line of RETR say; 0 means len(Raw), ZeroSize means 0.
	Size int64
}

func (m POP3Mail) announced() int64 { return announced(m.Size, m.Raw) }

// POP3Act is what a POP3 server does instead of its usual answer. Acts end the connection by returning an error.
type POP3Act = func(c *POP3Conn) error

// POP3Mechanism is the server's side of a SASL mechanism. ask sends a challenge and returns the decoded answer; initial
// is the decoded initial response, nil if there was none. It returns the user who has proven to be one, "" if nobody.
type POP3Mechanism func(initial []byte, ask func(challenge []byte) ([]byte, error)) (user string, err error)

// POP3, which NewPOP3 makes, is a POP3 server (RFC 1939, RFC 2449, RFC 2595, RFC 5034) with a mailbox for each user and hooks for faults.
// The exported fields are set before Start; the methods may be called at any time by any goroutine.
type POP3 struct {
	Users    map[string]string // user -> password
	Greeting string            // without line end; "" is "+OK POP3 ready"
	// Caps is the answer to CAPA, STLS is added where TLS can be had; nil refuses CAPA.
	Caps []string
	// Stamp is the timestamp of APOP, "<...>"; "" means that there is no APOP.
	Stamp         string
	NoUIDL, NoTOP bool
	// Last is the answer to LAST; negative refuses it (as all modern servers do).
	Last int
	// Mechanisms are offered by AUTH besides PLAIN, LOGIN and CRAM-MD5; all need a "SASL" capability that names them.
	Mechanisms map[string]POP3Mechanism

	Scripted
	hooks[*POP3Conn]
	boxes map[string][]POP3Mail
}

// NewPOP3 returns a server with the user alice, password secret, whose mailbox holds these messages.
func NewPOP3(mail ...[]byte) *POP3 {
	s := &POP3{
		Users: map[string]string{"alice": "secret"},
		Caps:  []string{"TOP", "UIDL", "USER", "RESP-CODES"},
		Last:  -1,
		boxes: map[string][]POP3Mail{},
	}
	for _, raw := range mail {
		s.Put("alice", POP3Mail{Raw: raw})
	}
	return s
}

// Put appends messages to a user's mailbox; sessions that are open do not see them.
func (s *POP3) Put(user string, mail ...POP3Mail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range mail {
		if m.UID == "" {
			m.UID = fmt.Sprintf("uid-%d", len(s.boxes[user])+1)
		}
		s.boxes[user] = append(s.boxes[user], m)
	}
}

// Left returns what is in a user's mailbox now.
func (s *POP3) Left(user string) []POP3Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]POP3Mail(nil), s.boxes[user]...)
}

// Start listens on addr, "" is a free port of 127.0.0.1.
func (s *POP3) Start(addr string) error { return s.listen(addr, s.Serve) }

// Serve serves one connection, however it was made; no Start is needed.
func (s *POP3) Serve(nc net.Conn) {
	s.attach(nc, func(l *link) {
		c := &POP3Conn{Server: s, link: l, deleted: map[int]bool{}}
		c.converseLines(&c.Line, func() error { return s.act(c.Line)(c) })
	})
}

// POP3Conn is one connection to a POP3 server, as acts see it.
type POP3Conn struct {
	Server *POP3
	Line   string // the command being answered

	*link
	user    string // that was given
	in0     bool   // logged in
	mail    []POP3Mail
	deleted map[int]bool
}

// POP3Usual is the usual answer.
func POP3Usual(c *POP3Conn) error { return c.usual() }

// POP3Reply sends lines, each with CRLF, and goes on.
func POP3Reply(lines ...string) POP3Act {
	return func(c *POP3Conn) error { return c.Say(lines...) }
}

// POP3Raw sends bytes as they are and goes on.
func POP3Raw(text string) POP3Act {
	return func(c *POP3Conn) error { _, err := io.WriteString(c.out, text); return err }
}

// POP3Drop closes the connection.
func POP3Drop(*POP3Conn) error { return errBye }

// POP3Hang says nothing more until the client or the server gives up.
func POP3Hang(c *POP3Conn) error { return hang(c.link) }

// POP3Then does one thing and then another.
func POP3Then(acts ...POP3Act) POP3Act { return then(acts) }

// POP3After sends the first n bytes of the usual answer and goes on with act, which may be POP3Drop or POP3Hang.
func POP3After(n int64, act POP3Act) POP3Act { return after(n, act) }

// POP3Drip sends the usual answer byte by byte with pauses in between.
func POP3Drip(pause time.Duration) POP3Act { return drip[*POP3Conn](pause) }

// POP3Flood sends text again and again until the client goes away.
func POP3Flood(first, text string) POP3Act { return flood[*POP3Conn](first, text) }

func (c *POP3Conn) usual() error {
	verb, arg, _ := strings.Cut(c.Line, " ")
	verb = strings.ToUpper(verb)
	switch verb {
	case "GREETING":
		return c.greet()
	case "CAPA":
		return c.capa()
	case "NOOP":
		return c.Say("+OK")
	case "QUIT":
		return c.quit()
	case "STLS":
		return c.stls()
	}
	if c.in0 {
		return c.transact(verb, arg)
	}
	return c.authorize(verb, arg)
}

func (c *POP3Conn) greet() error {
	g := c.Server.Greeting
	if g == "" {
		g = "+OK POP3 ready"
	}
	if c.Server.Stamp != "" {
		g += " " + c.Server.Stamp
	}
	return c.Say(g)
}

func (c *POP3Conn) capa() error {
	if c.Server.Caps == nil {
		return c.Say("-ERR unknown command")
	}
	if err := c.Say(append([]string{"+OK Capability list follows"}, c.Server.Caps...)...); err != nil {
		return err
	}
	if c.Server.TLS != nil && !c.secured {
		if err := c.Say("STLS"); err != nil {
			return err
		}
	}
	return c.Say(".")
}

func (c *POP3Conn) stls() error {
	if c.Server.TLS == nil || c.secured {
		return c.Say("-ERR unknown command")
	}
	return c.upgrade("+OK begin TLS")
}

func (c *POP3Conn) quit() error {
	if c.in0 {
		gone := map[string]bool{}
		for n := range c.deleted {
			gone[c.mail[n-1].UID] = true
		}
		c.Server.mu.Lock()
		var keep []POP3Mail
		for _, m := range c.Server.boxes[c.user] {
			if !gone[m.UID] {
				keep = append(keep, m)
			}
		}
		c.Server.boxes[c.user] = keep
		c.Server.mu.Unlock()
	}
	c.Say("+OK bye")
	return errBye
}

func (c *POP3Conn) authorize(verb, arg string) error {
	switch verb {
	case "USER":
		c.user = arg
		return c.Say("+OK send PASS")
	case "PASS", "RPOP":
		pw, known := c.Server.Users[c.user]
		return c.enter(known && pw == arg)
	case "APOP":
		user, digest, _ := strings.Cut(arg, " ")
		pw, known := c.Server.Users[user]
		sum := md5.Sum([]byte(c.Server.Stamp + pw))
		c.user = user
		return c.enter(known && c.Server.Stamp != "" && hex.EncodeToString(sum[:]) == digest)
	case "AUTH":
		return c.auth(arg)
	}
	return c.Say("-ERR unknown command")
}

func (c *POP3Conn) enter(ok bool) error {
	if !ok {
		return c.Say("-ERR [AUTH] authentication failed")
	}
	c.in0 = true
	c.mail = c.Server.Left(c.user)
	return c.Say("+OK logged in")
}

func (c *POP3Conn) auth(arg string) error {
	mech, initial, given := strings.Cut(arg, " ")
	m := c.Server.mechanism(strings.ToUpper(mech))
	if m == nil {
		return c.Say("-ERR unsupported mechanism")
	}
	var first []byte
	if given && initial != "=" {
		var err error
		if first, err = base64.StdEncoding.DecodeString(initial); err != nil {
			return c.Say("-ERR bad base64")
		}
	} else if given {
		first = []byte{}
	}
	user, err := m(first, c.ask)
	if err != nil {
		return err
	}
	c.user = user
	return c.enter(user != "")
}

func (c *POP3Conn) ask(challenge []byte) ([]byte, error) {
	line, err := c.challenge(challenge)
	if err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.DecodeString(line)
	if err != nil {
		return nil, nil
	}
	return b, nil
}

func (s *POP3) mechanism(name string) POP3Mechanism {
	offered := false
	for _, c := range s.Caps {
		if f := strings.Fields(strings.ToUpper(c)); len(f) > 0 && f[0] == "SASL" {
			for _, m := range f[1:] {
				offered = offered || m == name
			}
		}
	}
	if !offered {
		return nil
	}
	if m := s.Mechanisms[name]; m != nil {
		return m
	}
	switch name {
	case "PLAIN":
		return s.plain
	case "LOGIN":
		return s.login
	case "CRAM-MD5":
		return s.cramMD5
	}
	return nil
}

func (s *POP3) plain(initial []byte, ask func([]byte) ([]byte, error)) (string, error) {
	if initial == nil {
		var err error
		if initial, err = ask(nil); err != nil {
			return "", err
		}
	}
	f := bytes.Split(initial, []byte{0})
	if len(f) != 3 || s.Users[string(f[1])] != string(f[2]) {
		return "", nil
	}
	return string(f[1]), nil
}

func (s *POP3) login(initial []byte, ask func([]byte) ([]byte, error)) (string, error) {
	var err error
	user := initial
	if user == nil {
		if user, err = ask([]byte("Username:")); err != nil {
			return "", err
		}
	}
	pw, err := ask([]byte("Password:"))
	if err != nil || s.Users[string(user)] != string(pw) {
		return "", err
	}
	return string(user), nil
}

func (s *POP3) cramMD5(_ []byte, ask func([]byte) ([]byte, error)) (string, error) {
	answer, err := ask([]byte(cramChallenge))
	if err != nil {
		return "", err
	}
	user, digest, _ := strings.Cut(string(answer), " ")
	if pw, known := s.Users[user]; !known || !cramProves(pw, digest) {
		return "", nil
	}
	return user, nil
}

func (c *POP3Conn) transact(verb, arg string) error {
	s := c.Server
	switch {
	case verb == "STAT":
		var size int64
		for i, m := range c.mail {
			if !c.deleted[i+1] {
				size += m.announced()
			}
		}
		return c.Say(fmt.Sprintf("+OK %d %d", len(c.mail)-len(c.deleted), size))
	case verb == "LAST" && s.Last >= 0:
		return c.Say(fmt.Sprintf("+OK %d", s.Last))
	case verb == "LIST":
		return c.list(arg, func(m POP3Mail) string { return strconv.FormatInt(m.announced(), 10) })
	case verb == "UIDL" && !s.NoUIDL:
		return c.list(arg, func(m POP3Mail) string { return m.UID })
	case verb == "RETR" || verb == "TOP" && !s.NoTOP:
		return c.text(verb, arg)
	case verb == "DELE":
		n := c.find(arg)
		if n == 0 {
			return c.Say("-ERR no such message")
		}
		c.deleted[n] = true
		return c.Say("+OK deleted")
	case verb == "RSET":
		c.deleted = map[int]bool{}
		return c.Say("+OK")
	}
	return c.Say("-ERR unknown command")
}

// find returns the number of an existing message, otherwise 0.
func (c *POP3Conn) find(arg string) int {
	n, err := strconv.Atoi(arg)
	if err != nil || n < 1 || n > len(c.mail) || c.deleted[n] {
		return 0
	}
	return n
}

func (c *POP3Conn) list(arg string, what func(POP3Mail) string) error {
	if arg != "" {
		n := c.find(arg)
		if n == 0 {
			return c.Say("-ERR no such message")
		}
		return c.Say(fmt.Sprintf("+OK %d %s", n, what(c.mail[n-1])))
	}
	if err := c.Say(fmt.Sprintf("+OK %d messages", len(c.mail)-len(c.deleted))); err != nil {
		return err
	}
	for i, m := range c.mail {
		if c.deleted[i+1] {
			continue
		}
		if err := c.Say(fmt.Sprintf("%d %s", i+1, what(m))); err != nil {
			return err
		}
	}
	return c.Say(".")
}

func (c *POP3Conn) text(verb, arg string) error {
	num, lines, _ := strings.Cut(arg, " ")
	n := c.find(num)
	if n == 0 {
		return c.Say("-ERR no such message")
	}
	m := c.mail[n-1]
	raw := m.Raw
	if verb == "TOP" {
		limit, err := strconv.Atoi(lines)
		if err != nil || limit < 0 {
			return c.Say("-ERR bad arguments")
		}
		raw = topLines(raw, limit)
	}
	if err := c.Say(fmt.Sprintf("+OK %d octets", m.announced())); err != nil {
		return err
	}
	if err := stuff(c.out, raw); err != nil {
		return err
	}
	if len(raw) > 0 && raw[len(raw)-1] != '\n' {
		if err := c.Say(""); err != nil {
			return err
		}
	}
	return c.Say(".")
}

// topLines is the header of a message and the first n lines of its body.
func topLines(raw []byte, n int) []byte {
	head := bytes.Index(raw, []byte("\r\n\r\n"))
	if head < 0 {
		return raw
	}
	end := head + 4
	for ; n > 0 && end < len(raw); n-- {
		i := bytes.IndexByte(raw[end:], '\n')
		if i < 0 {
			return raw
		}
		end += i + 1
	}
	return raw[:end]
}

var dot = []byte(".")

// stuff writes text with the dots at line starts doubled (RFC 1939, section 3).
func stuff(w io.Writer, text []byte) error {
	for len(text) > 0 {
		if text[0] == '.' {
			if _, err := w.Write(dot); err != nil {
				return err
			}
		}
		end := len(text)
		if i := bytes.Index(text, []byte("\n.")); i >= 0 {
			end = i + 1
		}
		if _, err := w.Write(text[:end]); err != nil {
			return err
		}
		text = text[end:]
	}
	return nil
}
