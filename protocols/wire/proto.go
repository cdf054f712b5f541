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
// a word, ssl2 among them, stands for auto, with a warning. What no program should speak any more is an error.
func parseProto(value string) (v versions, known bool, err error) {
	word := strings.ToLower(value)
	if word == "ssl3" {
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

// versionName is OpenSSL's name of a TLS version.
func versionName(v uint16) string {
	switch v {
	case tls.VersionTLS10:
		return "TLSv1"
	case tls.VersionTLS11:
		return "TLSv1.1"
	case tls.VersionTLS12:
		return "TLSv1.2"
	}
	return "TLSv1.3"
}

// suiteName is OpenSSL's name of a cipher suite: ECDHE-RSA-AES128-GCM-SHA256 where the RFCs have
// TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256. Those of TLS 1.3 have one name.
func suiteName(id uint16) string {
	name, old := strings.CutPrefix(tls.CipherSuiteName(id), "TLS_")
	exchange, rest, found := strings.Cut(name, "_WITH_")
	if !old || !found {
		return tls.CipherSuiteName(id)
	}
	rest = strings.NewReplacer("AES_128_CBC", "AES128", "AES_256_CBC", "AES256", "AES_128", "AES128", "AES_256", "AES256",
		"CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305", "3DES_EDE_CBC", "DES-CBC3", "RC4_128", "RC4").Replace(rest)
	if exchange != "RSA" {
		rest = exchange + "-" + rest
	}
	return strings.ReplaceAll(rest, "_", "-")
}

// keyBits is the length of the key of a cipher suite.
func keyBits(id uint16) int {
	switch name := tls.CipherSuiteName(id); {
	case strings.Contains(name, "AES_256"), strings.Contains(name, "CHACHA20"):
		return 256
	case strings.Contains(name, "3DES"):
		return 168
	}
	return 128
}
