package pop3

import (
	"bytes"
	"strconv"
	"strings"
)

// maxUID is the longest UID that is remembered, in bytes. RFC 1939, section 7, says 70; a few servers go beyond.
const maxUID = 512

// parseUID splits a line of UIDL: number and UID. What follows a blank behind the UID does not belong to it, as in
// the reference. A UID holds printable characters only (RFC 1939, section 7, and RFC 6856, section 2, for UTF-8).
func parseUID(line []byte) (num int, uid string, ok bool) {
	f, rest := field(line)
	num, ok = number(f)
	u, _ := field(rest)
	if !ok || len(u) == 0 || len(u) > maxUID {
		return 0, "", false
	}
	for _, b := range u {
		if b < ' ' || b == 0x7f {
			return 0, "", false
		}
	}
	return num, string(u), true
}

// parseSize splits a line of LIST: number and octets. ok is false if one of them is no number; size is -1 if it is
// negative.
func parseSize(line []byte) (num int, size int64, ok bool) {
	f, rest := field(line)
	if num, ok = number(f); !ok {
		return 0, -1, false
	}
	f, _ = field(rest)
	size, err := strconv.ParseInt(string(f), 10, 64)
	return num, max(size, -1), err == nil
}

// field cuts the first word off.
func field(line []byte) (word, rest []byte) {
	line = bytes.TrimLeft(line, " \t")
	if i := bytes.IndexAny(line, " \t"); i >= 0 {
		return line[:i], line[i+1:]
	}
	return line, nil
}

// number parses a message number: decimal, positive, at most 2^31-1.
func number(b []byte) (int, bool) {
	n, err := strconv.ParseInt(string(b), 10, 32)
	return int(n), err == nil && n > 0 && b[0] != '+'
}

// capabilities are what the server says in its answer to CAPA (RFC 2449).
type capabilities struct {
	stls       bool
	pipelining bool
	mechanisms []string // of SASL, in capitals
}

// add takes one line of the answer.
func (c *capabilities) add(line string) {
	f := strings.Fields(strings.ToUpper(line))
	if len(f) == 0 {
		return
	}
	switch f[0] {
	case "STLS":
		c.stls = true
	case "PIPELINING":
		c.pipelining = true
	case "SASL":
		c.mechanisms = append(c.mechanisms, f[1:]...)
	}
}
