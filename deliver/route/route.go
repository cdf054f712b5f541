package route

import (
	"context"
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

	Names []string // names of the server: poll label, via, canonical name
	Aka   []string // further ones, matched as suffixes (option aka)
	// LocalDomains are domains whose addresses are passed on whole, matched as suffixes.
	LocalDomains []string

	Envelope   string // field with the envelope address: "X-Envelope-To", "Received"
	Skip       int    // that many of these fields are passed over
	NoEnvelope bool   // option no envelope
	QVirtual   string // prefix that is removed from the envelope address

	DNS        bool // ask Resolver about unknown hosts
	CheckAlias bool // compare addresses too

	Postmaster string // who gets what matches nobody
}

// Multidrop tells whether recipients are looked for in the header.
func (r *Rules) Multidrop() bool { return r.Wildcard || len(r.Users) > 1 }

// Resolver is the part of DNS that routing needs. Names are absolute, without a final dot. An error that is Temporary
// (net.DNSError) makes Route fail; any other counts as "no such host".
type Resolver interface {
	// MX returns the names of the mail exchangers of a host.
	MX(ctx context.Context, host string) ([]string, error)
	// Addrs returns the IP addresses of a host as text.
	Addrs(ctx context.Context, host string) ([]string, error)
}

// Result is where a message goes.
type Result struct {
	// Recipients are local names, which have no domain, or whole addresses.
	Recipients []string
	Mode       header.Mode
	// Warning is the text for X-Fetchmail-Warning when nobody matched; otherwise "".
	Warning string
	// Enveloped: the recipients come from an envelope field, so an equal header in a row is no duplicate.
	Enveloped bool
}

// Router routes the messages of one account.
type Router struct {
	rules    Rules
	resolver Resolver
	known    map[string]bool // what DNS said about hosts
}

// New makes a Router. resolver may be nil if no rule asks for DNS.
func New(rules Rules, resolver Resolver) *Router {
	return &Router{rules: rules, resolver: resolver, known: map[string]bool{}}
}

// noMatch is the reference's text.
const noMatch = "no recipient addresses matched declared local names"

// Route finds the recipients of the message that b heads. It fails only if DNS cannot say for now whether a host is
// the server; the message must then be left for later.
func (r *Router) Route(ctx context.Context, b *header.Block) (Result, error) {
	if !r.rules.Multidrop() {
		res := Result{Mode: header.Single, Recipients: []string{r.rules.Postmaster}}
		if len(r.rules.Users) == 1 {
			res.Recipients[0] = r.rules.Users[0].Remote
		}
		return res, nil
	}
	addrs, enveloped := r.candidates(b)
	res := Result{Mode: header.Multi, Enveloped: enveloped}
	for _, a := range addrs {
		to, err := r.match(ctx, a)
		if err != nil {
			return Result{}, err
		}
		if to != "" {
			res.Recipients = append(res.Recipients, to)
		}
	}
	if len(res.Recipients) == 0 {
		res.Recipients = []string{r.rules.Postmaster}
		res.Warning = noMatch
	}
	return res, nil
}

// candidates are the addresses that the message may have been sent to.
func (r *Router) candidates(b *header.Block) (addrs []string, enveloped bool) {
	if a, ok := r.envelope(b); ok {
		return a, true
	}
	fields := []string{"To", "Cc", "Bcc"}
	for _, f := range []string{"Resent-To", "Resent-Cc", "Resent-Bcc"} {
		if b.Has(f) {
			fields = []string{"Resent-To", "Resent-Cc", "Resent-Bcc"}
			break
		}
	}
	for _, f := range fields {
		for _, v := range b.Values(f) {
			addrs = append(addrs, header.Addresses(v)...)
		}
	}
	return addrs, false
}

// envelope looks into the envelope field.
func (r *Router) envelope(b *header.Block) ([]string, bool) {
	if r.rules.NoEnvelope {
		return nil, false
	}
	if strings.EqualFold(r.rules.Envelope, "Received") || r.rules.Envelope == "" {
		return r.received(b)
	}
	vs := b.Values(strings.TrimSuffix(r.rules.Envelope, ":"))
	if len(vs) <= r.rules.Skip {
		return nil, false
	}
	addrs := header.Addresses(vs[r.rules.Skip])
	for i, a := range addrs {
		addrs[i] = strings.TrimPrefix(a, r.rules.QVirtual)
	}
	return addrs, true
}

// received looks for "by host ... for <address>" where host is the server.
func (r *Router) received(b *header.Block) ([]string, bool) {
	for _, v := range b.Values("Received") {
		words := strings.Fields(string(v))
		by, to := after(words, "by"), after(words, "for")
		to = strings.Trim(to, "<>;")
		if by != "" && strings.Contains(to, "@") && r.isServer(by) {
			return []string{to}, true
		}
	}
	return nil, false
}

// after is the word behind the first one that equals key.
func after(words []string, key string) string {
	for i, w := range words[:max(len(words)-1, 0)] {
		if strings.EqualFold(w, key) {
			return words[i+1]
		}
	}
	return ""
}

// match finds the local recipient for an address; "" if there is none.
func (r *Router) match(ctx context.Context, addr string) (string, error) {
	for _, m := range r.rules.Users {
		if strings.Contains(m.Remote, "@") && strings.EqualFold(m.Remote, addr) {
			return m.Local, nil
		}
	}
	at := strings.LastIndexByte(addr, '@')
	if at < 0 {
		return "", nil
	}
	local, host := addr[:at], strings.ToLower(addr[at+1:])
	for _, d := range r.rules.LocalDomains {
		if inDomain(host, d) {
			return addr, nil
		}
	}
	ok, err := r.serves(ctx, host)
	if err != nil || !ok {
		return "", err
	}
	for _, m := range r.rules.Users {
		if strings.EqualFold(m.Remote, local) {
			return m.Local, nil
		}
	}
	if r.rules.Wildcard {
		return local, nil
	}
	return "", nil
}

// inDomain tells whether host is domain or below it.
func inDomain(host, domain string) bool {
	domain = strings.ToLower(domain)
	return host == domain || strings.HasSuffix(host, "."+domain)
}

// isServer tells whether the options name host as the server.
func (r *Router) isServer(host string) bool {
	for _, n := range r.rules.Names {
		if strings.EqualFold(n, host) {
			return true
		}
	}
	for _, n := range r.rules.Aka {
		if inDomain(strings.ToLower(host), n) {
			return true
		}
	}
	return false
}

// serves tells whether host is the server, also by DNS.
func (r *Router) serves(ctx context.Context, host string) (bool, error) {
	if r.isServer(host) {
		return true, nil
	}
	if !r.rules.DNS || r.resolver == nil {
		return false, nil
	}
	if yes, ok := r.known[host]; ok {
		return yes, nil
	}
	yes, err := r.ask(ctx, host)
	if err == nil {
		r.known[host] = yes
	}
	return yes, err
}
