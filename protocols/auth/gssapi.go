package auth

import (
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/emersion/go-sasl"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/chksumtype"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// GSSAPI is RFC 4752: a context of Kerberos 5 (RFC 4121) that proves either side to the other, and then the agreement
// that nothing above it is protected: that is the business of TLS.

// krb5OID is the encoded object identifier 1.2.840.113554.1.2.2: RFC 1964, section 1.
var krb5OID = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02}

// Token identifiers: RFC 4121, section 4.1.
const (
	tokenAPReq    = "\x01\x00"
	tokenAPRep    = "\x02\x00"
	tokenKRBError = "\x03\x00"
)

// Flags of a wrap token: RFC 4121, section 4.2.2.
const (
	wrapFromAcceptor   = 0x01
	wrapSealed         = 0x02
	wrapAcceptorSubkey = 0x04
)

// noLayer is the bit of RFC 4752, section 3.3, for a session without a security layer.
const noLayer = 1

var errGSSAPI = errors.New("GSSAPI: the server's token is malformed")

func gssapiMech(user, _ string, s Server) (sasl.Client, error) {
	if err := noControl("user name", user); err != nil {
		return nil, err
	}
	var c gssContext
	step := 0
	return &client{mech: "GSSAPI", late: true, // the reference waits, and few lines of POP3 could take the token
		initial: func() (token []byte, err error) {
			err = safely("Kerberos", func() error { token, err = c.begin(s.Service, s.Host); return err })
			return token, err
		},
		next: func(token []byte) (answer []byte, err error) {
			step++
			err = safely("GSSAPI: the server's token", func() error {
				switch step {
				case 1:
					answer = []byte{}
					return c.accept(token)
				case 2:
					answer, err = c.agree(token, user)
					return err
				}
				return sasl.ErrUnexpectedServerChallenge
			})
			return answer, err
		},
		proved: func() error {
			if step != 2 {
				return errors.New("GSSAPI: the server has not proved who it is")
			}
			return nil
		},
	}, nil
}

// gssContext is a security context in the making.
type gssContext struct {
	sent types.Authenticator
	key  types.EncryptionKey // of the ticket, then what the server wants in its place
	sub  bool                // key is the server's
}

// begin gets a ticket for the service and makes the first token of it: RFC 4121, section 4.1.
func (c *gssContext) begin(service, host string) ([]byte, error) {
	k, err := newKerberos()
	if err != nil {
		return nil, err
	}
	defer k.Destroy()
	name := servicePrincipal(service, host, k.Config)
	ticket, key, err := k.GetServiceTicket(name)
	if err != nil {
		return nil, fmt.Errorf("no ticket for %s: %w", name, err)
	}
	if !slices.Contains(kerberosETypes, key.KeyType) {
		return nil, fmt.Errorf("a ticket of encryption type %d is too weak", key.KeyType)
	}
	return c.request(k.Credentials.Domain(), k.Credentials.CName(), ticket, key)
}

// request makes the token with the AP-REQ. Its authenticator carries the flags of the context: RFC 4121, section 4.1.1.
func (c *gssContext) request(realm string, name types.PrincipalName, ticket messages.Ticket, key types.EncryptionKey) ([]byte, error) {
	auth, err := types.NewAuthenticator(realm, name)
	if err != nil {
		return nil, err
	}
	sum := binary.LittleEndian.AppendUint32(nil, 16)
	sum = append(sum, make([]byte, 16)...) // no channel bindings
	sum = binary.LittleEndian.AppendUint32(sum, gssapi.ContextFlagMutual|gssapi.ContextFlagInteg)
	auth.Cksum = types.Checksum{CksumType: chksumtype.GSSAPI, Checksum: sum}
	req, err := messages.NewAPReq(ticket, key, auth)
	if err != nil {
		return nil, err
	}
	types.SetFlag(&req.APOptions, flags.APOptionMutualRequired)
	body, err := req.Marshal()
	if err != nil {
		return nil, err
	}
	c.sent, c.key = auth, key
	return asn1tools.AddASNAppTag(slices.Concat(krb5OID, []byte(tokenAPReq), body), 0), nil
}

// accept reads the server's AP-REP: what stands in it proves that it could read our ticket.
func (c *gssContext) accept(token []byte) error {
	var outer asn1.RawValue
	rest, err := asn1.Unmarshal(token, &outer)
	if err != nil || len(rest) > 0 || outer.Class != asn1.ClassApplication || outer.Tag != 0 {
		return errGSSAPI
	}
	if len(outer.Bytes) < len(krb5OID)+2 || string(outer.Bytes[:len(krb5OID)]) != string(krb5OID) {
		return errGSSAPI
	}
	inner := outer.Bytes[len(krb5OID):]
	switch string(inner[:2]) {
	case tokenAPRep:
		return c.reply(inner[2:])
	case tokenKRBError:
		var e messages.KRBError
		if err := e.Unmarshal(inner[2:]); err != nil {
			return errGSSAPI
		}
		return e
	}
	return errGSSAPI
}

func (c *gssContext) reply(body []byte) error {
	var rep messages.APRep
	if err := rep.Unmarshal(body); err != nil {
		return errGSSAPI
	}
	plain, err := crypto.DecryptEncPart(rep.EncPart, c.key, keyusage.AP_REP_ENCPART)
	if err != nil {
		return fmt.Errorf("%w: %w", errGSSAPI, err)
	}
	var part messages.EncAPRepPart
	if err := part.Unmarshal(plain); err != nil {
		return errGSSAPI
	}
	if part.CTime.Unix() != c.sent.CTime.Unix() || part.Cusec != c.sent.Cusec {
		return errors.New("GSSAPI: the server answers another request") // RFC 4120, section 3.2.5
	}
	if len(part.Subkey.KeyValue) > 0 {
		if !slices.Contains(kerberosETypes, part.Subkey.KeyType) {
			return errGSSAPI
		}
		c.key, c.sub = part.Subkey, true
	}
	return nil
}

// agree reads which protection the server has and asks for none, as user: RFC 4752, section 3.1.
func (c *gssContext) agree(token []byte, user string) ([]byte, error) {
	offer, err := c.unwrap(token)
	if err != nil {
		return nil, err
	}
	if len(offer) != 4 {
		return nil, errGSSAPI
	}
	if offer[0]&noLayer == 0 {
		return nil, errors.New("GSSAPI: the server insists on a security layer, which is not supported; use TLS")
	}
	return c.wrap(append([]byte{noLayer, 0, 0, 0}, user...))
}

// unwrap checks a token without confidentiality: RFC 4121, section 4.2.4.
func (c *gssContext) unwrap(token []byte) ([]byte, error) {
	if len(token) < gssapi.HdrLen || token[2]&wrapSealed != 0 || token[2]&wrapAcceptorSubkey != 0 != c.sub {
		return nil, errGSSAPI
	}
	token = slices.Clone(token)
	if body := token[gssapi.HdrLen:]; len(body) > 0 { // section 4.2.5: the body is rotated to the right
		by := int(binary.BigEndian.Uint16(token[6:8])) % len(body)
		copy(body, slices.Concat(body[by:], body[:by]))
	}
	var w gssapi.WrapToken
	if err := w.Unmarshal(token, true); err != nil {
		return nil, errGSSAPI
	}
	if ok, err := w.Verify(c.key, keyusage.GSSAPI_ACCEPTOR_SEAL); !ok {
		return nil, fmt.Errorf("%w: %w", errGSSAPI, err)
	}
	return w.Payload, nil
}

func (c *gssContext) wrap(payload []byte) ([]byte, error) {
	kind, err := crypto.GetEtype(c.key.KeyType)
	if err != nil {
		return nil, err
	}
	w := gssapi.WrapToken{EC: uint16(kind.GetHMACBitLength() / 8), SndSeqNum: uint64(c.sent.SeqNumber), Payload: payload}
	if c.sub {
		w.Flags |= wrapAcceptorSubkey
	}
	if err := w.SetCheckSum(c.key, keyusage.GSSAPI_INITIATOR_SEAL); err != nil {
		return nil, err
	}
	return w.Marshal()
}
