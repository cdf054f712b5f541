package imap

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"fetchmail/protocols"
	"fetchmail/protocols/auth"
	"fetchmail/protocols/wire"
)

// Limits of the phase before login.
const (
	maxGuestLine    = 64 << 10
	maxGuestLines   = 1000 // untagged lines in front of one answer
	maxGuestLiteral = 64 << 10
)

// guest speaks to a server that does not know us yet: greeting, CAPABILITY, STARTTLS, LOGIN and AUTHENTICATE. Nothing
// of the library is involved.
type guest struct {
	o       Options
	conn    *wire.Conn
	tags    int
	caps    []string // upper case, as the server said last; nil if it has not
	preauth bool
	strange bool      // the greeting was no IMAP response
	mask    auth.Mask // what was sent and must not be shown
	mute    bool      // this is no IMAP server: it answers nothing
	phase   protocols.Phase
	long    []byte
}

// answer is a tagged response.
type answer struct {
	status string // OK, NO or BAD
	text   string // with its response code
}

func (a answer) ok() bool { return a.status == "OK" }

func (g *guest) trace(d wire.Dir, text string) {
	if g.o.Trace != nil {
		if d == wire.Received {
			text = g.mask.Hide(text)
		}
		g.o.Trace(d, text)
	}
}

// line reads one line without its end.
func (g *guest) line() ([]byte, error) {
	g.long = g.long[:0]
	for {
		part, err := g.conn.Reader().ReadSlice('\n')
		g.long = append(g.long, part...)
		switch {
		case len(g.long) > maxGuestLine:
			return nil, fmt.Errorf("%w: a line of more than %d octets before login", errLimit, maxGuestLine)
		case err == nil:
			return bytes.TrimRight(g.long, "\r\n"), nil
		case err != bufio.ErrBufferFull:
			return nil, early(err)
		}
	}
}

// put sends a line; shown is what the trace shows of it.
func (g *guest) put(line, shown string) error {
	g.trace(wire.Sent, shown)
	g.mask.AddLine(line, shown)
	_, err := g.conn.Write([]byte(line + "\r\n"))
	return err
}

// begin sends a command and returns its tag.
func (g *guest) begin(text, shown string) (string, error) {
	g.tags++
	tag := fmt.Sprintf("A%04d", g.tags)
	return tag, g.put(tag+" "+text, tag+" "+shown)
}

// command sends a command without secrets and waits for its answer.
func (g *guest) command(text string) (answer, error) {
	tag, err := g.begin(text, text)
	if err != nil {
		return answer{}, err
	}
	return g.finish(tag)
}

// finish reads up to the answer to a command.
func (g *guest) finish(tag string) (answer, error) {
	a, _, err := g.step(tag, false)
	return a, err
}

// step reads up to the answer to a command, or up to a continuation request if one is welcome.
func (g *guest) step(tag string, welcome bool) (a answer, challenge *string, err error) {
	for range maxGuestLines {
		line, err := g.line()
		if err != nil {
			return answer{}, nil, err
		}
		switch {
		case len(line) > 0 && line[0] == '+':
			if welcome {
				g.trace(wire.Received, "+ *")
				text := strings.TrimPrefix(string(line[1:]), " ")
				return answer{}, &text, nil
			}
			g.trace(wire.Received, "+")
		case len(line) > 0 && line[0] == '*':
			g.trace(wire.Received, string(line))
			if err := g.untagged(line[1:]); err != nil {
				return answer{}, nil, err
			}
		case bytes.HasPrefix(line, []byte(tag+" ")):
			g.trace(wire.Received, string(line))
			return g.answer(line[len(tag)+1:]), nil, nil
		default:
			g.trace(wire.Received, string(line))
		}
	}
	return answer{}, nil, fmt.Errorf("%w: more than %d lines without an answer", errLimit, maxGuestLines)
}

func (g *guest) answer(line []byte) answer {
	status, text := word(line)
	a := answer{status: strings.ToUpper(string(status)), text: g.mask.Hide(string(text))}
	g.codes(text)
	if a.status != "OK" && a.status != "NO" {
		a.status = "BAD"
	}
	return a
}

// codes notes capabilities and alerts in the text of a status response.
func (g *guest) codes(text []byte) {
	code, args, rest := statusCode(text)
	switch string(code) {
	case "CAPABILITY":
		g.capabilities(args)
	case "ALERT":
		g.o.Alert(g.mask.Hide(string(rest)))
	}
}

func (g *guest) capabilities(b []byte) {
	g.caps = strings.Fields(strings.ToUpper(string(printableAll(b))))
}

// printableAll is b without the bytes that have no place in a list of atoms.
func printableAll(b []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, b)
}

// untagged takes what follows the "*".
func (g *guest) untagged(line []byte) error {
	kind, rest := word(line)
	switch strings.ToUpper(string(kind)) {
	case "CAPABILITY":
		g.capabilities(rest)
	case "OK", "NO", "BAD", "PREAUTH":
		g.codes(rest)
	case "BYE":
		return &byeError{shown(&g.mask, rest)}
	default:
		return g.skipLiterals(line)
	}
	return nil
}

func (g *guest) skipLiterals(line []byte) error {
	for range maxGuestLines {
		_, n, ok := literal(line)
		if !ok {
			return nil
		}
		if n > maxGuestLiteral {
			return fmt.Errorf("%w: a literal of %d octets before login", errLimit, n)
		}
		_, err := io.CopyN(io.Discard, g.conn.Reader(), n)
		if err == nil {
			line, err = g.line()
		}
		if err != nil {
			return early(err)
		}
	}
	return fmt.Errorf("%w: a response without end", errLimit)
}

// has tells whether the server has a capability.
func (g *guest) has(name string) bool { return slices.Contains(g.caps, name) }

// greeting reads the server's first line. BYE, NO and BAD end the session. A line that is no IMAP at all is passed
// over, as the reference does, but then the server has to prove by its capabilities that it speaks IMAP.
func (g *guest) greeting() error {
	line, err := g.line()
	if err != nil {
		return err
	}
	g.trace(wire.Received, string(line))
	if bytes.HasPrefix(line, []byte("+OK")) { // it would never answer: protocol auto is to go on with POP3
		g.mute = true
		return &protocols.Fault{Kind: protocols.Protocol, Phase: protocols.LoggingIn, Reply: string(printable(line)),
			Err: errors.New("the server greets as a POP3 server")}
	}
	if len(line) == 0 || line[0] != '*' {
		g.strange = true
		return nil
	}
	kind, rest := word(line[1:])
	switch strings.ToUpper(string(kind)) {
	case "OK":
	case "PREAUTH":
		g.preauth = true
	case "BYE":
		return &byeError{string(printable(rest))}
	default:
		return &protocols.Fault{Kind: protocols.Protocol, Phase: protocols.LoggingIn, Reply: string(printable(line)),
			Err: errors.New("the server does not greet as an IMAP server")}
	}
	g.codes(rest)
	return nil
}

// capability asks for the capabilities. A server that does not know the command (BAD) is taken for an IMAP4 server; one
// that refuses it (NO) does not want us, as the reference understands it.
func (g *guest) capability() error {
	g.caps = nil
	a, err := g.command("CAPABILITY")
	if err != nil {
		return err
	}
	switch a.status {
	case "NO":
		return &protocols.Fault{Kind: protocols.Auth, Phase: protocols.LoggingIn, Op: "CAPABILITY", Reply: a.text}
	case "BAD":
		g.caps = nil
	}
	if g.strange && !g.has("IMAP4REV1") && !g.has("IMAP4") && !g.has("IMAP4REV2") {
		return &protocols.Fault{Kind: protocols.Protocol, Phase: protocols.LoggingIn, Op: "CAPABILITY",
			Err: errors.New("the server does not speak IMAP")}
	}
	return nil
}

// secure brings the connection under TLS by STARTTLS, as the policy wants it (RFC 3501, section 6.2.1). What the server
// said before is forgotten.
func (g *guest) secure(ctx context.Context) error {
	if g.o.Dialer.TLS == nil && g.o.StartTLS == wire.Never && g.has("STARTTLS") {
		g.note("WARNING: server offered STARTTLS but sslproto '' given.")
	}
	if g.o.Dialer.TLS != nil || g.o.StartTLS == wire.Never || g.o.StartTLS == wire.May && (g.preauth || !g.has("STARTTLS")) {
		return nil
	}
	if g.preauth { // nothing that such a server says can be trusted: RFC 8314, NO STARTTLS
		text := "STARTTLS is not permitted because of authenticated state (PREAUTH)"
		return &protocols.Fault{Kind: protocols.Socket, Phase: protocols.LoggingIn, Op: "STARTTLS", Err: errors.New(text),
			Detail: []string{g.o.Host + ": configuration requires TLS, but " + text +
				". Aborting connection.  Server permitting, try --ssl instead (see manual)."}}
	}
	a, err := g.command("STARTTLS")
	switch {
	case err != nil:
		return g.insecure(err)
	case !a.ok() && g.o.StartTLS == wire.May: // a clear no; all else may be an attack
		g.note("opportunistic upgrade to TLS failed, trying to continue")
		return nil
	case !a.ok():
		f := protocols.AsFault(g.insecure(errors.New("server refuses STARTTLS")))
		f.Reply = a.status + " " + string(printable([]byte(a.text)))
		return f
	}
	policy := g.o.TLS
	if policy == nil {
		policy = &wire.TLS{CheckCert: true}
	}
	if err := g.conn.StartTLS(ctx, policy); err != nil {
		return g.insecure(err)
	}
	g.note("upgrade to TLS succeeded.")
	return g.capability()
}

// note is a remark of -v about the server.
func (g *guest) note(text string) { g.trace(wire.Note, "fetchmail: "+g.o.Host+": "+text) }

// insecure is the fault of a session that must not go on in clear.
func (g *guest) insecure(err error) error {
	f := &protocols.Fault{Kind: protocols.Socket, Phase: protocols.LoggingIn, Op: "STARTTLS", Err: err}
	if errors.Is(err, wire.ErrTimeout) {
		f.Kind = protocols.Timeout
	}
	var refused *wire.TLSError
	if errors.As(err, &refused) {
		f.Detail = refused.UpgradeLines()
	} else if f.Kind != protocols.Timeout {
		var bye *byeError
		if errors.As(err, &bye) {
			f.Detail = bye.lines()
		}
		f.Detail = append(f.Detail, g.o.Host+": upgrade to TLS failed.")
	}
	return f
}
