package esmtp

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
)

// Bounds of a reply. RFC 5321, section 4.5.3.1.5, has 512 octets a line; RFC 4954, section 4, has 12,288 for AUTH.
const (
	maxLine  = 12 << 10
	maxLines = 128
)

// Reply is an answer of the server: RFC 5321, section 4.2.
type Reply struct {
	Code  int
	Lines []string // behind the code, of each line; may contain any byte
	last  string   // line as it came
}

// Text is the last line, without the code.
func (r Reply) Text() string {
	if len(r.Lines) == 0 {
		return ""
	}
	return r.Lines[len(r.Lines)-1]
}

// Raw is the last line as it came, with the code.
func (r Reply) Raw() string { return r.last }

// errSyntax is what is wrong with something that is no reply; errEndless wraps it: nobody should wait for the rest.
var (
	errSyntax  = errors.New("not a reply of SMTP")
	errEndless = fmt.Errorf("%w: it has no end", errSyntax)
)

// readReply reads one reply; every line of it is shown before anything else becomes of it. show returns what may be seen of
// the line, in errors too.
func readReply(in *bufio.Reader, show func(line string) string) (Reply, error) {
	var r Reply
	for len(r.Lines) < maxLines {
		line, err := readLine(in)
		if err != nil {
			return r, err
		}
		seen := show(line)
		r.last = line
		code, text, more, ok := parseLine(line)
		if !ok || r.Code != 0 && code != r.Code {
			return r, fmt.Errorf("%w: %q", errSyntax, seen)
		}
		r.Code, r.Lines = code, append(r.Lines, text)
		if !more {
			return r, nil
		}
	}
	return r, errEndless
}

// readLine reads a line without its end.
func readLine(in *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return "", err
		}
		if len(line)+len(part) > maxLine {
			return "", errEndless
		}
		line = append(line, part...)
		if err == nil {
			return strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r"), nil
		}
	}
}

// parseLine takes a line apart: three digits, then a blank or "-" or nothing.
func parseLine(line string) (code int, text string, more, ok bool) {
	if len(line) < 3 || line[0] < '1' || line[0] > '5' || !digit(line[1]) || !digit(line[2]) {
		return 0, "", false, false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	switch {
	case len(line) == 3:
		return code, "", false, true
	case line[3] != ' ' && line[3] != '-':
		return 0, "", false, false
	}
	return code, line[4:], line[3] == '-', true
}

func digit(b byte) bool { return b >= '0' && b <= '9' }
