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
)

// loadRoots reads the trusted certificates: a PEM file, a folder of PEM files, or both. Without either it is the
// system's set, which honours SSL_CERT_FILE and SSL_CERT_DIR.
func loadRoots(file, folder string) (*x509.CertPool, error) {
	if file == "" && folder == "" {
		return x509.SystemCertPool()
	}
	pool := x509.NewCertPool()
	if file != "" {
		pemText, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("cannot load sslcertfile: %w", err)
		}
		if !pool.AppendCertsFromPEM(pemText) {
			return nil, fmt.Errorf("cannot load sslcertfile: %s holds no certificate", file)
		}
	}
	if folder != "" {
		names, _ := filepath.Glob(filepath.Join(folder, "*"))
		for _, name := range names {
			if pemText, err := os.ReadFile(name); err == nil {
				pool.AppendCertsFromPEM(pemText)
			}
		}
	}
	return pool, nil
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

// decryptKey opens an encrypted private key of the old PEM form.
func (t *TLS) decryptKey(ctx context.Context, keyText []byte) ([]byte, error) {
	for rest := keyText; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return keyText, nil
		}
		//lint:ignore SA1019 that is what such files are encrypted with
		if !x509.IsEncryptedPEMBlock(block) {
			continue
		}
		if t.KeyPassword == nil {
			return nil, errors.New("the key is encrypted and there is no password for it")
		}
		password, err := t.KeyPassword(ctx)
		if err != nil {
			return nil, err
		}
		//lint:ignore SA1019 as above
		der, err := x509.DecryptPEMBlock(block, []byte(password))
		if err != nil {
			return nil, err
		}
		return pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: der}), nil
	}
}
