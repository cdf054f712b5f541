package mda

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fetchmail/deliver"
	"fetchmail/protocols/mailtest/real"
)

const letter = "From: dora@far.example.org\nSubject: s\n\n.dot\nFrom here \xe4\n"

// agents are command lines that deliver into the Maildir dir+"/box/", and their rules.
func agents(t *testing.T, dir string) map[string]string {
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, sub := range []string{"new", "cur", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, "box", sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	procmailrc := write("procmailrc", "MAILDIR="+dir+"\nLOGFILE="+dir+"/log\nDEFAULT="+dir+"/box/\n"+
		":0\n* ^Subject: full\n{\n  EXITCODE=75\n  HOST\n}\n")
	mailfilter := write("mailfilter", "if (/^Subject: full/)\n{\n  EXITCODE=75\n  exit\n}\nto "+dir+"/box\n")
	return map[string]string{
		"procmail": real.Procmail(t) + " -f %F -a %T -m " + procmailrc,
		"maildrop": "HOME=" + dir + " " + real.Maildrop(t) + " -f %F " + mailfilter,
	}
}

func box(t *testing.T, dir string) (all []string) {
	t.Helper()
	names, _ := filepath.Glob(dir + "/box/new/*")
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(b))
	}
	return all
}

func TestRealAgents(t *testing.T) {
	root := real.Dir(t)
	for _, name := range []string{"procmail", "maildrop"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(root, name)
			os.Mkdir(dir, 0o700)
			var out bytes.Buffer
			s := New(Options{Command: agents(t, dir)[name], Stdout: &out, Stderr: &out})
			if o, err := send(s, joe, letter); err != nil || !o.Delivered() {
				t.Fatalf("%+v, %v, %s", o, err, out.String())
			}
			got := box(t, dir)
			if len(got) != 1 || !strings.HasSuffix(got[0], letter) {
				t.Errorf("%q", got)
			}
			if o, err := send(s, joe, strings.Replace(letter, "Subject: s", "Subject: full", 1)); err != nil || o.Status[0].Class != deliver.Deferred || o.Status[0].Reply.Code != 75 {
				t.Errorf("%+v, %v, %s", o, err, out.String())
			}
			evil := joe
			evil.From = "o'x$(touch " + dir + "/pwned)`touch " + dir + "/pwned`;touch " + dir + "/pwned|\"\\\n@far.example.org"
			if o, err := send(s, evil, letter); err != nil || !o.Delivered() {
				t.Errorf("%+v, %v, %s", o, err, out.String())
			}
			if _, err := os.Stat(dir + "/pwned"); err == nil {
				t.Error("an address was run as a command")
			}
			for _, n := range []int{10, 100000} {
				d, err := s.Begin(context.Background(), joe)
				if err != nil {
					t.Fatal(err)
				}
				io.WriteString(d, letter+strings.Repeat("half a message\n", n))
				d.Abort()
			}
			if got := box(t, dir); len(got) != 2 {
				t.Errorf("%d messages: what was refused or aborted has been delivered", len(got))
			}
		})
	}
}

// A wrapper in the manner of sendmail(8): -i, -f and "--" before the recipients, sysexits for the verdict.
func TestSendmailWrapper(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "sendmail")
	os.WriteFile(script, []byte(`#!/bin/sh
printf '%s\n' "$@" >"$0.args"
cat >"$0.text"
case $5 in full) exit 75;; nobody) exit 67;; esac
`), 0o700)
	s := New(Options{Command: script + " -i -f %F -- %T"})
	for _, c := range []struct {
		e     deliver.Envelope
		class deliver.Class
		code  int
		args  string
	}{
		{deliver.Envelope{From: "a@b", To: []string{"joe"}}, deliver.Accepted, 0, "-i\n-f\na@b\n--\njoe\n"},
		{deliver.Envelope{To: []string{"joe"}}, deliver.Accepted, 0, "-i\n-f\n<>\n--\njoe\n"},
		{deliver.Envelope{From: "-X/tmp/x@b", To: []string{"full"}}, deliver.Deferred, 75, "-i\n-f\n\"-X/tmp/x\"@b\n--\nfull\n"},
		{deliver.Envelope{From: "a'b;c@d", To: []string{"nobody"}}, deliver.Deferred, 67, "-i\n-f\na_b;c@d\n--\nnobody\n"},
	} {
		o, err := send(s, c.e, letter)
		if err != nil || o.Status[0].Class != c.class || o.Status[0].Reply.Code != c.code {
			t.Errorf("%+v: %+v, %v", c.e, o, err)
		}
		if got, _ := os.ReadFile(script + ".args"); string(got) != c.args {
			t.Errorf("%+v: %q", c.e, got)
		}
		if got, _ := os.ReadFile(script + ".text"); string(got) != letter {
			t.Errorf("%+v: %q", c.e, got)
		}
	}
}

// The sendmail(8) of Postfix and Exim, with harmless and with hostile addresses.
func TestRealSendmail(t *testing.T) {
	p := real.StartPostfix(t, real.PostfixOptions{})
	e := real.StartExim(t)
	dir := t.TempDir()
	evil := "-oQ/tmp$(touch " + dir + "/pwned)`touch " + dir + "/pwned`;touch " + dir + "/pwned@far.example.org"
	for name, m := range map[string]struct {
		command string
		arrived func() []real.Mail
	}{
		"postfix": {p.Sendmail(t), func() []real.Mail { return p.Mail(t, "user1") }},
		"exim":    {e.Sendmail, func() []real.Mail { return e.Mail(t, "user1") }},
	} {
		var out bytes.Buffer
		s := New(Options{Command: m.command + " -i -f %F -- %T", Stdout: &out, Stderr: &out})
		for i, from := range []string{"dora@far.example.org", "", evil, "a b@far.example.org"} {
			o, err := send(s, deliver.Envelope{From: from, To: []string{"user1"}}, strings.ReplaceAll(letter, "Subject: s", fmt.Sprint("Subject: ", i)))
			if err != nil || i < 2 && !o.Delivered() {
				t.Errorf("%s, from %q: %+v, %v, %s", name, from, o, err, out.String())
			}
		}
		mails := m.arrived()
		if len(mails) < 2 {
			t.Errorf("%s: %d messages: %s", name, len(mails), out.String())
		}
		for _, m := range mails {
			if _, body, _ := bytes.Cut(m.Text, []byte("\n\n")); string(body) != ".dot\nFrom here \xe4\n" {
				t.Errorf("%s: %q", name, m.Text)
			}
		}
		if o, err := send(s, deliver.Envelope{From: "a@b", To: []string{"-bp"}}, letter); err != nil || strings.Contains(out.String(), "queue is empty") {
			t.Errorf("%s: a recipient was taken for an option: %+v, %v, %s", name, o, err, out.String())
		}
	}
	if _, err := os.Stat(dir + "/pwned"); err == nil {
		t.Error("an address was run as a command")
	}
}
