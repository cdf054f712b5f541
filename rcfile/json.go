package rcfile

import (
	"bufio"
	"encoding/json"
	"io"
	"unicode/utf8"
)

// DumpJSON writes what Dump writes as one JSON object: the keys of the Python dictionary, with os_type and
// feature_options beside them. What is None there is null, antispam is a list of numbers, a mapping a list of two
// names. Bytes that are no UTF-8 become the code points of the same number.
func (c *Config) DumpJSON(w io.Writer) error {
	j := &jsonWriter{w: bufio.NewWriterSize(w, 64<<10)}
	j.open("{")
	j.member("os_type", "linux")
	j.member("feature_options", features)
	j.options(Global, target{config: c})
	j.key("servers")
	j.open("[")
	for _, s := range c.Servers {
		j.element()
		j.server(s)
	}
	j.close("]")
	j.close("}")
	j.w.WriteByte('\n')
	return j.w.Flush()
}

// jsonWriter writes JSON piece by piece, so that a large configuration is never held as text.
type jsonWriter struct {
	w     *bufio.Writer
	depth int
	more  bool // an element stands before
}

func (j *jsonWriter) open(bracket string) {
	j.w.WriteString(bracket)
	j.depth++
	j.more = false
}

func (j *jsonWriter) close(bracket string) {
	j.depth--
	if j.more {
		j.newline()
	}
	j.w.WriteString(bracket)
	j.more = true
}

func (j *jsonWriter) newline() {
	j.w.WriteByte('\n')
	for range j.depth {
		j.w.WriteString("  ")
	}
}

// element begins the next element of a list or object.
func (j *jsonWriter) element() {
	if j.more {
		j.w.WriteByte(',')
	}
	j.newline()
	j.more = true
}

func (j *jsonWriter) key(name string) {
	j.element()
	j.value(name)
	j.w.WriteString(": ")
}

func (j *jsonWriter) member(name string, v any) {
	j.key(name)
	j.value(v)
}

// value writes a scalar or a list of scalars.
func (j *jsonWriter) value(v any) {
	switch v := v.(type) {
	case []string:
		clean := make([]string, len(v))
		for i, s := range v {
			clean[i] = toUTF8(s)
		}
		j.marshal(clean)
	case string:
		j.marshal(toUTF8(v))
	case []int:
		j.marshal(append([]int{}, v...))
	default:
		j.marshal(v)
	}
}

func (j *jsonWriter) marshal(v any) {
	text, err := json.Marshal(v)
	if err == nil { // strings, numbers and lists of them always can be
		j.w.Write(text)
	}
}

// toUTF8 replaces what is no UTF-8 by the code points of the bytes.
func toUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b []rune
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			r = rune(s[0])
		}
		b = append(b, r)
		s = s[n:]
	}
	return string(b)
}

func (j *jsonWriter) server(s *Server) {
	j.open("{")
	j.member("pollname", s.Name)
	j.member("active", !s.Skip)
	j.options(PerServer, target{server: s})
	j.key("users")
	j.open("[")
	for _, u := range s.Users {
		j.element()
		j.user(s, u)
	}
	j.close("]")
	j.close("}")
}

func (j *jsonWriter) user(s *Server, u *User) {
	j.open("{")
	for _, o := range table().scope[PerUser] {
		switch o.Name {
		case "password":
			j.member(o.Dump, password(s, u))
		case "is":
			j.member(o.Dump, localNames(u))
		default:
			j.option(o, target{user: u})
		}
	}
	j.close("}")
}

// password is the password as dumps show it; nil if there is none.
func password(s *Server, u *User) any {
	switch {
	case u.HasPassword:
		return u.Password
	case needsNoPassword(s) && s.Active:
		return u.Remote // as the reference has it: a placeholder
	}
	return nil
}

// localNames lists names, mappings as pairs, and the wildcard.
func localNames(u *User) []any {
	list := []any{}
	for _, m := range u.LocalNames {
		if m.written {
			list = append(list, []string{toUTF8(m.Remote), toUTF8(m.Local)})
		} else {
			list = append(list, toUTF8(m.Remote))
		}
	}
	if u.Wildcard {
		list = append(list, "*")
	}
	return list
}

func (j *jsonWriter) options(scope Scope, t target) {
	for _, o := range table().scope[scope] {
		j.option(o, t)
	}
}

// option writes one member, unless dumps leave it out.
func (j *jsonWriter) option(o *Option, t target) {
	if !o.dumps(t) {
		return
	}
	switch field := o.at(t).(type) {
	case *bool:
		j.member(o.Dump, *field)
	case *int:
		j.member(o.Dump, max(*field, 0))
	case *int64:
		j.member(o.Dump, *field)
	case *[]int:
		j.member(o.Dump, *field)
	case *[]string:
		j.member(o.Dump, *field)
	case *Protocol:
		j.member(o.Dump, field.dumped())
	case *Auth:
		j.member(o.Dump, string(*field))
	case *string:
		if text, ok := o.text(t); ok {
			j.member(o.Dump, text)
		} else {
			j.member(o.Dump, nil)
		}
	}
}
