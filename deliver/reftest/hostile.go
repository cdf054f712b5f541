package reftest

import (
	"fmt"
	"math/rand"
	"strings"
)

// names are fields that something happens to, with some that nothing happens to.
var names = []string{"From", "To", "Cc", "Bcc", "Reply-To", "Sender", "Return-Path", "Resent-From", "Resent-To",
	"Resent-Cc", "Resent-Sender", "Apparently-From", "Apparently-To", "Errors-To", "Delivered-To", "Status",
	"X-Mozilla-Status", "X-Status", "Subject", "Received", "Message-ID", "Date", "X-Mailer", "Return-Receipt-To",
	"to", "FROM", "cC", "return-path", "STATUS", "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "X-IMAPbase"}

// atoms are the pieces of addresses and other values.
var atoms = []string{"a", "b", "joe", "sue@h.example", "x!y", `"q"`, `"q, r"`, `"a\"b"`, "(c)", "(c, d)", "(a (b) c)", "<",
	">", "<z>", "<z@w.example>", "<>", ",", ", ", ";", "; ", ":", "@", "!", `"`, "(", ")", `\`, " ", "\t", "\r\n ", "\r\n\t",
	"\xe9", "=?utf-8?q?a=C3=BC?=", "=?iso-8859-1?B?4fw=?=", "=?x?q?", "?=", ".", "@,", ",(", `,"`, ",<", "[1]", "\r", "\x01",
	"\x0b", "group: ", " ;", "'", "%", "a b", "<@r1,@r2:u@h>", "undisclosed-recipients:;", "Received:", "8bit", "1.0",
	"from x by y for <z@w>", "text/plain", "multipart/mixed; boundary=b1", "quoted-printable", "RO"}

// lines are whole odd lines of a header.
var lines = []string{"From x Mon Jan  1 00:00:00 2020", ">From x:y", "from x y:z", " leading fold", "\tlead: x", " ", "X:",
	": x", "a b: c", "X : y", "From : loc", "X\rY: 1", "\r", "\x00", "X: a\x00b", "\x00X: 1", ".", "..x: y", "\x7f: 1", "X; y: z",
	"To\t: loc", "Status:", "Status: ", "X-Mozilla-Status:", "Return-Path:", "Return-Path: <>", "Return-Path: (c)", "\x0b: x"}

// texts are pieces of bodies.
var texts = []string{"word ", "\r\n", "\r\n", "\n", "\r", ".", "..", "\r\n.\r\n", "\n.\n", "\r.\r", "\x00", "\xff\xfe", "=3D",
	"=\r\n", "=FC", "From here\r\n", ">From x\r\n", "\t", strings.Repeat("long ", 300), "--b1\r\n", "--b1--\r\n", "\r\r\n", "QUIT\r\n"}

// Hostile is a message made from odd pieces. The same source gives the same messages. Its body ends in a line with a
// mark, so that messages can be told apart: "mark n".
func Hostile(r *rand.Rand, n int) []byte {
	var b strings.Builder
	for k := r.Intn(9); k > 0; k-- {
		switch r.Intn(8) {
		case 0:
			b.WriteString(lines[r.Intn(len(lines))])
		default:
			b.WriteString(names[r.Intn(len(names))] + ":" + strings.Repeat(" ", r.Intn(2)))
			for i := r.Intn(7); i > 0; i-- {
				b.WriteString(atoms[r.Intn(len(atoms))])
			}
		}
		b.WriteString([]string{"\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n"}[r.Intn(6)])
	}
	b.WriteString("\r\n")
	for i := r.Intn(6); i > 0; i-- {
		b.WriteString(texts[r.Intn(len(texts))])
	}
	fmt.Fprintf(&b, "\r\nmark %d\r\n", n)
	return []byte(b.String())
}

// mimeAtoms are the pieces of multipart messages.
var mimeAtoms = []string{"--b1\r\n", "--b1\r\n", "--b1--\r\n", "--b1 \r\n", "--b1\n", "--b2\r\n", "\r\n", "\r\n", "\r\n",
	"Content-Type: text/plain\r\n", "Content-Type: text/html; charset=x\r\n", "Content-Type: image/x\r\n",
	"Content-Transfer-Encoding: quoted-printable\r\n", "Content-Transfer-Encoding: Quoted-Printable \r\n",
	"Content-Transfer-Encoding: base64\r\n", "content-transfer-encoding:quoted-printable (x)\r\n",
	"X: =?utf-8?q?a=3Db?=\r\n", " folded\r\n", "garbage\r\n", "=41", "=FC", "=\r\n", "==", "=", "=4", "=g1", "=3d", "text ", "_", "..",
	"=\n", "\n", "\r", "= \r\n", "=2E\r\n", strings.Repeat("=E9", 100)}

var mimeHeads = []string{"MIME-Version: 1.0\r\n", "MIME-Version: 1.0 (x)\r\n", "MIME-Version: 2\r\n", ""}

var mimeTypes = []string{"", "Content-Type: text/plain\r\n", "Content-Type: multipart/mixed; boundary=b1\r\n",
	"Content-Type: multipart/mixed;\r\n\tboundary=\"b1\"\r\n", "Content-Type: multipart/alternative; boundary=b1\r\n",
	"Content-Type: TEXT/html; charset=\"x\"\r\n", "Content-Type: multipart/signed; boundary=b1\r\n"}

var words = []string{"=?utf-8?q?a=C3=BC?=", "=?utf-8?q?b_c?=", " ", "\r\n ", "=?x?b?YWJj?=", "=?x?B?YQ==?=", "x", "=?", "?=", "=?u?x?=41?=",
	"=?u?q?", ",", "<a@b>", "=?u?q?=22?=", "=?u?b?!?=", "=?u?b?YQ?=", "=?=?u?q?z?="}

// HostileMIME is a message for the option mimedecode, with a mark as Hostile puts it.
func HostileMIME(r *rand.Rand, n int) []byte {
	var b strings.Builder
	b.WriteString("From: x@y.example\r\nX: 1\r\n" + mimeHeads[min(r.Intn(12), 11)*len(mimeHeads)/40])
	b.WriteString(mimeTypes[r.Intn(len(mimeTypes))])
	if r.Intn(3) > 0 {
		b.WriteString([]string{"Content-Transfer-Encoding: quoted-printable\r\n", "Content-Transfer-Encoding: 8bit\r\n",
			"Content-Transfer-Encoding:\r\n quoted-printable (x)\r\n"}[r.Intn(3)])
	}
	if r.Intn(2) > 0 {
		b.WriteString([]string{"Subject: ", "To: "}[r.Intn(2)])
		for i := r.Intn(6); i > 0; i-- {
			b.WriteString(words[r.Intn(len(words))])
		}
		b.WriteString("\r\n")
	}
	b.WriteString("\r\n")
	for i := r.Intn(16); i > 0; i-- {
		b.WriteString(mimeAtoms[r.Intn(len(mimeAtoms))])
	}
	fmt.Fprintf(&b, "\r\n\r\nmark %d\r\n", n)
	return []byte(b.String())
}
