package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"internaltransfers/internal/durable"
)

// workerBackoffMax is the longest wait after a round that failed, unless the workers' interval is
// longer.
const workerBackoffMax = 5 * time.Second

// The workers execute what is due: the end of expired holds, scheduled transfers, and occurrences
// of schedules. Each goes from round to round (workrun.go).
type workers struct {
	stop    context.CancelFunc // nil: there are none
	running sync.WaitGroup
	failing atomic.Bool // a round failed, and none has succeeded since
}

// startWorkers starts as many workers as are configured.
func (l *Ledger) startWorkers() {
	if l.config.Workers == 0 {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	l.workers.stop = stop
	for range l.config.Workers {
		l.workers.running.Go(func() { newWorker(l).run(ctx) })
	}
}

// close waits for the rounds under way, and begins no more.
func (w *workers) close() {
	if w.stop != nil {
		w.stop()
		w.running.Wait()
	}
}

// A worker executes due items, one round at a time.
type worker struct {
	ledger  *Ledger
	limit   int                     // items in a round, of each kind
	retryAt map[uuid.UUID]time.Time // items that failed by themselves, and when to try each again
}

func newWorker(l *Ledger) *worker {
	return &worker{ledger: l, limit: l.config.WorkerBatch, retryAt: make(map[uuid.UUID]time.Time)}
}

// run goes from round to round until ctx ends. After a full round the next begins at once, else
// when the next item is due, but within the configured interval. After one that failed it waits
// longer and longer.
func (w *worker) run(ctx context.Context) {
	interval := w.ledger.config.WorkerInterval
	for failures := 0; ctx.Err() == nil; {
		full, wait, err := w.boundedRound()
		w.report(ctx, err)
		switch {
		case err != nil:
			wait = min(interval<<min(failures, 10), max(interval, workerBackoffMax))
			failures++
		case full:
			failures, wait = 0, 0
		default:
			failures, wait = 0, min(wait, interval)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// report counts failed rounds, and logs once when they begin and once when they end.
func (w *worker) report(ctx context.Context, err error) {
	pool := &w.ledger.workers
	switch {
	case err == nil:
		if pool.failing.CompareAndSwap(true, false) {
			w.ledger.log.InfoContext(ctx, "the workers go on")
		}
		return
	case pool.failing.CompareAndSwap(false, true):
		w.ledger.log.WarnContext(ctx, "the workers cannot settle what is due, and keep trying", slog.Any("error", err))
	}
	w.ledger.metrics.roundsFailed.Inc()
}

// boundedRound is a round that ends, even when the database hangs or there is a bug. Closing the
// ledger does not end it: a round is short.
func (w *worker) boundedRound() (full bool, wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), w.patience())
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: panic: %v\n%s", durable.ErrInvariant, p, debug.Stack())
		}
	}()
	return w.runOnce(ctx)
}

// patience is how long a round may take: its batch waits for others, and then takes its time.
func (w *worker) patience() time.Duration { return 2 * w.ledger.config.BatchTimeout }
