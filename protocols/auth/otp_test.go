package auth

import (
	"strings"
	"testing"
)

// RFC 2289, appendix C.
func TestOTPComputesTheExamplesOfTheRFC(t *testing.T) {
	for _, c := range []struct{ challenge, secret, want string }{
		{"otp-md4 0 TeSt ext", "This is a test.", "d1854218ebbb0b51"},
		{"otp-md4 1 TeSt ext", "This is a test.", "63473ef01cd0b444"},
		{"otp-md4 99 TeSt ext", "This is a test.", "c5e612776e6c237a"},
		{"otp-md5 0 TeSt ext", "This is a test.", "9e876134d90499dd"},
		{"otp-md5 1 TeSt ext", "This is a test.", "7965e05436f5029f"},
		{"otp-md5 99 TeSt ext", "This is a test.", "50fe1962c4965880"},
		{"otp-md5 0 alpha1 ext", "AbCdEfGhIjK", "87066dd9644bf206"},
		{"otp-sha1 0 TeSt ext", "This is a test.", "bb9e6ae1979d8ff4"},
		{"otp-sha1 1 TeSt ext", "This is a test.", "63d936639734385b"},
		{"otp-sha1 99 TeSt ext", "This is a test.", "87fec7768b73ccf9"},
	} {
		got, err := answerOTP(c.challenge, c.secret)
		if err != nil || string(got) != "hex:"+c.want {
			t.Errorf("%s: %s, %v, want %s", c.challenge, got, err, c.want)
		}
	}
}

func TestOTPChallengesOutOfBoundsAreRefused(t *testing.T) {
	for _, challenge := range []string{"", "otp-md5", "otp-md5 5", "otp-md5 x seed", "otp-md5 -1 seed", "otp-md5 99999999 seed", "otp-sha256 5 seed",
		"otp-md5 5 s\x00ed", "otp-md5 5 " + strings.Repeat("s", 17)} {
		if got, err := answerOTP(challenge, "secret"); err == nil {
			t.Errorf("%q: %s", challenge, got)
		}
	}
}

func FuzzOTP(f *testing.F) {
	f.Add("otp-md5 499 ke1234 ext")
	f.Add("otp-sha1 1 s")
	f.Fuzz(func(t *testing.T, challenge string) {
		if got, err := answerOTP(challenge, "secret"); err == nil && len(got) != 20 {
			t.Errorf("%q: %s", challenge, got)
		}
	})
}
