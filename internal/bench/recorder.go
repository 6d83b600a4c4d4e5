package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	latencyMax     = 10 * time.Minute // longer ones count as this
	latencyFigures = 3                // significant
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, latencyMax.Microseconds(), latencyFigures)
}

// addLatency counts a latency, in whole microseconds.
func addLatency(h *hdrhistogram.Histogram, latency time.Duration) {
	// The value is in range, so there is no error.
	_ = h.RecordValue(min(max(latency.Microseconds(), 1), latencyMax.Microseconds()))
}

// shardsMax is how many recorders the callers of a leg share. One per caller would be 100 MB at
// 1,024 callers; one for all would be a contended lock.
const shardsMax = 8

// A shard counts what some of the callers did. Only those of its callers wait for its lock.
type shard struct {
	done atomic.Int64 // items since the leg began, the warm-up's too; for the rate line
	fail atomic.Int64

	mu        sync.Mutex
	latencies *hdrhistogram.Histogram // of calls without any error
	calls     int64                   // returned inside the window
	items     int64                   // of them, that succeeded
	errors    map[string]int64        // items by error code
}

func newShard() *shard { return &shard{latencies: newHistogram(), errors: map[string]int64{}} }

// record counts one call. Of a call outside the window only errors count: none may go unseen.
func (s *shard) record(latency time.Duration, items int, err error, inWindow bool) {
	s.done.Add(int64(items))
	if err == nil && !inWindow {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if inWindow {
		s.calls++
		s.items += int64(items)
	}
	if err == nil {
		addLatency(s.latencies, latency)
		return
	}
	s.fail.Add(1)
	var each itemErrors
	if !errors.As(err, &each) {
		s.errors[errorCode(err)]++
		return
	}
	for code, n := range each {
		s.errors[code] += int64(n)
	}
}

// itemErrors counts by code the errors inside a batch that as a whole succeeded.
type itemErrors map[string]int

func (e itemErrors) Error() string {
	codes := slices.Sorted(maps.Keys(e))
	for i, code := range codes {
		codes[i] = fmt.Sprintf("%d × %s", e[code], code)
	}
	return strings.Join(codes, ", ")
}

// errorCode returns what errors are counted by: Connect's code, or PostgreSQL's.
func errorCode(err error) string {
	var rpc *connect.Error
	var sql *pgconn.PgError
	switch {
	case errors.As(err, &rpc):
		if rpc.Code() == connect.CodeUnavailable || rpc.Code() == connect.CodeUnknown {
			// Without its text the code does not say what was unavailable. The text varies little,
			// so the list stays short.
			return rpc.Code().String() + ": " + rpc.Message()
		}
		return rpc.Code().String()
	case errors.As(err, &sql):
		return "SQLSTATE " + sql.Code
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "gave up"
	default:
		return err.Error()
	}
}

// expected reports whether an error means that the service is full, which an open loop may well
// provoke. All others mean that something is wrong, since no transfer of the load should be
// refused.
func expected(code string) bool { return code == connect.CodeResourceExhausted.String() }
