package bench

import (
	"context"
	"errors"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/durationpb"
)

// scripted returns a contender whose calls take times from a script, in the order in which they
// begin; later ones take rest. It serves one caller at a time.
func scripted(rest time.Duration, script ...time.Duration) *contender {
	return &contender{name: "scripted", batch: 1, newCaller: func(context.Context, int, int) (call, func(), error) {
		return func(ctx context.Context) (int, error) {
			takes := rest
			if len(script) > 0 {
				takes, script = script[0], script[1:]
			}
			return one(wait(ctx, takes))
		}, func() {}, nil
	}}
}

// inBubble runs a leg on a clock of its own, so that its times are exact.
func inBubble(t *testing.T, l *leg, check func(t *testing.T, s *sample)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, err := l.run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		check(t, s)
	})
}

// near compares a latency of the histogram, which keeps three figures, in microseconds.
func near(got int64, want time.Duration) bool {
	return float64(got) >= 0.998*float64(want.Microseconds()) && float64(got) <= 1.002*float64(want.Microseconds())
}

// TestClosedLoop: each caller makes its next call when the last one has returned; a call that
// returns in the window counts.
func TestClosedLoop(t *testing.T) {
	l := &leg{contender: scripted(90 * time.Millisecond), callers: 1, warmUp: time.Second, window: 2 * time.Second}
	inBubble(t, l, func(t *testing.T, s *sample) {
		// Responses come at 90, 180, … ms: the 12th at 1,080 is the first inside, the 33rd at 2,970
		// is the last.
		if s.calls != 22 || s.items != 22 || s.elapsed != 2*time.Second {
			t.Errorf("%d calls with %d items in %s, want 22 in 2 s", s.calls, s.items, s.elapsed)
		}
		if !near(s.latencies.Min(), 90*time.Millisecond) || !near(s.latencies.Max(), 90*time.Millisecond) {
			t.Errorf("latencies from %d to %d µs, want 90 ms", s.latencies.Min(), s.latencies.Max())
		}
	})
}

// TestOpenLoopFeelsStalls: when the server stalls for a second, the calls that were due meanwhile
// have waited too, though they were not made before its end. A closed loop would have one slow call
// among fast ones.
func TestOpenLoopFeelsStalls(t *testing.T) {
	const ms = time.Millisecond
	l := &leg{
		contender: scripted(ms, ms, ms, 1001*ms), callers: 1, rate: 10, window: 3 * time.Second,
	}
	inBubble(t, l, func(t *testing.T, s *sample) {
		if s.calls != 30 || s.unmade != 0 {
			t.Fatalf("%d calls and %d unmade, want 30 and none", s.calls, s.unmade)
		}
		// The third call, due at 200 ms, returns at 1,201 ms; the calls due at 300, 400, … 1,200 ms
		// come right after it, a millisecond each, and so have latencies of 902, 803, … 11 ms.
		for percent, want := range map[float64]time.Duration{
			100: 1001 * ms, 96.6: 902 * ms, 93.3: 803 * ms, 66.6: 11 * ms, 60: 1 * ms, 50: ms,
		} {
			if got := s.latencies.ValueAtQuantile(percent); !near(got, want) {
				t.Errorf("percentile %v is %d µs, want %s", percent, got, want)
			}
		}
	})
}

// TestOpenLoopCountsUnmadeCalls: a server that is too slow for the rate does not look better for
// the calls that no caller was free to make.
func TestOpenLoopCountsUnmadeCalls(t *testing.T) {
	l := &leg{contender: scripted(time.Second), callers: 2, rate: 10, window: 2*time.Second - time.Millisecond}
	inBubble(t, l, func(t *testing.T, s *sample) {
		// Calls due at 0, 0.1, 0.2 and 0.3 s are made; 16 are due until 1.9 s and are not.
		if s.calls != 4 || s.unmade != 16 || s.latencies.TotalCount() != 20 {
			t.Errorf("%d calls and %d unmade, %d latencies; want 4, 16, 20", s.calls, s.unmade, s.latencies.TotalCount())
		}
		if !near(s.latencies.Max(), 1800*time.Millisecond) { // due at 0.3 s, begun at 1.1 s
			t.Errorf("the longest is %d µs, want 1.8 s", s.latencies.Max())
		}
		if s.elapsed != 2100*time.Millisecond {
			t.Errorf("elapsed %s, want until the last response, 2.1 s", s.elapsed)
		}
	})
}

// TestOpenLoopKeepsTheRate: with callers to spare, calls begin when they are due, and warm-up calls
// do not count.
func TestOpenLoopKeepsTheRate(t *testing.T) {
	l := &leg{contender: scripted(5 * time.Millisecond), callers: 4, rate: 500, warmUp: time.Second, window: time.Second}
	inBubble(t, l, func(t *testing.T, s *sample) {
		if s.calls != 500 || !near(s.latencies.Max(), 5*time.Millisecond) {
			t.Errorf("%d calls, the longest %d µs; want 500 of 5 ms", s.calls, s.latencies.Max())
		}
	})
}

// TestErrorsCount: an error is never lost, not even in the warm-up, and has no latency.
func TestErrorsCount(t *testing.T) {
	s := newShard()
	s.record(time.Second, 0, connect.NewError(connect.CodeAborted, errors.New("x")), false)
	s.record(time.Second, 0, connect.NewError(connect.CodeAborted, errors.New("y")), true)
	s.record(time.Second, 7, itemErrors{"failed_precondition": 2, "internal": 1}, true)
	s.record(time.Second, 10, nil, true)
	s.record(time.Second, 10, nil, false)
	if want := map[string]int64{"aborted": 2, "failed_precondition": 2, "internal": 1}; !maps.Equal(s.errors, want) {
		t.Errorf("errors %v, want %v", s.errors, want)
	}
	if s.calls != 3 || s.items != 17 || s.latencies.TotalCount() != 1 || s.done.Load() != 27 {
		t.Errorf("%d calls, %d items, %d latencies, %d done", s.calls, s.items, s.latencies.TotalCount(), s.done.Load())
	}
	m := Measurement{Errors: map[string]int64{"resource_exhausted": 5, "aborted": 2}}
	if m.Unexpected() != 2 {
		t.Errorf("%d unexpected errors, want 2", m.Unexpected())
	}
}

// TestRetryDelay: a caller waits for the delay in the error.
func TestRetryDelay(t *testing.T) {
	full := connect.NewError(connect.CodeResourceExhausted, errors.New("full"))
	detail, err := connect.NewErrorDetail(&errdetails.RetryInfo{RetryDelay: durationpb.New(250 * time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	full.AddDetail(detail)
	if got := retryDelay(full); got != 250*time.Millisecond {
		t.Errorf("after resource_exhausted: %s", got)
	}
	if got := retryDelay(connect.NewError(connect.CodeInternal, errors.New("x"))); got != 0 {
		t.Errorf("after internal: %s", got)
	}
}

// TestLegEnds: the end of the context ends callers that wait for a response.
func TestLegEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("enough"))
		defer cancel()
		l := &leg{contender: scripted(time.Hour), callers: 3, window: time.Minute}
		if _, err := l.run(ctx); err == nil || err.Error() != "enough" {
			t.Errorf("the leg ended with %v", err)
		}
	})
}
