package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/gen/transfers/v1/transfersv1connect"
)

// An authority signs certificates of tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := new(authority)
	cert, key := a.sign(t, "authority")
	block, _ := pem.Decode(cert)
	var err error
	if a.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		t.Fatal(err)
	}
	a.key, a.pem = key, cert
	return a
}

// sign makes a certificate; the first is the authority's own.
func (a *authority) sign(t *testing.T, name string) (certPEM []byte, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key
}

func keyPEM(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func writeFile(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// install writes a new certificate of the server and its key.
func (a *authority) install(t *testing.T, files TLSFiles, name string) {
	t.Helper()
	cert, key := a.sign(t, name)
	writeFile(t, files.Cert, cert)
	writeFile(t, files.Key, keyPEM(t, key))
}

func tlsFiles(t *testing.T) TLSFiles {
	t.Helper()
	dir := t.TempDir()
	return TLSFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
}

// secureClient returns a client that trusts the authority, has a certificate if client is not nil,
// and makes a connection for each request.
func (a *authority) secureClient(t *testing.T, client *authority, change func(*tls.Config)) *http.Client {
	t.Helper()
	config := &tls.Config{RootCAs: x509.NewCertPool()} //nolint:gosec // the least version is the server's to choose
	config.RootCAs.AddCert(a.cert)
	if client != nil {
		cert, key := client.sign(t, "client")
		pair, err := tls.X509KeyPair(cert, keyPEM(t, key))
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if change != nil {
		change(config)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
}

// serveTLS serves with TLS on a port, and returns its URL.
func serveTLS(t *testing.T, files TLSFiles, logger *slog.Logger) string {
	t.Helper()
	config, err := newTLS(files, 0, logger)
	if err != nil {
		t.Fatal(err)
	}
	s := newTestServer(t, Config{TLS: config, Logger: slog.New(slog.DiscardHandler)})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return "https://" + listener.Addr().String()
}

// get returns the protocol of a response to GET /healthcheck, and the name in the server's
// certificate.
func get(client *http.Client, url string) (protocol, name string, err error) {
	res, err := client.Get(url + "/healthcheck")
	if err != nil {
		return "", "", err
	}
	defer res.Body.Close()
	if _, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK || res.TLS == nil {
		return "", "", fmt.Errorf("status %d, %w", res.StatusCode, err)
	}
	return res.Proto, res.TLS.PeerCertificates[0].Subject.CommonName, nil
}

// TestTLS: HTTP/1.1, HTTP/2 and gRPC work over TLS 1.2 and 1.3, and nothing does over less or none.
func TestTLS(t *testing.T) {
	t.Parallel()
	a, files := newAuthority(t), tlsFiles(t)
	a.install(t, files, "first")
	url := serveTLS(t, files, slog.New(slog.DiscardHandler))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client := a.secureClient(t, nil, func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version })
		if protocol, _, err := get(client, url); err != nil || protocol != "HTTP/2.0" {
			t.Errorf("%s: %s, %v", tls.VersionName(version), protocol, err)
		}
		for name, options := range map[string][]connect.ClientOption{"Connect": nil, "gRPC": {connect.WithGRPC()}, "gRPC-Web": {connect.WithGRPCWeb()}} {
			accounts := transfersv1connect.NewAccountServiceClient(client, url, options...)
			if _, err := accounts.GetAccount(t.Context(), &transfersv1.GetAccountRequest{AccountId: "x"}); connect.CodeOf(err) != connect.CodeInvalidArgument {
				t.Errorf("%s over %s: %v", name, tls.VersionName(version), err)
			}
		}
	}
	old := a.secureClient(t, nil, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })
	if _, _, err := get(old, url); err == nil {
		t.Error("TLS 1.1 is taken")
	}
	one := a.secureClient(t, nil, nil)
	one.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	if protocol, _, err := get(one, url); err != nil || protocol != "HTTP/1.1" {
		t.Errorf("HTTP/1.1: %s, %v", protocol, err)
	}
	res, err := http.Get(strings.Replace(url, "https", "http", 1) + "/healthcheck")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("without TLS: %d", res.StatusCode)
	}
}

// TestTLSFilesAreReadAgain: a new certificate is taken without a restart, and a broken one is not.
func TestTLSFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	a, files := newAuthority(t), tlsFiles(t)
	a.install(t, files, "first")
	var log lockedBuffer
	url := serveTLS(t, files, slog.New(slog.NewTextHandler(&log, nil)))
	client := a.secureClient(t, nil, nil)
	requireName := func(want string) {
		t.Helper()
		if _, name, err := get(client, url); err != nil || name != want {
			t.Errorf("%q, %v, want %q", name, err, want)
		}
	}
	requireName("first")
	a.install(t, files, "second")
	requireName("second")
	cert, _ := a.sign(t, "third")
	writeFile(t, files.Cert, cert) // not its key yet
	requireName("second")
	requireName("second")
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d errors in the log:\n%s", n, log.String())
	}
	a.install(t, files, "fourth")
	requireName("fourth")
}

// TestTLSClients: certificates of clients are verified where they are wanted.
func TestTLSClients(t *testing.T) {
	t.Parallel()
	a, other := newAuthority(t), newAuthority(t)
	for _, require := range []bool{false, true} {
		files := tlsFiles(t)
		a.install(t, files, "server")
		files.ClientCA, files.RequireClient = files.Cert+".ca", require
		writeFile(t, files.ClientCA, a.pem)
		url := serveTLS(t, files, slog.New(slog.DiscardHandler))
		for _, c := range []struct {
			name   string
			client *authority
			want   bool
		}{{"no certificate", nil, !require}, {"a good one", a, true}, {"another authority's", other, false}} {
			client := a.secureClient(t, c.client, func(config *tls.Config) {
				if len(config.Certificates) > 0 { // it is sent also where the server does not want it
					config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &config.Certificates[0], nil }
				}
			})
			if _, _, err := get(client, url); (err == nil) != c.want {
				t.Errorf("%s, required %t: %v", c.name, require, err)
			}
		}
	}
}

func TestTLSFilesMustBeGood(t *testing.T) {
	t.Parallel()
	a, files := newAuthority(t), tlsFiles(t)
	logger := slog.New(slog.DiscardHandler)
	if _, err := NewTLS(files, logger); err == nil {
		t.Error("no files")
	}
	a.install(t, files, "server")
	files.ClientCA = files.Key
	if _, err := NewTLS(files, logger); err == nil || !bytes.Contains([]byte(err.Error()), []byte("no certificate")) {
		t.Errorf("a key as the authority: %v", err)
	}
}

// TestEarlyResponsesOverTLS: health is shown while the server starts, over TLS too.
func TestEarlyResponsesOverTLS(t *testing.T) {
	t.Parallel()
	a, files := newAuthority(t), tlsFiles(t)
	a.install(t, files, "server")
	config, err := NewTLS(files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	early := NewEarlyListener(port, 10, config, slog.New(slog.DiscardHandler))
	defer early.Close()
	if _, name, err := get(a.secureClient(t, nil, nil), "https://"+early.Addr().String()); err != nil || name != "server" {
		t.Errorf("%q, %v", name, err)
	}
}
