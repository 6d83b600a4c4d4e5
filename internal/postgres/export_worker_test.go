package postgres

import (
	"context"
	"time"
)

// A Worker is stepped by hand.
type Worker struct{ worker *worker }

// NewWorker makes a worker that does nothing by itself.
func (l *Ledger) NewWorker() *Worker { return &Worker{newWorker(l)} }

// RunOnce executes what is due.
func (w *Worker) RunOnce(ctx context.Context) (full bool, wait time.Duration, err error) {
	return w.worker.runOnce(ctx)
}
