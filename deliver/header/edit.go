package header

import "bytes"

// Edit says how a header is to be changed before it is handed on. The zero value changes only what is always changed:
// From_ lines, the Return-Path and empty Status lines are dropped.
type Edit struct {
	Host       string // canonical name of the mail server; local addresses are completed with it
	RemoteUser string // the account there; for messages without a header
	Invoker    string // full address of the user that we run as; for messages without a header

	Rewrite       bool // complete local addresses (option rewrite)
	DropStatus    bool // option dropstatus
	DropDelivered bool // option dropdelivered
	MimeDecode    bool // say 8bit where the body will be decoded (option mimedecode; see also DecodeWords)
	ReturnPath    bool // keep the Return-Path (for an MDA, a Maildir)

	// Received are the lines of Received, with line ends, or nothing. They go in front of the trace of other hosts, that
	// is before the first line that has "Received:" in it, otherwise in front of everything.
	Received []byte
	// Warning, if not empty, becomes the last header line, X-Fetchmail-Warning.
	Warning string
}

var received = []byte("Received:")

// Edit returns the header as it is to be handed on, with the empty line at its end; Rest goes behind it. Line ends
// within it are those that were received; what is added ends in CRLF.
func (b *Block) Edit(e Edit) []byte {
	out := make([]byte, 0, len(b.text)+len(e.Received)+len(b.text)/8+256)
	path, _ := b.returnPath(e.Rewrite, e.Host)
	decoded := -1
	if e.MimeDecode && b.MIME().Quoted {
		decoded, _ = b.encoding()
	}
	for i, f := range b.fields {
		if i == path && !e.ReturnPath || b.dropped(f, e) {
			continue
		}
		start := len(out)
		out = b.appendField(out, f, e)
		if i == decoded {
			as8bit(out[start:])
		}
	}
	if len(out) == 0 {
		out = append(append(out, e.Received...), headerless(e)...)
	} else {
		out = trace(out, e.Received)
	}
	if bytes.IndexByte(out, 0) >= 0 { // out of an encoded word
		out = append(out, "X-Fetchmail-Warning: message has embedded NULs\r\n"...)
	}
	if e.Warning != "" {
		out = append(out, "X-Fetchmail-Warning: "+e.Warning+"\r\n"...)
	}
	return append(out, '\r', '\n')
}

// trace puts our Received lines into their place.
func trace(head, lines []byte) []byte {
	if len(lines) == 0 {
		return head
	}
	at := bytes.Index(head, received)
	if at >= 0 {
		at = bytes.LastIndexByte(head[:at], '\n') + 1
	} else {
		at = 0
	}
	head = append(head, lines...)
	copy(head[at+len(lines):], head[at:len(head)-len(lines)])
	copy(head[at:], lines)
	return head
}

func (b *Block) appendField(out []byte, f field, e Edit) []byte {
	lines := b.lines(f)
	if e.Rewrite && b.rewritten(f) {
		out = append(out, lines[:f.value-f.start]...)
		out = rewrite(out, b.value(f), e.Host)
	} else {
		out = append(out, lines...)
	}
	return out
}

func (b *Block) dropped(f field, e Edit) bool {
	switch {
	case b.is(f, "Status"), b.is(f, "X-Mozilla-Status"):
		return e.DropStatus || len(bytes.TrimSpace(b.value(f))) == 0
	case b.is(f, "Delivered-To"):
		return e.DropDelivered
	}
	return isFromLine(b.lines(f))
}

// isFromLine recognises what mailbox files put in front of a message.
func isFromLine(line []byte) bool {
	line = bytes.TrimPrefix(line, []byte(">"))
	return len(line) >= 5 && bytes.EqualFold(line[:5], []byte("From "))
}

// headerless is the header that a message gets that has none.
func headerless(e Edit) string {
	return "From: FETCHMAIL-DAEMON\r\nTo: " + e.Invoker + "\r\nSubject: Headerless mail from " + e.RemoteUser +
		"'s mailbox on " + e.Host + "\r\n"
}
