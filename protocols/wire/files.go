package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// SystemCertificates are the file and the folder of trusted certificates that -V names: what the environment says, or
// the places of OpenSSL on Debian.
func SystemCertificates() (file, folder string) {
	file, folder = os.Getenv("SSL_CERT_FILE"), os.Getenv("SSL_CERT_DIR")
	if file == "" {
		file = "/usr/lib/ssl/cert.pem"
	}
	if folder == "" {
		folder = "/usr/lib/ssl/certs"
	}
	return file, folder
}

// trustPlace says where trusted certificates are: a PEM file, a folder of PEM files, or both. Without either it is the
// system's set, which honours SSL_CERT_FILE and SSL_CERT_DIR.
type trustPlace struct {
	file, folder string
	system       bool // in any case
}

// trustError says that a file of trusted certificates cannot be used.
type trustError struct {
	place trustPlace
	err   error
}

func (e *trustError) Error() string { return fmt.Sprintf("sslcertfile %s: %v", e.place.file, e.err) }

func (e *trustError) Unwrap() error { return e.err }

// failureLine is what the reference writes about an error before the handshake.
func failureLine(err error) string {
	var trust *trustError
	if !errors.As(err, &trust) {
		return err.Error()
	}
	null := func(s string) string {
		if s == "" {
			return "(null)"
		}
		return s
	}
	return fmt.Sprintf("Cannot load verify locations (file=\"%s\", dir=\"%s\"), error 0:", null(trust.place.file), null(trust.place.folder))
}

// trustCache keeps the trusted certificates of places: a folder of some hundred files takes a tenth of a second, and
// there may be many polls.
type trustCache struct {
	mu    sync.Mutex
	pools map[trustPlace]trustEntry
}

type trustEntry struct {
	stamp string
	pool  *x509.CertPool
}

var trusted = trustCache{pools: make(map[trustPlace]trustEntry)}

// load returns the certificates of a place, from memory if the file and those in the folder are unchanged.
func (c *trustCache) load(p trustPlace) (*x509.CertPool, error) {
	if p.file == "" && p.folder == "" {
		return x509.SystemCertPool()
	}
	stamp := p.stamp()
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.pools[p]; ok && e.stamp == stamp {
		return e.pool, nil
	}
	pool, err := p.read()
	if err != nil {
		return nil, err
	}
	c.pools[p] = trustEntry{stamp, pool}
	return pool, nil
}

// stamp changes when the file or one in the folder does.
func (p trustPlace) stamp() string {
	names := []string{p.file, p.folder}
	entries, _ := os.ReadDir(p.folder)
	for _, e := range entries {
		names = append(names, filepath.Join(p.folder, e.Name())) // often a link: the time of the folder says nothing
	}
	var b strings.Builder
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			fmt.Fprintf(&b, "%q %d %d;", name, info.ModTime().UnixNano(), info.Size())
		}
	}
	return b.String()
}

// read reads the file, then every file of the folder: that they are named by hash does not matter. What is no
// certificate in the folder is passed over.
func (p trustPlace) read() (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if p.system {
		system, err := x509.SystemCertPool()
		if err != nil {
			return nil, err
		}
		pool = system
	}
	if p.file != "" {
		text, err := os.ReadFile(p.file)
		if err != nil {
			return nil, &trustError{p, err}
		}
		if !pool.AppendCertsFromPEM(text) {
			return nil, &trustError{p, errors.New("holds no certificate")}
		}
	}
	if p.folder == "" {
		return pool, nil
	}
	entries, _ := os.ReadDir(p.folder) // a folder that is absent is an empty one, as for OpenSSL
	for _, e := range entries {
		if text, err := readRegular(filepath.Join(p.folder, e.Name())); err == nil {
			pool.AppendCertsFromPEM(text)
		}
	}
	return pool, nil
}

// maxCertFile bounds a file in a folder of certificates, in bytes.
const maxCertFile = 4 << 20

// readRegular reads a file, not a pipe or a device.
func readRegular(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxCertFile {
		return nil, fmt.Errorf("%s is not a certificate", name)
	}
	return os.ReadFile(name)
}

// clientCertificate is for tls.Config.GetClientCertificate; nil if the policy has none.
func (t *TLS) clientCertificate(ctx context.Context) (func(*tls.CertificateRequestInfo) (*tls.Certificate, error), error) {
	if t.ClientCert == "" && t.ClientKey == "" {
		return nil, nil
	}
	certFile, keyFile := t.ClientCert, t.ClientKey
	if certFile == "" {
		certFile = keyFile
	}
	if keyFile == "" {
		keyFile = certFile
	}
	certText, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("cannot load sslcert: %w", err)
	}
	keyText, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("cannot load sslkey: %w", err)
	}
	if keyText, err = t.decryptKey(ctx, keyText); err != nil {
		return nil, fmt.Errorf("cannot load sslkey %s: %w", keyFile, err)
	}
	pair, err := tls.X509KeyPair(certText, keyText)
	if err != nil {
		return nil, fmt.Errorf("cannot use sslcert %s with sslkey %s: %w", certFile, keyFile, err)
	}
	return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }, nil
}

// decryptKey opens an encrypted private key, of PKCS #8 or of the old form of OpenSSL; others it returns as they are.
func (t *TLS) decryptKey(ctx context.Context, keyText []byte) ([]byte, error) {
	for rest := keyText; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return keyText, nil
		}
		open := opener(block)
		if open == nil {
			continue
		}
		if t.KeyPassword == nil {
			return nil, errors.New("the key is encrypted and there is no password for it")
		}
		password, err := t.KeyPassword(ctx)
		if err != nil {
			return nil, err
		}
		return open(password)
	}
}

// opener returns what opens an encrypted key; nil if the block is none.
func opener(block *pem.Block) func(password string) ([]byte, error) {
	switch {
	case block.Type == "ENCRYPTED PRIVATE KEY":
		return func(password string) ([]byte, error) {
			der, err := decryptPKCS8(block.Bytes, password)
			return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
		}
	//lint:ignore SA1019 such files exist
	case x509.IsEncryptedPEMBlock(block):
		return func(password string) ([]byte, error) {
			//lint:ignore SA1019 such files exist
			der, err := x509.DecryptPEMBlock(block, []byte(password))
			return pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: der}), err
		}
	}
	return nil
}
