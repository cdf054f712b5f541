package auth

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strings"
)

// minMasked is the length from which on a text is masked, octets: shorter ones stand in too many harmless words.
const minMasked = 4

// Mask hides secrets in lines of a server: there is no lack of servers that repeat in an error what they were told.
// The zero value and nil hide nothing.
type Mask struct{ secrets []string }

// Add hides a text from now on, also within base64.
func (m *Mask) Add(secret string) {
	secret = strings.Trim(secret, `" `)
	if len(secret) < minMasked {
		return
	}
	m.secrets = append(m.secrets, secret)
	if plain, err := base64.StdEncoding.DecodeString(secret); err == nil && len(plain) >= minMasked {
		m.secrets = append(m.secrets, string(plain))
	}
	slices.SortStableFunc(m.secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
}

// AddLine hides the part of a sent line that shown, which has "*" in its place, does not show.
func (m *Mask) AddLine(line, shown string) {
	if before, _, ok := strings.Cut(shown, "*"); ok && strings.HasPrefix(line, before) && line != shown {
		m.Add(line[len(before):])
	}
}

// Hide puts "*" in place of every secret, of those that hold others first.
func (m *Mask) Hide(text string) string {
	if m == nil {
		return text
	}
	for _, s := range m.secrets {
		text = strings.ReplaceAll(text, s, "*")
	}
	return text
}

// String keeps the secrets out of every print, whatever the verb.
func (m *Mask) String() string { return "mask" }

// GoString is for %#v.
func (m *Mask) GoString() string { return "mask" }
