package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// idleTimeout is longer than the time for which proxies keep idle connections, ten minutes with
// Google's load balancers: a call fails if the server closes its connection at that moment.
const (
	headerTimeout  = 10 * time.Second // for a request's header to come
	idleTimeout    = 11 * time.Minute // until a connection without calls is closed
	headerBytesMax = 64 << 10         // Connect GET puts requests into the URL
	streamsMax     = 1000             // calls at once on one HTTP/2 connection
)

// Serve serves on the listener, in HTTP/1.1 and in HTTP/2, with TLS if Config has it, until ctx
// ends. Then it drains: readiness fails, no more connections are accepted, and calls in flight are
// finished, for at most Config.DrainTimeout. It returns nil when none was cut off. The listener is
// closed in any case.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	// ctx is not the calls' context: its end must let them finish.
	httpServer := &http.Server{
		Handler:           s,
		Protocols:         protocols(s.config.TLS),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: streamsMax},
		ReadHeaderTimeout: headerTimeout,
		// One share of the time for the body, one for the call, one for the response. Streams have
		// limits of their own.
		WriteTimeout:   3 * s.config.RequestTimeout,
		IdleTimeout:    idleTimeout,
		ConnContext:    withConn,
		MaxHeaderBytes: headerBytesMax,
		ErrorLog:       slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- serveOn(httpServer, limitListener(listener, s.config.MaxConnections), s.config.TLS) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	s.draining.Store(true)
	s.endWatches()
	drainCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.DrainTimeout)
	defer cancel()
	err := httpServer.Shutdown(drainCtx)
	if err != nil {
		// Calls are still in flight after all that time. Their outcome is decided by the ledger,
		// not by this connection.
		err = errors.Join(fmt.Errorf("drain: %w", err), httpServer.Close())
	}
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve: %w", serveErr))
	}
	return err
}

// protocols are HTTP/1 and HTTP/2, with or without TLS.
func protocols(config *tls.Config) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(config != nil)
	p.SetUnencryptedHTTP2(config == nil)
	return p
}

// serveOn serves on a listener, with TLS if there is a configuration of it.
func serveOn(s *http.Server, listener net.Listener, config *tls.Config) error {
	if config == nil {
		return s.Serve(listener)
	}
	s.TLSConfig = config
	return s.ServeTLS(listener, "", "")
}
