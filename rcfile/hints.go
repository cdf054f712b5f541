package rcfile

import "strings"

// hint finds out what the writer may have meant by the token that does not fit.
func (p *parsing) hint(at token) string {
	i := 0
	for i < len(p.current) && p.current[i].start != at.start {
		i++
	}
	if i == 0 || i == len(p.current) {
		return p.hintStatement(at)
	}
	before := p.current[i-1]
	o := optionOf(before)
	switch {
	case at.kind == tokEqual || at.start > 0 && strings.IndexByte(",;:=", p.scan.src[at.start-1]) >= 0 && p.inPassword(i):
		return "a string with one of = , ; : in it must be quoted"
	case o != nil && (o.Kind == Number || o.Kind == Numbers || o.Kind == Port) && at.kind != tokNumber:
		return "\"" + before.value + "\" needs a number without quotes"
	case o != nil && at.kind == tokKeyword && o.Kind != Flag:
		return "\"" + at.value + "\" is a keyword: as a value it must be quoted"
	case o != nil && at.kind == tokNumber && o.Kind != Flag:
		return "a number as a value of \"" + before.value + "\" must be quoted"
	case at.kind == tokKeyword && (at.value == "user" || at.value == "username"):
		return "user options must follow a user: put \"user\" before the first of them"
	case at.kind == tokEOF || begins(at):
		return "the statement before is not complete"
	case at.kind == tokWord:
		return nearest(at.value, p.possible(), "")
	}
	return ""
}

// hintStatement is for a token that begins a statement or stands in front of all.
func (p *parsing) hintStatement(at token) string {
	if o := optionOf(at); o != nil && o.Scope == Global {
		return "global options begin with \"set\""
	}
	if at.kind == tokKeyword {
		return "\"" + at.value + "\" must follow \"poll\" and a server name"
	}
	return nearest(at.value, []string{"poll", "skip", "server", "set", "defaults"}, "a statement begins with poll, skip, server, set or defaults")
}

// inPassword tells whether the token before i, or the one before that, is the value of a password.
func (p *parsing) inPassword(i int) bool {
	return i >= 2 && p.current[i-2].kind == tokKeyword && strings.HasPrefix(p.current[i-2].value, "pass") ||
		i >= 1 && p.current[i-1].kind == tokKeyword && strings.HasPrefix(p.current[i-1].value, "pass")
}

// possible lists the words that may stand in the statement at hand.
func (p *parsing) possible() (words []string) {
	for _, o := range Options() {
		if (o.Scope == Global) == (p.current[0].value == "set") && o.Scope != CommandLineOnly {
			words = append(words, o.Words...)
		}
	}
	return words
}

func optionOf(t token) *Option {
	if t.means == nil {
		return nil
	}
	return t.means.option
}
