package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"internaltransfers/internal/durable"
	"internaltransfers/internal/pgdb"
	"internaltransfers/ledger"
)

// ReadyToRead reports whether the ledger can be read now. If not, the error is an
// UnavailableError.
func (l *Ledger) ReadyToRead(ctx context.Context) error {
	if _, err := l.queries.ReadProbe(ctx, l.pool); err != nil {
		return durable.Unavailable(err)
	}
	return nil
}

// ReadyToWrite reports whether a transfer would be taken now: whether the database can be reached,
// is no standby, is not read-only, gives its role the rights, and has commits confirmed by its
// synchronous standbys, if it waits for any. The ledger must also have all its keys and triggers,
// and the last batch must not have failed for want of resources. It changes nothing. If not, the
// error is an UnavailableError.
func (l *Ledger) ReadyToWrite(ctx context.Context) error {
	if err := l.shortage.lately(time.Now()); err != nil {
		return durable.Unavailable(err)
	}
	conn, err := l.pool.Batches.Acquire(ctx)
	if err != nil {
		return durable.Unavailable(fmt.Errorf("get a connection: %w", err))
	}
	defer conn.Release()
	if err := l.queries.WriteProbe(ctx, conn); err != nil {
		return durable.Unavailable(err)
	}
	if err := l.database.RequireParts(ctx, conn); err != nil {
		if lacking, ok := errors.AsType[*pgdb.RefusedError](err); ok {
			return &ledger.UnavailableError{Reason: lacking.Found, Cause: err}
		}
		return durable.Unavailable(err)
	}
	if err := l.pool.Barrier(ctx, conn.Conn(), ""); err != nil {
		if ctx.Err() != nil || errors.Is(err, durable.ErrWaitCancelled) || errors.Is(err, io.EOF) {
			return &ledger.UnavailableError{Reason: "no synchronous standby confirms commits", Cause: err}
		}
		return durable.Unavailable(err)
	}
	return nil
}
