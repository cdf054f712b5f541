package mailtest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// PushAct is what a Push server does instead of its usual answer. Acts end the connection by returning an error.
type PushAct = func(c *PushConn) error

// Push, which NewPush makes, is an ESMTP server that sends mail when it is asked to: ETRN (RFC 1985) and ODMR (RFC 2645),
// with AUTH (RFC 4954), STARTTLS and hooks for faults. The exported fields are set before Start; the methods may be called
// at any time by any goroutine. The commands that it logs are those from before a turn.
type Push struct {
	User, Password string
	Greeting       string   // without line end
	Extensions     []string // lines of the answer to EHLO, without STARTTLS
	Secured        []string // those under TLS; nil is the same ones
	// Turn is what the host does as a client of SMTP when ATRN was granted; nil says EHLO and QUIT.
	Turn PushAct

	Scripted
	hooks[*PushConn]
}

// NewPush returns a server with the user alice, password secret, that offers ETRN and ATRN.
func NewPush() *Push {
	return &Push{User: "alice", Password: "secret", Greeting: "220 push.example.test ESMTP",
		Extensions: []string{"ETRN", "AUTH CRAM-MD5", "ATRN"}}
}

// Start listens on addr, "" is a free port of 127.0.0.1.
func (s *Push) Start(addr string) error {
	return s.listen(addr, func(nc net.Conn) {
		s.attach(nc, func(l *link) {
			c := &PushConn{Server: s, link: l}
			c.converseLines(&c.Line, func() error { return s.act(c.Line)(c) })
		})
	})
}

// PushConn is one connection to a Push server, as acts see it.
type PushConn struct {
	Server *Push
	Line   string // the command being answered
	*link
}

// PushReply sends lines, each with CRLF, and goes on.
func PushReply(lines ...string) PushAct { return func(c *PushConn) error { return c.Say(lines...) } }

// PushRaw sends bytes as they are and goes on.
func PushRaw(text string) PushAct {
	return func(c *PushConn) error { _, err := io.WriteString(c.out, text); return err }
}

// PushDrop closes the connection.
func PushDrop(*PushConn) error { return errBye }

// PushHang says nothing more until the client or the server gives up.
func PushHang(c *PushConn) error { return hang(c.link) }

// PushDrip sends the usual answer byte by byte with pauses in between.
func PushDrip(pause time.Duration) PushAct { return drip[*PushConn](pause) }

// PushFlood sends text again and again until the client goes away.
func PushFlood(first, text string) PushAct { return flood[*PushConn](first, text) }

// PushChallenge asks for a response and answers it with a line.
func PushChallenge(challenge, verdict string) PushAct {
	return func(c *PushConn) error {
		if _, err := c.ask(challenge); err != nil {
			return err
		}
		return c.Say(verdict)
	}
}

func (c *PushConn) usual() error {
	verb, arg, _ := strings.Cut(c.Line, " ")
	switch strings.ToUpper(verb) {
	case "GREETING":
		return c.Say(c.Server.Greeting)
	case "EHLO":
		return c.ehlo()
	case "STARTTLS":
		if c.Server.TLS == nil || c.secured {
			return c.Say("502 5.5.1 not here")
		}
		return c.upgrade("220 2.0.0 go ahead")
	case "AUTH":
		return c.auth(arg)
	case "ETRN":
		return c.Say("250 2.0.0 queuing started")
	case "ATRN":
		return c.turn()
	case "QUIT":
		c.Say("221 2.0.0 bye")
		return errBye
	}
	return c.Say("502 5.5.2 command not recognized")
}

func (c *PushConn) ehlo() error {
	ext := c.Server.Extensions
	if c.secured && c.Server.Secured != nil {
		ext = c.Server.Secured
	}
	lines := append([]string{"push.example.test"}, ext...)
	if c.Server.TLS != nil && !c.secured {
		lines = append(lines, "STARTTLS")
	}
	return c.Say(multiline("250", lines)...)
}

// ask sends a challenge as it is and returns the decoded response.
func (c *PushConn) ask(challenge string) ([]byte, error) {
	if err := c.Say("334 " + challenge); err != nil {
		return nil, err
	}
	if err := c.out.Flush(); err != nil {
		return nil, err
	}
	line, err := c.readLine()
	if err != nil {
		return nil, err
	}
	c.log(line)
	text, err := base64.StdEncoding.DecodeString(line)
	if err != nil {
		return nil, nil
	}
	return text, nil
}

func (c *PushConn) auth(arg string) error {
	mech, initial, _ := strings.Cut(arg, " ")
	s, ok := c.Server, false
	switch strings.ToUpper(mech) {
	case "CRAM-MD5":
		answer, err := c.ask(base64.StdEncoding.EncodeToString([]byte(cramChallenge)))
		if err != nil {
			return err
		}
		user, digest, _ := strings.Cut(string(answer), " ")
		ok = user == s.User && cramProves(s.Password, digest)
	case "PLAIN":
		text, err := base64.StdEncoding.DecodeString(initial)
		ok = err == nil && string(text) == "\x00"+s.User+"\x00"+s.Password
	default:
		return c.Say("504 5.5.4 no such mechanism")
	}
	if !ok {
		return c.Say("535 5.7.8 authentication failed")
	}
	return c.Say("235 2.7.0 welcome")
}

func (c *PushConn) turn() error {
	if err := c.Say("250 2.0.0 now reversing the connection"); err != nil {
		return err
	}
	if err := c.out.Flush(); err != nil {
		return err
	}
	act := c.Server.Turn
	if act == nil {
		act = func(c *PushConn) error { return c.Converse("EHLO push.example.test", "QUIT") }
	}
	if err := act(c); err != nil {
		return err
	}
	return errBye
}

// Answer returns the next line that the listener says behind a turn, the last one of a reply.
func (c *PushConn) Answer() (string, error) {
	for {
		line, err := c.readLine()
		if err != nil || len(line) < 4 || line[3] != '-' {
			return line, err
		}
	}
}

// Send sends bytes as they are, at once.
func (c *PushConn) Send(text string) error {
	if _, err := io.WriteString(c.out, text); err != nil {
		return err
	}
	return c.out.Flush()
}

// Converse waits for the greeting of the listener, and sends commands one by one, each behind a positive answer to the
// one before.
func (c *PushConn) Converse(commands ...string) error {
	for i := 0; ; i++ {
		line, err := c.Answer()
		switch {
		case err != nil:
			return err
		case line == "" || line[0] != '2' && line[0] != '3':
			return fmt.Errorf("the listener says %q", line)
		case i == len(commands):
			return nil
		}
		if err := c.Send(commands[i] + "\r\n"); err != nil {
			return err
		}
	}
}

// PushMail is a turn in which messages are delivered: to each "to <address>" its text, CRLF line ends, dots not stuffed.
func PushMail(to string, texts ...[]byte) PushAct {
	return func(c *PushConn) error {
		commands := []string{"EHLO push.example.test"}
		for _, text := range texts {
			stuffed := bytes.ReplaceAll(append([]byte("\r\n"), text...), []byte("\r\n."), []byte("\r\n.."))
			commands = append(commands, "MAIL FROM:<dora@far.example.org>", "RCPT TO:<"+to+">", "DATA", string(stuffed[2:])+".")
		}
		return c.Converse(append(commands, "QUIT")...)
	}
}
