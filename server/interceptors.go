package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"buf.build/go/protovalidate"
	"connectrpc.com/connect"
	"connectrpc.com/validate"
	"google.golang.org/protobuf/proto"
)

// interceptors wrap every handler, the outermost first. The log comes before the recovery, so that a call that
// panicked has its line too; the error map sees what validation and handler answer.
func (s *Server) interceptors() connect.HandlerOption {
	return connect.WithInterceptors(
		connect.UnaryInterceptorFunc(s.logCalls),
		connect.UnaryInterceptorFunc(s.recoverPanics),
		connect.UnaryInterceptorFunc(s.limitTime),
		connect.UnaryInterceptorFunc(s.mapErrors),
		validate.NewInterceptor(validate.WithValidator(s.validator), validate.WithoutErrorDetails()),
	)
}

// logCalls writes one line for each call, with nothing of what the request says, and counts it.
func (s *Server) logCalls(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		start := time.Now()
		res, err := next(ctx, req)
		took := time.Since(start)
		s.metrics.done(req.Spec().Procedure, err, took)
		c := callOf(ctx)
		c.logged = true
		level, code := slog.LevelDebug, "ok"
		if err != nil {
			level, code = logLevel(connect.CodeOf(err)), connect.CodeOf(err).String()
		}
		if !s.logger.Enabled(ctx, level) {
			return res, err
		}
		protocol := req.Peer().Protocol
		if c.rest {
			protocol = "rest"
		}
		attrs := []slog.Attr{
			slog.String("procedure", req.Spec().Procedure),
			slog.String("protocol", protocol),
			slog.String("code", code),
			slog.Duration("duration", took),
			slog.String("request_id", c.id),
		}
		if c.cause != nil {
			attrs = append(attrs, slog.String("error", c.cause.Error()))
		}
		s.logger.LogAttrs(ctx, level, "call", attrs...)
		return res, err
	}
}

// logLevel is ERROR for what the operator must look into, INFO for what is the client's own doing.
func logLevel(code connect.Code) slog.Level {
	switch code {
	case connect.CodeInternal, connect.CodeUnknown, connect.CodeDataLoss, connect.CodeUnavailable:
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}

// recoverPanics makes a panic of a handler an internal error, so that it ends one call and not the process's others.
func (s *Server) recoverPanics(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (res connect.AnyResponse, err error) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p) // a handler's way to have net/http cut the connection
			}
			c := callOf(ctx)
			c.cause = fmt.Errorf("panic: %v", p)
			s.logger.ErrorContext(ctx, "panic", "procedure", req.Spec().Procedure, "request_id", c.id,
				"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			res, err = nil, connectError(c.cause)
		}()
		return next(ctx, req)
	}
}

// limitTime bounds a call by the configured time; a shorter deadline of the client's stays.
func (s *Server) limitTime(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		ctx, cancel := context.WithTimeout(ctx, s.config.RequestTimeout)
		defer cancel()
		return next(ctx, req)
	}
}

// mapErrors makes every error one that a client may see, and keeps the cause for the log if the text hides it.
func (s *Server) mapErrors(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		res, err := next(ctx, req)
		if err == nil {
			return res, nil
		}
		if violations := new(protovalidate.ValidationError); errors.As(err, &violations) {
			err = violations // without the Connect error around it, whose text and details are not ours
		}
		mapped := connectError(err)
		if logLevel(mapped.Code()) == slog.LevelError {
			callOf(ctx).cause = err
		}
		return nil, mapped
	}
}

// validateAllBytes is the size up to which a request has all its violations reported, not only the first.
const validateAllBytes = 64 << 10

// A boundedValidator stops at the first violation of a large message, so that a body with a million broken fields
// costs no more than one with a few.
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
