package server

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	connectcors "connectrpc.com/cors"
	"github.com/rs/cors"
	"golang.org/x/net/http/httpguts"
)

// requestHeaders are the headers, beside those that connectrpc.com/cors lists, that scripts send.
var requestHeaders = []string{
	"Authorization", "Idempotency-Key", "If-None-Match", requestIDHeader, "X-Server-Timeout",
	"Connect-Accept-Encoding", "Connect-Content-Encoding", "Grpc-Accept-Encoding", "Grpc-Encoding",
	// OpenTelemetry's propagators: Trace Context and Baggage of the W3C, and B3 in its two forms.
	"Traceparent", "Tracestate", "Baggage",
	"B3", "X-B3-Traceid", "X-B3-Spanid", "X-B3-Parentspanid", "X-B3-Sampled", "X-B3-Flags",
}

// withCORS lets the pages of the allowed origins call the API. The library takes an empty list for
// all origins.
func (s *Server) withCORS(next http.Handler) http.Handler {
	if len(s.config.AllowedOrigins) == 0 {
		return next
	}
	return cors.New(cors.Options{
		AllowedOrigins: s.config.AllowedOrigins,
		AllowedMethods: append(connectcors.AllowedMethods(), http.MethodPut, http.MethodPatch, http.MethodDelete),
		AllowedHeaders: slices.Concat(connectcors.AllowedHeaders(), requestHeaders, s.config.AllowedHeaders),
		ExposedHeaders: append(connectcors.ExposedHeaders(), requestIDHeader, replayedHeader, "Content-Disposition"),
		MaxAge:         int((2 * time.Hour).Seconds()),
	}).Handler(next)
}

// CheckHeaderNames returns an error for what cannot be the name of a header. To the library * would
// be any header, also those by which a proxy tells the server the caller's address.
func CheckHeaderNames(names []string) error {
	for _, name := range names {
		if name == "*" || !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("%q is not the name of a header", name)
		}
	}
	return nil
}
