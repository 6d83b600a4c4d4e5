package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"buf.build/go/protovalidate"
	"connectrpc.com/connect"
	"connectrpc.com/validate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"

	"internaltransfers/gen/transfers/v1/transfersv1connect"
	"internaltransfers/ledger"
)

// interceptors wrap every handler, the outermost first. The log comes before the recovery, so that
// a call that panicked has its line too. The error map sees the errors of validation and handler.
func (s *Server) interceptors() connect.HandlerOption {
	return connect.WithInterceptors(
		connect.UnaryInterceptorFunc(s.logCalls),
		connect.UnaryInterceptorFunc(s.recoverPanics),
		connect.UnaryInterceptorFunc(s.limitTime),
		connect.UnaryInterceptorFunc(s.mapErrors),
		connect.UnaryInterceptorFunc(s.authorize),
		connect.UnaryInterceptorFunc(limitAnswers),
		streamInterceptorFunc(s.guardStreams), // all of these for streams
		streamInterceptorFunc(s.authorizeStreams),
		s.validation(),
	)
}

// validation refuses requests that break the rules in the proto files.
func (s *Server) validation() connect.Interceptor {
	return validate.NewInterceptor(validate.WithValidator(s.validator), validate.WithoutErrorDetails())
}

// logCalls logs and counts each call.
func (s *Server) logCalls(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		start := time.Now()
		res, err := next(ctx, req)
		s.logCall(ctx, req.Spec(), req.Peer(), time.Since(start), err)
		return res, err
	}
}

// logCall writes one line for a call that has ended, and counts it. Of the request's content, the
// line has only the ids that an error is about.
func (s *Server) logCall(ctx context.Context, spec connect.Spec, peer connect.Peer, took time.Duration, err error) {
	s.metrics.done(spec.Procedure, err, took)
	c := callOf(ctx)
	c.logged = true
	level, code := slog.LevelDebug, "ok"
	if err != nil {
		level, code = logLevel(connect.CodeOf(err)), connect.CodeOf(err).String()
	}
	if errors.Is(c.cause, ledger.ErrClosed) {
		level = slog.LevelInfo // streams end so whenever a server stops
	}
	if !s.logger.Enabled(ctx, level) {
		return
	}
	protocol := peer.Protocol
	if c.rest {
		protocol = "rest"
	}
	attrs := []slog.Attr{
		slog.String("procedure", spec.Procedure),
		slog.String("protocol", protocol),
		slog.String("code", code),
		slog.Duration("duration", took),
		slog.String("peer", cmp.Or(c.peer, peer.Addr)),
		slog.String("request_id", c.id),
	}
	if c.caller != nil {
		attrs = append(attrs, slog.String("actor", c.caller.Name), slog.String("api_key_id", c.caller.KeyID.String()))
	}
	attrs = append(attrs, errorAttrs(err)...)
	if c.cause != nil {
		attrs = append(attrs, slog.String("error", c.cause.Error()))
	}
	s.logger.LogAttrs(ctx, level, "call", attrs...)
}

// errorAttrs returns the reason of an error that a client sees, and the ids that it is about.
func errorAttrs(err error) []slog.Attr {
	failed, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return nil
	}
	for _, detail := range failed.Details() {
		message, err := detail.Value()
		info, ok := message.(*errdetails.ErrorInfo)
		if err != nil || !ok {
			continue
		}
		attrs := []slog.Attr{slog.String("reason", info.GetReason())}
		for _, key := range slices.Sorted(maps.Keys(info.GetMetadata())) {
			if strings.HasSuffix(key, "_id") {
				attrs = append(attrs, slog.String(key, clip(info.GetMetadata()[key], 100)))
			}
		}
		return attrs
	}
	return nil
}

// logLevel returns ERROR for errors that need the operator, INFO for errors of the client, and
// DEBUG for neither: browsers close streams all the time.
func logLevel(code connect.Code) slog.Level {
	switch code {
	case connect.CodeInternal, connect.CodeUnknown, connect.CodeDataLoss, connect.CodeUnavailable:
		return slog.LevelError
	case connect.CodeCanceled:
		return slog.LevelDebug
	default:
		return slog.LevelInfo
	}
}

// recoverPanics makes a panic of a handler an internal error, so that it ends one call and not the
// process's others.
func (s *Server) recoverPanics(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (res connect.AnyResponse, err error) {
		defer func() {
			if p := recover(); p != nil {
				res, err = nil, s.panicError(ctx, req.Spec(), p)
			}
		}()
		return next(ctx, req)
	}
}

// panicError makes a handler's recovered panic an error, and logs it.
func (s *Server) panicError(ctx context.Context, spec connect.Spec, p any) error {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p) // a handler's way to have net/http cut the connection
	}
	c := callOf(ctx)
	c.cause = fmt.Errorf("panic: %v", p)
	s.logger.ErrorContext(ctx, "panic", "procedure", spec.Procedure, "request_id", c.id,
		"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	return connectError(c.cause)
}

// limitTime bounds a call by the configured time, unless the client's deadline is earlier.
func (s *Server) limitTime(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		ctx, cancel := context.WithTimeout(ctx, s.timeLimit(ctx, req.Spec()))
		defer cancel()
		return next(ctx, req)
	}
}

// timeLimit returns the configured time of a call. A proof has its own, longer than net/http allows
// the response to any other call.
func (s *Server) timeLimit(ctx context.Context, spec connect.Spec) time.Duration {
	if spec.Procedure != transfersv1connect.LedgerServiceCheckLedgerProcedure {
		return s.config.RequestTimeout
	}
	if control := callOf(ctx).control; control != nil {
		// An error means that there is no connection to set it on, as in tests.
		_ = control.SetWriteDeadline(time.Now().Add(s.config.CheckTimeout + s.config.RequestTimeout))
	}
	return s.config.CheckTimeout
}

// mapErrors makes every error one that a client may see.
func (s *Server) mapErrors(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		res, err := next(ctx, req)
		if err != nil {
			return nil, visibleError(ctx, err)
		}
		return res, nil
	}
}

// visibleError makes an error one that a client may see, and keeps the cause for the log if the
// text hides it.
func visibleError(ctx context.Context, err error) error {
	if violations := new(protovalidate.ValidationError); errors.As(err, &violations) {
		err = violations // without the Connect error around it, which has other text and details
	}
	mapped := connectError(err)
	if logLevel(mapped.Code()) == slog.LevelError {
		callOf(ctx).cause = err
	}
	return mapped
}

// validateAllBytes is the size up to which a request has all its violations reported, not only the
// first.
const validateAllBytes = 64 << 10

// A boundedValidator stops at the first violation of a large message, so that a body with a million
// broken fields costs no more than one with a few.
type boundedValidator struct {
	protovalidate.Validator
}

func newValidator() (protovalidate.Validator, error) {
	validator, err := protovalidate.New()
	if err != nil {
		return nil, err
	}
	return boundedValidator{validator}, nil
}

// Validate implements protovalidate.Validator.
func (v boundedValidator) Validate(message proto.Message, options ...protovalidate.ValidationOption) error {
	if proto.Size(message) > validateAllBytes {
		options = append(options, protovalidate.WithFailFast())
	}
	return v.Validator.Validate(message, options...)
}
