package auth

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"
	"time"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RFC 1320, appendix A.5.
func TestMD4(t *testing.T) {
	for text, want := range map[string]string{
		"": "31d6cfe0d16ae931b73c59d7e0c089c0", "a": "bde52cb31de33e46245e05fbdbd6fb24", "abc": "a448017aaf21d8525fc10ae87aa6729d",
		"message digest": "d9130a8164549fe818874806e1c7014b", "abcdefghijklmnopqrstuvwxyz": "d79e1c308aa5bbcdeea8ed63df412da9",
		"12345678901234567890123456789012345678901234567890123456789012345678901234567890": "e33b4ddc9c38f2199c3e7b164fcc0536",
	} {
		if got := md4([]byte(text)); hex.EncodeToString(got[:]) != want {
			t.Errorf("%q: %x", text, got)
		}
	}
}

// MS-NLMP, section 4.2.4.
func TestNTLMComputesTheExampleOfItsSpecification(t *testing.T) {
	key := ntlmKey("Domain", "User", "Password")
	if got := hex.EncodeToString(key); got != "0c868a403bfd7a93a3001ef22ef02e3f" {
		t.Fatalf("NTOWFv2 %s", got)
	}
	c := ntlmChallenge{target: unhex(t, "02000c0044006f006d00610069006e0001000c0053006500720076006500720000000000")}
	copy(c.nonce[:], unhex(t, "0123456789abcdef"))
	nonce := [8]byte(bytes.Repeat([]byte{0xaa}, 8))
	lm, nt := c.responses(key, nonce, time.Unix(-11_644_473_600, 0))
	if got := hex.EncodeToString(lm); got != "86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa" {
		t.Errorf("LMv2 %s", got)
	}
	if got := hex.EncodeToString(nt[:16]); got != "68cd0ab851e51c96aabc927bebef6a1c" {
		t.Errorf("NTProofStr %s", got)
	}
}

// ntlmMessage is a challenge of a server.
func ntlmMessage(target []byte, size uint16, offset uint32) []byte {
	m := binary.LittleEndian.AppendUint32([]byte(ntlmSignature), 2)
	m = append(m, make([]byte, 8)...)
	m = binary.LittleEndian.AppendUint32(m, ntlmUnicode|ntlmNTLM)
	m = append(m, "noncenon"...)
	m = append(m, make([]byte, 8)...)
	m = binary.LittleEndian.AppendUint16(m, size)
	m = binary.LittleEndian.AppendUint16(m, size)
	m = binary.LittleEndian.AppendUint32(m, offset)
	return append(m, target...)
}

func TestNTLMChallengesOutOfBoundsAreRefused(t *testing.T) {
	stamp := append([]byte{avTimestamp, 0, 8, 0}, "12345678"...)
	whole := append(stamp, 0, 0, 0, 0)
	good := ntlmMessage(whole, uint16(len(whole)), 48)
	c, err := parseNTLM(good)
	if err != nil || string(c.stamp) != "12345678" || !bytes.Equal(c.target, whole) {
		t.Fatalf("%+v, %v", c, err)
	}
	lm, _ := c.responses(make([]byte, 16), [8]byte{}, time.Now())
	if !bytes.Equal(lm, make([]byte, 24)) {
		t.Error("the old response is sent although the server has told its time")
	}
	for name, m := range map[string][]byte{
		"empty": nil, "cut": good[:31], "not NTLM": append([]byte("KERBEROS"), good[8:]...), "of type 1": append([]byte(ntlmSignature+"\x01"), good[9:]...),
		"beyond the end": ntlmMessage(whole, 17, 48), "far beyond the end": ntlmMessage(whole, 16, 0xfffffff0), "too long": ntlmMessage(make([]byte, 20000), 20000, 48),
		"attribute beyond the end": ntlmMessage([]byte{1, 0, 9, 0, 'x'}, 5, 48), "no end of the attributes": ntlmMessage([]byte{1, 0, 1, 0, 'x'}, 5, 48),
	} {
		if _, err := parseNTLM(m); !errors.Is(err, errNTLM) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, m := range [][]byte{ntlmMessage(nil, 0, 0), good[:32], good[:47]} {
		if _, err := parseNTLM(m); err != nil {
			t.Errorf("%d bytes: %v", len(m), err)
		}
	}
}

// field is the payload that the i-th descriptor of an AUTHENTICATE_MESSAGE points to.
func field(t *testing.T, m []byte, i int) []byte {
	t.Helper()
	at := m[12+8*i:]
	size, offset := int(binary.LittleEndian.Uint16(at)), int(binary.LittleEndian.Uint32(at[4:]))
	if offset+size > len(m) {
		t.Fatalf("field %d lies outside of %x", i, m)
	}
	return m[offset : offset+size]
}

func TestNTLMAnswersAreWhatAServerComputes(t *testing.T) {
	target := append(append([]byte{2, 0, 2, 0, 'D', 0, avTimestamp, 0, 8, 0}, "12345678"...), 0, 0, 0, 0)
	for user, want := range map[string][2]string{"alice": {"", "alice"}, `DOM\alice`: {"DOM", "alice"}, "alice@dom": {"", "alice@dom"}} {
		mech := map[string]string{"alice": "MSN"}[user] // the same under another name
		if mech == "" {
			mech = "NTLM"
		}
		c, err := New(mech, user, "sécret", Server{})
		if err != nil {
			t.Fatal(err)
		}
		if name, first, err := c.Start(); err != nil || name != mech || len(first) != 40 || string(first[:12]) != ntlmSignature+"\x01\x00\x00\x00" {
			t.Fatalf("first message %x, %v", first, err)
		}
		m, err := c.Next(ntlmMessage(target, uint16(len(target)), 48))
		if err != nil {
			t.Fatal(err)
		}
		if got := [2][]byte{field(t, m, 2), field(t, m, 3)}; string(got[0]) != string(utf16LE(want[0])) || string(got[1]) != string(utf16LE(want[1])) {
			t.Errorf("%s: domain and user %q", user, got)
		}
		nt := field(t, m, 1)
		proof := macMD5(ntlmKey(want[0], want[1], "sécret"), []byte("noncenon"), nt[16:])
		if !bytes.Equal(nt[:16], proof) || !bytes.Contains(nt, target) {
			t.Errorf("%s: answer %x, want proof %x", user, nt, proof)
		}
		if _, err := c.Next(nil); err == nil {
			t.Error("a second challenge was answered")
		}
	}
}

func FuzzNTLM(f *testing.F) {
	f.Add(ntlmMessage([]byte{0, 0, 0, 0}, 4, 48))
	f.Add(ntlmMessage(append([]byte{avTimestamp, 0, 8, 0}, "12345678\x00\x00\x00\x00"...), 16, 48))
	f.Fuzz(func(t *testing.T, m []byte) {
		c, err := parseNTLM(m)
		if err != nil {
			return
		}
		if answer := c.answer(`D\user`, "secret", [8]byte{}, time.Unix(0, 0)); len(answer) > maxTargetInfo+1000 {
			t.Errorf("%d bytes became %d", len(m), len(answer))
		}
	})
}
