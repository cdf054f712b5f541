package auth

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Credential caches in files: https://web.mit.edu/kerberos/krb5-latest/doc/formats/ccache_file_format.html, versions 3
// and 4. The library's own reader believes every number in them.

var errCache = errors.New("not a credential cache, or a damaged one")

// cacheReader takes a cache apart; past its end everything is empty, and short is true.
type cacheReader struct {
	rest  []byte
	short bool
}

func (r *cacheReader) take(n uint32) []byte {
	if uint64(n) > uint64(len(r.rest)) {
		r.rest, r.short = nil, true
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *cacheReader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *cacheReader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *cacheReader) data() []byte    { return r.take(r.uint32()) }
func (r *cacheReader) time() time.Time { return time.Unix(int64(r.uint32()), 0) }

func (r *cacheReader) principal() (realm string, name types.PrincipalName) {
	name.NameType = int32(r.uint32())
	parts := r.uint32()
	realm = string(r.data())
	for ; parts > 0 && !r.short; parts-- {
		name.NameString = append(name.NameString, string(r.data()))
	}
	return realm, name
}

// typed passes over a list of addresses or authorization data.
func (r *cacheReader) typed() {
	for n := r.uint32(); n > 0 && !r.short; n-- {
		r.uint16()
		r.data()
	}
}

func (r *cacheReader) credential(version byte) *credentials.Credential {
	c := new(credentials.Credential)
	c.Client.Realm, c.Client.PrincipalName = r.principal()
	c.Server.Realm, c.Server.PrincipalName = r.principal()
	if version == 3 { // the type of the key stands there twice
		r.uint16()
	}
	c.Key.KeyType = int32(r.uint16())
	c.Key.KeyValue = r.data()
	c.AuthTime, c.StartTime, c.EndTime, c.RenewTill = r.time(), r.time(), r.time(), r.time()
	r.take(1 + 4) // whether the key is of another ticket; flags
	r.typed()
	r.typed()
	c.Ticket, c.SecondTicket = r.data(), r.data()
	return c
}

// parseCache reads a credential cache.
func parseCache(text []byte) (*credentials.CCache, error) {
	if len(text) < 2 || text[0] != 5 || text[1] != 3 && text[1] != 4 {
		return nil, errCache
	}
	c := &credentials.CCache{Version: text[1]}
	r := &cacheReader{rest: text[2:]}
	if c.Version == 4 {
		r.take(uint32(r.uint16())) // a header, which tells of clocks
	}
	c.DefaultPrincipal.Realm, c.DefaultPrincipal.PrincipalName = r.principal()
	for len(r.rest) > 0 {
		c.Credentials = append(c.Credentials, r.credential(c.Version))
	}
	if r.short {
		return nil, errCache
	}
	return c, nil
}
