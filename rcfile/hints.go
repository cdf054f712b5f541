package rcfile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

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
	flag := optionOf(before)
	switch keyword := at.kind == tokKeyword; {
	case at.kind == tokNumber && p.scan.src[at.start-1] == ':' && i > 1:
		return p.hintPort(p.current[i-2], before, at)
	case at.kind == tokNumber && p.scan.src[at.start-1] == ':':
		return "a string with one of = , ; : in it must be quoted"
	case flag != nil && flag.Kind == Flag && (at.kind == tokEqual || at.kind == tokNumber || isTruth(at.value)):
		return fmt.Sprintf("%q takes no value; %q turns it off", before.value, "no "+before.value)
	case before.value == "set" && begins(at):
		return fmt.Sprintf("there is no global option %q", at.value)
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
		hint := nearest(at.value, p.possible(), "")
		switch {
		case p.inPassword(i) && hint == "":
			return "a password with a blank in it must be quoted"
		case p.inPassword(i):
			return hint + " If not: a password with a blank in it must be quoted"
		}
		return cmp.Or(hint, "there is no such option")
	}
	return ""
}

// hintQuotes is for strings in front of a token whose quotes do not enclose them.
func (p *parsing) hintQuotes(at token) string {
	for i, t := range p.current {
		if t.start >= at.start {
			break
		}
		raw := p.scan.src[t.start:t.end]
		switch {
		case t.kind == tokWord && strings.ContainsAny(raw[:1], `"'`), t.kind == tokQuoted && joined(t, p.current[i+1]):
			return "a quote before this is not closed, or has something directly behind it"
		case t.kind == tokWord && typographic(raw):
			return "typographic quotes do not quote: use \" or '"
		}
	}
	return ""
}

// joined tells whether a token has something directly behind it, other than the end of the file or the "=" of a mapping.
func joined(t, next token) bool {
	return t.end == next.start && next.kind != tokEqual && next.kind != tokEOF
}

// typographic tells whether a word begins with one of the quotes that word processors make.
func typographic(word string) bool {
	return strings.IndexAny(word, "“”„‟‘’‚‛«»") == 0
}

// isTruth tells whether a word may be meant to turn an option on or off.
func isTruth(word string) bool {
	switch strings.ToLower(word) {
	case "yes", "true", "on", "false", "off":
		return true
	}
	return false
}

// hintPort is for a number that a colon joins to a name: both are separate tokens.
func (p *parsing) hintPort(keyword, name, number token) string {
	switch o := optionOf(keyword); {
	case begins(keyword):
		return fmt.Sprintf("a port is an option of its own: %s service %s", name.value, number.value)
	case o != nil && o.Name == "smtphost":
		return fmt.Sprintf("a port stands behind a slash: %s/%s", name.value, number.value)
	}
	return "a string with one of = , ; : in it must be quoted"
}

// hintValue is for a value that does not suit its option.
func hintValue(o *Option, keyword, at token) string {
	switch {
	case at.kind == tokEOF || begins(at):
		return "\"" + keyword.value + "\" needs a value"
	case o.Kind == Port && at.kind == tokWord:
		return "\"port\" needs a number; \"service\" takes a name, too"
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
	if strings.HasPrefix(at.value, "\ufeff") {
		return "the file begins with a byte order mark: save it as plain UTF-8 or ASCII"
	}
	if at.kind == tokKeyword {
		return "\"" + at.value + "\" must follow \"poll\" and a server name"
	}
	return nearest(at.value, []string{"poll", "skip", "server", "set", "defaults"}, "a statement begins with poll, skip, server, set or defaults")
}

// inPassword tells whether the token before i, or the one before that, is the value of a password.
func (p *parsing) inPassword(i int) bool {
	return slices.ContainsFunc(p.current[max(0, i-2):i], func(t token) bool { o := optionOf(t); return o != nil && o.secret })
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
