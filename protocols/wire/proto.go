package wire

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
)

// versions is the range of TLS versions that a value of the option sslproto allows.
type versions struct{ min, max uint16 }

// protos are the values of sslproto. fetchmail(1), --sslproto: "auto" is TLS 1.0 or newer there; here nothing below
// TLS 1.2 is spoken (RFC 8996) unless the old version is asked for by name.
var protos = map[string]versions{
	"":        {tls.VersionTLS12, 0},
	"auto":    {tls.VersionTLS12, 0},
	"ssl23":   {tls.VersionTLS12, 0},
	"ssl3+":   {tls.VersionTLS10, 0},
	"tls1":    {tls.VersionTLS10, tls.VersionTLS10},
	"tls1+":   {tls.VersionTLS10, 0},
	"tls1.1":  {tls.VersionTLS11, tls.VersionTLS11},
	"tls1.1+": {tls.VersionTLS11, 0},
	"tls1.2":  {tls.VersionTLS12, tls.VersionTLS12},
	"tls1.2+": {tls.VersionTLS12, 0},
	"tls1.3":  {tls.VersionTLS13, tls.VersionTLS13},
	"tls1.3+": {tls.VersionTLS13, 0},
}

// parseProto reads a value of sslproto, in any case. known is false for a word that fetchmail(1) does not have; such
// a word stands for auto, with a warning. What no program should speak any more is an error.
func parseProto(value string) (v versions, known bool, err error) {
	word := strings.ToLower(value)
	if word == "ssl2" || word == "ssl3" {
		return versions{}, true, fmt.Errorf("sslproto %s: this protocol is broken and not supported; use \"auto\" or, "+
			"for a server that is too old for it, \"tls1+\"", value)
	}
	v, known = protos[word]
	if !known {
		v = protos["auto"]
	}
	return v, known, nil
}

// suites are the cipher suites for TLS 1.2 and older: those that Go prefers, then key exchange by RSA, which old
// servers insist on and the reference speaks, too.
func (v versions) suites() []uint16 {
	var list []uint16
	for _, s := range tls.CipherSuites() {
		list = append(list, s.ID)
	}
	for _, s := range tls.InsecureCipherSuites() {
		rsa := strings.HasPrefix(s.Name, "TLS_RSA_WITH_AES_")
		if rsa || v.min < tls.VersionTLS12 && strings.HasSuffix(s.Name, "_SHA") && !strings.Contains(s.Name, "RC4") {
			list = append(list, s.ID)
		}
	}
	return slices.Compact(list)
}
