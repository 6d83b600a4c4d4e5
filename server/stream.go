package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"connectrpc.com/connect"
)

// A streamInterceptorFunc is an interceptor of server streams only, as connect.UnaryInterceptorFunc
// is of all others.
type streamInterceptorFunc func(connect.StreamingHandlerFunc) connect.StreamingHandlerFunc

// WrapStreamingHandler implements connect.Interceptor.
func (f streamInterceptorFunc) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return f(next)
}

// WrapUnary implements connect.Interceptor.
func (f streamInterceptorFunc) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc { return next }

// WrapStreamingClient implements connect.Interceptor.
func (f streamInterceptorFunc) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// guardStreams does for streams what logCalls, recoverPanics, limitTime and mapErrors do for other
// calls. A stream may last for as long as it makes progress: the time limit is that of each
// message, to be made (see withinStep) and to be taken by the client. A handler that waits for news
// is not limited while it waits.
func (s *Server) guardStreams(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		start := time.Now()
		open := s.metrics.streams.WithLabelValues(conn.Spec().Procedure)
		open.Inc()
		defer open.Dec()
		guarded := &guardedConn{StreamingHandlerConn: conn, ctx: ctx, timeout: s.config.RequestTimeout}
		tellProxies(conn.ResponseHeader())
		// The server's own time limit is for the whole response.
		guarded.limitWrites(time.Time{})
		err := s.runStream(context.WithValue(ctx, stepKey{}, s.config.RequestTimeout), guarded, next)
		// The last message is the status, which Connect still has to write.
		guarded.limitWrites(time.Now().Add(s.config.RequestTimeout))
		s.logCall(ctx, conn.Spec(), conn.Peer(), time.Since(start), err)
		return err
	}
}

// tellProxies tells proxies to pass a stream on as it comes. nginx otherwise buffers responses
// until they end or fill its buffers.
func tellProxies(header http.Header) {
	header.Set("X-Accel-Buffering", "no")
	header.Add("Cache-Control", "no-transform") // beside no-store, which every response has
}

// export returns a handler of a REST route that streams bodies, with its interceptors.
func (s *Server) export(handler connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return s.guardStreams(s.authorizeStreams(s.validation().WrapStreamingHandler(handler)))
}

func (s *Server) runStream(ctx context.Context, conn *guardedConn, next connect.StreamingHandlerFunc) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.panicError(ctx, conn.Spec(), p)
		}
	}()
	if err := next(ctx, conn); err != nil {
		return visibleError(ctx, err)
	}
	return nil
}

type stepKey struct{}

// withinStep bounds what a stream's handler does for its next message by the time that a whole call
// may take.
func withinStep(ctx context.Context) (context.Context, context.CancelFunc) {
	timeout, ok := ctx.Value(stepKey{}).(time.Duration)
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, timeout)
}

// A guardedConn gives each message its own time to be taken by the client.
type guardedConn struct {
	connect.StreamingHandlerConn

	ctx     context.Context // of the call, as the connection is
	timeout time.Duration
}

// Receive implements connect.StreamingHandlerConn. It corrects Connect's errors: for a request that
// cannot be read they are internal, though the fault is the client's.
func (c *guardedConn) Receive(message any) error {
	err := c.StreamingHandlerConn.Receive(message)
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	if malformed := new(decodeError); errors.As(err, &malformed) {
		return malformed
	}
	if c.ctx.Err() != nil {
		return c.ctx.Err()
	}
	switch connect.CodeOf(err) {
	case connect.CodeInternal, connect.CodeUnknown:
		return bodyError(err, 0).err
	default:
		return err
	}
}

// Send implements connect.StreamingHandlerConn.
func (c *guardedConn) Send(message any) error {
	c.limitWrites(time.Now().Add(c.timeout))
	err := c.StreamingHandlerConn.Send(message)
	c.limitWrites(time.Time{})
	switch {
	case err == nil:
		return nil
	case c.ctx.Err() != nil:
		return c.ctx.Err()
	case connect.CodeOf(err) == connect.CodeInternal:
		return fmt.Errorf("encode a message: %v", err) //nolint:errorlint // its text is not for the client
	default:
		// The client is gone, or too slow.
		return fmt.Errorf("%w: %v", context.Canceled, err) //nolint:errorlint // likewise
	}
}

// limitWrites sets when writes fail; the zero time is never. Over HTTP/2 a limit that passes ends
// the stream even when nothing is being written, so there must be none between messages.
func (c *guardedConn) limitWrites(until time.Time) {
	if control := callOf(c.ctx).control; control != nil {
		// An error means that there is no connection to set it on, as in tests.
		_ = control.SetWriteDeadline(until)
	}
}
