package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// TLSFiles are the PEM files of a server's certificate and of those of its clients.
type TLSFiles struct {
	Cert, Key string
	ClientCA  string // whose certificates clients may have; empty: none are asked for
	// RequireClient refuses clients without a certificate. Else a client may have none, but no bad
	// one.
	RequireClient bool
}

// tlsFresh is how long the files are taken to be as they were when they were read.
const tlsFresh = 10 * time.Second

// A tlsReloader has the configuration of TLS that the files have.
type tlsReloader struct {
	files  TLSFiles
	fresh  time.Duration
	logger *slog.Logger

	mu      sync.Mutex
	read    time.Time   // when the files were read; guarded by mu
	content [3][]byte   // of the files; guarded by mu
	config  *tls.Config // never changed once it is here; guarded by mu
	failed  string      // why the files could not be taken, if that is logged; guarded by mu
}

// NewTLS returns a configuration of TLS 1.2 and newer, for HTTP/1.1 and HTTP/2. The files are read
// again when a client connects and they were last read 10 seconds ago. If they are not good then,
// the last good ones stay, and the log says so.
func NewTLS(files TLSFiles, logger *slog.Logger) (*tls.Config, error) {
	return newTLS(files, tlsFresh, logger)
}

func newTLS(files TLSFiles, fresh time.Duration, logger *slog.Logger) (*tls.Config, error) {
	r := &tlsReloader{files: files, fresh: fresh, logger: logger}
	if err := r.reload(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) { return r.current(hello.Context()), nil },
	}, nil
}

// current returns the configuration for a client that connects.
func (r *tlsReloader) current(ctx context.Context) *tls.Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.read) < r.fresh {
		return r.config
	}
	before := r.config
	err := r.reload()
	switch {
	case err != nil && r.failed != err.Error():
		r.failed = err.Error()
		r.logger.ErrorContext(ctx, "the files of TLS are not good; the last good ones stay", slog.Any("error", err))
	case err == nil && r.config != before:
		r.logger.InfoContext(ctx, "the files of TLS have changed")
	}
	if err == nil {
		r.failed = ""
	}
	return r.config
}

// reload reads the files, and takes them if they have changed and are good.
func (r *tlsReloader) reload() error {
	r.read = time.Now()
	var content [3][]byte
	for i, name := range [...]string{r.files.Cert, r.files.Key, r.files.ClientCA} {
		if name == "" {
			continue
		}
		var err error
		if content[i], err = os.ReadFile(name); err != nil {
			return err
		}
	}
	if r.config != nil && bytes.Equal(content[0], r.content[0]) && bytes.Equal(content[1], r.content[1]) && bytes.Equal(content[2], r.content[2]) {
		return nil
	}
	certificate, err := tls.X509KeyPair(content[0], content[1])
	if err != nil {
		return fmt.Errorf("certificate %s and key %s: %w", r.files.Cert, r.files.Key, err)
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{certificate},
	}
	if r.files.ClientCA != "" {
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(content[2]) {
			return errors.New(r.files.ClientCA + " has no certificate")
		}
		config.ClientAuth = tls.VerifyClientCertIfGiven
		if r.files.RequireClient {
			config.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	r.content, r.config = content, config
	return nil
}
