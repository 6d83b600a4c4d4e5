package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/grpchealth"
)

// TestReadinessIsShared: a flood of probes queries the database once, and again after a second. The
// log has a line when the result changes, not more often.
func TestReadinessIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var asked atomic.Int64
		broken := errors.New("broken")
		var result error
		r := &readiness{name: "writing", log: slog.New(slog.NewTextHandler(&log, nil)), ask: func(ctx context.Context) error {
			asked.Add(1)
			select {
			case <-time.After(500 * time.Millisecond):
				return result
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		flood := func(want error) {
			t.Helper()
			var probes sync.WaitGroup
			for range 1000 {
				probes.Go(func() {
					if err := r.now(t.Context()); !errors.Is(err, want) {
						t.Errorf("ready: %v, want %v", err, want)
					}
				})
			}
			probes.Wait()
		}
		pass := func(d time.Duration) { <-time.After(d) }
		flood(nil)
		pass(readyKept - time.Millisecond)
		flood(nil)
		if asked.Load() != 1 {
			t.Errorf("queried %d times, want once", asked.Load())
		}
		result = broken
		for range 3 {
			pass(readyKept)
			flood(broken)
		}
		result = nil
		pass(readyKept)
		flood(nil)
		if asked.Load() != 5 {
			t.Errorf("queried %d times, want 5", asked.Load())
		}
		if got := strings.Count(log.String(), "\n"); got != 2 || !strings.Contains(log.String(), "not ready") || !strings.Contains(log.String(), "ready again") {
			t.Errorf("the log has %d lines, want 2:\n%s", got, log.String())
		}
	})
}

// TestReadinessIsBounded: a prober that gives up does not end the check for the others. A missing
// response means not ready, and so does a panic.
func TestReadinessIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &readiness{name: "writing", log: slog.New(slog.DiscardHandler), ask: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		hasty, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := r.now(hasty); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a hasty prober: %v", err)
		}
		began := time.Now()
		if err := r.now(t.Context()); err == nil || time.Since(began) > readyTimeout {
			t.Errorf("a patient one: %v after %s", err, time.Since(began))
		}
		r.ask = func(context.Context) error { panic("a bug") }
		<-time.After(readyKept)
		if err := r.now(t.Context()); err == nil || !strings.Contains(err.Error(), "a bug") {
			t.Errorf("a panic: %v", err)
		}
	})
}

// TestNotReadyWhileDraining: both kinds of readiness end with the draining, whatever the database's
// state.
func TestNotReadyWhileDraining(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Config{Logger: slog.New(slog.DiscardHandler)})
	s.readyToWrite.ask = func(context.Context) error { return nil }
	s.readyToRead.ask = s.readyToWrite.ask
	check := func(status int, body string, health grpchealth.Status) {
		t.Helper()
		for _, path := range []string{"/readycheck", "/readycheck?for=read", "/readycheck?for=write"} {
			recorder := httptest.NewRecorder()
			s.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
			if got := strings.TrimSpace(recorder.Body.String()); recorder.Code != status || got != body {
				t.Errorf("%s: %d %s, want %d %s", path, recorder.Code, got, status, body)
			}
		}
		for _, service := range []string{"", readyRead, readyWrite} {
			got, err := (&healthChecker{server: s}).Check(t.Context(), &grpchealth.CheckRequest{Service: service})
			if err != nil || got.Status != health {
				t.Errorf("health of %q: %v %v, want %v", service, got, err, health)
			}
		}
	}
	check(http.StatusOK, `{"status":"ok"}`, grpchealth.StatusServing)
	s.draining.Store(true)
	check(http.StatusServiceUnavailable, `{"status":"draining","reason":"the server is shutting down"}`, grpchealth.StatusNotServing)
}
