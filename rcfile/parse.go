package rcfile

import (
	"cmp"
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
	file    *File
	scan    *scanner
	tokens  []token // of the statements at hand; the last is the one behind them
	current []token // those of one statement and the one behind it
	stream  stream
	errors  Errors
	stopped bool // the reference would have stopped
}

// Parse reads a run control file. The name is for messages only. If the error is not nil it is of type Errors and
// holds every error that can be told apart; the File is nil then.
func Parse(name string, src []byte) (*File, error) {
	p := &parsing{file: &File{Name: name}, scan: newScanner(string(src))}
	p.tokens = append(p.tokens, p.scan.next())
	for p.tokens[0].kind != tokEOF {
		p.cut()
		if err := p.statements(); err != nil {
			return nil, err
		}
		p.tokens = append(p.tokens[:0], p.tokens[len(p.tokens)-1])
	}
	if len(p.errors) > 0 {
		return nil, p.errors
	}
	return p.file, nil
}

// batch is how many tokens are handed to the parser at once, at least. Few hundreds suffice to make the cost of one
// batch small.
const batch = 1024

// cut collects the tokens of the next statements. It ends before a word that begins one.
func (p *parsing) cut() {
	for {
		t := p.scan.next()
		p.tokens = append(p.tokens, t)
		if t.kind == tokEOF || len(p.tokens) > batch && begins(t) {
			return
		}
	}
}

// begins tells whether a token begins a statement.
func begins(t token) bool {
	if t.kind != tokKeyword {
		return false
	}
	switch t.value {
	case "poll", "skip", "server", "set", "defaults":
		return true
	}
	return false
}

// statements parses and stores the statements at hand. The token behind them ends the last one.
func (p *parsing) statements() error {
	end := len(p.tokens) - 1
	if err := p.stream.fill(p.tokens); err != nil {
		return err
	}
	stream := p.stream.lex
	for i := 0; i < end; {
		next := i + 1
		for next < end && !begins(p.tokens[next]) {
			next++
		}
		p.current = p.tokens[i : next+1]
		p.statement(stream)
		for stream.Cursor() < next {
			stream.Next()
		}
		i = next
	}
	return nil
}

// statement parses and stores the next statement of the stream.
func (p *parsing) statement(stream *lexer.PeekingLexer) {
	end := stream.Cursor() + len(p.current) - 1
	st, err := parser().ParseFromLexer(stream, participle.AllowTrailing(true))
	if st != nil && st.Late != nil && st.Late.err != nil {
		p.report(st.Late.err, false)
	}
	switch {
	case err != nil:
		p.report(err, true)
	case stream.Cursor() < end:
		p.report(unexpected(stream.Peek()), true)
	case st.Set != nil:
		merge(target{config: &p.file.global}, target{config: st.Set.config}, override)
	default:
		p.entry(st)
	}
}

// report stores an error; fatal ones end the reference's reading.
func (p *parsing) report(err error, fatal bool) {
	m := &misplaced{message: err.Error()}
	var wrong *participle.UnexpectedTokenError
	if !errors.As(err, &m) && errors.As(err, &wrong) {
		m = &misplaced{at: wrong.Unexpected}
	}
	at := p.current[len(p.current)-1]
	for _, t := range p.current {
		if t.start == m.at.Pos.Offset {
			at = t
			break
		}
	}
	hint := cmp.Or(p.hintQuotes(at), m.hint)
	if hint == "" {
		hint = p.hint(at)
	}
	e := p.explanation(at, m.message, hint)
	e.behind, e.bare = p.stopped, m.bare
	p.stopped = p.stopped || fatal
	p.errors = append(p.errors, e)
}

// entry stores a server entry.
func (p *parsing) entry(st *statement) {
	s := st.Server.server
	s.Name, s.Skip = st.Entry.name, st.Entry.skip
	s.pos = position{offset: p.current[0].start, line: p.current[0].line}
	if s.Users = st.Accounts.users; len(s.Users) == 0 {
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
