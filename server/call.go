package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	"internaltransfers/internal/access"
)

const (
	requestIDHeader = "X-Request-Id"
	replayedHeader  = "Idempotency-Replayed"
	requestIDMax    = 128 // bytes
)

// A call is what the server knows of an HTTP request beyond its content. Only its own goroutine
// touches it.
type call struct {
	id      string
	peer    string         // host:port of the sender, which may be a proxy
	rest    bool           // it came by a REST route, though the handler sees Connect
	logged  bool           // the interceptors wrote its log line
	cause   error          // the error behind a fixed text
	refused error          // why it never came to a handler, if that is known
	address netip.Addr     // of the sender, beyond proxies that are trusted
	ends    time.Time      // when the caller's key or session does; zero: never
	caller  *access.Caller // nil: unknown, where callers need not be known
	path    string         // of the request, below Config.BasePath

	control *http.ResponseController // of the response
}

type callKey struct{}

// callOf returns the call that the context belongs to; never nil.
func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{}
}

// withCall gives every request an id and a time by which its body must have come. It also logs the
// requests that the interceptors never see, because they ended earlier: bodies that cannot be
// decoded, unknown paths, probes.
func (s *Server) withCall(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		c := &call{
			id: requestID(r.Header.Get(requestIDHeader)), peer: r.RemoteAddr, address: s.addressOf(r), path: r.URL.EscapedPath(),
		}
		w.Header().Set(requestIDHeader, c.id)
		c.control = http.NewResponseController(w)
		if r.Body != nil && r.Body != http.NoBody {
			// The deadline ends with the body, over HTTP/1 and HTTP/2 alike. Without a body,
			// net/http would take the deadline for the client's disconnecting. An error means that
			// there is no connection to set it on, as in tests.
			_ = c.control.SetReadDeadline(start.Add(s.config.RequestTimeout))
		}
		recorder := &statusRecorder{ResponseWriter: w, call: c, status: http.StatusOK}
		next.ServeHTTP(recorder, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
		if c.logged {
			return
		}
		level := requestLevel(recorder.status, c.refused)
		if r.Context().Err() != nil && level < slog.LevelError {
			level = slog.LevelDebug // the client is gone
		}
		attrs := []slog.Attr{
			slog.String("method", clip(r.Method, 20)),
			slog.String("path", clip(r.URL.Path, 200)),
			slog.Int("status", recorder.status),
			slog.Duration("duration", time.Since(start)),
			slog.String("peer", c.peer),
			slog.String("request_id", c.id),
		}
		s.logger.LogAttrs(r.Context(), level, "request", append(attrs, errorAttrs(c.refused)...)...)
	})
}

// requestLevel returns the level of the line of a request that came to no handler. A refusal has
// its own, since the HTTP status of gRPC says nothing.
func requestLevel(status int, refused error) slog.Level {
	switch {
	case refused != nil:
		return logLevel(connect.CodeOf(refused))
	case status >= http.StatusInternalServerError:
		return slog.LevelError
	case status >= http.StatusBadRequest:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

// requestID returns the caller's id if it is 1 to 128 printable ASCII characters, so that it is
// safe in headers and logs, else a new one.
func requestID(given string) string {
	if given == "" || len(given) > requestIDMax {
		return uuid.NewString()
	}
	for i := range len(given) {
		if given[i] < ' ' || given[i] > '~' {
			return uuid.NewString()
		}
	}
	return given
}

// A statusRecorder remembers the HTTP status of a response. It also makes the addresses of
// redirects relative: http.ServeMux names paths from the root, which may be another server's for
// the client.
type statusRecorder struct {
	http.ResponseWriter

	call   *call
	status int
}

// WriteHeader implements http.ResponseWriter.
func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	if to, ok := strings.CutPrefix(r.Header().Get("Location"), "/"); ok {
		r.Header().Set("Location", fromPath(r.call.path)+to)
	}
	r.ResponseWriter.WriteHeader(status)
}

// Flush implements http.Flusher, which vanguard and Connect require.
func (r *statusRecorder) Flush() {
	// The only error is that the writer below cannot flush; then there is nothing to flush.
	_ = http.NewResponseController(r.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController reach the writer below.
func (r *statusRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
