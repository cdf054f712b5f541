package text

import (
	"bytes"
	"io"
)

// Lines are the options for line ends.
type Lines struct {
	StripCR bool // option stripcr: carriage returns are removed
	ForceCR bool // option forcecr: a line feed without carriage return before it gets one
}

// NewWriter returns a filter that passes a message on to w with the line ends that l asks for. Close adds the final
// newline if it is missing; it does not close w.
func (l Lines) NewWriter(w io.Writer) io.WriteCloser {
	return &lineWriter{w: w, opt: l, last: '\n'}
}

// Apply returns p, a whole text, with the line ends that l asks for.
func (l Lines) Apply(p []byte) []byte {
	var out bytes.Buffer
	w := l.NewWriter(&out)
	w.Write(p) // a buffer takes everything
	w.Close()
	return out.Bytes()
}

const blockSize = 32 << 10

type lineWriter struct {
	w    io.Writer
	opt  Lines
	buf  []byte
	last byte // the last octet taken
}

var newline = []byte{'\n'}

func (l *lineWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if !l.opt.StripCR && !l.opt.ForceCR {
		l.last = p[len(p)-1]
		return l.w.Write(p)
	}
	if l.buf == nil {
		l.buf = make([]byte, 0, blockSize)
	}
	for rest := p; len(rest) > 0; {
		n := min(len(rest), blockSize/2)
		l.convert(rest[:n])
		rest = rest[n:]
		if _, err := l.w.Write(l.buf); err != nil {
			return len(p) - len(rest), err
		}
		l.buf = l.buf[:0]
	}
	return len(p), nil
}

// convert appends p to buf; p is at most half as long as buf can hold.
func (l *lineWriter) convert(p []byte) {
	for len(p) > 0 {
		sep := byte('\n')
		if l.opt.StripCR {
			sep = '\r'
		}
		i := bytes.IndexByte(p, sep)
		if i < 0 {
			l.buf = append(l.buf, p...)
			l.last = p[len(p)-1]
			return
		}
		l.buf = append(l.buf, p[:i]...)
		if i > 0 {
			l.last = p[i-1]
		}
		if sep == '\n' {
			if l.last != '\r' {
				l.buf = append(l.buf, '\r')
			}
			l.buf = append(l.buf, '\n')
		}
		l.last = sep
		p = p[i+1:]
	}
}

// Close ends the message: its last line must end.
func (l *lineWriter) Close() error {
	if l.last == '\n' {
		return nil
	}
	l.last = '\n'
	end := []byte("\r\n")
	if l.opt.StripCR {
		end = newline
	}
	_, err := l.w.Write(end)
	return err
}
