package main

import (
	"bytes"
	"slices"
	"testing"
)

func TestCheckSeesWhatIsNotAsItWasSent(t *testing.T) {
	mails, err := corpus()
	if err != nil {
		t.Fatal(err)
	}
	deliver := func() (inbox, handed [][]byte) {
		for _, m := range mails {
			text := slices.Concat([]byte("Received: from a by b\n"), m.text)
			if m.box == "smtp" {
				handed = append(handed, text)
			} else {
				inbox = append(inbox, text)
			}
		}
		return inbox, handed
	}
	inbox, handed := deliver()
	if err := check(mails, inbox, handed); err != nil {
		t.Errorf("all is well: %v", err)
	}
	for name, harm := range map[string]func(){
		"lost":     func() { inbox = inbox[1:] },
		"changed":  func() { inbox[2] = bytes.Replace(inbox[2], []byte("e"), []byte("E"), 1) },
		"cut":      func() { inbox[1] = inbox[1][:len(inbox[1])-1] },
		"twice":    func() { inbox = append(inbox, inbox[0]) },
		"untraced": func() { handed[0] = mails[len(mails)-1].text },
		"foreign":  func() { handed = append(handed, []byte("Subject: x\n\nx\n")) },
	} {
		inbox, handed = deliver()
		harm()
		if check(mails, inbox, handed) == nil {
			t.Errorf("a message that was %s is not noticed", name)
		}
	}
}

func TestTheCorpusIsWhatItSays(t *testing.T) {
	mails, err := corpus()
	if err != nil {
		t.Fatal(err)
	}
	boxes := map[string]int{}
	largest := 0
	for _, m := range mails {
		boxes[m.box]++
		largest = max(largest, len(m.text))
		if bytes.ContainsRune(m.text, '\r') {
			t.Errorf("%s has a CR: it could not be compared", m.name)
		}
	}
	if boxes["pop3"] < 2 || boxes["imap"] < 2 || boxes["smtp"] < 1 || largest < 5_000_000 {
		t.Errorf("%v, largest %d octets", boxes, largest)
	}
}
