package imap

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"fetchmail/protocols/auth"
	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/wire"
)

// The options of a dialogue are
//
//	keep fetchall known=UID auth=X starttls=may|must user="X" password="X" folder=X expunge=N
//
// and "welcome CAPS" stands for a greeting with these capabilities, LOGIN, and SELECT of the inbox up to EXISTS.
func TestDialogues(t *testing.T) {
	mailtest.TestDialogues(t, mailtest.Dialogues{
		Files: "../../testdata/dialog/imap/*.txt",
		Macro: func(line string) []string {
			caps, ok := strings.CutPrefix(line, "welcome ")
			if !ok {
				return nil
			}
			return []string{"S: * OK [CAPABILITY " + caps + "] ready", `C: A0001 LOGIN "alice" "secret"`, "S: A0001 OK in",
				`C: A0002 SELECT "INBOX"`, "S: * OK [UIDVALIDITY 7] valid"}
		},
		Poll: func(t *testing.T, log *mailtest.Log, addr *net.TCPAddr, words []string) {
			o := dialogOptions(t, addr, words)
			o.Warn = func(l string) { log.Say("warns %q", l) }
			o.Alert = func(l string) { log.Say("alert %q", l) }
			s, err := Open(t.Context(), o)
			if err != nil {
				log.Fault("open", err)
				return
			}
			log.Session(t.Context(), s, false)
		},
	})
}

func dialogOptions(t *testing.T, addr *net.TCPAddr, words []string) Options {
	o := Options{Dialer: &wire.Dialer{Timeout: 20 * time.Second}, Host: addr.IP.String(), Service: strconv.Itoa(addr.Port),
		User: "alice", Secret: auth.Fixed("secret")}
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		if raw, err := strconv.Unquote(value); err == nil {
			value = raw
		}
		switch name {
		case "keep":
			o.Keep = true
		case "fetchall":
			o.FetchAll = true
		case "known":
			o.Known = func(string) func(string) bool { return func(uid string) bool { return uid == value } }
		case "auth":
			o.Auth = value
		case "user":
			o.User = value
		case "password":
			o.Secret = auth.Fixed(value)
		case "expunge":
			o.ExpungeSet = true
			o.Expunge, _ = strconv.Atoi(value)
		case "starttls":
			o.StartTLS = map[string]wire.Upgrade{"may": wire.May, "must": wire.Must}[value]
		default:
			t.Fatalf("unknown option %q", word)
		}
	}
	return o
}
