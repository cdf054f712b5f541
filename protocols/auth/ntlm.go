package auth

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/emersion/go-sasl"
)

// NTLM over SASL, as Microsoft's servers and Dovecot speak it: MS-NLMP, with the answer of version 2 only. The older
// answers can be broken in hours, and every server in use takes the newer one.

const ntlmSignature = "NTLMSSP\x00"

// Flags of MS-NLMP, section 2.2.2.5.
const (
	ntlmUnicode       = 0x1
	ntlmOEM           = 0x2
	ntlmRequestTarget = 0x4
	ntlmNTLM          = 0x200
	ntlmAlwaysSign    = 0x8000
	ntlmExtended      = 0x80000
	ntlmWanted        = ntlmUnicode | ntlmOEM | ntlmRequestTarget | ntlmNTLM | ntlmAlwaysSign | ntlmExtended
)

// Attributes of the target information: MS-NLMP, section 2.2.2.1.
const (
	avEnd       = 0
	avTimestamp = 7
)

// maxTargetInfo bounds what a server may make us send back, in bytes; domain controllers send some hundred.
const maxTargetInfo = 16 << 10

var errNTLM = errors.New("NTLM: the server's challenge is malformed")

func ntlm(user, secret string, _ Server) (sasl.Client, error) { return newNTLM("NTLM", user, secret) }

// msn is NTLM under the name that the servers of MSN gave it: fetchmail(1), --auth.
func msn(user, secret string, _ Server) (sasl.Client, error) { return newNTLM("MSN", user, secret) }

func newNTLM(mech, user, secret string) (sasl.Client, error) {
	if err := noNUL(user, secret); err != nil {
		return nil, err
	}
	done := false
	// Microsoft's servers answer the bare command with "+" or "+ NTLM supported", and older ones know nothing else.
	return &client{mech: mech, late: true,
		initial: func() ([]byte, error) { return ntlmNegotiate(), nil },
		next: func(message []byte) ([]byte, error) {
			if done {
				return nil, sasl.ErrUnexpectedServerChallenge
			}
			done = true
			challenge, err := parseNTLM(message)
			if err != nil {
				return nil, err
			}
			var nonce [8]byte
			_, _ = rand.Read(nonce[:]) // never fails
			return challenge.answer(user, secret, nonce, time.Now()), nil
		},
	}, nil
}

// ntlmNegotiate is the NEGOTIATE_MESSAGE: MS-NLMP, section 2.2.1.1. It names neither domain nor machine nor, in eight
// octets that must be there all the same, a version.
func ntlmNegotiate() []byte {
	m := binary.LittleEndian.AppendUint32([]byte(ntlmSignature), 1)
	m = binary.LittleEndian.AppendUint32(m, ntlmWanted)
	return append(m, make([]byte, 24)...)
}

// ntlmChallenge is what counts in a CHALLENGE_MESSAGE: MS-NLMP, section 2.2.1.2.
type ntlmChallenge struct {
	flags  uint32
	nonce  [8]byte
	target []byte // the target information, as it came
	stamp  []byte // the server's time in it, 8 bytes; nil if absent
}

func parseNTLM(m []byte) (c ntlmChallenge, err error) {
	if len(m) < 32 || string(m[:8]) != ntlmSignature || binary.LittleEndian.Uint32(m[8:]) != 2 {
		return c, errNTLM
	}
	c.flags = binary.LittleEndian.Uint32(m[20:])
	copy(c.nonce[:], m[24:32])
	if len(m) < 48 {
		return c, nil // of the oldest form: no target information
	}
	size, offset := int(binary.LittleEndian.Uint16(m[40:])), int64(binary.LittleEndian.Uint32(m[44:]))
	if size == 0 {
		return c, nil
	}
	if size > maxTargetInfo || offset+int64(size) > int64(len(m)) {
		return c, errNTLM
	}
	c.target = m[offset : offset+int64(size)]
	c.stamp, err = timestamp(c.target)
	return c, err
}

// timestamp finds the server's time among the attributes of the target information.
func timestamp(info []byte) ([]byte, error) {
	for len(info) >= 4 {
		id, size := binary.LittleEndian.Uint16(info), int(binary.LittleEndian.Uint16(info[2:]))
		info = info[4:]
		switch {
		case id == avEnd:
			return nil, nil
		case size > len(info):
			return nil, errNTLM
		case id == avTimestamp && size == 8:
			return info[:8], nil
		}
		info = info[size:]
	}
	return nil, errNTLM
}

// answer is the AUTHENTICATE_MESSAGE: MS-NLMP, sections 2.2.1.3 and 3.3.2.
func (c ntlmChallenge) answer(user, secret string, nonce [8]byte, now time.Time) []byte {
	domain, name, found := strings.Cut(user, `\`)
	if !found {
		domain, name = "", user
	}
	lm, nt := c.responses(ntlmKey(domain, name, secret), nonce, now)
	text := func(s string) []byte { return []byte(s) }
	if c.flags&ntlmUnicode != 0 {
		text = utf16LE
	}
	fields := [][]byte{lm, nt, text(domain), text(name), nil, nil}
	head := binary.LittleEndian.AppendUint32([]byte(ntlmSignature), 3)
	offset := len(head) + 8*len(fields) + 4
	var payload []byte
	for _, f := range fields {
		head = binary.LittleEndian.AppendUint16(head, uint16(len(f)))
		head = binary.LittleEndian.AppendUint16(head, uint16(len(f)))
		head = binary.LittleEndian.AppendUint32(head, uint32(offset+len(payload)))
		payload = append(payload, f...)
	}
	head = binary.LittleEndian.AppendUint32(head, c.flags&ntlmWanted)
	return append(head, payload...)
}

// ntlmKey is NTOWFv2: MS-NLMP, section 3.3.2.
func ntlmKey(domain, name, secret string) []byte {
	hash := md4(utf16LE(secret))
	return macMD5(hash[:], utf16LE(strings.ToUpper(name)+domain))
}

// responses are LmChallengeResponse and NtChallengeResponse. With a time of the server the former is empty.
func (c ntlmChallenge) responses(key []byte, nonce [8]byte, now time.Time) (lm, nt []byte) {
	stamp := c.stamp
	if stamp == nil {
		stamp = binary.LittleEndian.AppendUint64(nil, fileTime(now))
	}
	blob := append([]byte{1, 1, 0, 0, 0, 0, 0, 0}, stamp...)
	blob = append(blob, nonce[:]...)
	blob = append(blob, 0, 0, 0, 0)
	blob = append(blob, c.target...)
	blob = append(blob, 0, 0, 0, 0)
	nt = append(macMD5(key, c.nonce[:], blob), blob...)
	if c.stamp != nil {
		return make([]byte, 24), nt
	}
	return append(macMD5(key, c.nonce[:], nonce[:]), nonce[:]...), nt
}

// fileTime counts tenths of a microsecond since 1601.
func fileTime(t time.Time) uint64 {
	const from1601to1970 = 11_644_473_600
	return uint64(t.Unix()+from1601to1970)*1e7 + uint64(t.Nanosecond()/100)
}

func macMD5(key []byte, parts ...[]byte) []byte {
	mac := hmac.New(md5.New, key)
	for _, p := range parts {
		mac.Write(p)
	}
	return mac.Sum(nil)
}

func utf16LE(s string) []byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return b
}
