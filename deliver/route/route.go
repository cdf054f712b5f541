package route

import (
	"context"
	"fmt"
	"strings"

	"fetchmail/deliver/header"
)

// Mapping is one name of "is ... here": mail for Remote at the server goes to Local here.
type Mapping struct {
	Remote, Local string
}

// Rules are what the options say about an account's recipients. They are not changed by Route.
type Rules struct {
	Users    []Mapping
	Wildcard bool // "*" is among the names: every user of the server is a user here

	// Names of the server: via, or the poll name where there is no via, and last the canonical name.
	Names []string
	Aka   []string // further ones, matched as suffixes (option aka)
	// LocalDomains are domains whose addresses are passed on whole, matched as suffixes.
	LocalDomains []string

	Envelope   string // field with the envelope address: "X-Envelope-To"; "Received" and "" look at Received lines
	Skip       int    // that many of these fields are passed over
	NoEnvelope bool   // option no envelope
	QVirtual   string // prefix that is removed from local parts, in any case of letters (option qvirtual)
	NoRewrite  bool   // option no rewrite: an address without a host is nobody's

	DNS        bool // ask Resolver about unknown hosts
	CheckAlias bool // compare their addresses too

	Postmaster string // who gets what matches nobody; if "" such a message has no recipients
}

// Multidrop tells whether recipients are looked for in the header.
func (r *Rules) Multidrop() bool { return r.Wildcard || len(r.Users) > 1 }

// host is what rewriting completes local addresses with.
func (r *Rules) host() string {
	if len(r.Names) == 0 {
		return ""
	}
	return r.Names[len(r.Names)-1]
}

// Result is where a message goes.
type Result struct {
	// Recipients are local names, which have no domain, or whole addresses. One may be there more than once.
	Recipients []string
	Mode       header.Mode
	// Warning is the text for X-Fetchmail-Warning when nobody matched; otherwise "".
	Warning string
	// Enveloped: the recipients come from an envelope field, so an equal header in a row is no duplicate.
	Enveloped bool
}

// Router routes the messages of one account. It is used by one goroutine at a time.
type Router struct {
	rules    Rules
	resolver Resolver
	known    map[string]bool // what DNS said about hosts
	asked    int             // hosts asked for during this message
}

// New makes a Router. resolver may be nil if no rule asks for DNS.
func New(rules Rules, resolver Resolver) *Router {
	rules.Envelope = strings.TrimSuffix(rules.Envelope, ":")
	return &Router{rules: rules, resolver: resolver, known: map[string]bool{}}
}

// noMatch is the reference's text when nobody matched; a single address elsewhere is named.
const noMatch = "no recipient addresses matched declared local names"

// mostRecipients is how many a message may have: more than 100 no listener has to take at a time (RFC 5321, section
// 4.5.3.1.8), and more than 1000 Postfix does not take.
const mostRecipients = 1000

// errTooMany keeps a message of somebody who wants to keep us busy.
var errTooMany = fmt.Errorf("message not delivered: it has more than %d recipients, and there is no postmaster", mostRecipients)

// Route finds the recipients of the message that b heads. told is the envelope recipient if the server has told it
// (SDPS), else "": then the header is not asked. A message with more than 1000 goes to the postmaster. Route fails if
// there is none, and if DNS cannot say for now whether a host is the server; the message must then be left for later.
func (r *Router) Route(ctx context.Context, b *header.Block, told string) (Result, error) {
	if !r.rules.Multidrop() {
		return r.single(), nil
	}
	r.asked = 0
	addrs, enveloped, err := r.candidates(ctx, b, told)
	if err != nil {
		return Result{}, err
	}
	res := Result{Mode: header.Multi, Enveloped: enveloped}
	var elsewhere []string
	for _, a := range addrs {
		to, local, err := r.match(ctx, a)
		switch {
		case err != nil:
			return Result{}, err
		case to != "" && usable(to):
			res.Recipients = append(res.Recipients, to)
		case !local:
			elsewhere = append(elsewhere, a)
		}
	}
	switch n := len(res.Recipients); {
	case n > mostRecipients && r.rules.Postmaster == "":
		return Result{}, errTooMany
	case n > mostRecipients:
		res.Recipients, res.Warning = r.postmaster(), fmt.Sprintf("more recipients than the message can be given to (%d)", n)
	case n == 0:
		res.Recipients, res.Warning = r.postmaster(), noMatch
		if len(elsewhere) == 1 && safe(elsewhere[0]) {
			res.Warning = "recipient address " + elsewhere[0] + " didn't match any local name"
		}
	}
	return res, nil
}

// single is where everything goes if there is one user: to the name on the left side of a mapping, as the reference
// does it.
func (r *Router) single() Result {
	if len(r.rules.Users) == 1 {
		return Result{Mode: header.Single, Recipients: []string{r.rules.Users[0].Remote}}
	}
	return Result{Mode: header.Single, Recipients: r.postmaster()}
}

func (r *Router) postmaster() []string {
	if r.rules.Postmaster == "" {
		return nil
	}
	return []string{r.rules.Postmaster}
}

// candidates are the addresses that the message may have been sent to, and whether an envelope told them.
func (r *Router) candidates(ctx context.Context, b *header.Block, told string) (addrs []string, enveloped bool, err error) {
	var values [][]byte
	switch {
	case told != "":
		addrs, enveloped = []string{told}, true
	case !r.rules.NoEnvelope:
		values, enveloped, err = r.envelope(ctx, b)
	}
	if !enveloped {
		values = b.Recipients(!r.rules.NoRewrite, r.rules.host())
	}
	for _, v := range values {
		addrs = append(addrs, header.Addresses(v)...)
	}
	if n := len(r.rules.QVirtual); n > 0 {
		for i, a := range addrs {
			if len(a) >= n && strings.EqualFold(a[:n], r.rules.QVirtual) {
				addrs[i] = a[n:]
			}
		}
	}
	return addrs, enveloped, err
}

// envelope looks into the envelope field: the first one behind those to be skipped. Names are compared as the reference
// does, as prefixes.
func (r *Router) envelope(ctx context.Context, b *header.Block) ([][]byte, bool, error) {
	if r.rules.Envelope == "" || strings.EqualFold(r.rules.Envelope, "Received") {
		return r.received(ctx, b)
	}
	vs := b.BeginningWith(r.rules.Envelope)
	if len(vs) <= r.rules.Skip {
		return nil, false, nil
	}
	return vs[r.rules.Skip : r.rules.Skip+1], true, nil
}

// received looks for the first line "by host ... for <address>" where host is the server.
func (r *Router) received(ctx context.Context, b *header.Block) ([][]byte, bool, error) {
	vs := b.Values("Received")
	for _, v := range vs[min(r.rules.Skip, len(vs)):] {
		by, to := byFor(string(v))
		if to == "" {
			continue
		}
		ours, err := r.serves(ctx, strings.ToLower(by))
		if err != nil {
			return nil, false, err
		}
		if ours {
			return [][]byte{[]byte(to)}, true, nil
		}
	}
	return nil, false, nil
}

// byFor finds the host and the recipient in the value of a Received line (RFC 5321, section 4.4): the word behind the
// first "by", and the first word behind a later "for" that is a whole address.
func byFor(v string) (by, to string) {
	words := strings.Fields(v)
	if v != "" && !strings.ContainsAny(v[:1], " \t\r\n") && len(words) > 0 {
		words = words[1:]
	}
	for i := 0; i+1 < len(words); i++ {
		if by == "" && words[i] == "by" {
			i++
			by = words[i]
		} else if by != "" && words[i] == "for" {
			if to = recipient(words[i+1]); to != "" {
				return by, to
			}
		}
	}
	return "", ""
}

// recipient is the address in a word, "" if there is none. A source route is left out.
func recipient(word string) string {
	if inner := strings.TrimLeft(word, "<"); inner != word {
		i := strings.IndexAny(inner, ">;")
		if i < 0 {
			return ""
		}
		word = inner[:i]
	}
	if strings.HasPrefix(word, "@") {
		_, word, _ = strings.Cut(word, ":")
	} else if !strings.Contains(word, "@") {
		return ""
	}
	word, _, _ = strings.Cut(word, ";")
	return word
}

// match finds the local recipient for an address, "" if there is none, and tells whether the address is the server's.
func (r *Router) match(ctx context.Context, addr string) (to string, local bool, err error) {
	for _, m := range r.rules.Users {
		if strings.Contains(m.Remote, "@") && strings.EqualFold(m.Remote, addr) {
			return m.Local, true, nil
		}
	}
	name, host, ok := strings.Cut(addr, "@")
	if !ok {
		return "", true, nil
	}
	host = strings.ToLower(host)
	for _, d := range r.rules.LocalDomains {
		if inDomain(host, d) || strings.HasSuffix(host, "@"+strings.ToLower(d)) {
			return addr, true, nil
		}
	}
	if ok, err := r.serves(ctx, host); err != nil || !ok {
		return "", false, err
	}
	for _, m := range r.rules.Users {
		if strings.EqualFold(m.Remote, name) {
			return m.Local, true, nil
		}
	}
	if r.rules.Wildcard { // an empty name is nobody's
		return name, true, nil
	}
	return "", true, nil
}

// safe tells that an address can stand on a line.
func safe(addr string) bool { return !strings.ContainsAny(addr, "\r\n\x00") }

// usable tells that an address can stand in a command.
func usable(addr string) bool { return safe(addr) && !strings.ContainsAny(addr, "<>") }

// inDomain tells whether host, in lower case, is domain or below it.
func inDomain(host, domain string) bool {
	domain = strings.ToLower(domain)
	return host == domain || strings.HasSuffix(host, "."+domain)
}
