package mailtest

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// IMAPMail is one message of an IMAP folder.
type IMAPMail struct {
	Raw   []byte // with CRLF line ends
	UID   uint32 // 0 is filled in by Put
	Flags []string
	// Size is what RFC822.SIZE says; 0 means len(Raw), ZeroSize means 0.
	Size int64
	// Announce, if not 0, is the length that literals of its text announce.
	Announce int64
	// Refused: the text cannot be had, FETCH ends with NO.
	Refused bool
	// Half, if set, is called in the middle of the text.
	Half IMAPAct
	// Missing: the message is left out of all FETCH responses with text.
	Missing bool
}

func (m *IMAPMail) size() int64 { return announced(m.Size, m.Raw) }

// IMAPAct is what an IMAP server does instead of its usual answer. Acts end the connection by returning an error.
type IMAPAct = func(c *IMAPConn) error

// IMAP is an IMAP4rev1 server (RFC 3501, with UIDPLUS, MOVE, IDLE and SASL-IR where Caps name them) with folders for
// each user and hooks for faults. The exported fields are set before Start; the methods may be called at any time by
// any goroutine.
type IMAP struct {
	Users    map[string]string // user -> password
	Greeting string            // without line end; "" is "* OK IMAP4rev1 ready"
	// Caps are the capabilities; STARTTLS is added where it can be had. nil refuses CAPABILITY. LOGINDISABLED is
	// heeded and goes away under TLS.
	Caps []string
	// NoUID refuses everything with UIDs.
	NoUID bool
	// UIDLate puts UIDs behind the text in FETCH responses, UIDMissing leaves them out there.
	UIDLate, UIDMissing bool
	UIDValidity         uint32 // 0 is 1000000000
	NoUIDValidity       bool
	// Delay is waited before each packet of answers (a round trip).
	Delay time.Duration

	Scripted
	hooks[*IMAPConn]
	boxes map[string]map[string]*imapFolder
	idle  map[*IMAPConn]bool // sessions that wait for news
	trips int
}

type imapFolder struct {
	mail []*IMAPMail
	next uint32
}

// NewIMAP returns a server with the user alice, password secret, whose inbox holds these messages.
func NewIMAP(mail ...[]byte) *IMAP {
	s := &IMAP{
		Users: map[string]string{"alice": "secret"},
		Caps:  []string{"IMAP4rev1", "UIDPLUS", "MOVE", "IDLE", "SASL-IR", "AUTH=PLAIN"},
	}
	s.Folder("alice", "INBOX")
	for _, raw := range mail {
		s.Put("alice", "INBOX", IMAPMail{Raw: raw})
	}
	return s
}

// Folder makes an empty folder.
func (s *IMAP) Folder(user, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.folder(user, name, true)
}

func (s *IMAP) folder(user, name string, create bool) *imapFolder {
	if strings.EqualFold(name, "INBOX") {
		name = "INBOX"
	}
	if s.boxes == nil {
		s.boxes = map[string]map[string]*imapFolder{}
	}
	if s.boxes[user] == nil {
		s.boxes[user] = map[string]*imapFolder{}
	}
	if s.boxes[user][name] == nil && create {
		s.boxes[user][name] = &imapFolder{next: 101}
	}
	return s.boxes[user][name]
}

// Put appends messages to a folder, which is made if it is not there; sessions in IDLE are told.
func (s *IMAP) Put(user, folder string, mail ...IMAPMail) {
	s.mu.Lock()
	f := s.folder(user, folder, true)
	for _, m := range mail {
		if m.UID == 0 {
			m.UID = f.next
		}
		f.next = max(f.next, m.UID) + 1
		f.mail = append(f.mail, &m)
	}
	idle := slices.Collect(maps.Keys(s.idle))
	s.mu.Unlock()
	for _, c := range idle {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// Left returns what is in a folder now.
func (s *IMAP) Left(user, folder string) []IMAPMail {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []IMAPMail
	if f := s.folder(user, folder, false); f != nil {
		for _, m := range f.mail {
			c := *m
			c.Flags = slices.Clone(m.Flags)
			out = append(out, c)
		}
	}
	return out
}

// Change alters the message at position n (from 1) of a folder.
func (s *IMAP) Change(user, folder string, n int, change func(*IMAPMail)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.folder(user, folder, false).mail[n-1])
}

// Remove expunges the message at position n (from 1), as another client would.
func (s *IMAP) Remove(user, folder string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.folder(user, folder, false)
	f.mail = slices.Delete(f.mail, n-1, n)
}

// Trips tells how often a client has waited for the server, over all connections.
func (s *IMAP) Trips() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trips
}

// Start listens on addr, "" is a free port of 127.0.0.1.
func (s *IMAP) Start(addr string) error { return s.listen(addr, s.Serve) }

// Serve serves one connection, however it was made; no Start is needed.
func (s *IMAP) Serve(nc net.Conn) {
	s.attach(nc, func(l *link) {
		c := &IMAPConn{Server: s, link: l, wake: make(chan struct{}, 1)}
		c.Tag, c.Line = "*", "GREETING"
		c.converse(func() error { return s.act(c.Line)(c) }, c.flush, c.command)
	})
}

// IMAPConn is one connection to an IMAP server, as acts see it.
type IMAPConn struct {
	Server *IMAP
	Tag    string // of the command being answered
	Line   string // the command without its tag; literals stand in it as quoted strings

	*link
	user    string      // logged in
	folder  *imapFolder // selected
	examine bool
	view    []*IMAPMail // what the client has been told of it
	wake    chan struct{}
}

// flush ends a round trip.
func (c *IMAPConn) flush() error {
	c.Server.mu.Lock()
	c.Server.trips++
	c.Server.mu.Unlock()
	time.Sleep(c.Server.Delay)
	return c.out.Flush()
}

// command reads a command with its literals.
func (c *IMAPConn) command() error {
	line, err := c.readLine()
	if err != nil {
		return err
	}
	full, logged := line, line
	for {
		i := strings.LastIndexByte(line, '{')
		if i < 0 || !strings.HasSuffix(line, "}") {
			break
		}
		digits, wait := strings.CutSuffix(line[i+1:len(line)-1], "+")
		wait = !wait
		n, err := strconv.Atoi(digits)
		if err != nil {
			break
		}
		if wait {
			if c.Say("+ go ahead") != nil || c.out.Flush() != nil {
				return errBye
			}
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(c.in, text); err != nil {
			return err
		}
		if line, err = c.readLine(); err != nil {
			return err
		}
		full = full[:strings.LastIndexByte(full, '{')] + imapQuote(string(text)) + line
		logged += "<text>" + line
	}
	c.log(logged)
	c.Tag, c.Line, _ = strings.Cut(full, " ")
	return nil
}

func imapQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func (c *IMAPConn) ok() error  { return c.Say(c.Tag + " OK done") }
func (c *IMAPConn) bad() error { return c.Say(c.Tag + " BAD not understood") }

// IMAPUsual is the usual answer.
func IMAPUsual(c *IMAPConn) error { return c.usual() }

// IMAPReply sends lines, each with CRLF; TAG in them stands for the tag of the command.
func IMAPReply(lines ...string) IMAPAct {
	return func(c *IMAPConn) error {
		for _, l := range lines {
			if err := c.Say(strings.ReplaceAll(l, "TAG", c.Tag)); err != nil {
				return err
			}
		}
		return nil
	}
}

// IMAPDrop closes the connection.
func IMAPDrop(*IMAPConn) error { return errBye }

// IMAPHang says nothing more until the client or the server gives up.
func IMAPHang(c *IMAPConn) error { return hang(c.link) }

// IMAPThen does one thing and then another.
func IMAPThen(acts ...IMAPAct) IMAPAct { return then(acts) }

// IMAPAfter sends the first n bytes of the usual answer and goes on with act, which may be IMAPDrop or IMAPHang.
func IMAPAfter(n int64, act IMAPAct) IMAPAct { return after(n, act) }

// IMAPFlood sends text again and again until the client goes away.
func IMAPFlood(first, text string) IMAPAct { return flood[*IMAPConn](first, text) }

// imapArgs splits the arguments of a command: atoms, quoted strings, and lists as they are.
func imapArgs(s string) (args []string) {
	for s = strings.TrimLeft(s, " "); s != ""; s = strings.TrimLeft(s, " ") {
		switch s[0] {
		case '"':
			var b strings.Builder
			i := 1
			for ; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' && i+1 < len(s) {
					i++
				}
				b.WriteByte(s[i])
			}
			args, s = append(args, b.String()), s[min(i+1, len(s)):]
		case '(':
			i := strings.LastIndexByte(s, ')')
			args, s = append(args, s[:i+1]), s[i+1:]
		default:
			w, rest, _ := strings.Cut(s, " ")
			args, s = append(args, w), rest
		}
	}
	return args
}

// usual is the answer of a server in good health.
func (c *IMAPConn) usual() error {
	name, rest, _ := strings.Cut(c.Line, " ")
	switch name = strings.ToUpper(name); name {
	case "GREETING":
		return c.greet()
	case "CAPABILITY":
		return c.capability()
	case "NOOP", "CHECK":
		return c.done()
	case "LOGOUT":
		c.Say("* BYE logging out", c.Tag+" OK done")
		return errBye
	case "STARTTLS":
		return c.starttls()
	case "LOGIN":
		args := imapArgs(rest)
		if len(args) != 2 || slices.Contains(c.caps(), "LOGINDISABLED") {
			return c.bad()
		}
		return c.login(args[0], args[1])
	case "AUTHENTICATE":
		return c.authenticate(rest)
	}
	if c.user == "" {
		return c.bad()
	}
	return c.authenticated(name, rest)
}

func (c *IMAPConn) greet() error {
	if c.Server.Greeting == "" {
		return c.Say("* OK IMAP4rev1 ready")
	}
	if strings.HasPrefix(c.Server.Greeting, "* PREAUTH") {
		c.user = "alice"
	}
	return c.Say(c.Server.Greeting)
}

func (c *IMAPConn) caps() (caps []string) {
	for _, w := range c.Server.Caps {
		if w != "LOGINDISABLED" || !c.secured {
			caps = append(caps, w)
		}
	}
	if c.Server.TLS != nil && !c.secured {
		caps = append(caps, "STARTTLS")
	}
	return caps
}

func (c *IMAPConn) capability() error {
	if c.Server.Caps == nil {
		return c.bad()
	}
	return c.Say("* CAPABILITY "+strings.Join(c.caps(), " "), c.Tag+" OK done")
}

func (c *IMAPConn) starttls() error {
	if c.Server.TLS == nil || c.secured {
		return c.bad()
	}
	return c.upgrade(c.Tag + " OK begin TLS")
}

func (c *IMAPConn) login(user, password string) error {
	if want, ok := c.Server.Users[user]; !ok || want != password {
		return c.Say(c.Tag + " NO [AUTHENTICATIONFAILED] login failed")
	}
	c.user = user
	return c.ok()
}

func (c *IMAPConn) authenticate(rest string) error {
	args := imapArgs(rest)
	if len(args) == 0 || !slices.Contains(c.caps(), "AUTH="+strings.ToUpper(args[0])) {
		return c.Say(c.Tag + " NO unsupported mechanism")
	}
	ask := func(challenge string) (string, error) {
		line, err := c.challenge([]byte(challenge))
		if err != nil || line == "*" {
			return "", errors.Join(err, errors.New("aborted"))
		}
		text, err := base64.StdEncoding.DecodeString(line)
		return string(text), err
	}
	switch strings.ToUpper(args[0]) {
	case "PLAIN":
		text, err := "", error(nil)
		if len(args) > 1 {
			var b []byte
			b, err = base64.StdEncoding.DecodeString(args[1])
			text = string(b)
		} else {
			text, err = ask("")
		}
		parts := strings.Split(text, "\x00")
		if err != nil || len(parts) != 3 {
			return c.bad()
		}
		return c.login(parts[1], parts[2])
	case "CRAM-MD5":
		text, err := ask(cramChallenge)
		user, digest, _ := strings.Cut(text, " ")
		if err != nil || !cramProves(c.Server.Users[user], digest) {
			return c.Say(c.Tag + " NO [AUTHENTICATIONFAILED] wrong")
		}
		c.user = user
		return c.ok()
	}
	return c.Say(c.Tag + " NO unsupported mechanism")
}

func (c *IMAPConn) authenticated(name, rest string) error {
	uid := name == "UID"
	if uid {
		if c.Server.NoUID {
			return c.bad()
		}
		name, rest, _ = strings.Cut(rest, " ")
		name = strings.ToUpper(name)
	}
	switch name {
	case "SELECT", "EXAMINE":
		return c.choose(imapArgs(rest), name == "EXAMINE")
	}
	if c.folder == nil {
		return c.Say(c.Tag + " BAD no folder is selected")
	}
	switch name {
	case "CLOSE", "UNSELECT":
		if name == "CLOSE" && !c.examine {
			c.expunge(nil)
		}
		c.folder, c.view = nil, nil
		return c.ok()
	case "IDLE":
		return c.wait()
	case "EXPUNGE":
		return c.expungeCommand(uid, rest)
	case "SEARCH":
		return c.search(uid, rest)
	case "FETCH":
		return c.fetch(uid, rest)
	case "STORE":
		return c.store(uid, rest)
	case "COPY", "MOVE":
		return c.copy(uid, name == "MOVE", imapArgs(rest))
	}
	return c.bad()
}

func (c *IMAPConn) choose(args []string, examine bool) error {
	s := c.Server
	s.mu.Lock()
	var f *imapFolder
	if len(args) > 0 {
		f = s.folder(c.user, args[0], false)
	}
	c.folder, c.view, c.examine = f, nil, examine
	next := uint32(0)
	if f != nil {
		c.view, next = slices.Clone(f.mail), f.next
	}
	s.mu.Unlock()
	if f == nil {
		return c.Say(c.Tag + " NO no such folder")
	}
	c.Say(`* FLAGS (\Answered \Flagged \Deleted \Seen \Draft)`, fmt.Sprintf("* %d EXISTS", len(c.view)), "* 0 RECENT")
	if !s.NoUIDValidity {
		validity := s.UIDValidity
		if validity == 0 {
			validity = 1000000000
		}
		c.Say(fmt.Sprintf("* OK [UIDVALIDITY %d] ok", validity), fmt.Sprintf("* OK [UIDNEXT %d] ok", next))
	}
	if examine {
		return c.Say(c.Tag + " OK [READ-ONLY] examined")
	}
	return c.Say(c.Tag + " OK [READ-WRITE] selected")
}

// update tells what has changed in the folder since the client was told last.
func (c *IMAPConn) update() error {
	if c.folder == nil {
		return nil
	}
	c.Server.mu.Lock()
	now := slices.Clone(c.folder.mail)
	c.Server.mu.Unlock()
	there := make(map[*IMAPMail]bool, len(now))
	for _, m := range now {
		there[m] = true
	}
	for i := 0; i < len(c.view); {
		if there[c.view[i]] {
			i++
			continue
		}
		c.view = slices.Delete(c.view, i, i+1)
		if err := c.Say(fmt.Sprintf("* %d EXPUNGE", i+1)); err != nil {
			return err
		}
	}
	if len(now) > len(c.view) {
		c.view = now
		return c.Say(fmt.Sprintf("* %d EXISTS", len(now)), "* 1 RECENT")
	}
	return nil
}

// done is OK, after news.
func (c *IMAPConn) done() error {
	if err := c.update(); err != nil {
		return err
	}
	return c.ok()
}

// waits tells Put whether the session wants to hear of new messages.
func (c *IMAPConn) waits(yes bool) {
	c.Server.mu.Lock()
	defer c.Server.mu.Unlock()
	if !yes {
		delete(c.Server.idle, c)
		return
	}
	if c.Server.idle == nil {
		c.Server.idle = map[*IMAPConn]bool{}
	}
	c.Server.idle[c] = true
}

func (c *IMAPConn) wait() error {
	c.waits(true)
	defer c.waits(false)
	if err := c.Say("+ idling"); err != nil {
		return err
	}
	if err := c.out.Flush(); err != nil {
		return err
	}
	end := make(chan error, 1)
	c.Server.wg.Go(func() {
		line, err := c.readLine()
		if err == nil && !strings.EqualFold(line, "DONE") {
			err = errBye
		}
		end <- err
	})
	for {
		if err := c.update(); err != nil {
			return err
		}
		if err := c.out.Flush(); err != nil {
			return err
		}
		select {
		case err := <-end:
			c.log("DONE")
			if err != nil {
				return err
			}
			return c.done()
		case <-c.wake:
		}
	}
}

// expunge removes deleted messages, those of a set or all, from the folder.
func (c *IMAPConn) expunge(only map[*IMAPMail]bool) {
	c.Server.mu.Lock()
	defer c.Server.mu.Unlock()
	c.folder.mail = slices.DeleteFunc(c.folder.mail, func(m *IMAPMail) bool {
		return slices.Contains(m.Flags, `\Deleted`) && (only == nil || only[m])
	})
}

func (c *IMAPConn) expungeCommand(uid bool, rest string) error {
	if c.examine {
		return c.Say(c.Tag + " NO read-only")
	}
	if !uid {
		c.expunge(nil)
		return c.done()
	}
	if !slices.Contains(c.Server.Caps, "UIDPLUS") {
		return c.bad()
	}
	c.expunge(c.set(true, rest))
	return c.done()
}

// set are the messages of a sequence set or UID set.
func (c *IMAPConn) set(uid bool, text string) map[*IMAPMail]bool {
	in := map[*IMAPMail]bool{}
	number := func(s string) uint32 {
		if s != "*" {
			n, _ := strconv.ParseUint(s, 10, 32)
			return uint32(n)
		}
		if len(c.view) == 0 {
			return 0
		}
		if uid {
			return c.view[len(c.view)-1].UID
		}
		return uint32(len(c.view))
	}
	for _, part := range strings.Split(text, ",") {
		a, b, isRange := strings.Cut(part, ":")
		lo := number(a)
		hi := lo
		if isRange {
			hi = number(b)
		}
		if lo > hi {
			lo, hi = hi, lo
		}
		for i, m := range c.view {
			n := uint32(i + 1)
			if uid {
				n = m.UID
			}
			if n >= lo && n <= hi {
				in[m] = true
			}
		}
	}
	return in
}

func (c *IMAPConn) search(uid bool, rest string) error {
	words := strings.Fields(strings.ToUpper(rest))
	line := "* SEARCH"
	c.Server.mu.Lock()
	for i, m := range c.view {
		if !c.matches(m, words) {
			continue
		}
		n := uint32(i + 1)
		if uid {
			n = m.UID
		}
		line += fmt.Sprintf(" %d", n)
	}
	c.Server.mu.Unlock()
	if err := c.Say(line); err != nil {
		return err
	}
	if uid {
		return c.done()
	}
	return c.ok()
}

func (c *IMAPConn) matches(m *IMAPMail, words []string) bool {
	for i := 0; i < len(words); i++ {
		switch w := words[i]; w {
		case "UNSEEN", "UNDELETED":
			if slices.ContainsFunc(m.Flags, func(f string) bool { return strings.EqualFold(f, `\`+w[2:]) }) {
				return false
			}
		case "UID":
			i++
			if i >= len(words) || !c.set(true, words[i])[m] {
				return false
			}
		}
	}
	return true
}

func (c *IMAPConn) store(uid bool, rest string) error {
	text, rest, _ := strings.Cut(rest, " ")
	op, list, _ := strings.Cut(rest, " ")
	if c.examine {
		return c.Say(c.Tag + " NO read-only")
	}
	in := c.set(uid, text)
	flags := strings.Fields(strings.Trim(list, "()"))
	silent := strings.HasSuffix(strings.ToUpper(op), ".SILENT")
	for i, m := range c.view {
		if !in[m] {
			continue
		}
		c.Server.mu.Lock()
		for _, f := range flags {
			if strings.HasPrefix(op, "+") && !slices.Contains(m.Flags, f) {
				m.Flags = append(m.Flags, f)
			}
		}
		line := fmt.Sprintf("* %d FETCH (FLAGS (%s))", i+1, strings.Join(m.Flags, " "))
		c.Server.mu.Unlock()
		if !silent {
			if err := c.Say(line); err != nil {
				return err
			}
		}
	}
	if uid {
		return c.done()
	}
	return c.ok()
}

func (c *IMAPConn) copy(uid, move bool, args []string) error {
	if len(args) != 2 || move && !slices.Contains(c.Server.Caps, "MOVE") {
		return c.bad()
	}
	in := c.set(uid, args[0])
	s := c.Server
	s.mu.Lock()
	to := s.folder(c.user, args[1], false)
	if to == nil {
		s.mu.Unlock()
		return c.Say(c.Tag + " NO [TRYCREATE] no such folder")
	}
	for _, m := range c.view {
		if in[m] {
			dup := *m
			dup.UID = to.next
			to.next++
			to.mail = append(to.mail, &dup)
		}
	}
	if move {
		c.folder.mail = slices.DeleteFunc(c.folder.mail, func(m *IMAPMail) bool { return in[m] })
	}
	s.mu.Unlock()
	return c.done()
}

var imapItem = regexp.MustCompile(`[A-Za-z0-9.]+(?:\[[^\]]*\])?`)

func (c *IMAPConn) fetch(uid bool, rest string) error {
	text, what, _ := strings.Cut(rest, " ")
	in := c.set(uid, text)
	if !uid && len(in) == 0 {
		return c.Say(c.Tag + " BAD invalid message number")
	}
	items := imapItem.FindAllString(strings.Trim(what, "()"), -1)
	refused := false
	for i, m := range c.view {
		if !in[m] {
			continue
		}
		no, err := c.fetchOne(i+1, m, uid, items)
		if err != nil {
			return err
		}
		refused = refused || no
	}
	if refused {
		return c.Say(c.Tag + " NO some messages could not be fetched")
	}
	if uid {
		return c.done()
	}
	return c.ok()
}

// fetchOne sends a FETCH response; no tells that the text of the message is refused.
func (c *IMAPConn) fetchOne(n int, m *IMAPMail, uid bool, items []string) (no bool, err error) {
	c.Server.mu.Lock()
	mail := *m
	mail.Flags = slices.Clone(m.Flags)
	mail.Missing = mail.Missing || !slices.Contains(c.folder.mail, m)
	c.Server.mu.Unlock()
	var parts []string
	text := ""
	for _, it := range items {
		switch it = strings.ToUpper(it); it {
		case "FLAGS":
			parts = append(parts, "FLAGS ("+strings.Join(mail.Flags, " ")+")")
		case "RFC822.SIZE":
			parts = append(parts, fmt.Sprintf("RFC822.SIZE %d", mail.size()))
		case "UID":
			uid = true
		default:
			text = it
		}
	}
	id := fmt.Sprintf("UID %d", mail.UID)
	if uid && (text == "" || !c.Server.UIDLate && !c.Server.UIDMissing) {
		parts = append([]string{id}, parts...)
	}
	if text == "" {
		return false, c.Say(fmt.Sprintf("* %d FETCH (%s)", n, strings.Join(parts, " ")))
	}
	if mail.Refused || mail.Missing {
		return mail.Refused, nil
	}
	if len(parts) > 0 {
		parts = append(parts, "")
	}
	if err := c.fetchText(fmt.Sprintf("* %d FETCH (%s", n, strings.Join(parts, " ")), &mail, text); err != nil {
		return false, err
	}
	if uid && c.Server.UIDLate {
		return false, c.Say(" " + id + ")")
	}
	return false, c.Say(")")
}

func (c *IMAPConn) fetchText(head string, m *IMAPMail, item string) error {
	text := m.Raw
	split := len(m.Raw)
	if i := bytes.Index(m.Raw, []byte("\r\n\r\n")); i >= 0 {
		split = i + 4
	}
	switch {
	case strings.Contains(item, "HEADER"):
		text = m.Raw[:split]
	case strings.Contains(item, "TEXT"):
		text = m.Raw[split:]
	}
	n := int64(len(text))
	if m.Announce != 0 && !strings.Contains(item, "HEADER") {
		n = m.Announce
	}
	if _, err := fmt.Fprintf(c.out, "%s%s {%d}\r\n", head, strings.ReplaceAll(item, ".PEEK", ""), n); err != nil {
		return err
	}
	if m.Half != nil && !strings.Contains(item, "HEADER") {
		half := (split + len(m.Raw)) / 2
		if strings.Contains(item, "TEXT") {
			half -= split
		}
		if _, err := c.out.Write(text[:half]); err != nil {
			return err
		}
		if err := m.Half(c); err != nil {
			return err
		}
		text = text[half:]
	}
	_, err := c.out.Write(text)
	return err
}
