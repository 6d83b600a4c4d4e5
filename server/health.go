package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"

	"internaltransfers/ledger"
)

const (
	readyTimeout = 2 * time.Second // for the database to report whether it is ready
	readyKept    = time.Second     // how long a result is reused
	readyWatch   = time.Second     // between checks for watching clients

	// The names of readiness in the gRPC health service. All other names are those of services and
	// mean that writes are taken.
	readyWrite = "ready.write"
	readyRead  = "ready.read"
)

// errDraining means that the server stops.
var errDraining = errors.New("the server is shutting down")

// A readiness is whether the ledger can do something. It queries the database at most once at a
// time, and once in readyKept, however many callers there are.
type readiness struct {
	name string // of the ability, for the log
	ask  func(context.Context) error
	log  *slog.Logger

	mu   sync.Mutex
	last *readyResult // guarded by mu; nil: no result yet
}

// A readyResult is the result of a check of the database, with its time.
type readyResult struct {
	done  chan struct{} // closed when what follows is set
	err   error         // why not; nil: ready
	until time.Time     // when the result expires
}

// now returns why the ledger cannot do it now; nil: it can.
func (r *readiness) now(ctx context.Context) error {
	result := r.result(ctx)
	select {
	case <-result.done:
		return result.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// result returns the last result, or one that is on its way.
func (r *readiness) result(ctx context.Context) *readyResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.last
	if before != nil {
		select {
		case <-before.done:
			if time.Now().Before(before.until) {
				return before
			}
		default:
			return before
		}
	}
	r.last = &readyResult{done: make(chan struct{})}
	go r.find(context.WithoutCancel(ctx), r.last, before)
	return r.last
}

// find sets a result, and logs when it differs from the last one.
func (r *readiness) find(ctx context.Context, a, before *readyResult) {
	defer close(a.done)
	defer func() {
		if p := recover(); p != nil { // a bug, and nothing above this goroutine could catch it
			a.err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			r.log.ErrorContext(ctx, "readiness failed", slog.Any("error", a.err))
		}
		a.until = time.Now().Add(readyKept)
	}()
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	a.err = r.ask(ctx)
	switch was := before == nil || before.err == nil; {
	case a.err != nil && was:
		r.log.WarnContext(ctx, "not ready", slog.String("for", r.name), slog.Any("error", a.err))
	case a.err == nil && !was:
		r.log.InfoContext(ctx, "ready again", slog.String("for", r.name))
	}
}

// notReady returns why the server should get no calls that write, or none that read, now; nil: it
// should.
func (s *Server) notReady(ctx context.Context, r *readiness) error {
	if s.draining.Load() {
		return errDraining
	}
	return r.now(ctx)
}

// alive serves GET /healthcheck: the process runs.
func alive(w http.ResponseWriter, _ *http.Request) {
	writeHealth(w, http.StatusOK, "ok", "")
}

// ready serves GET /readycheck: 200 when a transfer would be taken now, else 503 with the reason.
// With ?for=read, 200 means that reads work.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	asked := s.readyToWrite
	switch what := r.URL.Query().Get("for"); what {
	case "", "write":
	case "read":
		asked = s.readyToRead
	default:
		writeHealth(w, http.StatusBadRequest, "unknown", "for must be write, which it is when it is not given, or read")
		return
	}
	err := s.notReady(r.Context(), asked)
	if err == nil {
		writeHealth(w, http.StatusOK, "ok", "")
		return
	}
	callOf(r.Context()).logged = true // logged when it changed, not at each probe
	switch {
	case errors.Is(err, errDraining):
		writeHealth(w, http.StatusServiceUnavailable, "draining", err.Error())
	default:
		writeHealth(w, http.StatusServiceUnavailable, "unavailable", unavailableText(err))
	}
}

// unavailableText describes the database's problem in plain words, as far as it is known. It
// repeats none of the driver's text.
func unavailableText(err error) string {
	if known, ok := errors.AsType[*ledger.UnavailableError](err); ok && known.Reason != "" {
		return ledger.ErrUnavailable.Error() + ": " + known.Reason
	}
	return ledger.ErrUnavailable.Error()
}

func writeHealth(w http.ResponseWriter, code int, status, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	// A prober that is gone needs no response.
	_ = json.NewEncoder(w).Encode(struct {
		Status string `json:"status"`
		Reason string `json:"reason,omitempty"`
	}{status, reason})
}

// A healthChecker implements the standard gRPC health service, for the process and for each of its
// services.
type healthChecker struct {
	server   *Server
	services []string
}

// lastStatusKey is the context key of the function that ends a watch.
type lastStatusKey struct{}

// Check implements grpchealth.Checker.
func (h *healthChecker) Check(ctx context.Context, req *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	asked, err := h.readiness(req.Service)
	if err != nil {
		return nil, err
	}
	switch err := h.server.notReady(ctx, asked); {
	case err == nil:
		return &grpchealth.CheckResponse{Status: grpchealth.StatusServing}, nil
	case ctx.Err() != nil:
		return nil, connectError(ctx.Err())
	case errors.Is(err, errDraining):
		if end, ok := ctx.Value(lastStatusKey{}).(context.CancelFunc); ok {
			end() // after this status, or draining would wait for the client
		}
	}
	return &grpchealth.CheckResponse{Status: grpchealth.StatusNotServing}, nil
}

func (h *healthChecker) readiness(service string) (*readiness, error) {
	switch {
	case service == readyRead:
		return h.server.readyToRead, nil
	case service == "", service == readyWrite, slices.Contains(h.services, service):
		return h.server.readyToWrite, nil
	default:
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("there is no service %s", clip(service, 100)))
	}
}

// Watch implements grpchealth.Watcher: it checks the status periodically, and when draining begins.
func (h *healthChecker) Watch(_ context.Context, req *grpchealth.CheckRequest, onChange func()) (stop func(), err error) {
	if _, err := h.readiness(req.Service); err != nil {
		return nil, err
	}
	stopped := make(chan struct{})
	go func() {
		ticker := time.NewTicker(readyWatch)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				onChange()
			case <-h.server.watches.Done():
				onChange()
				return
			case <-stopped:
				return
			}
		}
	}()
	return func() { close(stopped) }, nil
}

// endable lets Check end the stream that it is called for.
func endable(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		return next(context.WithValue(ctx, lastStatusKey{}, cancel), conn)
	}
}
