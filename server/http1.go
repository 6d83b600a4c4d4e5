package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// HTTP/1 needs extra care behind proxies. nginx speaks HTTP/1.0 to servers by default, where a
// response ends with the connection: a response that breaks off would look whole. So responses that
// are not streams state their length, and streams of REST reset the connection when they break off.
// The other streams mark their own end.

// A limitedListener bounds the connections that are open at once; more wait to be accepted.
type limitedListener struct {
	net.Listener

	slots  chan struct{} // has an item for each open connection
	closed chan struct{}
	close  func() error
}

func limitListener(listener net.Listener, n int) *limitedListener {
	closed := make(chan struct{})
	return &limitedListener{
		Listener: listener, slots: make(chan struct{}, n), closed: closed,
		close: sync.OnceValue(func() error {
			close(closed)
			return listener.Close()
		}),
	}
}

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close implements net.Listener.
func (l *limitedListener) Close() error { return l.close() }

// A limitedConn is a connection of a limitedListener.
type limitedConn struct {
	net.Conn

	release func()
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

type connKey struct{}

// withConn is http.Server.ConnContext.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if c, ok := conn.(*limitedConn); ok {
		return context.WithValue(ctx, connKey{}, c.Conn)
	}
	return ctx
}

// resetUnlessWhole keeps a client of HTTP/1.0 from taking half a stream for a whole one: from now
// on the connection is reset when it closes, whether the handler fails or the process dies. Call
// whole once everything was sent.
func resetUnlessWhole(r *http.Request) (whole func()) {
	conn, ok := r.Context().Value(connKey{}).(interface{ SetLinger(seconds int) error })
	if r.ProtoAtLeast(1, 1) || !ok {
		return func() {}
	}
	// An error means that the connection is gone already.
	_ = conn.SetLinger(0)
	return func() { _ = conn.SetLinger(-1) }
}

// withLength lets responses over HTTP/1.0 state their length, unless they are flushed before their
// end.
func withLength(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoAtLeast(1, 1) {
			next.ServeHTTP(w, r)
			return
		}
		whole := &wholeWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(whole, r)
		whole.end()
	})
}

// A wholeWriter keeps a response until its length is known.
type wholeWriter struct {
	http.ResponseWriter

	status int
	body   bytes.Buffer
	begun  bool // what was kept is sent, and nothing more is kept
}

// WriteHeader implements http.ResponseWriter.
func (w *wholeWriter) WriteHeader(status int) { w.status = status }

// Write implements http.ResponseWriter.
func (w *wholeWriter) Write(p []byte) (int, error) {
	if w.begun {
		return w.ResponseWriter.Write(p)
	}
	return w.body.Write(p)
}

// Flush implements http.Flusher, which Connect requires. A response that is flushed is a stream.
func (w *wholeWriter) Flush() {
	w.begin()
	// The only error is that the writer below cannot flush; then there is nothing to flush.
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController reach the writer below.
func (w *wholeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *wholeWriter) begin() {
	if w.begun {
		return
	}
	w.begun = true
	w.ResponseWriter.WriteHeader(w.status)
	if w.body.Len() > 0 {
		_, _ = w.ResponseWriter.Write(w.body.Bytes()) // a client that is gone needs no response
	}
	w.body = bytes.Buffer{}
}

func (w *wholeWriter) end() {
	if !w.begun && w.body.Len() > 0 {
		w.Header().Set("Content-Length", strconv.Itoa(w.body.Len()))
	}
	w.begin()
}

// withHTTP2 refuses gRPC over HTTP/1, where the status of a call is lost on its way back through a
// proxy: the caller would not learn the outcome.
func withHTTP2(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor < 2 && isGRPC(r) && !strings.HasPrefix(r.URL.Path, "/api/") {
			w.Header().Set("Upgrade", "h2c")
			http.Error(w, "gRPC needs HTTP/2 on the whole way, and the last part of it was "+r.Proto+
				": use grpc_pass in nginx, and \"proto h2\" in HAProxy; or use Connect or gRPC-Web", http.StatusUpgradeRequired)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isGRPC(r *http.Request) bool {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && (media == "application/grpc" || strings.HasPrefix(media, "application/grpc+"))
}
