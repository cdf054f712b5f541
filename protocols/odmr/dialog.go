package odmr

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Bounds of what is remembered of a dialogue.
const (
	maxLine    = 1000 // octets of a line that are looked at
	maxPending = 1000 // commands without a reply
)

// kind is what a reply is waited for.
type kind byte

const (
	greeting kind = iota
	plain
	forLogin
	data
	wholeText // the end of a text
	lastChunk // BDAT ... LAST
	startTLS
	quit
)

var errFlood = errors.New("host sends commands and does not wait for replies")

// dialog follows what host and listener say to one another. The two directions must not be looked at at the same time.
type dialog struct {
	pending  []kind
	line     []byte // of the host, as far as it has come; at most maxLine
	skip     uint64 // octets of a BDAT chunk to come
	secret   bool   // the next line of the host answers a challenge
	text     text
	inText   bool
	unseen   bool // under TLS
	quit     bool
	accepted int // messages

	reply []byte // of the listener, as far as its line has come; at most maxLine

	showCommand, showReply func(line string)
	begins                 func() // the text of a message
}

// inHand tells that a message is on its way, or its end was sent and not answered.
func (d *dialog) inHand() bool {
	return d.inText || d.skip > 0 || d.working()
}

// working tells that the listener has the whole of a message and has not answered.
func (d *dialog) working() bool {
	return slices.Contains(d.pending, wholeText) || slices.Contains(d.pending, lastChunk)
}

// fromHost appends to out what the listener is to get of p.
func (d *dialog) fromHost(out, p []byte) ([]byte, error) {
	for len(p) > 0 {
		switch {
		case d.unseen:
			return append(out, p...), nil
		case d.inText:
			var ended bool
			if out, p, ended = d.text.pass(out, p); ended {
				d.inText = false
				d.pending = append(d.pending, wholeText)
			}
		case d.skip > 0:
			n := min(d.skip, uint64(len(p)))
			out, p, d.skip = append(out, p[:n]...), p[n:], d.skip-n
		default:
			i := bytes.IndexByte(p, '\n') + 1
			if i == 0 {
				d.line = keep(d.line, p)
				return append(out, p...), nil
			}
			d.line = keep(d.line, p[:i])
			out, p = append(out, p[:i]...), p[i:]
			d.command(strings.TrimRight(string(d.line), "\r\n"))
			d.line = d.line[:0]
		}
	}
	if len(d.pending) > maxPending {
		return out, errFlood
	}
	return out, nil
}

// keep appends what there is room for.
func keep(line, p []byte) []byte { return append(line, p[:min(len(p), maxLine-len(line))]...) }

// command looks at a line of the host.
func (d *dialog) command(line string) {
	if d.secret {
		d.secret = false
		d.showCommand("*")
		return
	}
	words := strings.Fields(strings.ToUpper(line))
	k := plain
	if len(words) > 0 {
		switch words[0] {
		case "DATA":
			k = data
		case "QUIT":
			k, d.quit = quit, true
		case "STARTTLS":
			k = startTLS
		case "AUTH":
			k, line = forLogin, "AUTH *"
		case "BDAT":
			if len(words) > 1 {
				d.skip, _ = strconv.ParseUint(words[1], 10, 63)
			}
			if words[len(words)-1] == "LAST" {
				k = lastChunk
			}
		}
	}
	d.pending = append(d.pending, k)
	d.showCommand(line)
}

// fromListener looks at what the host gets from the listener.
func (d *dialog) fromListener(p []byte) {
	for len(p) > 0 && !d.unseen {
		i := bytes.IndexByte(p, '\n') + 1
		if i == 0 {
			d.reply = keep(d.reply, p)
			return
		}
		d.reply = keep(d.reply, p[:i])
		p = p[i:]
		d.answer(strings.TrimRight(string(d.reply), "\r\n"))
		d.reply = d.reply[:0]
	}
}

// answer looks at a line of the listener.
func (d *dialog) answer(line string) {
	d.showReply(line)
	if len(line) > 3 && line[3] == '-' || len(d.pending) == 0 {
		return
	}
	k := d.pending[0]
	d.pending = append(d.pending[:0], d.pending[1:]...)
	code := line[:min(len(line), 3)]
	switch {
	case k == data && code == "354":
		d.inText, d.text = true, newText()
		d.begins()
	case k == forLogin && code == "334":
		d.secret = true
		d.pending = append([]kind{forLogin}, d.pending...)
	case k == startTLS && code == "220":
		d.unseen = true
	case (k == wholeText || k == lastChunk) && strings.HasPrefix(code, "2"):
		d.accepted++
	}
}
