package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"github.com/HdrHistogram/hdrhistogram-go"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
)

// A call makes one request and returns how many of its items (transfers, or reads) succeeded. It is
// made by one caller at a time.
type call func(ctx context.Context) (items int, err error)

// A contender makes transfers in its own way.
type contender struct {
	name     string
	workload string
	batch    int    // items a call
	probe    *probe // of its server, where a system has two; nil: the system's
	// newCaller prepares one of the callers of a leg. stop is called when the leg is over.
	newCaller func(ctx context.Context, index, callers int) (do call, stop func(), err error)
	// check fails when the contender lost or made money. nil: it is checked at the run's end.
	check func(ctx context.Context) error
}

// A leg is one contender under one load for a while.
type leg struct {
	contender *contender
	callers   int
	rate      float64 // calls a second; 0: closed loop
	warmUp    time.Duration
	window    time.Duration
	// observe reads the counters of processes and database, at both ends of the window; nil:
	// nothing to read.
	observe func(ctx context.Context) (observation, error)
	// progress gets each tick; nil: no progress.
	progress func(tick)
	tick     time.Duration // between two of them; 0: a second

	shards             []*shard
	start, from, until time.Time    // until is when callers stop, from is when the window begins
	claimed            atomic.Int64 // open loop: calls that a caller took
}

// A tick is the state of a leg at one moment.
type tick struct {
	elapsed time.Duration // since the leg's start
	rate    float64       // items a second since the last tick
	failed  int64         // errors since the start
	warm    bool          // the window has begun
}

// drainMax bounds the wait for responses after a window's end.
const drainMax = 30 * time.Second

// run makes the load and returns what was measured.
func (l *leg) run(ctx context.Context) (*sample, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	calls := make([]call, l.callers)
	for i := range calls {
		do, stop, err := l.contender.newCaller(ctx, i, l.callers)
		if err != nil {
			return nil, fmt.Errorf("%s: prepare caller %d: %w", l.contender.name, i, err)
		}
		defer stop()
		calls[i] = do
	}
	l.shards = make([]*shard, min(l.callers, shardsMax))
	for i := range l.shards {
		l.shards[i] = newShard()
	}
	l.start = time.Now()
	l.from = l.start.Add(l.warmUp)
	l.until = l.from.Add(l.window)
	loop := l.closedLoop
	if l.rate > 0 {
		loop = l.openLoop
	}
	var callers sync.WaitGroup
	for i, do := range calls {
		callers.Go(func() { loop(ctx, l.shards[i%len(l.shards)], do) })
	}
	s, err := l.watch(ctx)
	if err != nil {
		cancel() // or the callers would go on to the window's end
	}
	drained := time.AfterFunc(drainMax, cancel)
	callers.Wait()
	drained.Stop()
	if err != nil {
		return nil, err
	}
	l.collect(s)
	return s, nil
}

// watch waits for both ends of the window, reads the counters there, and reports progress.
func (l *leg) watch(ctx context.Context) (*sample, error) {
	if err := wait(ctx, time.Until(l.from)); err != nil {
		return nil, err
	}
	before, err := l.observed(ctx)
	if err != nil {
		return nil, err
	}
	every := l.tick
	if every == 0 {
		every = time.Second
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	end := time.NewTimer(time.Until(l.until))
	defer end.Stop()
	var rates []float64
	done, last := l.done(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case now := <-ticker.C:
			newDone := l.done()
			rate := float64(newDone-done) / now.Sub(last).Seconds()
			done, last = newDone, now
			rates = append(rates, rate)
			if l.progress != nil {
				l.progress(tick{elapsed: now.Sub(l.start), rate: rate, failed: l.failed(), warm: true})
			}
		case <-end.C:
			after, err := l.observed(ctx)
			if err != nil {
				return nil, err
			}
			return &sample{usage: after.since(before), rates: rates, tick: every}, nil
		}
	}
}

func (l *leg) observed(ctx context.Context) (observation, error) {
	if l.observe == nil {
		return observation{}, nil
	}
	return l.observe(ctx)
}

func (l *leg) done() (n int64) {
	for _, s := range l.shards {
		n += s.done.Load()
	}
	return n
}

func (l *leg) failed() (n int64) {
	for _, s := range l.shards {
		n += s.fail.Load()
	}
	return n
}

// wait waits for a time to pass, or for ctx to end, whose cause it then returns.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// closedLoop makes calls one after the other. A call counts when it returns inside the window.
func (l *leg) closedLoop(ctx context.Context, s *shard, do call) {
	for begun := time.Now(); begun.Before(l.until) && ctx.Err() == nil; {
		items, err := do(ctx)
		now := time.Now()
		s.record(now.Sub(begun), items, err, !now.Before(l.from) && now.Before(l.until))
		if err != nil && wait(ctx, retryDelay(err)) != nil {
			return
		}
		begun = now
		if err != nil {
			begun = time.Now()
		}
	}
}

// due returns when the n-th call of an open loop should begin.
func (l *leg) due(n int64) time.Time {
	return l.start.Add(time.Duration(float64(n) / l.rate * float64(time.Second)))
}

// openLoop takes the next call that is due, waits until it is, and makes it. When all callers are
// busy, calls begin late; their latency has begun all the same. A call counts when it was due
// inside the window.
func (l *leg) openLoop(ctx context.Context, s *shard, do call) {
	for {
		due := l.due(l.claimed.Add(1) - 1)
		if !due.Before(l.until) || !time.Now().Before(l.until) {
			l.claimed.Add(-1) // it stays unmade, and is counted so
			return
		}
		if wait(ctx, time.Until(due)) != nil {
			return
		}
		items, err := do(ctx)
		s.record(time.Since(due), items, err, !due.Before(l.from))
	}
}

// collect adds up the callers' records.
func (l *leg) collect(s *sample) {
	s.latencies = newHistogram()
	s.errors = map[string]int64{}
	s.elapsed = l.window
	for _, shard := range l.shards {
		s.latencies.Merge(shard.latencies)
		s.calls += shard.calls
		s.items += shard.items
		for code, n := range shard.errors {
			s.errors[code] += n
		}
	}
	if l.rate > 0 {
		l.addUnmade(s)
	}
}

// addUnmade counts the calls that were due in the window but that no caller was free to make before
// its end. Each has taken at least until then, and leaving them out would flatter a server that is
// too slow for the rate.
func (l *leg) addUnmade(s *sample) {
	for n := l.claimed.Load(); l.due(n).Before(l.until); n++ {
		if due := l.due(n); !due.Before(l.from) {
			addLatency(s.latencies, l.until.Sub(due))
			s.unmade++
		}
	}
	// Responses to calls of the window came until now.
	s.elapsed = max(s.elapsed, time.Since(l.from))
}

// retryDelay returns how long to wait after an error: the service's delay when it is full, else no
// time.
func retryDelay(err error) time.Duration {
	var rpc *connect.Error
	if !errors.As(err, &rpc) || rpc.Code() != connect.CodeResourceExhausted {
		return 0
	}
	for _, detail := range rpc.Details() {
		if value, err := detail.Value(); err == nil {
			if retry, ok := value.(*errdetails.RetryInfo); ok {
				return retry.GetRetryDelay().AsDuration()
			}
		}
	}
	return 0
}

// A sample is what was measured of one contender, in one leg or several.
type sample struct {
	latencies *hdrhistogram.Histogram // of calls without error, in microseconds
	calls     int64
	items     int64
	unmade    int64 // open loop: calls that were due and never made
	errors    map[string]int64
	elapsed   time.Duration // of the windows
	usage     observation   // during the windows
	rates     []float64     // items a second, tick by tick
	tick      time.Duration
	legRates  []float64 // items a second, leg by leg
	serverRSS int64     // the peak, in bytes
}

// add counts another leg of the same contender.
func (s *sample) add(other *sample) {
	if s.latencies == nil {
		s.latencies, s.errors = newHistogram(), map[string]int64{}
	}
	s.latencies.Merge(other.latencies)
	s.calls += other.calls
	s.items += other.items
	s.unmade += other.unmade
	for code, n := range other.errors {
		s.errors[code] += n
	}
	s.elapsed += other.elapsed
	s.usage = s.usage.plus(other.usage)
	s.rates = append(s.rates, other.rates...)
	s.tick = other.tick
	s.legRates = append(s.legRates, other.rate())
	s.serverRSS = max(s.serverRSS, other.serverRSS)
}

// rate returns items a second.
func (s *sample) rate() float64 {
	if s.elapsed <= 0 {
		return 0
	}
	return float64(s.items) / s.elapsed.Seconds()
}
