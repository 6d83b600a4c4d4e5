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
// protocol. The HTTP status is that of the protocol, where REST and RPCs differ too. Only 421 is no
// status of an RPC, but has a meaning for browsers; gRPC, gRPC-Web and the streams of Connect have
// 200 all the same.
func refuse(w http.ResponseWriter, r *http.Request, refused *restError) {
	callOf(r.Context()).refused = refused.err
	w.Header().Set("Cache-Control", "no-store")
	if isRPC(r) && errorForms.IsSupported(r) {
		if refused.status == http.StatusMisdirectedRequest {
			w = &statusWriter{ResponseWriter: w, status: refused.status}
		}
		_ = errorForms.Write(w, r, refused.err) // a client that is gone needs no response
		return
	}
	refused.write(w)
}

// isRPC reports whether the path is that of an RPC: the name of a service has a dot, and no other
// path has one there.
func isRPC(r *http.Request) bool {
	return strings.Contains(path.Base(path.Dir(r.URL.Path)), ".")
}

// isAPI reports whether the path, below Config.BasePath, is that of an RPC, of a REST route or of
// the console's session.
func isAPI(r *http.Request) bool {
	return isRPC(r) || strings.HasPrefix(r.URL.Path, "/api/") || r.URL.Path == sessionPath
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
