package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"

	"internaltransfers/gen/db"
	"internaltransfers/internal/pgdb"
)

// readTimeout bounds a read that is shared, or that nothing else bounds.
const readTimeout = 10 * time.Second

// A poolConfig says how many sessions a pool has, and what it tells.
type poolConfig struct {
	batches     int32         // sessions for batches
	others      int32         // for everything else
	timeout     time.Duration // of one barrier for readers
	log         *slog.Logger
	commitsLeft prometheus.Gauge // COMMITs that take longer than their callers wait
}

// A pool has the sessions of a server with its ledger: some for batches, and others for everything
// else. A statement that is executed on the pool itself takes one of the others. What it reads
// passes the gate before it is returned. What it changes is committed as by a batch: nothing cancels
// a COMMIT, and it waits for the standbys.
type pool struct {
	batches *pgdb.Pool // their plans lock in the order of the protocol
	others  *pgdb.Pool // what is read from them directly does not pass the gate

	database    *pgdb.Database
	queries     *db.Queries
	gate        *gate
	changes     chan struct{}   // an item for each change: some connections are for reads only
	ending      context.Context // ends, by end, when no standby is waited for any longer
	end         context.CancelFunc
	log         *slog.Logger
	commitsLeft prometheus.Gauge
}

// openPool opens both kinds of sessions.
func openPool(ctx context.Context, database *pgdb.Database, config poolConfig) (*pool, error) {
	p := &pool{
		database: database, queries: db.New(), log: config.log, commitsLeft: config.commitsLeft,
	}
	p.ending, p.end = context.WithCancel(context.Background())
	p.gate = &gate{barrier: p.confirm, ending: p.ending, timeout: config.timeout, log: p.log}
	hooks := pgdb.Hooks{Before: p.attach, After: p.begin}
	var err error
	if p.batches, err = database.Pool(ctx, pgdb.Writing, config.batches, hooks); err != nil {
		p.end()
		return nil, err
	}
	if p.others, err = database.Pool(ctx, pgdb.Reading, config.others, hooks); err != nil {
		p.end()
		p.batches.Close()
		return nil, err
	}
	conns := p.others.Config().MaxConns
	p.changes = make(chan struct{}, max(1, conns-conns/4))
	return p, nil
}

// close waits for no standby any longer, and closes the sessions.
func (p *pool) close() {
	p.end()
	p.batches.Close()
	p.others.Close()
}

// lend gives out a connection for a change.
func (p *pool) lend(ctx context.Context) (conn *pgx.Conn, giveBack func(), err error) {
	select {
	case p.changes <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	lent, err := p.others.Acquire(ctx)
	if err != nil {
		<-p.changes
		return nil, nil, err
	}
	s := sessionOf(lent.Conn())
	return lent.Conn(), func() {
		s.giveBack(func() {
			lent.Release()
			<-p.changes
		})
	}, nil
}

// Exec makes a change of one statement.
func (p *pool) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	conn, giveBack, err := p.lend(ctx)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	defer giveBack()
	return finish(ctx, sessionOf(conn), func(ctx context.Context) (pgconn.CommandTag, error) {
		return p.others.ExecOwn(ctx, conn, sql, args...)
	})
}

// Query reads rows. Their error tells whether they have passed the gate.
func (p *pool) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := p.others.Query(ctx, sql, args...) //nolint:rowserrcheck // the caller reads rows and error
	if err != nil {
		return rows, err
	}
	return &gatedRows{Rows: rows, pass: func() error { return p.gate.pass(ctx) }}, nil
}

// QueryRow reads a row.
func (p *pool) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return gatedRow{p.others.QueryRow(ctx, sql, args...), func() error { return p.gate.pass(ctx) }}
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
func (p *pool) view(ctx context.Context, f func(tx pgx.Tx) error) error {
	err := pgx.BeginTxFunc(ctx, p.others, oneMoment, func(tx pgx.Tx) error {
		return sameLedger(ctx, tx, f(tx))
	})
	if passed := p.gate.pass(ctx); passed != nil {
		return passed
	}
	return err
}

// change runs f in a transaction that is committed unless f fails. The standbys then also have what
// f has read, so that "done already" is safe to return. The error is an ambiguousCommitError when
// the outcome is unknown.
func (p *pool) change(ctx context.Context, options pgx.TxOptions, f func(tx pgx.Tx) error) error {
	conn, giveBack, err := p.lend(ctx)
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
		if err := p.database.RequireOwn(ctx, conn); err != nil {
			return err
		}
		if err := f(tx); err != nil {
			err = sameLedger(ctx, tx, err)
			_ = tx.Rollback(ctx)
			return err
		}
		return commitError("commit", p.queries.Barrier(ctx, pipe{Conn: conn, after: commit}))
	}()
	if err == nil {
		return nil
	}
	// f may have failed because of what it read.
	if passed := p.gate.pass(ctx); passed != nil {
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
func (p *pool) confirm(ctx context.Context) error {
	conn, err := p.batches.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("get a connection: %w", err)
	}
	defer conn.Release()
	return p.barrier(ctx, conn.Conn(), "")
}

// barrier does that on a connection, with a statement of transaction control before it. Its wait
// may be cancelled, which only makes it fail: it has changed nothing that other sessions could see.
func (p *pool) barrier(ctx context.Context, conn *pgx.Conn, before string) error {
	err := p.queries.Barrier(ctx, pipe{Conn: conn, before: before})
	if sessionOf(conn).wasCancelled() && err == nil {
		err = errWaitCancelled
	}
	if err != nil {
		return fmt.Errorf("wait for the synchronous standbys: %w", err)
	}
	return nil
}

// attempt gives f a session for a batch. What f did before an error is rolled back.
func (p *pool) attempt(ctx context.Context, f func(context.Context, *pgx.Conn) error) (err error) {
	conn, err := p.batches.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("get a connection: %w", err)
	}
	// The pool closes a connection that is still in a transaction.
	s := sessionOf(conn.Conn())
	defer s.giveBack(conn.Release)
	defer func() {
		// A panic here is a bug, but must not take down the calls of others: halving finds the one
		// that has it.
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: panic: %v\n%s", errInvariant, v, debug.Stack())
		}
	}()
	if err = f(ctx, conn.Conn()); err != nil && s.left == nil && !conn.Conn().IsClosed() {
		err = p.undo(ctx, conn.Conn(), err)
	}
	if dropped(err) {
		// A statement that a rule has turned into nothing stays so for the session's prepared
		// statements, even when the rule is gone.
		pgdb.HangUp(conn.Conn())
	}
	return err
}

// undo rolls back what failed. It returns the error, or that this was in another ledger: then no
// transfer is to blame.
func (p *pool) undo(ctx context.Context, conn *pgx.Conn, err error) error {
	if _, failed := conn.Exec(ctx, rollback); failed != nil || transient(err) {
		return err // a failure to roll back is left to the pool
	}
	if moved := pgdb.RequireSame(ctx, conn); errors.Is(moved, pgdb.ErrOtherLedger) {
		return moved
	}
	return err
}
