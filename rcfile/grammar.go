package rcfile

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"
)

// statement is one statement of a run control file: a global option, or the entry of a server with its accounts. The
// productions behind "@@" read runs of options, which is what most of a file consists of.
type statement struct {
	Set      *setting       `parser:"  'set':Keyword @@"`
	Entry    *heading       `parser:"| @@"`
	Server   *serverOptions `parser:"  @@"`
	Accounts *accounts      `parser:"  @@"`
	Late     *lateOption    `parser:"  @@"`
}

// parser is built when the first file is read: fetchmail --version needs none. Lookahead 0 makes every choice by one
// token, so that an error is reported where it is found.
var parser = sync.OnceValue(func() *participle.Parser[statement] {
	return participle.MustBuild[statement](participle.Lexer(language{}), participle.UseLookahead(0))
})

// language names the tokens for participle; the tokens themselves come statement by statement.
type language struct{}

func (language) Symbols() map[string]lexer.TokenType { return symbols }

func (language) Lex(string, io.Reader) (lexer.Lexer, error) {
	return nil, errors.New("rcfile: statements are lexed one by one")
}

// stream hands tokens to participle, batch after batch in the same memory: making a new list for each would cost more
// than all the rest. The column of a token's position is of no use to the grammar; in its place stands the number of
// the option that the word names, plus one: looking words up once is what makes large files fast.
type stream struct {
	lex   *lexer.PeekingLexer
	start lexer.Checkpoint
	slots []lexer.Token // what lex reads
}

// fill puts a batch before the parser. The last token takes the part of the end of input.
func (s *stream) fill(tokens []token) error {
	if len(tokens) > len(s.slots) {
		lex, err := lexer.Upgrade(&blanks{left: 2 * len(tokens)})
		if err != nil {
			return err
		}
		s.lex, s.start = lex, lex.MakeCheckpoint()
		s.slots = lex.Range(0, lexer.RawCursor(2*len(tokens)))
	}
	s.lex.LoadCheckpoint(s.start)
	for i := range tokens {
		t := &tokens[i]
		row := 0
		if t.means != nil && t.means.option != nil {
			row = t.means.option.index + 1
		}
		s.slots[i] = lexer.Token{Type: t.kind, Value: t.value, Pos: lexer.Position{Offset: t.start, Line: t.line, Column: row}}
	}
	s.slots[len(tokens)-1].Type = tokEOF
	return nil
}

// blanks is a lexer that yields tokens to be overwritten.
type blanks struct{ left int }

func (b *blanks) Next() (lexer.Token, error) {
	if b.left--; b.left < 0 {
		return lexer.Token{Type: tokEOF}, nil
	}
	return lexer.Token{Type: tokWord}, nil
}

// misplaced is an error at a token, found by one of the productions below.
type misplaced struct {
	at      lexer.Token
	message string // "syntax error" if empty
	bare    bool   // fetchmail prints the message without the place
	hint    string
}

func (m *misplaced) Error() string { return m.message }

func unexpected(t *lexer.Token) error { return &misplaced{at: *t} }

// setting is the rest of a set statement.
type setting struct{ config *Config }

// Parse reads an option of the global scope.
func (s *setting) Parse(lex *lexer.PeekingLexer) error {
	s.config = new(Config)
	o, negated := nextOption(lex, Global)
	if o == nil {
		if isKeyword(lex.Peek(), "no") {
			lex.Next()
		}
		return unexpected(lex.Peek())
	}
	return parseOption(lex, o, negated, target{config: s.config})
}

// heading begins an entry.
type heading struct {
	name string
	skip bool
}

// Parse reads poll NAME, server NAME, skip NAME or defaults.
func (h *heading) Parse(lex *lexer.PeekingLexer) error {
	switch t := lex.Peek(); {
	case isKeyword(t, "defaults"):
		lex.Next()
		h.name = "defaults"
		return nil
	case isKeyword(t, "poll"), isKeyword(t, "server"), isKeyword(t, "skip"):
		h.skip = lex.Next().Value == "skip"
	default:
		return unexpected(t)
	}
	if !isString(lex.Peek()) {
		return unexpected(lex.Peek())
	}
	h.name = lex.Next().Value
	return nil
}

// serverOptions are the options of an entry before its first user.
type serverOptions struct{ server *Server }

// Parse reads as many server options as there are.
func (s *serverOptions) Parse(lex *lexer.PeekingLexer) error {
	s.server = new(Server)
	for o, negated := nextOption(lex, PerServer); o != nil; o, negated = nextOption(lex, PerServer) {
		if err := parseOption(lex, o, negated, target{server: s.server}); err != nil {
			return err
		}
	}
	return nil
}

// accounts are the accounts of an entry. Options without a user description before them make up the only account.
type accounts struct{ users []*User }

// Parse reads user options, or any number of user descriptions with options behind each.
func (a *accounts) Parse(lex *lexer.PeekingLexer) error {
	first := lex.Peek()
	for d := (description{}); ; {
		described, err := d.parse(lex)
		if err != nil {
			return err
		}
		if !described && len(a.users) > 0 {
			return nil
		}
		u := new(User)
		if err := userOptions(lex, u); err != nil {
			return err
		}
		if !described {
			if lex.Peek() != first {
				a.users = append(a.users, u)
			}
			return nil
		}
		d.join(u)
		a.users = append(a.users, u)
	}
}

// userOptions reads as many user options as there are. A "no" that begins none is an error: nothing else may begin so.
func userOptions(lex *lexer.PeekingLexer, u *User) error {
	for o, negated := nextOption(lex, PerUser); o != nil; o, negated = nextOption(lex, PerUser) {
		if err := parseOption(lex, o, negated, target{user: u}); err != nil {
			return err
		}
	}
	if isKeyword(lex.Peek(), "no") {
		lex.Next()
		return unexpected(lex.Peek())
	}
	return nil
}

// lateOption is a server option behind user options, which is an error of its own kind: reading goes on behind it.
type lateOption struct{ err *misplaced }

// Parse reads one server option, if there is one. The error names the token at which the reference notices: the last of
// the option, or the one behind it if only that shows where the option ends.
func (l *lateOption) Parse(lex *lexer.PeekingLexer) error {
	o, negated := nextOption(lex, PerServer)
	if o == nil {
		return nil
	}
	last := lex.Range(lex.RawCursor()-1, lex.RawCursor())[0]
	watch := watcher{lex: lex, last: &last}
	if err := watch.option(o, negated); err != nil {
		return err
	}
	l.err = &misplaced{at: last, message: "server option after user options",
		hint: "server options such as \"" + o.Words[0] + "\" belong before \"user\" and all user options"}
	return nil
}

// watcher remembers the token that ends an option.
type watcher struct {
	lex  *lexer.PeekingLexer
	last *lexer.Token
}

func (w *watcher) option(o *Option, negated bool) error {
	begin := w.lex.RawCursor()
	if err := parseOption(w.lex, o, negated, target{server: new(Server)}); err != nil {
		return err
	}
	if o.Kind == Strings {
		*w.last = *w.lex.Peek()
	} else if end := w.lex.RawCursor(); end > begin {
		*w.last = w.lex.Range(end-1, end)[0]
	}
	return nil
}

// nextOption tells which option of the scope begins at the next token and whether it is negated. The keyword is
// consumed; of a "no" only if an option follows it.
func nextOption(lex *lexer.PeekingLexer, scope Scope) (o *Option, negated bool) {
	if isKeyword(lex.Peek(), "no") {
		start := lex.MakeCheckpoint()
		lex.Next()
		if o = optionAt(lex.Peek(), scope); o != nil && o.negatable {
			lex.Next()
			return o, true
		}
		lex.LoadCheckpoint(start)
		return nil, false
	}
	t := lex.Peek()
	o = optionAt(t, scope)
	if o == nil {
		if word, ok := strings.CutPrefix(t.Value, "no"); ok && t.Type == tokWord {
			if o = table().words[word]; o != nil && o.Scope == scope && o.New && o.joined {
				lex.Next()
				return o, true
			}
		}
		return nil, false
	}
	lex.Next()
	return o, false
}

// optionAt is the option of a scope that a token names. Words of later releases and ours are plain strings to the
// scanner.
func optionAt(t *lexer.Token, scope Scope) *Option {
	if t.Type != tokKeyword && t.Type != tokWord || t.Pos.Column == 0 {
		return nil
	}
	o := table().rows[t.Pos.Column-1]
	if o.Scope != scope && scope == Global && t.Value == "properties" {
		o = option("set properties") // the word is in two scopes
	}
	if o.Scope != scope || o.Name == "username" || o.New != (t.Type == tokWord) {
		return nil
	}
	return o
}

func isKeyword(t *lexer.Token, word string) bool { return t.Type == tokKeyword && t.Value == word }

func isString(t *lexer.Token) bool { return t.Type == tokWord || t.Type == tokQuoted }

// parseOption reads the value of an option and sets it. In a set statement an "=" may stand before the value.
func parseOption(lex *lexer.PeekingLexer, o *Option, negated bool, t target) error {
	if t.config != nil && o.Kind != Flag && lex.Peek().Type == tokEqual {
		lex.Next()
	}
	switch {
	case o.Name == "envelope" && negated:
		t.server.NoEnvelope, t.server.Envelope = true, ""
		t.set().add(o.index)
		return nil
	case o.Kind == Flag:
		o.setFlag(t, !negated)
		return nil
	}
	switch o.Kind {
	case Number:
		return parseNumber(lex, o, t)
	case Text, Path:
		return parseText(lex, o, t)
	case Strings:
		return parseStrings(lex, o, t)
	case Numbers:
		return parseNumbers(lex, o, t)
	case Choice:
		if err := parseChoice(lex, o, t); err != nil || o.Name != "onreject" || t.user.OnReject != "deadletter" {
			return err
		}
		return parseText(lex, option("deadletter"), t) // the folder stands behind the word
	case Skip:
		return parseEnvelope(lex, o, t)
	case Service, Port:
		return parseService(lex, o, t)
	}
	return parseIs(lex, o, t)
}

func (o *Option) setFlag(t target, on bool) {
	*o.at(t).(*bool) = on
	t.set().add(o.index)
}

func parseText(lex *lexer.PeekingLexer, o *Option, t target) error {
	if !isString(lex.Peek()) {
		return unexpected(lex.Peek())
	}
	tok := lex.Next()
	if why := badInterface(tok.Value); o.Name == "interface" && why != "" {
		return &misplaced{at: *tok, message: why, bare: true, hint: "it looks like eth0/192.0.2.1 or eth0/192.0.2.0/255.255.255.0"}
	}
	*o.at(t).(*string) = tok.Value
	t.set().add(o.index)
	return nil
}

// parseStrings adds to what the same option gave before in this stanza.
func parseStrings(lex *lexer.PeekingLexer, o *Option, t target) error {
	if !isString(lex.Peek()) {
		return unexpected(lex.Peek())
	}
	list := o.at(t).(*[]string)
	for first := true; isString(lex.Peek()) && (first || !endsList(lex, nil)); first = false {
		*list = append(*list, lex.Next().Value)
	}
	t.set().add(o.index)
	return nil
}

// endsList tells whether the next word cannot belong to a list of strings: it is a word of later releases with a
// number behind it, where a list cannot have one.
func endsList(lex *lexer.PeekingLexer, _ *nameList) bool {
	t := lex.Peek()
	if t.Type != tokWord {
		return false
	}
	if t.Pos.Column == 0 || table().rows[t.Pos.Column-1].Kind != Number {
		return false
	}
	here := lex.MakeCheckpoint()
	lex.Next()
	number := lex.Peek().Type == tokNumber
	lex.LoadCheckpoint(here)
	return number
}

func parseNumber(lex *lexer.PeekingLexer, o *Option, t target) error {
	n, err := number(lex, o)
	if err != nil {
		return err
	}
	o.setNumber(t, n)
	switch {
	case o.Name == "daemon":
		t.config.belowZero = int(min(n, 0))
	case o.Name == "timeout" && n == -1: // the default, also where defaults has another
		t.server.Timeout = defaultTimeout
	}
	return nil
}

// number reads a number. Sizes may have 64 bits, other numbers 31.
func number(lex *lexer.PeekingLexer, o *Option) (int64, error) {
	tok := lex.Peek()
	if tok.Type != tokNumber {
		return 0, unexpected(tok)
	}
	limit := int64(math.MaxInt32)
	if o.Name == "limit" {
		limit = math.MaxInt64
	}
	n, err := strconv.ParseInt(tok.Value, 10, 64)
	if err != nil || n > limit || n < -limit {
		return 0, &misplaced{at: *tok, message: "number out of range", hint: fmt.Sprintf("the largest number here is %d", limit)}
	}
	lex.Next()
	return n, nil
}

// setNumber stores a number. A negative one means zero, which fetchmail has always accepted.
func (o *Option) setNumber(t target, n int64) {
	switch field := o.at(t).(type) {
	case *int:
		*field = int(max(n, 0))
		if o.Name == "interval" || o.Name == "envskip" || o.Name == "warnings" {
			*field = int(n) // means zero, too, but is reported as it was written
		}
	case *int64:
		*field = max(n, 0)
	}
	o.mark(t, n == 0)
}

// mark notes that an option was given. The zero value of some counts as not given.
func (o *Option) mark(t target, zero bool) {
	if o.sticky && zero {
		t.set().remove(o.index)
	} else {
		t.set().add(o.index)
	}
}

func parseNumbers(lex *lexer.PeekingLexer, o *Option, t target) error {
	if lex.Peek().Type != tokNumber {
		return unexpected(lex.Peek())
	}
	list := o.at(t).(*[]int)
	for lex.Peek().Type == tokNumber {
		n, err := number(lex, o)
		if err != nil {
			return err
		}
		*list = append(*list, int(n))
	}
	t.set().add(o.index)
	return nil
}

// parseChoice reads one word of a fixed set. Words of fetchmail 6.4 must not be quoted; the others may, and one with
// an "=" in it comes as three tokens.
func parseChoice(lex *lexer.PeekingLexer, o *Option, t target) error {
	tok := lex.Peek()
	if tok.Type != tokKeyword && tok.Type != tokWord && !(o.New && tok.Type == tokQuoted) {
		return unexpected(tok)
	}
	start := *tok
	word := lex.Next().Value
	if o.New && lex.Peek().Type == tokEqual {
		lex.Next()
		word += "=" + lex.Next().Value
	}
	if o.Name == "protocol" {
		word = strings.ToLower(word)
	}
	if !slices.Contains(o.Choices, word) {
		return &misplaced{at: start, hint: nearest(word, o.Choices, "known are "+strings.Join(o.Choices, ", "))}
	}
	o.setChoice(t, word)
	return nil
}

func (o *Option) setChoice(t target, word string) {
	o.apply(t, word)
	o.mark(t, word == "any" || word == "reject")
}

// setProtocol also sets the service of kpop, fetchmail(1), "Miscellaneous Run Control Options".
func setProtocol(t target, word string) {
	t.server.Protocol = Protocol(strings.ToUpper(word))
	if t.server.Protocol == KPOP {
		t.server.Service = "kpop"
		t.server.set.add(option("service").index)
		if t.server.Auth == AuthPassword {
			t.server.Auth = AuthKerberosV5
		}
	}
}

// setAuth maps the synonyms: kerberos, implicit (later name of ssh), xoauth2 (ours).
func setAuth(t target, word string) {
	switch word {
	case "cram":
		word = "cram-md5"
	case "kerberos":
		word = "kerberos_v4"
	case "implicit":
		word = "ssh"
	case "xoauth2":
		word = "oauthbearer"
	}
	t.server.Auth = Auth(word)
}

func parseEnvelope(lex *lexer.PeekingLexer, o *Option, t target) error {
	skip := option("envskip")
	count := int64(0)
	if lex.Peek().Type == tokNumber {
		n, err := number(lex, skip)
		if err != nil {
			return err
		}
		count = n
	}
	if err := parseText(lex, o, t); err != nil {
		return err
	}
	t.server.NoEnvelope = false
	t.server.EnvSkip = 0
	skip.setNumber(t, count)
	return nil
}

// parseService reads a port number or, unless the keyword is port, a name. The number is kept without leading zeros.
func parseService(lex *lexer.PeekingLexer, o *Option, t target) error {
	tok := lex.Peek()
	value := tok.Value
	switch {
	case tok.Type == tokNumber:
		n, err := number(lex, o)
		if err != nil {
			return err
		}
		value = strconv.FormatInt(n, 10)
		value = value[:min(len(value), 9)] // as much as the reference keeps; no port has more
	case isString(tok) && o.Kind == Service:
		lex.Next()
	default:
		return unexpected(tok)
	}
	t.server.Service = value
	t.set().add(userIndex().service)
	return nil
}

// parseIs reads the names behind is or to. One name with "there" behind it is the name at the server.
func parseIs(lex *lexer.PeekingLexer, o *Option, t target) error {
	to := isKeyword(&lex.Range(lex.RawCursor()-1, lex.RawCursor())[0], "to")
	names, err := parseNames(lex, endsList)
	if err != nil {
		return err
	}
	switch tok := lex.Peek(); {
	case isKeyword(tok, "there") && !to && names.single():
		lex.Next()
		t.user.setRemote(names.list[0].Remote)
		return nil
	case isKeyword(tok, "here"):
		lex.Next()
	}
	t.user.addNames(names)
	return nil
}

// description is the beginning of an account: the name at the server, or local names with "here" behind them.
type description struct {
	names nameList
	local bool
}

// parse reads user NAME, user NAME there or user NAMES here, and tells whether there is such a thing.
func (d *description) parse(lex *lexer.PeekingLexer) (found bool, err error) {
	if !isKeyword(lex.Peek(), "user") && !isKeyword(lex.Peek(), "username") {
		return false, nil
	}
	d.local = false
	lex.Next()
	if d.names, err = parseNames(lex, endsDescription); err != nil {
		return false, err
	}
	switch tok := lex.Peek(); {
	case isKeyword(tok, "here"):
		lex.Next()
		d.local = true
	case isKeyword(tok, "there") && d.names.single():
		lex.Next()
	case !d.names.single():
		return false, &misplaced{at: *tok, hint: "a list of names behind \"user\" needs \"here\": the names are local ones"}
	}
	return true, nil
}

// join puts the names of the description into an account with the options behind it.
func (d *description) join(u *User) {
	switch {
	case !d.local && !u.set.has(userIndex().remote):
		u.setRemote(d.names.list[0].Remote)
	case d.local: // in front of what "is" adds
		more := u.LocalNames
		u.LocalNames = nil
		u.addNames(d.names)
		u.LocalNames = append(u.LocalNames, more...)
	}
}

// nameList is what stands behind user, is and to.
type nameList struct {
	list    []Mapping
	mapping bool // one of them is a mapping
}

// single tells whether the list is one plain name.
func (n *nameList) single() bool { return len(n.list) == 1 && !n.mapping }

// endsDescription tells whether the next word begins an option behind user NAME. It is one of later releases then, and
// no list with "here" at its end, which could hold the word as a name.
func endsDescription(lex *lexer.PeekingLexer, n *nameList) bool {
	if !n.single() {
		return false
	}
	t := lex.Peek()
	if t.Type != tokWord || t.Pos.Column == 0 && !strings.HasPrefix(t.Value, "no") {
		return false
	}
	here := lex.MakeCheckpoint()
	defer lex.LoadCheckpoint(here)
	for isString(lex.Peek()) || lex.Peek().Type == tokEqual {
		lex.Next()
	}
	if isKeyword(lex.Peek(), "here") {
		return false
	}
	lex.LoadCheckpoint(here)
	o, _ := nextOption(lex, PerUser)
	return o != nil
}

// parseNames reads a list of names and mappings; ends tells whether a word behind the first does not belong to it.
func parseNames(lex *lexer.PeekingLexer, ends func(*lexer.PeekingLexer, *nameList) bool) (n nameList, err error) {
	if !isString(lex.Peek()) {
		return n, unexpected(lex.Peek())
	}
	for first := true; isString(lex.Peek()) && (first || !ends(lex, &n)); first = false {
		m := Mapping{Remote: lex.Next().Value}
		m.Local = m.Remote
		if lex.Peek().Type == tokEqual {
			lex.Next()
			if !isString(lex.Peek()) {
				return n, unexpected(lex.Peek())
			}
			m.Local, m.written = lex.Next().Value, true
			n.mapping = true
		}
		n.list = append(n.list, m)
	}
	return n, nil
}

func (u *User) setRemote(name string) {
	u.Remote = name
	u.set.add(userIndex().remote)
}

// addNames adds local names; a plain "*" anywhere means that names which are not listed pass through.
func (u *User) addNames(names nameList) {
	for _, m := range names.list {
		if m.Remote == "*" && !m.written {
			u.Wildcard = true
			u.set.add(userIndex().wildcard)
			continue
		}
		u.LocalNames = append(u.LocalNames, m)
		u.set.add(userIndex().is)
	}
}
