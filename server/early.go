package server

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/net/netutil"
)

// earlyTimeout bounds each request that comes during the start.
const earlyTimeout = 5 * time.Second

// An EarlyListener is a listener that responds by itself while there is no Server yet, since a
// database may be migrated for minutes: GET /healthcheck says that the process is alive, GET
// /readycheck that it is not ready, and all calls are unavailable. From Ready on, Accept returns
// all connections.
type EarlyListener struct {
	net.Listener

	responder *http.Server
	early     chan net.Conn // to responder
	begun     chan struct{} // closed: Ready was called
	begin     sync.Once
	last      chan accepted // has the connections accepted meanwhile, then it is closed
	closed    chan struct{}
	close     sync.Once
}

// accepted is a result of Accept.
type accepted struct {
	conn net.Conn
	err  error
}

// NewEarlyListener begins to respond, on a limited number of connections at a time, with TLS if
// there is a configuration of it. The connections of Accept have no TLS yet.
func NewEarlyListener(listener net.Listener, connectionsMax int, config *tls.Config, logger *slog.Logger) *EarlyListener {
	l := &EarlyListener{
		Listener: listener, early: make(chan net.Conn), begun: make(chan struct{}), last: make(chan accepted, 1),
		closed: make(chan struct{}),
	}
	l.responder = &http.Server{
		Handler: http.HandlerFunc(respondEarly), Protocols: protocols(config), ReadTimeout: earlyTimeout, WriteTimeout: earlyTimeout,
		MaxHeaderBytes: headerBytesMax, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	go l.accept()
	// It ends with an error, that there are no more of these connections.
	go func() { _ = serveOn(l.responder, netutil.LimitListener(earlyConns{l}, connectionsMax), config) }()
	return l
}

func (l *EarlyListener) accept() {
	defer close(l.last)
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			l.last <- accepted{nil, err} // the caller of Accept handles the error
			return
		}
		select {
		case <-l.begun: // whichever of the two could go on
			l.last <- accepted{conn, nil}
			return
		default:
		}
		select {
		case l.early <- conn:
		case <-l.begun:
			l.last <- accepted{conn, nil}
			return
		case <-l.closed:
			_ = conn.Close() // the server no longer accepts
			return
		}
	}
}

// Ready leaves new connections to Accept. Earlier ones still get their responses.
func (l *EarlyListener) Ready() {
	l.begin.Do(func() {
		close(l.begun)
		// A Shutdown would cut off requests that were just read.
		time.AfterFunc(2*earlyTimeout, func() { _ = l.responder.Close() })
	})
}

// Accept implements net.Listener. It is for after Ready.
func (l *EarlyListener) Accept() (net.Conn, error) {
	if a, ok := <-l.last; ok {
		return a.conn, a.err
	}
	return l.Listener.Accept()
}

// Close implements net.Listener.
func (l *EarlyListener) Close() error {
	err := l.Listener.Close()
	l.close.Do(func() {
		close(l.closed)
		_ = l.responder.Close()
	})
	return err
}

// earlyConns is the listener of the responder.
type earlyConns struct{ *EarlyListener }

// Accept implements net.Listener.
func (l earlyConns) Accept() (net.Conn, error) {
	select {
	case conn := <-l.early:
		return conn, nil
	case <-l.begun:
	case <-l.closed:
	}
	return nil, net.ErrClosed
}

// Close implements net.Listener. The listener below stays open for the server.
func (l earlyConns) Close() error { return nil }

var errStarting = newError(connect.CodeUnavailable, errors.New("the server is starting; repeat the call"),
	info("STARTING", nil), retry(unavailableRetry))

func respondEarly(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Connection", "close") // ends HTTP/2 connections too; the real server is next
	switch r.URL.Path {
	case "/healthcheck":
		alive(w, r)
	case "/readycheck":
		writeStarting(w)
	default:
		refuse(w, r, &restError{status: http.StatusServiceUnavailable, err: errStarting})
	}
}

func writeStarting(w http.ResponseWriter) {
	writeHealth(w, http.StatusServiceUnavailable, "starting", "its database is being prepared")
}
