package server

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"connectrpc.com/connect"
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

// origins are the origins whose pages may call the server beside its own. The zero value has none.
type origins struct {
	cors    *cors.Cors // nil: none
	foreign http.CrossOriginProtection
}

// newOrigins makes the rules of a list of origins. The library takes an empty list for all.
func newOrigins(allowed, headers []string) *origins {
	if len(allowed) == 0 {
		return new(origins)
	}
	return &origins{cors: cors.New(cors.Options{
		AllowedOrigins: allowed,
		AllowedMethods: append(connectcors.AllowedMethods(), http.MethodPut, http.MethodPatch, http.MethodDelete),
		AllowedHeaders: slices.Concat(connectcors.AllowedHeaders(), requestHeaders, headers),
		ExposedHeaders: append(connectcors.ExposedHeaders(), requestIDHeader, replayedHeader, "Content-Disposition"),
		MaxAge:         int((2 * time.Hour).Seconds()),
	})}
}

// share lets the pages of the allowed origins call the API, and read its responses.
func (o *origins) share(next http.Handler) http.Handler {
	if o.cors == nil {
		return next
	}
	return o.cors.Handler(next)
}

// protect refuses what browsers send for pages of all other origins. Browsers add cookies and
// client certificates to it, and it comes from inside the reader's network. Programs that are no
// browsers are not concerned.
//
// Every method of what costly matches counts, reads too: they can cost much, such as a proof of the
// ledger, and foreign pages have no use for them.
func (o *origins) protect(costly func(*http.Request) bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if o.cors == nil || !o.cors.OriginAllowed(r) {
			w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
			asked := *r
			if r.Method != http.MethodOptions && costly(r) {
				asked.Method = http.MethodPost
			}
			if o.foreign.Check(&asked) != nil {
				refuse(w, r, restRefusal(http.StatusForbidden, connect.CodePermissionDenied, "ORIGIN_REFUSED",
					"a page of another origin%s may not call this server; ALLOWED_ORIGINS names those that may", quoted(r.Header.Get("Origin"))))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func quoted(origin string) string {
	if origin == "" {
		return ""
	}
	return fmt.Sprintf(", %q,", clip(origin, 100))
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
