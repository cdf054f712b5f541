package rcfile

import (
	"errors"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"
)

// File is a run control file as it was written: nothing is filled in or merged.
type File struct {
	Name     string
	global   Config
	defaults *Server // nil if there is no defaults entry
	entries  []*Server
	misfit   bool // a defaults entry stands where none may
}

// parsing is the state of Parse.
type parsing struct {
	file      *File
	scan      *scanner
	tokens    []token // of the statement, and the one behind it
	following token
	errors    Errors
	stopped   bool // the reference would have stopped
}

// Parse reads a run control file. The name is for messages only. If the error is not nil it is of type Errors and
// holds every error that can be told apart; the File is nil then.
func Parse(name string, src []byte) (*File, error) {
	p := &parsing{file: &File{Name: name}, scan: newScanner(src)}
	p.following = p.scan.next()
	for p.following.kind != tokEOF {
		p.cut()
		p.statement()
	}
	if len(p.errors) > 0 {
		return nil, p.errors
	}
	return p.file, nil
}

// cut collects the tokens of the next statement. It ends before a word that begins one.
func (p *parsing) cut() {
	p.tokens = append(p.tokens[:0], p.following)
	for {
		p.following = p.scan.next()
		p.tokens = append(p.tokens, p.following)
		if p.following.kind == tokEOF || p.following.kind == tokKeyword && begins(p.following.value) {
			return
		}
	}
}

func begins(word string) bool {
	switch word {
	case "poll", "skip", "server", "set", "defaults":
		return true
	}
	return false
}

// statement parses and stores the statement at hand.
func (p *parsing) statement() {
	stream, err := lexer.Upgrade(&statementLexer{tokens: p.tokens})
	if err != nil {
		return // our lexer returns none
	}
	st, err := parser().ParseFromLexer(stream)
	if st != nil && st.Entry != nil && st.Entry.Late != nil {
		p.report(&st.Entry.Late.err, false)
	}
	if err != nil {
		p.report(err, true)
		return
	}
	if st.Set != nil {
		merge(target{config: &p.file.global}, target{config: st.Set.config}, override)
		return
	}
	p.entry(st.Entry)
}

// report stores an error; fatal ones end the reference's reading.
func (p *parsing) report(err error, fatal bool) {
	m := &misplaced{message: err.Error()}
	var wrong *participle.UnexpectedTokenError
	if !errors.As(err, &m) && errors.As(err, &wrong) {
		m = &misplaced{at: wrong.Unexpected}
	}
	at := p.tokens[len(p.tokens)-1]
	for _, t := range p.tokens {
		if t.start == m.at.Pos.Offset {
			at = t
			break
		}
	}
	if m.hint == "" {
		m.hint = p.hint(at)
	}
	e := p.explanation(at, m.message, m.hint)
	e.behind, e.bare = p.stopped, m.bare
	p.stopped = p.stopped || fatal
	p.errors = append(p.errors, e)
}

// entry stores a server entry.
func (p *parsing) entry(e *entry) {
	s := &Server{}
	if e.Server != nil {
		s = e.Server.server
	}
	s.Name, s.Skip = e.Name, e.Verb == "skip"
	if e.Defaults {
		s.Name = "defaults"
	}
	s.pos = position{offset: p.tokens[0].start, line: p.tokens[0].line}
	if e.Plain != nil {
		s.Users = append(s.Users, e.Plain.user)
	}
	for _, a := range e.Accounts {
		s.Users = append(s.Users, a.join())
	}
	if len(s.Users) == 0 {
		s.Users = []*User{{}}
	}
	p.place(s)
}

// place puts an entry where it belongs. An entry named defaults must be the first; directly behind it the reference
// takes a second one for a server of that name.
func (p *parsing) place(s *Server) {
	switch {
	case s.Name != "defaults" || p.file.defaults != nil && len(p.file.entries) == 0:
		p.file.entries = append(p.file.entries, s)
	case p.file.defaults == nil && len(p.file.entries) == 0:
		p.file.defaults = s
	default:
		p.file.misfit = true
	}
}

// join makes one User of a description and its options.
func (a *account) join() *User {
	u := a.Who.user
	if a.Options == nil || a.Options.user == nil {
		return u
	}
	o := a.Options.user
	o.LocalNames = append(u.LocalNames, o.LocalNames...)
	o.Wildcard = o.Wildcard || u.Wildcard
	if !o.set.has(option("username").index) {
		o.Remote = u.Remote
	}
	o.set.join(u.set)
	return o
}
