package durable

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

// ReadTimeout bounds a read that is shared, or that nothing else bounds.
const ReadTimeout = 10 * time.Second

// A Config says how many sessions a pool has, and what it tells.
type Config struct {
	Batches     int32         // sessions for batches
	Others      int32         // for everything else
	Timeout     time.Duration // of one barrier for readers
	Log         *slog.Logger
	CommitsLeft prometheus.Gauge // COMMITs that take longer than their callers wait
}

// A Pool has the sessions of a server with its ledger: some for batches, and others for everything
// else. A statement that is executed on the pool itself takes one of the others. What it reads
// passes the gate before it is returned. What it changes is committed as by a batch: nothing
// cancels a COMMIT, and it waits for the standbys.
type Pool struct {
	Batches *pgdb.Pool // their plans lock in the order of the protocol
	Others  *pgdb.Pool // what is read from them directly does not pass the gate

	database    *pgdb.Database
	queries     *db.Queries
	gate        *gate
	changes     chan struct{}   // an item for each change: some connections are for reads only
	ending      context.Context // ends, by end, when no standby is waited for any longer
	end         context.CancelFunc
	log         *slog.Logger
	commitsLeft prometheus.Gauge
}

// Open opens both kinds of sessions.
func Open(ctx context.Context, database *pgdb.Database, config Config) (*Pool, error) {
	p := &Pool{
		database: database, queries: db.New(), log: config.Log, commitsLeft: config.CommitsLeft,
	}
	p.ending, p.end = context.WithCancel(context.Background())
	p.gate = &gate{barrier: p.Confirm, ending: p.ending, timeout: config.Timeout, log: p.log}
	hooks := pgdb.Hooks{Before: p.attach, After: p.begin}
	var err error
	if p.Batches, err = database.Pool(ctx, pgdb.Writing, config.Batches, hooks); err != nil {
		p.end()
		return nil, err
	}
	if p.Others, err = database.Pool(ctx, pgdb.Reading, config.Others, hooks); err != nil {
		p.end()
		p.Batches.Close()
		return nil, err
	}
	conns := p.Others.Config().MaxConns
	p.changes = make(chan struct{}, max(1, conns-conns/4))
	return p, nil
}

// Close waits for no standby any longer, and closes the sessions.
func (p *Pool) Close() {
	p.end()
	p.Batches.Close()
	p.Others.Close()
}

// lend gives out a connection for a change.
func (p *Pool) lend(ctx context.Context) (conn *pgx.Conn, giveBack func(), err error) {
	select {
	case p.changes <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	lent, err := p.Others.Acquire(ctx)
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
func (p *Pool) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	conn, giveBack, err := p.lend(ctx)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	defer giveBack()
	return finish(ctx, sessionOf(conn), func(ctx context.Context) (pgconn.CommandTag, error) {
		return p.Others.ExecOwn(ctx, conn, sql, args...)
	})
}

// Query reads rows. Their error tells whether they have passed the gate.
func (p *Pool) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := p.Others.Query(ctx, sql, args...) //nolint:rowserrcheck // the caller reads rows and error
	if err != nil {
		return rows, err
	}
	return &gatedRows{Rows: rows, pass: func() error { return p.gate.pass(ctx) }}, nil
}

// QueryRow reads a row.
func (p *Pool) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return gatedRow{p.Others.QueryRow(ctx, sql, args...), func() error { return p.gate.pass(ctx) }}
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

// View runs f in a transaction that sees one moment and changes nothing.
func (p *Pool) View(ctx context.Context, f func(tx pgx.Tx) error) error {
	err := pgx.BeginTxFunc(ctx, p.Others, oneMoment, func(tx pgx.Tx) error {
		return sameLedger(ctx, tx, f(tx))
	})
	if passed := p.gate.pass(ctx); passed != nil {
		return passed
	}
	return err
}

// Change runs f in a transaction that is committed unless f fails. The standbys then also have what
// f has read, so that "done already" is safe to return. The error is an AmbiguousCommitError when
// the outcome is unknown.
func (p *Pool) Change(ctx context.Context, options pgx.TxOptions, f func(tx pgx.Tx) error) error {
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
		return CommitError("commit", p.queries.Barrier(ctx, Pipe{Conn: conn, After: Commit}))
	}()
	if err == nil {
		return nil
	}
	// f may have failed because of what it read.
	if passed := p.gate.pass(ctx); passed != nil {
		return passed
	}
	if errors.Is(err, ErrWaitCancelled) {
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

// Confirm returns when the synchronous standbys have all that was seen before.
func (p *Pool) Confirm(ctx context.Context) error {
	conn, err := p.Batches.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("get a connection: %w", err)
	}
	defer conn.Release()
	return p.Barrier(ctx, conn.Conn(), "")
}

// Barrier does that on a connection, with a statement of transaction control before it. Its wait
// may be cancelled, which only makes it fail: it has changed nothing that other sessions could see.
func (p *Pool) Barrier(ctx context.Context, conn *pgx.Conn, before string) error {
	err := p.queries.Barrier(ctx, Pipe{Conn: conn, Before: before})
	if sessionOf(conn).wasCancelled() && err == nil {
		err = ErrWaitCancelled
	}
	if err != nil {
		return fmt.Errorf("wait for the synchronous standbys: %w", err)
	}
	return nil
}

// Attempt gives f a session for a batch. What f did before an error is rolled back.
func (p *Pool) Attempt(ctx context.Context, f func(context.Context, *pgx.Conn) error) (err error) {
	conn, err := p.Batches.Acquire(ctx)
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
			err = fmt.Errorf("%w: panic: %v\n%s", ErrInvariant, v, debug.Stack())
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
func (p *Pool) undo(ctx context.Context, conn *pgx.Conn, err error) error {
	if _, failed := conn.Exec(ctx, Rollback); failed != nil || Transient(err) {
		return err // a failure to roll back is left to the pool
	}
	if moved := pgdb.RequireSame(ctx, conn); errors.Is(moved, pgdb.ErrOtherLedger) {
		return moved
	}
	return err
}
