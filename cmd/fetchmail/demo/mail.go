package main

import (
	"bytes"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"mime"
	"net/mail"
	"path"
	"slices"
	"strings"
)

//go:embed mail/*.eml
var files embed.FS

// pictureSize is the size of the attachment in the large message, octets.
const pictureSize = 4_500_000

// letter is a message of the demo, with LF line ends.
type letter struct {
	box  string // "pop3", "imap", "smtp": which way it goes
	name string // its file, for errors
	text []byte
}

// corpus returns the messages, in the order in which they are in their mailboxes.
func corpus() ([]letter, error) {
	var mails []letter
	names, err := fs.Glob(files, "mail/*.eml")
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		text, err := files.ReadFile(n)
		if err != nil {
			return nil, err
		}
		box, _, _ := strings.Cut(path.Base(n), "-")
		mails = append(mails, letter{box, path.Base(n), text})
	}
	mails = append(mails, letter{"imap", "imap-2-large.eml", large()})
	slices.SortFunc(mails, func(a, b letter) int { return strings.Compare(a.name, b.name) })
	return mails, nil
}

// large is a message with an attachment of several megabytes.
func large() []byte {
	picture := make([]byte, pictureSize)
	rand.NewChaCha8([32]byte{}).Read(picture)
	var b bytes.Buffer
	b.WriteString("Date: Wed, 04 Mar 2026 18:45:10 +0000\n" +
		"From: Telescope <night@observatory.example>\n" +
		"To: you@demo.example\n" +
		"Subject: Plate 10512, uncompressed\n" +
		"Message-ID: <plate-10512@observatory.example>\n" +
		"MIME-Version: 1.0\n" +
		"Content-Type: application/octet-stream; name=\"plate-10512.raw\"\n" +
		"Content-Transfer-Encoding: base64\n\n")
	text := base64.StdEncoding.EncodeToString(picture)
	for len(text) > 76 {
		b.WriteString(text[:76] + "\n")
		text = text[76:]
	}
	b.WriteString(text + "\n")
	return b.Bytes()
}

// wire returns a message with CRLF line ends.
func (l letter) wire() []byte { return bytes.ReplaceAll(l.text, []byte("\n"), []byte("\r\n")) }

// summary is the line of a message in a list: sender, subject and size.
func summary(text []byte) string {
	m, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		return fmt.Sprintf("(%v)", err)
	}
	var words mime.WordDecoder
	field := func(name string) string {
		s, err := words.DecodeHeader(m.Header.Get(name))
		if err != nil {
			return m.Header.Get(name)
		}
		return s
	}
	return fmt.Sprintf("%-42s %-38s %10s", field("From"), field("Subject"), size(len(text)))
}

func size(n int) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}
