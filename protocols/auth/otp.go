package auth

import (
	"crypto/md5"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
)

// One-time passwords: RFC 2289 (the passwords) and RFC 2444 (the SASL mechanism OTP). The secret is the pass phrase; the
// answer is given in hexadecimal, which needs no dictionary.

// maxSequence is more than servers count down from (RFC 2289 leaves it open; 500 and 9999 are usual).
const maxSequence = 100_000

var errOTP = errors.New("OTP: the server's challenge is malformed")

func otp(user, secret string, _ Server) (sasl.Client, error) {
	if err := noNUL(user, secret); err != nil {
		return nil, err
	}
	done := false
	return &client{mech: "OTP",
		initial: func() ([]byte, error) { return []byte("\x00" + user), nil },
		next: func(challenge []byte) ([]byte, error) {
			if done {
				return nil, sasl.ErrUnexpectedServerChallenge
			}
			done = true
			return answerOTP(string(challenge), secret)
		},
	}, nil
}

// answerOTP answers "otp-md5 499 ke1234 ext": RFC 2289, section 6.0, and RFC 2444, section 3.
func answerOTP(challenge, secret string) ([]byte, error) {
	words := strings.Fields(challenge)
	if len(words) < 3 {
		return nil, errOTP
	}
	fold, ok := otpHashes[words[0]]
	if !ok {
		return nil, fmt.Errorf("OTP: algorithm %.20q is not known", words[0])
	}
	count, err := strconv.Atoi(words[1])
	seed := strings.ToLower(words[2])
	if err != nil || count < 0 || count > maxSequence || len(seed) > 16 || strings.ContainsFunc(seed, notSeed) {
		return nil, errOTP
	}
	key := fold([]byte(seed + secret))
	for range count {
		key = fold(key[:])
	}
	return []byte("hex:" + hex.EncodeToString(key[:])), nil
}

func notSeed(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }

// otpHashes fold a digest to 64 bits: RFC 2289, appendix A.
var otpHashes = map[string]func([]byte) [8]byte{
	"otp-md4":  func(b []byte) [8]byte { sum := md4(b); return halves(sum[:]) },
	"otp-md5":  func(b []byte) [8]byte { sum := md5.Sum(b); return halves(sum[:]) },
	"otp-sha1": foldSHA1,
}

func halves(sum []byte) (key [8]byte) {
	for i := range key {
		key[i] = sum[i] ^ sum[i+8]
	}
	return key
}

// foldSHA1 folds five words, which it writes in the other byte order.
func foldSHA1(b []byte) (key [8]byte) {
	sum := sha1.Sum(b)
	var w [5]uint32
	for i := range w {
		w[i] = binary.BigEndian.Uint32(sum[4*i:])
	}
	binary.LittleEndian.PutUint32(key[:], w[0]^w[2]^w[4])
	binary.LittleEndian.PutUint32(key[4:], w[1]^w[3])
	return key
}
