package header

import (
	"bytes"
	"net/netip"
	"strings"
)

// Sender is the reverse path of the message, without angle brackets: the first address of the first field, in the order
// Return-Path, Resent-Sender, Sender, Resent-From, From, Reply-To, Apparently-From, that has one. "" is the null sender.
//
// rewriting is the option rewrite: local addresses are completed with host first. Without it a local Sender is passed
// over and any other address gets the host here. A message without a usable address comes from the account at host.
func (b *Block) Sender(rewriting bool, host, account string) string {
	a, null := b.sender(rewriting, host)
	switch {
	case null:
		return ""
	case a == "" || a[0] == '@':
		return account + "@" + Literal(host)
	case !global(a):
		return a + "@" + Literal(host)
	}
	return a
}

// Literal is a host as the domain of an address: RFC 5321, section 4.1.3.
func Literal(host string) string {
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return host
	case ip.Is4():
		return "[" + host + "]"
	}
	return "[IPv6:" + host + "]"
}

// LocalSender is Sender as an MDA and a BSMTP file see it: an address that is local without rewriting stays so. ok is
// false for a message without a usable address.
func (b *Block) LocalSender(rewriting bool, host string) (addr string, ok bool) {
	a, null := b.sender(rewriting, host)
	return a, a != "" || null
}

// sender is the reverse path as the header tells it: null if that is <>, "" if there is none.
func (b *Block) sender(rewriting bool, host string) (addr string, null bool) {
	if i, a := b.returnPath(rewriting, host); i >= 0 && safe(a) {
		return a, a == ""
	}
	for _, name := range []string{"Resent-Sender", "Sender"} {
		if a, ok := b.lastGlobal(name, rewriting, host); ok {
			return a, false
		}
	}
	for _, name := range []string{"Resent-From", "From", "Reply-To", "Apparently-From"} {
		if f, ok := b.last(name); ok {
			if a, ok := b.firstOf(f, rewriting, host); ok {
				return keepSafe(a), false
			}
		}
	}
	return "", false
}

// returnPath is the index of the field that tells the reverse path, and its address: the first Return-Path that has
// one. The index is -1 if there is none.
func (b *Block) returnPath(rewriting bool, host string) (int, string) {
	for i, f := range b.fields {
		if b.is(f, "Return-Path") {
			if a, ok := b.firstOf(f, rewriting, host); ok {
				return i, a
			}
		}
	}
	return -1, ""
}

// lastGlobal is the address of the last field called name that has a host somewhere.
func (b *Block) lastGlobal(name string, rewriting bool, host string) (string, bool) {
	for i := len(b.fields) - 1; i >= 0; i-- {
		if f := b.fields[i]; b.is(f, name) && bytes.ContainsAny(b.rewrite(f, rewriting, host), "@!") {
			a, ok := b.firstOf(f, rewriting, host)
			return keepSafe(a), ok
		}
	}
	return "", false
}

// firstOf is the first address of a field, as it is after rewriting.
func (b *Block) firstOf(f field, rewriting bool, host string) (string, bool) {
	return first(b.rewrite(f, rewriting, host))
}

// rewrite is the value of a field, after rewriting.
func (b *Block) rewrite(f field, rewriting bool, host string) []byte {
	if rewriting && b.rewritten(f) {
		return rewrite(nil, b.value(f), host)
	}
	return b.value(f)
}

// global tells that an address says where it belongs.
func global(addr string) bool { return strings.ContainsAny(addr, "@!") }

func keepSafe(a string) string {
	if safe(a) {
		return a
	}
	return ""
}
