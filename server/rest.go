package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"connectrpc.com/connect"
	"connectrpc.com/vanguard"
)

// A restError is a response to a REST request that never reaches a handler.
type restError struct {
	status int // HTTP
	err    *connect.Error
	allow  string // the methods that the path has, for status 405
}

func restInvalid(field, reason string) *restError {
	return &restError{status: http.StatusBadRequest, err: connectError(invalidField(field, reason))}
}

func restRefusal(status int, code connect.Code, reason, format string, args ...any) *restError {
	return &restError{status: status, err: newError(code, fmt.Errorf(format, args...), info(reason, nil))}
}

// newREST returns the REST routes by handing them to the Connect handlers through vanguard.
//
// Some faulty requests get a text that is no JSON from vanguard, or a status 5xx although the
// client is to blame. They are refused before it comes to that: unknown paths, methods and query
// parameters, bad values of them, other media types, bodies that are too large or where none
// belongs.
func newREST(services []service, bodies *bodies) (http.Handler, error) {
	restServices := make([]*vanguard.Service, len(services))
	var routes restRoutes
	for i, s := range services {
		restServices[i] = vanguard.NewService(s.name, s.handler,
			vanguard.WithTargetProtocols(vanguard.ProtocolConnect),
			vanguard.WithTargetCodecs(vanguard.CodecJSON),
		)
		if err := routes.add(s, bodies); err != nil {
			return nil, err
		}
	}
	codec := restJSON{vanguard.JSONCodec{MarshalOptions: jsonMarshal}, routes.bodyFields()}
	transcoder, err := vanguard.NewTranscoder(restServices,
		vanguard.WithCodec(func(vanguard.TypeResolver) vanguard.Codec { return codec }),
		vanguard.WithUnknownHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			notFoundRoute(r).write(w)
		})),
	)
	if err != nil {
		return nil, fmt.Errorf("REST routes: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := callOf(r.Context())
		c.rest = true
		held := &share{of: bodies.memory}
		defer held.release()
		route, values, refused := routes.check(r, held)
		if refused != nil {
			c.refused = refused.err
			refused.write(w)
			return
		}
		if route.export != nil {
			route.serveExport(w, r, values)
			return
		}
		transcoder.ServeHTTP(w, r)
	}), nil
}

// write returns as vanguard does: a google.rpc.Status with a numeric code.
func (e *restError) write(w http.ResponseWriter) {
	body, err := marshalJSON(nil, rpcStatus(e.err))
	if err != nil {
		body = []byte(`{"code":13,"message":"the error could not be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	if e.allow != "" {
		w.Header().Set("Allow", e.allow)
	}
	if after := e.err.Meta().Get("Retry-After"); after != "" {
		w.Header().Set("Retry-After", after)
	}
	w.WriteHeader(e.status)
	_, _ = w.Write(body) // a client that is gone needs no response
}

func notFoundRoute(r *http.Request) *restError {
	return restRefusal(http.StatusNotFound, connect.CodeNotFound, "ROUTE_NOT_FOUND",
		"there is no route %s", clip(r.URL.Path, 200))
}

// check refuses requests that vanguard mishandles, and puts the rest in the form that it
// understands. It returns the request's route and the values of its path variables.
func (routes *restRoutes) check(r *http.Request, held *share) (*restRoute, []string, *restError) {
	route, values, allow := routes.match(r.URL.Path, r.Method)
	if route == nil && allow != "" {
		refused := restRefusal(http.StatusMethodNotAllowed, connect.CodeUnimplemented, "METHOD_NOT_ALLOWED",
			"%s does not take %s, only %s", clip(r.URL.Path, 200), clip(r.Method, 20), allow)
		refused.allow = allow
		return nil, nil, refused
	}
	if route == nil {
		return nil, nil, notFoundRoute(r)
	}
	for i, value := range values {
		// vanguard unescapes a value once more, so a percent sign would not arrive; no id has one.
		if !utf8.ValidString(value) || strings.Contains(value, "%") {
			return nil, nil, restInvalid(route.variables[i].field, "must be a UUID")
		}
	}
	if refused := route.checkQuery(r); refused != nil {
		return nil, nil, refused
	}
	if refused := checkTimeout(r.Header.Get("X-Server-Timeout")); refused != nil {
		return nil, nil, refused
	}
	// With this header vanguard would look for a Connect call at this path.
	r.Header.Del("Connect-Protocol-Version")
	body, refused := route.prepareBody(r, held)
	if refused != nil {
		return nil, nil, refused
	}
	return route, values, route.checkAgainstPath(body, values)
}

// checkAgainstPath refuses a body that contradicts the path, which vanguard would ignore.
func (route *restRoute) checkAgainstPath(body []byte, values []string) *restError {
	for i, variable := range route.variables {
		if len(body) == 0 || variable.inBody == nil {
			continue
		}
		var fields map[string]json.RawMessage
		if json.Unmarshal(body, &fields) != nil {
			return nil // the codec reports the error
		}
		for _, name := range variable.inBody {
			var text string
			if given, ok := fields[name]; ok && json.Unmarshal(given, &text) == nil && text != "" &&
				!strings.EqualFold(text, values[i]) {
				return restInvalid(variable.field, "is another one in the body than in the path")
			}
		}
	}
	return nil
}

// checkTimeout reads the header that sets a REST client's deadline, in seconds.
func checkTimeout(text string) *restError {
	if text == "" {
		return nil
	}
	const dayInSeconds = 24 * 60 * 60
	if seconds, err := strconv.ParseFloat(text, 64); err != nil || !(seconds > 0 && seconds <= dayInSeconds) {
		return restInvalid("X-Server-Timeout", "must be a number of seconds, greater than zero and at most a day")
	}
	return nil
}

// prepareBody reads the body, uncompressed, so that vanguard only ever sees a whole one of a size
// that is allowed.
func (route *restRoute) prepareBody(r *http.Request, held *share) ([]byte, *restError) {
	encoding := r.Header.Get("Content-Encoding")
	if encoding != "" && encoding != "identity" && encoding != "gzip" {
		return nil, restRefusal(http.StatusUnsupportedMediaType, connect.CodeInvalidArgument, "UNSUPPORTED_ENCODING",
			"Content-Encoding: %q is not supported; gzip is", clip(encoding, 64))
	}
	body, err := held.readRequest(r, route.kind.max)
	if err == nil && encoding == "gzip" && len(body) > 0 { // an empty body is no body, compressed or not
		body, err = held.unzip(body, route.kind.max)
	}
	if err != nil {
		return nil, refusedBody(r, err, route.kind.max)
	}
	if len(body) > 0 && !route.takesBody {
		return nil, restRefusal(http.StatusBadRequest, connect.CodeInvalidArgument, "UNEXPECTED_BODY",
			"%s %s takes no body; give fields as query parameters", r.Method, clip(r.URL.Path, 200))
	}
	if (len(body) > 0 || route.method == http.MethodPost) && !isJSON(r.Header.Get("Content-Type")) {
		// No other type is guessed, and a missing one is refused too: web pages can send those
		// types without a preflight. So they can a POST without a body.
		return nil, restRefusal(http.StatusUnsupportedMediaType, connect.CodeInvalidArgument, "UNSUPPORTED_MEDIA_TYPE",
			"Content-Type: %q is not supported; send application/json", clip(r.Header.Get("Content-Type"), 64))
	}
	r.Header.Del("Content-Encoding")
	r.Header.Del("Content-Type")
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	setBody(r, bytes.NewReader(body), int64(len(body)))
	if err := checkJSON(body, route.plan, route.kind.fewest, held); err != nil {
		if route.bodyField != nil {
			err = within(string(route.bodyField.Name()), err)
		}
		return nil, bodyError(err, route.kind.max)
	}
	// vanguard writes the message once more, for the handler to read.
	if err := held.resize(2 * held.bytes); err != nil {
		return nil, bodyError(err, route.kind.max)
	}
	return body, nil
}

// isJSON reports whether the media type is JSON in UTF-8.
func isJSON(contentType string) bool {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || media != "application/json" {
		return false
	}
	charset, given := params["charset"]
	return !given || strings.EqualFold(charset, "utf-8")
}
