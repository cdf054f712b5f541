package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// report lists what has arrived and compares it with what was sent.
func report(out io.Writer, s *servers, home string, mails []letter) error {
	inbox, err := readMaildir(filepath.Join(home, "Maildir"))
	if err != nil {
		return err
	}
	var handed [][]byte
	for _, m := range s.smtp.Mails() {
		// On the wire lines end with CRLF, and lines that begin with a dot have one more.
		text := bytes.ReplaceAll(m.Text, []byte("\r\n"), []byte("\n"))
		text = bytes.ReplaceAll(text, []byte("\n.."), []byte("\n."))
		handed = append(handed, text)
	}
	list(out, "In the Maildir", inbox)
	list(out, "At the SMTP server", handed)
	left := s.left()
	fmt.Fprintf(out, "\nLeft on the servers: %d messages.\n", left)
	err = check(mails, inbox, handed)
	if left != 0 {
		err = errors.Join(err, errors.New("not everything was fetched and deleted"))
	}
	if err == nil {
		fmt.Fprintf(out, "All %d messages have arrived, byte for byte the same.\n", len(mails))
	}
	return err
}

func list(out io.Writer, title string, texts [][]byte) {
	fmt.Fprintf(out, "\n%s:\n\n", title)
	for _, t := range texts {
		fmt.Fprintf(out, "    %s\n", summary(t))
	}
}

func readMaildir(dir string) ([][]byte, error) {
	names, err := filepath.Glob(filepath.Join(dir, "new", "*"))
	if err != nil {
		return nil, err
	}
	var texts [][]byte
	for _, n := range names {
		text, err := os.ReadFile(n)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// check looks for every message where it has to be. Before its own text a message has one Received field now.
func check(mails []letter, inbox, handed [][]byte) error {
	var errs []error
	for _, m := range mails {
		there := inbox
		if m.box == "smtp" {
			there = handed
		}
		n := 0
		for _, text := range there {
			trace, found := bytes.CutSuffix(text, m.text)
			if found && bytes.HasPrefix(trace, []byte("Received: from ")) && bytes.Count(trace, []byte("Received: ")) == 1 {
				n++
			}
		}
		if n != 1 {
			errs = append(errs, fmt.Errorf("%s has arrived %d times", m.name, n))
		}
	}
	if extra := len(inbox) + len(handed) - len(mails); extra > 0 {
		errs = append(errs, fmt.Errorf("%d messages too many", extra))
	}
	return errors.Join(errs...)
}
