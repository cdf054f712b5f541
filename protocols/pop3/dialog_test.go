package pop3_test

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fetchmail/protocols/auth"
	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/pop3"
	"fetchmail/protocols/wire"
)

// The options of a dialogue are
//
//	uidl keep fetchall auth=X proto=X known=A,B stls=may|must password=X
func TestDialogues(t *testing.T) {
	mailtest.TestDialogues(t, mailtest.Dialogues{
		Files: "../../testdata/dialog/pop3/*.txt",
		Poll: func(t *testing.T, log *mailtest.Log, addr *net.TCPAddr, words []string) {
			o := dialogOptions(t, addr, words)
			o.Warn = func(l string) { log.Say("warns %q", l) }
			o.Say = func(l string) { log.Say("says %q", l) }
			s, err := pop3.Open(t.Context(), o)
			if err != nil {
				log.Fault("open", err)
				return
			}
			log.Session(t.Context(), s, o.Keep)
		},
	})
}

func dialogOptions(t *testing.T, addr *net.TCPAddr, words []string) pop3.Options {
	o := pop3.Options{Dialer: &wire.Dialer{Timeout: 20 * time.Second}, Host: addr.IP.String(), Service: strconv.Itoa(addr.Port),
		User: "alice", Secret: auth.Fixed("secret")}
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "uidl":
			o.UIDL = true
		case "keep":
			o.Keep = true
		case "fetchall":
			o.FetchAll = true
		case "auth":
			o.Auth = value
		case "proto":
			o.Protocol = value
		case "password":
			o.Secret = auth.Fixed(value)
		case "stls":
			o.StartTLS = map[string]wire.Upgrade{"may": wire.May, "must": wire.Must}[value]
		case "known":
			known := strings.Split(value, ",")
			o.Known = func(uid string) bool { return slices.Contains(known, uid) }
		default:
			t.Fatalf("unknown option %q", word)
		}
	}
	return o
}
