package header

import "bytes"

// Edit says how a header is to be changed before it is handed on. The zero value changes only what is always changed:
// a From_ line, Return-Path and empty Status lines are dropped.
type Edit struct {
	Host       string // canonical name of the mail server; local addresses are completed with it
	RemoteUser string // the account there; for messages without a header
	Invoker    string // full address of the user that we run as; for messages without a header

	Rewrite       bool // complete local addresses (option rewrite)
	DropStatus    bool // option dropstatus
	DropDelivered bool // option dropdelivered
	MimeDecode    bool // decode encoded words (option mimedecode)
	ReturnPath    bool // keep the address of Return-Path in a line of its own in front (for an MDA, a Maildir)

	// Received is put in front of everything: the lines of Received, with line ends, or nothing.
	Received []byte
	// Warning, if not empty, becomes the last header line, X-Fetchmail-Warning.
	Warning string
}

// Edit returns the header as it is to be handed on, with the empty line at its end. Line ends within it are those that
// were received; what is added ends in CRLF.
func (b *Block) Edit(e Edit) []byte {
	out := make([]byte, 0, len(b.raw)+len(e.Received)+len(b.raw)/8+256)
	out = append(out, e.Received...)
	if len(b.fields) == 0 {
		return append(out, headerless(e)...)
	}
	for _, f := range b.fields {
		if b.dropped(f, e) {
			continue
		}
		out = b.appendField(out, f, e)
	}
	if n := len(out); n > 0 && out[n-1] != '\n' {
		out = append(out, '\r', '\n')
	}
	if e.Warning != "" {
		out = append(out, "X-Fetchmail-Warning: "+e.Warning+"\r\n"...)
	}
	return append(out, '\r', '\n')
}

func (b *Block) appendField(out []byte, f field, e Edit) []byte {
	v := b.raw[f.start:f.end]
	if e.Rewrite && b.rewritten(f) {
		v = rewrite(append([]byte(nil), v[:f.value-f.start]...), b.value(f), e.Host)
	}
	for i := bytes.IndexByte(v, 0); i >= 0; i = bytes.IndexByte(v, 0) { // the reference loses them
		out = append(out, v[:i]...)
		v = v[i+1:]
	}
	return append(out, v...)
}

func (b *Block) dropped(f field, e Edit) bool {
	switch {
	case b.is(f, "Return-Path"):
		return !e.ReturnPath
	case b.is(f, "Status"), b.is(f, "X-Mozilla-Status"):
		return e.DropStatus || len(bytes.TrimSpace(b.value(f))) == 0
	case b.is(f, "Delivered-To"):
		return e.DropDelivered
	}
	return false
}

// headerless is the header that a message gets that has none.
func headerless(e Edit) string {
	return "From: FETCHMAIL-DAEMON\r\nTo: " + e.Invoker + "\r\nSubject: Headerless mail from " + e.RemoteUser +
		"'s mailbox on " + e.Host + "\r\n\r\n"
}
