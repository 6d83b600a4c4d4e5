package server

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// A proxy may show the server under a path, such as /ledger, and strip the path or leave it. All
// addresses that the server gives are relative, so it need not know a path that is stripped, nor
// trust a header that names it. A path that is left is Config.BasePath.

const basePathMax = 200

var basePathForm = regexp.MustCompile(`^(/[A-Za-z0-9_~-]+)+$`)

// CheckBasePath returns an error for what cannot be Config.BasePath. A dot is not allowed, so that
// no path is taken for that of a service or for another one.
func CheckBasePath(path string) error {
	if path == "" {
		return nil
	}
	if len(path) > basePathMax || !basePathForm.MatchString(path) {
		return fmt.Errorf("%q is no path such as /ledger: it begins with a slash, does not end in one, "+
			"and has letters, digits, hyphens, underscores and tildes between slashes", clip(path, basePathMax))
	}
	first := strings.Split(path, "/")[1]
	if slices.Contains([]string{"api", "docs", "assets", "healthcheck", "readycheck"}, first) {
		return fmt.Errorf("%q is a path of the server's own; choose another, such as /ledger", path)
	}
	return nil
}

// withBasePath serves the addresses below the base path as if it were not there. All others are
// served as before: probes need not know the path, and clients of gRPC cannot use it.
func (s *Server) withBasePath(next http.Handler) http.Handler {
	base := s.config.BasePath
	if base == "" {
		return next
	}
	below := http.StripPrefix(base, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		callOf(r.Context()).path = r.URL.EscapedPath()
		next.ServeHTTP(w, r)
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, base+"/"):
			below.ServeHTTP(w, r)
		case r.URL.Path == base && (r.Method == http.MethodGet || r.Method == http.MethodHead):
			to := *r.URL
			to.Path += "/"
			w.Header().Set("Location", to.RequestURI())
			w.WriteHeader(http.StatusTemporaryRedirect)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// fromPath returns the way from a path to the root, as a relative address. For a client it leads to
// the path under which the proxy shows the server.
func fromPath(path string) string {
	if up := strings.Repeat("../", depthOf(path)); up != "" {
		return up
	}
	return "./" // without it, a colon in what follows would make that an address with a scheme
}

// depthOf returns the number of slashes that a path has beside the first. The path of some requests
// is empty.
func depthOf(path string) int { return max(0, strings.Count(path, "/")-1) }
