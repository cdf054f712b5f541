package wire

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"hash"
)

// Encrypted private keys as OpenSSL writes them today: PKCS #8 (RFC 5958, section 3) with PBES2 (RFC 8018, section 6.2),
// PBKDF2, and AES or triple DES in CBC mode.

type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2 struct {
	KDF, Cipher pkix.AlgorithmIdentifier
}

type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

const (
	oidPBES2  = "1.2.840.113549.1.5.13"
	oidPBKDF2 = "1.2.840.113549.1.5.12"
)

// prfs are the pseudo-random functions of PBKDF2; the default is HMAC-SHA-1.
var prfs = map[string]func() hash.Hash{
	"":                    sha1.New,
	"1.2.840.113549.2.7":  sha1.New,
	"1.2.840.113549.2.9":  sha256.New,
	"1.2.840.113549.2.10": sha512.New384,
	"1.2.840.113549.2.11": sha512.New,
}

// keyCipher is a block cipher in CBC mode.
type keyCipher struct {
	size  int // of the key, in bytes
	block func(key []byte) (cipher.Block, error)
}

var keyCiphers = map[string]keyCipher{
	"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
	"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
	"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
	"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
}

// maxKDF bounds the iterations that a key file may ask for; OpenSSL writes 2048.
const maxKDF = 10_000_000

var (
	errKeyCipher   = errors.New("the key is encrypted in a way that is not supported; `openssl pkcs8 -topk8 -in OLD -out NEW` writes one that is")
	errKeyPassword = errors.New("wrong password for the key")
)

// decryptPKCS8 opens an encrypted key and returns the plain PKCS #8 structure.
func decryptPKCS8(der []byte, password string) ([]byte, error) {
	var box encryptedKey
	if _, err := asn1.Unmarshal(der, &box); err != nil || box.Algorithm.Algorithm.String() != oidPBES2 {
		return nil, errKeyCipher
	}
	var scheme pbes2
	if _, err := asn1.Unmarshal(box.Algorithm.Parameters.FullBytes, &scheme); err != nil {
		return nil, errKeyCipher
	}
	kind, ok := keyCiphers[scheme.Cipher.Algorithm.String()]
	if !ok {
		return nil, errKeyCipher
	}
	key, err := deriveKey(scheme.KDF, password, kind.size)
	if err != nil {
		return nil, err
	}
	block, err := kind.block(key)
	if err != nil {
		return nil, err
	}
	var iv []byte
	if _, err := asn1.Unmarshal(scheme.Cipher.Parameters.FullBytes, &iv); err != nil || len(iv) != block.BlockSize() {
		return nil, errKeyCipher
	}
	return openCBC(block, iv, box.Data)
}

func deriveKey(kdf pkix.AlgorithmIdentifier, password string, size int) ([]byte, error) {
	var p pbkdf2Params
	if _, err := asn1.Unmarshal(kdf.Parameters.FullBytes, &p); err != nil || kdf.Algorithm.String() != oidPBKDF2 {
		return nil, errKeyCipher
	}
	prf, ok := prfs[p.PRF.Algorithm.String()]
	if !ok || p.Iterations < 1 || p.Iterations > maxKDF {
		return nil, errKeyCipher
	}
	return pbkdf2.Key(prf, password, p.Salt, p.Iterations, size)
}

// openCBC decrypts data and takes its padding off: RFC 8018, section 6.1.1.
func openCBC(block cipher.Block, iv, data []byte) ([]byte, error) {
	if len(data) == 0 || len(data)%block.BlockSize() != 0 {
		return nil, errKeyCipher
	}
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, data)
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > block.BlockSize() || pad > len(plain) {
		return nil, errKeyPassword
	}
	for _, b := range plain[len(plain)-pad:] {
		if int(b) != pad {
			return nil, errKeyPassword
		}
	}
	return plain[:len(plain)-pad], nil
}
