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
	if o := optionOf(before); o != nil && o.Kind != Flag && !(o.Kind == Choice && at.kind == tokWord) {
		return hintValue(o, before, at)
	}
	for _, t := range p.current[:i] {
		if t.kind == tokWord && strings.ContainsAny(p.scan.src[t.start:t.start+1], `"'`) {
			return "a quote before this is not closed, or has something directly behind it"
		}
	}
	switch keyword := at.kind == tokKeyword; {
	case p.inPassword(i) && (at.kind == tokEqual || strings.IndexByte(",;:=", p.scan.src[at.start-1]) >= 0):
		return "a string with one of = , ; : in it must be quoted"
	case (keyword || at.kind == tokNumber) && !begins(at) && begins(before) && before.value != "set":
		return "a keyword or a number as the name of a server must be quoted"
	case before.kind == tokEqual && at.kind == tokWord:
		return "leave the \"=\" out: what follows it is a string, not a number"
	case before.kind == tokKeyword && before.value == "no":
		return "there is no \"no " + p.scan.src[at.start:at.end] + "\""
	case keyword && at.value == "there":
		return "one name only can stand before \"there\""
	case keyword && (at.value == "user" || at.value == "username"):
		return "user options must follow a user: put \"user\" before the first of them"
	case at.kind == tokEOF || begins(at):
		return "the statement before is not complete"
	case p.scan.src[at.start:at.end] == `\`:
		return "a backslash joins lines at the very end of a line only"
	case at.kind == tokWord:
		return nearest(at.value, p.possible(), "")
	}
	return ""
}

// hintValue is for a value that does not suit its option.
func hintValue(o *Option, keyword, at token) string {
	switch {
	case at.kind == tokEOF || begins(at):
		return "\"" + keyword.value + "\" needs a value"
	case o.Kind == Number || o.Kind == Numbers || o.Kind == Port:
		return "\"" + keyword.value + "\" needs a number without quotes"
	case o.Kind == Choice:
		return "\"" + keyword.value + "\" needs one of these words, without quotes: " + strings.Join(o.Choices, ", ")
	case at.kind == tokKeyword:
		return "\"" + at.value + "\" is a keyword: as a value it must be quoted"
	case at.kind == tokNumber:
		return "a number as a value of \"" + keyword.value + "\" must be quoted"
	case at.kind == tokEqual:
		return "a string with one of = , ; : in it must be quoted"
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
