package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"internaltransfers/internal/pgdb"
)

// sessionPool holds the connections for everything but batches. What they read passes the gate
// before it is returned. What they change is committed as by a batch: nothing cancels a COMMIT, and
// it waits for the standbys.
type sessionPool struct {
	sessions *pgdb.Pool
	gate     *gate
	changes  chan struct{} // an item for each change: some connections are for reads only
}

func newSessionPool(pool *pgdb.Pool, gate *gate) *sessionPool {
	conns := pool.Config().MaxConns
	return &sessionPool{sessions: pool, gate: gate, changes: make(chan struct{}, max(1, conns-conns/4))}
}

// lend gives out a connection for a change.
func (r *sessionPool) lend(ctx context.Context) (conn *pgx.Conn, giveBack func(), err error) {
	select {
	case r.changes <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	lent, err := r.sessions.Acquire(ctx)
	if err != nil {
		<-r.changes
		return nil, nil, err
	}
	s := sessionOf(lent.Conn())
	return lent.Conn(), func() {
		s.giveBack(func() {
			lent.Release()
			<-r.changes
		})
	}, nil
}

// Exec makes a change of one statement.
func (r *sessionPool) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	conn, giveBack, err := r.lend(ctx)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	defer giveBack()
	return finish(ctx, sessionOf(conn), func(ctx context.Context) (pgconn.CommandTag, error) {
		return r.sessions.ExecOwn(ctx, conn, sql, args...)
	})
}

// Query reads rows. Their error tells whether they have passed the gate.
func (r *sessionPool) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := r.sessions.Query(ctx, sql, args...) //nolint:rowserrcheck // the caller reads rows and error
	if err != nil {
		return rows, err
	}
	return &gatedRows{Rows: rows, pass: func() error { return r.gate.pass(ctx) }}, nil
}

// QueryRow reads a row.
func (r *sessionPool) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return gatedRow{r.sessions.QueryRow(ctx, sql, args...), func() error { return r.gate.pass(ctx) }}
}

// gatedRows pass the gate at their end, when their connection is back in the pool.
type gatedRows struct {
	pgx.Rows
	pass func() error // nil: they have passed
}

func (r *gatedRows) Err() error {
	if err := r.Rows.Err(); err != nil || r.pass == nil {
		return err
	}
	if err := r.pass(); err != nil {
		return err
	}
	r.pass = nil
	return nil
}

type gatedRow struct {
	pgx.Row
	pass func() error
}

func (r gatedRow) Scan(values ...any) error {
	if err := r.Row.Scan(values...); err != nil {
		return err
	}
	return r.pass()
}

// view runs f in a transaction that sees one moment and changes nothing.
func (l *Ledger) view(ctx context.Context, f func(tx pgx.Tx) error) error {
	err := pgx.BeginTxFunc(ctx, l.pool.sessions, oneMoment, func(tx pgx.Tx) error {
		return sameLedger(ctx, tx, f(tx))
	})
	if passed := l.gate.pass(ctx); passed != nil {
		return passed
	}
	return err
}

// change runs f in a transaction that is committed unless f fails. The standbys then also have what
// f has read, so that "done already" is safe to return. The error is an ambiguousCommitError when
// the outcome is unknown.
func (l *Ledger) change(ctx context.Context, options pgx.TxOptions, f func(tx pgx.Tx) error) error {
	conn, giveBack, err := l.pool.lend(ctx)
	if err != nil {
		return err
	}
	err = func() error {
		// The pool closes a connection that is still in a transaction.
		defer giveBack()
		tx, err := conn.BeginTx(ctx, options)
		if err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		if err := l.database.RequireOwn(ctx, conn); err != nil {
			return err
		}
		if err := f(tx); err != nil {
			err = sameLedger(ctx, tx, err)
			_ = tx.Rollback(ctx)
			return err
		}
		return commitError("commit", l.queries.Barrier(ctx, pipe{Conn: conn, after: commit}))
	}()
	if err == nil {
		return nil
	}
	// f may have failed because of what it read.
	if passed := l.gate.pass(ctx); passed != nil {
		return passed
	}
	if errors.Is(err, errWaitCancelled) {
		return nil // it was committed, and now the standbys have it
	}
	return err
}

// sameLedger returns the error of a transaction, or that this was in another ledger: then a row
// that was not found means nothing.
func sameLedger(ctx context.Context, tx pgx.Tx, err error) error {
	if moved := pgdb.RequireSame(ctx, tx.Conn()); err == nil || errors.Is(moved, pgdb.ErrOtherLedger) {
		return moved
	}
	return err
}

// confirm returns when the synchronous standbys have all that was seen before.
func (l *Ledger) confirm(ctx context.Context) error {
	conn, err := l.batchPool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("get a connection: %w", err)
	}
	defer conn.Release()
	return l.barrier(ctx, conn.Conn(), "")
}

// barrier does that on a connection, with a statement of transaction control before it. Its wait
// may be cancelled, which only makes it fail: it has changed nothing that other sessions could see.
func (l *Ledger) barrier(ctx context.Context, conn *pgx.Conn, before string) error {
	err := l.queries.Barrier(ctx, pipe{Conn: conn, before: before})
	if sessionOf(conn).wasCancelled() && err == nil {
		err = errWaitCancelled
	}
	if err != nil {
		return fmt.Errorf("wait for the synchronous standbys: %w", err)
	}
	return nil
}
