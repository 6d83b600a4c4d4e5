package server

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// preflight sends the preflight of a page of an origin that wants to send headers, which browsers
// write in lower case and sort. It returns the headers of the response.
func preflight(s *Server, origin, headers string) http.Header {
	r := httptest.NewRequest(http.MethodOptions, "/transfers.v1.TransferService/CreateTransfer", nil)
	r.Header.Set("Origin", origin)
	r.Header.Set("Access-Control-Request-Method", http.MethodPost)
	r.Header.Set("Access-Control-Request-Headers", headers)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Header()
}

// TestPreflights: browsers may send the headers that clients of Connect, gRPC-Web, REST and
// OpenTelemetry send, and no others that the operator did not name.
func TestPreflights(t *testing.T) {
	t.Parallel()
	const origin = "https://app.test"
	s := newTestServer(t, Config{
		AllowedOrigins: []string{origin}, AllowedHeaders: []string{"X-Tenant"}, Logger: slog.New(slog.DiscardHandler),
	})
	for _, c := range []struct {
		who, headers string
		allowed      bool
	}{
		{"connect-web", "authorization,connect-protocol-version,connect-timeout-ms,content-type", true},
		{"grpc-web", "authorization,content-type,grpc-timeout,x-grpc-web,x-user-agent", true},
		{"connect-go in a browser", "connect-accept-encoding,connect-content-encoding,connect-protocol-version,content-type", true},
		{"connect-go in a browser, gRPC-Web", "content-type,grpc-accept-encoding,grpc-encoding,x-grpc-web,x-user-agent", true},
		{"OpenTelemetry", "baggage,content-type,traceparent,tracestate", true},
		{"OpenTelemetry with B3", "b3,content-type", true},
		{"OpenTelemetry with B3 of several headers", "content-type,x-b3-flags,x-b3-parentspanid,x-b3-sampled,x-b3-spanid,x-b3-traceid", true},
		{"REST", "authorization,content-type,idempotency-key,if-none-match,x-request-id,x-server-timeout", true},
		{"what the operator allowed", "content-type,x-tenant", true},
		{"something else", "content-type,x-forwarded-user", false},
	} {
		got := preflight(s, origin, c.headers)
		allowed := got.Get("Access-Control-Allow-Origin") == origin && got.Get("Access-Control-Allow-Headers") != ""
		if allowed != c.allowed {
			t.Errorf("%s: %s: allowed is %t, want %t: %v", c.who, c.headers, allowed, c.allowed, got)
		}
		if other := preflight(s, "https://other.test", c.headers); other.Get("Access-Control-Allow-Headers") != "" {
			t.Errorf("%s: another origin is allowed too: %v", c.who, other)
		}
	}
}

// TestExposedHeaders: scripts of an allowed origin see the headers that responses have beside their
// bodies.
func TestExposedHeaders(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Config{AllowedOrigins: []string{"https://app.test"}, Logger: slog.New(slog.DiscardHandler)})
	r := httptest.NewRequest(http.MethodGet, "/healthcheck", nil)
	r.Header.Set("Origin", "https://app.test")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	exposed := strings.ToLower(w.Header().Get("Access-Control-Expose-Headers"))
	for _, name := range []string{
		"grpc-status", "grpc-message", "grpc-status-details-bin", "idempotency-replayed", "x-request-id", "content-disposition",
	} {
		if !strings.Contains(exposed, name) {
			t.Errorf("%s is not exposed: %s", name, exposed)
		}
	}
}

func TestAllowedHeadersMustBeNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "*", "x tenant", "x:y", "x\r\ny"} {
		if _, err := New(Config{Ledger: newTestServer(t, Config{}).ledger, AllowedHeaders: []string{name}}); err == nil {
			t.Errorf("%q is taken for the name of a header", name)
		}
	}
}
