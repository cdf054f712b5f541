package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxNetrc bounds the file that is read, in bytes.
const maxNetrc = 16 << 20

// netrcEntry is one machine of a .netrc file.
type netrcEntry struct {
	Machine string // "" is the default entry, which is for ftp and never used
	Login   string
	secret  func() string // nil: the entry has no password
}

// NetrcFile is where Netrc looks. Warn takes lines for standard error about words that are not understood, without
// prefix; it may be nil.
type NetrcFile struct {
	Name string
	Warn func(line string)
}

// Netrc looks a password up in a .netrc file: for each host in turn (the poll name, then the name of via) the entry of
// that machine with that login, both compared by case. An entry without login does not count, nor does "default", nor
// does the mode of the file matter; all that is the reference's. Without the file, or without an entry, there is no
// secret.
func Netrc(file NetrcFile, login string, hosts ...string) Secret {
	return &source{name: ".netrc", load: func(context.Context) (string, error) {
		entries, err := file.read()
		if err != nil {
			return "", err
		}
		for _, host := range hosts {
			if e, ok := findNetrc(entries, host, login); ok {
				return e.secret(), nil
			}
		}
		return "", ErrNoSecret
	}}
}

func (n NetrcFile) read() ([]netrcEntry, error) {
	f, err := os.Open(n.Name)
	if errors.Is(err, os.ErrNotExist) || n.Name == "" {
		return nil, ErrNoSecret
	}
	if err != nil {
		return nil, fmt.Errorf("netrc: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxNetrc))
	if err != nil {
		return nil, fmt.Errorf("netrc: %w", err)
	}
	return parseNetrc(string(text), func(line int, word string) {
		if n.Warn != nil {
			n.Warn(fmt.Sprintf("%s:%d: warning: unknown token \"%s\"", n.Name, line, word))
		}
	}), nil
}

// findNetrc finds the first entry with a password for a host and a login.
func findNetrc(entries []netrcEntry, host, login string) (netrcEntry, bool) {
	for _, e := range entries {
		if e.Machine == host && e.Machine != "" && e.Login == login && e.secret != nil {
			return e, true
		}
	}
	return netrcEntry{}, false
}

// parseNetrc reads the format of ftp(1): machine, default, login or user, password or passwd, account and macdef, and
// their values. Words are separated by blanks and line ends; quotes of both kinds, which end with the line, hold blanks
// together; there is no escape. A # at the start of a word begins a comment. What is not understood is handed to
// unknown, with its line number, and passed over.
func parseNetrc(text string, unknown func(line int, word string)) []netrcEntry {
	var entries []netrcEntry
	p := netrcParser{text: text, line: 1}
	for {
		word, ok := p.word()
		if !ok {
			return entries
		}
		switch word {
		case "machine":
			name, _ := p.word()
			entries = append(entries, netrcEntry{Machine: name})
		case "default":
			entries = append(entries, netrcEntry{})
		case "login", "user", "password", "passwd", "account":
			value, ok := p.word()
			if ok && len(entries) > 0 {
				entries[len(entries)-1].set(word, value)
			}
		case "macdef":
			p.skipMacro()
		default:
			unknown(p.line, word)
		}
	}
}

func (e *netrcEntry) set(key, value string) {
	switch key {
	case "login", "user":
		e.Login = value
	case "password", "passwd":
		e.secret = func() string { return value }
	}
}

// netrcParser cuts a text into words.
type netrcParser struct {
	text string
	pos  int
	line int // of pos, from 1
}

// word returns the next word; ok is false at the end.
func (p *netrcParser) word() (word string, ok bool) {
	for p.pos < len(p.text) {
		switch c := p.text[p.pos]; {
		case c == '\n':
			p.line++
			p.pos++
		case isBlank(c):
			p.pos++
		case c == '#':
			p.nextLine()
		default:
			return p.take(), true
		}
	}
	return "", false
}

func (p *netrcParser) take() string {
	var b strings.Builder
	var quote byte
	for ; p.pos < len(p.text); p.pos++ {
		switch c := p.text[p.pos]; {
		case c == '\n', quote == 0 && isBlank(c):
			return b.String()
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// nextLine goes to the start of the next line and returns what it has passed over.
func (p *netrcParser) nextLine() string {
	rest, _, found := strings.Cut(p.text[p.pos:], "\n")
	p.pos += len(rest)
	if found {
		p.pos++
		p.line++
	}
	return rest
}

// skipMacro passes over a macro, which ends at an empty line.
func (p *netrcParser) skipMacro() {
	p.nextLine() // its name
	for p.pos < len(p.text) {
		if strings.TrimSpace(p.nextLine()) == "" {
			return
		}
	}
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v' }
