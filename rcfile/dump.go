package rcfile

import (
	"bufio"
	"io"
	"strconv"
)

// features are the capabilities that scripts ask for in feature_options.
var features = []string{"pop3", "imap", "ssl"}

// dumper writes the Python text of --configdump.
type dumper struct {
	w   *bufio.Writer
	buf []byte
}

// Dump writes the configuration as --configdump does: an assignment in Python. It includes passwords. Options of later
// releases and ours appear only where they were given.
func (c *Config) Dump(w io.Writer) error {
	d := &dumper{w: bufio.NewWriterSize(w, 64<<10)}
	d.text("TRUE=1; FALSE=0\n\nos_type = 'linux'\nfeature_options = (")
	for _, f := range features {
		d.text("'" + f + "',")
	}
	d.text(")\n# Start of configuration initializer\nfetchmailrc = {\n")
	for _, o := range table().scope[Global] {
		d.option(o, "    ", target{config: c})
	}
	d.servers(c)
	d.text("}\n# End of initializer\n")
	return d.w.Flush()
}

func (d *dumper) text(s string) { d.w.WriteString(s) }

func (d *dumper) servers(c *Config) {
	if len(c.Servers) == 0 {
		d.text("    'servers': []\n")
		return
	}
	d.text("    # List of server entries begins here\n    'servers': [\n")
	for i, s := range c.Servers {
		if i > 0 {
			d.text("\t,\n")
		}
		d.server(s)
	}
	d.text("    ]\n")
}

func (d *dumper) server(s *Server) {
	d.text("\t# Entry for site `" + s.Name + "' begins:\n\t{\n")
	d.text("\t    \"pollname\":")
	d.string(s.Name)
	d.text(",\n\t    'active':" + boolean(!s.Skip) + ",\n")
	for _, o := range table().scope[PerServer] {
		d.option(o, "\t    ", target{server: s})
	}
	d.text("\t    'users': [\n")
	for _, u := range s.Users {
		d.text("\t\t{\n")
		for _, o := range table().scope[PerUser] {
			d.userOption(o, s, u)
		}
		d.text("\t\t}\n\t\t,")
	}
	d.text("\t    ]\n\t}\n")
}

// userOption treats the rows that are more than their field.
func (d *dumper) userOption(o *Option, s *Server, u *User) {
	t := target{user: u}
	switch o.Name {
	case "is":
		d.localNames(u)
	case "password":
		d.text("\t\t    \"password\":")
		if word, ok := password(s, u).(string); ok {
			d.string(word)
		} else {
			d.text("None")
		}
		d.text(",\n")
	default:
		d.option(o, "\t\t    ", t)
	}
}

// needsNoPassword tells whether no password is asked for, fetchmail(1), "--auth".
func needsNoPassword(s *Server) bool {
	switch s.Auth {
	case AuthAny, AuthPassword, AuthCRAMMD5, AuthNTLM, AuthMSN, AuthAPOP, AuthOAuthBearer:
		return s.Protocol == ETRN
	}
	return true
}

func (d *dumper) localNames(u *User) {
	d.text("\t\t    'localnames':[")
	for i, m := range u.LocalNames {
		if i > 0 {
			d.text(", ")
		}
		if !m.written {
			d.string(m.Remote)
			continue
		}
		d.text("(")
		d.string(m.Remote)
		d.text(", ")
		d.string(m.Local)
		d.text(")")
	}
	if u.Wildcard {
		d.text(", '*'")
	}
	d.text("],\n")
}

// option writes one line.
func (d *dumper) option(o *Option, indent string, t target) {
	if !o.dumps(t) {
		return
	}
	d.text(indent)
	switch field := o.at(t).(type) {
	case *bool:
		d.key('\'', o.Dump)
		if o.Dump == "badheader" {
			d.text(" ")
		}
		d.text(boolean(*field))
	case *int:
		d.number(o.Dump, int64(max(*field, 0)))
	case *int64:
		d.number(o.Dump, *field)
	case *[]int:
		d.key('\'', o.Dump)
		d.text("'" + joinNumbers(*field) + "'")
	case *[]string:
		d.key('"', o.Dump)
		d.list(*field)
	case *string:
		d.key('"', o.Dump)
		if text, ok := o.text(t); ok {
			d.string(text)
		} else {
			d.text("None")
		}
	case *Protocol:
		d.key('"', o.Dump)
		d.string(field.dumped())
	case *Auth:
		d.key('"', o.Dump)
		d.string(string(*field))
	}
	d.text(",\n")
}

// dumps tells whether dumps show an option: those that fetchmail 6.4 does not know only if they were given.
func (o *Option) dumps(t target) bool {
	return o.Dump != "" && (!o.New && o.Name != "esmtppassword" || t.set().has(o.index))
}

// text is the value of an option that is a string, and whether there is one: an empty string is not the same as none.
func (o *Option) text(t target) (string, bool) {
	if o.Name == "envelope" {
		return t.server.EnvelopeHeader(), !t.server.NoEnvelope
	}
	return *o.at(t).(*string), t.set().has(o.index)
}

// dumped is the protocol as --configdump and -V have it.
func (p Protocol) dumped() string {
	switch p {
	case Auto:
		return "auto"
	case SDPS, KPOP:
		return "POP3"
	case POP2:
		return "unknown?!?"
	}
	return string(p)
}

func (d *dumper) key(quote byte, name string) {
	d.w.WriteByte(quote)
	d.text(name)
	d.w.WriteByte(quote)
	d.w.WriteByte(':')
}

func (d *dumper) number(name string, n int64) {
	d.key('\'', name)
	d.buf = strconv.AppendInt(d.buf[:0], n, 10)
	d.w.Write(d.buf)
}

func (d *dumper) list(list []string) {
	d.text("[")
	for i, s := range list {
		if i > 0 {
			d.text(", ")
		}
		d.string(s)
	}
	d.text("]")
}

// string writes a Python string. Bytes that are no printable ASCII are written as escapes.
func (d *dumper) string(s string) {
	d.buf = append(d.buf[:0], '"')
	for i := range len(s) {
		d.buf = appendEscaped(d.buf, s[i])
	}
	d.buf = append(d.buf, '"')
	d.w.Write(d.buf)
}

const hexDigits = "0123456789abcdef"

func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	case '\b':
		return append(b, `\b`...)
	case '\a':
		return append(b, `\a`...)
	case '\f':
		return append(b, `\f`...)
	case '\v':
		return append(b, `\v`...)
	case '"', '\\':
		return append(b, '\\', c)
	}
	if c < ' ' || c >= 0x7f {
		return append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
	}
	return append(b, c)
}

func boolean(b bool) string {
	if b {
		return "TRUE"
	}
	return "FALSE"
}

func joinNumbers(list []int) string {
	var b []byte
	for i, n := range list {
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return string(b)
}
