package ledger

import "github.com/jackc/pgx/v5/pgxpool"

// Waiting answers how many commands are queued.
func (l *Ledger) Waiting() int {
	l.batcher.mu.Lock()
	defer l.batcher.mu.Unlock()
	return l.batcher.waiting
}

// Writers answers the pool that batches are applied with, so that a test can look at its plans.
func (l *Ledger) Writers() *pgxpool.Pool { return l.writers }
