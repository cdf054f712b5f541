package auth

import (
	"encoding/asn1"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	gofork "github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"fetchmail/protocols/mailtest/real"
)

// own copies a file so that it belongs to this test.
func own(t *testing.T, from, to string) string {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func TestTicketsAreFoundWhereUsersHaveThem(t *testing.T) {
	kdc := real.StartKDC(t, map[string]string{"alice": "secret"})
	dir := t.TempDir()
	good := own(t, kdc.Ticket(t, "alice", "secret", time.Hour), filepath.Join(dir, "good"))
	short := own(t, kdc.Ticket(t, "alice", "secret", time.Second), filepath.Join(dir, "short"))
	table := own(t, kdc.ClientKeytab(t, "alice"), filepath.Join(dir, "keytab"))
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"cut": string(whole[:len(whole)/2]), "empty": "", "junk": "junk",
		"include.conf": "include " + kdc.Config + "\n[libdefaults]\n default_ccache_name = FILE:" + good + "\n",
		"folder.conf":  "includedir " + dir + "/conf.d\n",
		"conf.d/a":     "include " + kdc.Config + "\n", "conf.d/.hidden": "[libdefaults]\n nonsense\n",
		"loop.conf":       "include " + dir + "/loop.conf\n",
		"several/primary": "tkt2\n",
		"several/tkt2":    string(whole),
		"single/tkt":      string(whole),
	} {
		_ = os.Mkdir(filepath.Dir(filepath.Join(dir, name)), 0o700)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	theirs := own(t, good, filepath.Join(dir, "theirs"))
	_ = os.Chown(theirs, 4242, -1) // only root can
	for range 200 {                // until the short one has run out
		if c, err := fromCache(short, nil); c == nil && strings.Contains(err.Error(), "ran out") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, c := range []struct {
		name, config, cache, keytab string
		want                        string // in the error; "" if there is a ticket
	}{
		{"file", kdc.Config, "FILE:" + good, "", ""},
		{"bare path", kdc.Config, good, "", ""},
		{"folder with a primary", kdc.Config, "DIR:" + dir + "/several", "", ""},
		{"folder with the usual name", kdc.Config, "DIR:" + dir + "/single", "", ""},
		{"one of a folder", kdc.Config, "DIR::" + dir + "/several/tkt2", "", ""},
		{"named in the configuration, which includes", dir + "/include.conf", "", "", ""},
		{"configuration in a folder", dir + "/folder.conf", good, "", ""},
		{"several configurations", dir + "/none.conf:" + kdc.Config, good, "", ""},
		{"keytab", kdc.Config, dir + "/none", "FILE:" + table, ""},
		{"keytab in place of a ticket that ran out", kdc.Config, short, table, ""},
		{"nothing", kdc.Config, dir + "/none", "", "no Kerberos ticket: open " + dir + "/none: no such file or directory; kinit gets one"},
		{"ran out", kdc.Config, short, "", "ran out at"},
		{"kernel", kdc.Config, "KEYRING:persistent:0", "", "tickets in KEYRING cannot be read; keep them in a file"},
		{"damaged", kdc.Config, dir + "/cut", "", "damaged one"},
		{"empty", kdc.Config, dir + "/empty", "", "not a credential cache"},
		{"no cache", kdc.Config, dir + "/junk", "", "not a credential cache"},
		{"no keytab", kdc.Config, dir + "/none", dir + "/junk", "keytab"},
		{"configuration without end", dir + "/loop.conf", good, "", "too many files"},
		{"of another user", kdc.Config, theirs, "", "is not a file of this user"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.cache == theirs && os.Geteuid() != 0 {
				t.Skip("only root can make files of others")
			}
			t.Setenv("KRB5_CONFIG", c.config)
			t.Setenv("KRB5CCNAME", c.cache)
			if c.keytab == "" {
				c.keytab = dir + "/none"
			}
			t.Setenv("KRB5_CLIENT_KTNAME", c.keytab)
			k, err := newKerberos()
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer k.Destroy()
			if _, _, err := k.GetServiceTicket("imap/localhost"); err != nil {
				t.Error(err)
			}
		})
	}
}

// acceptor is a server's end of a context. Its methods are for a key of AES-256.
type acceptor struct {
	key, sub types.EncryptionKey
}

func newAcceptor() acceptor {
	return acceptor{key: types.EncryptionKey{KeyType: 18, KeyValue: []byte(strings.Repeat("k", 32))},
		sub: types.EncryptionKey{KeyType: 18, KeyValue: []byte(strings.Repeat("s", 32))}}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// reply is an AP-REP to an authenticator: RFC 4120, section 5.5.2.
func (a acceptor) reply(at time.Time, cusec int) []byte {
	part := asn1tools.AddASNAppTag(must(gofork.Marshal(messages.EncAPRepPart{CTime: at, Cusec: cusec, Subkey: a.sub, SequenceNumber: 7})), asnAppTag.EncAPRepPart)
	rep := messages.APRep{PVNO: 5, MsgType: 15, EncPart: must(crypto.GetEncryptedData(part, a.key, keyusage.AP_REP_ENCPART, 0))}
	body := asn1tools.AddASNAppTag(must(gofork.Marshal(rep)), asnAppTag.APREP)
	return must(asn1.Marshal(asn1.RawValue{Class: asn1.ClassApplication, IsCompound: true, Bytes: slices.Concat(krb5OID, []byte(tokenAPRep), body)}))
}

// offer is a wrap token: RFC 4121, section 4.2.6.2.
func (a acceptor) offer(flags byte, payload ...byte) []byte {
	w := gssapi.WrapToken{Flags: wrapFromAcceptor | flags, EC: 12, SndSeqNum: 7, Payload: payload}
	if err := w.SetCheckSum(a.sub, keyusage.GSSAPI_ACCEPTOR_SEAL); err != nil {
		panic(err)
	}
	return must(w.Marshal())
}

func rotated(token []byte, by int) []byte {
	body := token[gssapi.HdrLen:]
	token[7] = byte(by)
	copy(body, slices.Concat(body[len(body)-by:], body[:len(body)-by]))
	return token
}

// Anybody can put a FIFO where the tickets of another user are to be, and nobody would ever write to it.
func TestAFIFOInThePlaceOfTicketsHoldsNothingUp(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o666); err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := readOwn(fifo)
		read <- err
	}()
	select {
	case err := <-read:
		if err == nil || !strings.Contains(err.Error(), "is not a file of this user") {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits")
	}
}

func TestGSSAPIBelievesOnlyAServerThatProvesItself(t *testing.T) {
	a, other := newAcceptor(), newAcceptor()
	other.key.KeyValue = []byte(strings.Repeat("x", 32))
	other.sub = other.key
	now := time.Now().UTC().Truncate(time.Second)
	for _, c := range []struct {
		name         string
		reply, offer []byte
		want         string // in the error
	}{
		{"as it should be", a.reply(now, 5), a.offer(wrapAcceptorSubkey, 1, 0, 0, 0), ""},
		{"rotated", a.reply(now, 5), rotated(a.offer(wrapAcceptorSubkey, 7, 0, 16, 0), 13), ""},
		{"of a size that means nothing", a.reply(now, 5), a.offer(wrapAcceptorSubkey, 1, 255, 255, 255), ""},
		{"reply to another request", a.reply(now, 6), nil, "answers another request"},
		{"reply to a request of another time", a.reply(now.Add(-time.Hour), 5), nil, "answers another request"},
		{"reply with another key", other.reply(now, 5), nil, "malformed"},
		{"reply behind which something comes", append(a.reply(now, 5), 0), nil, "malformed"},
		{"no reply", []byte("junk"), nil, "malformed"},
		{"empty reply", nil, nil, "malformed"},
		{"offer with another key", a.reply(now, 5), other.offer(wrapAcceptorSubkey, 1, 0, 0, 0), "checksum"},
		{"offer without the subkey", a.reply(now, 5), a.offer(0, 1, 0, 0, 0), "malformed"},
		{"sealed offer", a.reply(now, 5), a.offer(wrapAcceptorSubkey|wrapSealed, 1, 0, 0, 0), "malformed"},
		{"security layer", a.reply(now, 5), a.offer(wrapAcceptorSubkey, 6, 0, 16, 0), "security layer"},
		{"short offer", a.reply(now, 5), a.offer(wrapAcceptorSubkey, 1, 0), "malformed"},
		{"our own words", a.reply(now, 5), a.offer(wrapAcceptorSubkey, 1, 0, 0, 0)[:20], "malformed"},
	} {
		g := gssContext{sent: types.Authenticator{CTime: now, Cusec: 5, SeqNumber: 1}, key: a.key}
		err := g.accept(c.reply)
		var answer []byte
		if err == nil {
			answer, err = g.agree(c.offer, "alice")
		}
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		var w gssapi.WrapToken
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if err := w.Unmarshal(answer, false); err != nil || string(w.Payload) != "\x01\x00\x00\x00alice" || w.Flags != wrapAcceptorSubkey {
			t.Errorf("%s: %v %q %d", c.name, err, w.Payload, w.Flags)
		} else if ok, err := w.Verify(a.sub, keyusage.GSSAPI_INITIATOR_SEAL); !ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestGSSAPIBelievesNoSuccessWithoutProof(t *testing.T) {
	c, err := New("GSSAPI", "alice", "", Server{Host: "localhost", Service: "imap"})
	if err != nil {
		t.Fatal(err)
	}
	if c.(prover).Proved() == nil {
		t.Error("success before the server's first token")
	}
	_, _ = c.Next([]byte("junk"))
	if c.(prover).Proved() == nil {
		t.Error("success behind a token that is none")
	}
}

// Whatever a server sends ends in an error; a panic of the library does, too.
func FuzzGSSAPI(f *testing.F) {
	a := newAcceptor()
	now := time.Unix(1700000000, 0).UTC()
	f.Add(a.reply(now, 5), a.offer(wrapAcceptorSubkey, 1, 0, 0, 0))
	f.Add(a.reply(now, 5), []byte(nil))
	f.Fuzz(func(t *testing.T, reply, offer []byte) {
		g := gssContext{sent: types.Authenticator{CTime: now, Cusec: 5}, key: a.key}
		_ = safely("reply", func() error { return g.accept(reply) })
		g.key, g.sub = a.sub, true
		_ = safely("offer", func() error {
			answer, err := g.agree(offer, "alice")
			if err == nil && len(answer) == 0 {
				t.Error("an empty answer")
			}
			return err
		})
	})
}

func FuzzCredentialCache(f *testing.F) {
	f.Add([]byte("\x05\x04\x00\x0c\x00\x01\x00\x08\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01R\x00\x00\x00\x01u"))
	f.Add([]byte("\x05\x03\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01R\x00\x00\x00\x01u\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseCache(text)
		if (c == nil) == (err == nil) {
			t.Error("neither a cache nor an error, or both")
		}
	})
}

func TestGSSAPIWithoutATicketSaysNothingToTheServer(t *testing.T) {
	t.Setenv("KRB5_CONFIG", "/nonexistent")
	t.Setenv("KRB5CCNAME", "FILE:/nonexistent")
	t.Setenv("KRB5_CLIENT_KTNAME", "/nonexistent")
	c, err := New("GSSAPI", "alice", "", Server{Host: "localhost", Service: "imap"})
	if err != nil {
		t.Fatal(err)
	}
	var no *Refusal
	if err := Exchange(c, nil); !errors.As(err, &no) || !errors.Is(err, errNoTicket) || !strings.HasPrefix(no.Cause(), "GSSAPI: no Kerberos ticket: ") {
		t.Error(err)
	}
	if HasTicket() {
		t.Error("there is a ticket")
	}
}
