package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// serveExport serves a route whose response is a stream of bodies, a file of any length. vanguard
// would keep all of it in memory first. A file that fails half-way is cut off, so that no client
// takes it for a whole one.
func (route *restRoute) serveExport(w http.ResponseWriter, r *http.Request, values []string) {
	ctx := r.Context()
	if text := r.Header.Get("X-Server-Timeout"); text != "" {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			panic(err) // it was checked
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(seconds*float64(time.Second)))
		defer cancel()
	}
	conn := &restConn{route: route, request: route.message(r, values), header: r.Header, w: w}
	whole := resetUnlessWhole(r)
	err := route.export(ctx, conn)
	switch {
	case err == nil:
		whole()
	case conn.began:
		panic(http.ErrAbortHandler)
	default:
		whole() // the error is a whole response
		failed := connectError(err)
		(&restError{status: httpStatus(failed.Code()), err: failed}).write(w)
	}
}

// message returns the request in JSON. Path and query were checked.
func (route *restRoute) message(r *http.Request, values []string) []byte {
	fields := map[string]any{}
	for i, variable := range route.variables {
		fields[variable.field] = values[i]
	}
	for name, given := range r.URL.Query() {
		fields[name] = given[0]
		if route.query[name].Kind() == protoreflect.BoolKind {
			fields[name] = given[0] == "true"
		}
	}
	message, err := json.Marshal(fields)
	if err != nil {
		panic(err) // texts and booleans always encode
	}
	return message
}

// A restConn is a REST request as a stream: one message in, bodies out.
type restConn struct {
	route   *restRoute
	request []byte // in JSON; nil when it was received
	header  http.Header
	w       http.ResponseWriter
	began   bool // the response
}

// Spec implements connect.StreamingHandlerConn.
func (c *restConn) Spec() connect.Spec {
	return connect.Spec{StreamType: connect.StreamTypeServer, Procedure: c.route.procedure}
}

// Peer implements connect.StreamingHandlerConn.
func (c *restConn) Peer() connect.Peer { return connect.Peer{} }

// Receive implements connect.StreamingHandlerConn.
func (c *restConn) Receive(message any) error {
	request, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("a request cannot be a %T", message)
	}
	if c.request == nil {
		return io.EOF
	}
	text := c.request
	c.request = nil
	return unmarshalJSON(text, request)
}

// RequestHeader implements connect.StreamingHandlerConn.
func (c *restConn) RequestHeader() http.Header { return c.header }

// Send implements connect.StreamingHandlerConn.
func (c *restConn) Send(message any) error {
	body, ok := message.(*httpbody.HttpBody)
	if !ok {
		return connect.NewError(connect.CodeInternal, fmt.Errorf("an answer over REST cannot be a %T", message))
	}
	if !c.began {
		c.began = true
		c.w.Header().Set("Content-Type", body.GetContentType())
	}
	if _, err := c.w.Write(body.GetData()); err != nil {
		return err
	}
	return http.NewResponseController(c.w).Flush()
}

// ResponseHeader implements connect.StreamingHandlerConn.
func (c *restConn) ResponseHeader() http.Header { return c.w.Header() }

// ResponseTrailer implements connect.StreamingHandlerConn. REST has none.
func (c *restConn) ResponseTrailer() http.Header { return http.Header{} }

// httpStatus returns vanguard's HTTP status of an error.
func httpStatus(code connect.Code) int {
	switch code {
	case connect.CodeCanceled:
		return 499
	case connect.CodeInvalidArgument, connect.CodeFailedPrecondition, connect.CodeOutOfRange:
		return http.StatusBadRequest
	case connect.CodeDeadlineExceeded:
		return http.StatusGatewayTimeout
	case connect.CodeNotFound:
		return http.StatusNotFound
	case connect.CodeAlreadyExists, connect.CodeAborted:
		return http.StatusConflict
	case connect.CodePermissionDenied:
		return http.StatusForbidden
	case connect.CodeResourceExhausted:
		return http.StatusTooManyRequests
	case connect.CodeUnimplemented:
		return http.StatusNotImplemented
	case connect.CodeUnavailable:
		return http.StatusServiceUnavailable
	case connect.CodeUnauthenticated:
		return http.StatusUnauthorized
	default:
		return http.StatusInternalServerError
	}
}
