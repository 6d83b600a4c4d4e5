package server

import (
	"net/http"
	"path"
	"strings"

	"connectrpc.com/connect"
)

// errorForms writes errors as Connect, gRPC and gRPC-Web do.
var errorForms = connect.NewErrorWriter()

// refuse sends an error before any handler has seen the request, in the form of the request's
// protocol. The HTTP status is the error's own where the protocol leaves it free: gRPC, gRPC-Web
// and the streams of Connect always have 200.
func refuse(w http.ResponseWriter, r *http.Request, refused *restError) {
	callOf(r.Context()).refused = refused.err
	w.Header().Set("Cache-Control", "no-store")
	if isRPC(r) && errorForms.IsSupported(r) {
		// A client that is gone needs no response.
		_ = errorForms.Write(&statusWriter{ResponseWriter: w, status: refused.status}, r, refused.err)
		return
	}
	refused.write(w)
}

// isRPC reports whether the path is that of an RPC: the name of a service has a dot, and no other
// path has one there.
func isRPC(r *http.Request) bool {
	return strings.Contains(path.Base(path.Dir(r.URL.Path)), ".")
}

// isAPI reports whether the path, below Config.BasePath, is that of an RPC or of a REST route.
func isAPI(r *http.Request) bool {
	return isRPC(r) || strings.HasPrefix(r.URL.Path, "/api/")
}

// A statusWriter gives a failed response another HTTP status.
type statusWriter struct {
	http.ResponseWriter

	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	if status != http.StatusOK {
		status = w.status
	}
	w.ResponseWriter.WriteHeader(status)
}
