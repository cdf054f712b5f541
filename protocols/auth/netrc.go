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

// NetrcEntry is one machine of a .netrc file. It holds a password: keep it out of prints.
type NetrcEntry struct {
	Machine string // "" is the default entry
	Login   string
	secret  func() string
}

// Password is the entry's password, "" if it has none.
func (e NetrcEntry) Password() string {
	if e.secret == nil {
		return ""
	}
	return e.secret()
}

// Netrc looks a password up in a .netrc file: for each host in turn (the poll name, then the name of via) the entry
// of that machine with that login, else the default entry. Without the file, or without an entry, there is no secret.
func Netrc(file, login string, hosts ...string) Secret {
	return &source{name: ".netrc", load: func(context.Context) (string, error) {
		f, err := os.Open(file)
		if errors.Is(err, os.ErrNotExist) || file == "" {
			return "", ErrNoSecret
		}
		if err != nil {
			return "", fmt.Errorf("netrc: %w", err)
		}
		defer f.Close()
		text, err := io.ReadAll(io.LimitReader(f, maxNetrc))
		if err != nil {
			return "", fmt.Errorf("netrc: %w", err)
		}
		entries := ParseNetrc(string(text))
		for _, host := range hosts {
			if e, ok := FindNetrc(entries, host, login); ok {
				return e.Password(), nil
			}
		}
		return "", ErrNoSecret
	}}
}

// FindNetrc finds the first entry with a password for a host and a login. An entry without login is for every login;
// the default entry is for every host that has no entry before it.
func FindNetrc(entries []NetrcEntry, host, login string) (NetrcEntry, bool) {
	for _, e := range entries {
		if e.Machine != "" && !strings.EqualFold(e.Machine, host) {
			continue
		}
		if e.secret != nil && (e.Login == "" || e.Login == login) {
			return e, true
		}
	}
	return NetrcEntry{}, false
}

// ParseNetrc reads the format of ftp(1): machine, default, login, password, account and macdef, words separated by
// blanks, quoted or with backslashes where they hold blanks. What it does not understand it passes over.
func ParseNetrc(text string) []NetrcEntry {
	var entries []NetrcEntry
	p := netrcParser{text: text}
	for {
		word, ok := p.word()
		if !ok {
			return entries
		}
		last := len(entries) - 1
		switch word {
		case "machine":
			name, _ := p.word()
			if name != "" {
				entries = append(entries, NetrcEntry{Machine: name})
			}
		case "default":
			entries = append(entries, NetrcEntry{})
		case "login", "user":
			if value, ok := p.word(); ok && last >= 0 {
				entries[last].Login = value
			}
		case "password", "passwd":
			if value, ok := p.word(); ok && last >= 0 {
				entries[last].secret = func() string { return value }
			}
		case "account":
			_, _ = p.word()
		case "macdef":
			p.skipMacro()
		}
	}
}

// netrcParser cuts a text into words.
type netrcParser struct {
	text string
	pos  int
}

// word returns the next word; ok is false at the end. A # at the start of a word makes the rest of the line a comment.
func (p *netrcParser) word() (word string, ok bool) {
	for p.pos < len(p.text) {
		switch c := p.text[p.pos]; {
		case isBlank(c):
			p.pos++
		case c == '#':
			p.skipLine()
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
		case c == '\\' && p.pos+1 < len(p.text):
			p.pos++
			b.WriteByte(p.text[p.pos])
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && isBlank(c), c == '\n':
			return b.String()
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (p *netrcParser) skipLine() {
	if i := strings.IndexByte(p.text[p.pos:], '\n'); i >= 0 {
		p.pos += i
		return
	}
	p.pos = len(p.text)
}

// skipMacro passes over a macro, which ends at an empty line.
func (p *netrcParser) skipMacro() {
	if i := strings.Index(p.text[p.pos:], "\n\n"); i >= 0 {
		p.pos += i
		return
	}
	p.pos = len(p.text)
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ',' }
