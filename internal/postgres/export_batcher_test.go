package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"internaltransfers/ledger"
)

// Waiting returns how many commands are queued.
func (l *Ledger) Waiting() int {
	l.batcher.mu.Lock()
	defer l.batcher.mu.Unlock()
	return l.batcher.waiting
}

// Writers returns the pool of the batches, so that a test can look at its plans.
func (l *Ledger) Writers() *pgxpool.Pool { return l.pool.Batches.Pool }

// Readers returns the pool for everything else.
func (l *Ledger) Readers() *pgxpool.Pool { return l.pool.Others.Pool }

// NewCommands makes commands of transfers, as Transfer does.
func NewCommands(ps []ledger.TransferParams) ([]ledger.Command, error) {
	commands := make([]ledger.Command, len(ps))
	for i, p := range ps {
		var err error
		if commands[i], err = ledger.NewCommand(p); err != nil {
			return nil, err
		}
	}
	return commands, nil
}

// ApplyBatch applies a batch on a writer's connection, without the queue.
func (l *Ledger) ApplyBatch(ctx context.Context, conn *pgx.Conn, commands []ledger.Command) ([]ledger.Outcome, error) {
	return l.applyBatch(ctx, conn, commands)
}

// Settle executes what is due of a pending transfer, as a worker does.
func (l *Ledger) Settle(ctx context.Context, id uuid.UUID) ledger.Outcome {
	o, err := l.one(ctx, ledger.NewExecuteDue(id), false)
	o.Err = err
	return o
}
