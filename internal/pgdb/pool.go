package pgdb

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"internaltransfers/gen/db"
)

// A Pool has sessions for one use. Its statements are executed in the ledger that its sessions
// began with, or fail: each travels with LedgerGuard, in one round trip and one transaction. Where
// there is a pooler, they and transactions are also executed in a session's own backend or not at
// all, by SessionGuard. On an acquired session, statements are executed with ExecOwn. Before the
// end of a transaction come RequireOwn, and RequireSame or QueueGuard.
type Pool struct {
	*pgxpool.Pool
	database *Database
}

// Exec executes a statement.
func (p *Pool) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	rows, err := p.guarded(ctx, sql, args)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	rows.Close()
	return rows.CommandTag(), rows.Err()
}

// Query executes a statement that has rows.
func (p *Pool) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := p.guarded(ctx, sql, args) //nolint:rowserrcheck // the caller reads rows and error
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// QueryRow executes a statement that has a row.
func (p *Pool) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := p.guarded(ctx, sql, args) //nolint:rowserrcheck // the caller reads rows and error
	return guardedRow{rows, err}
}

// BeginTx begins a transaction.
func (p *Pool) BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error) {
	tx, err := p.Pool.BeginTx(ctx, options)
	if err != nil {
		return nil, err
	}
	if err := p.database.RequireOwn(ctx, tx.Conn()); err != nil {
		return nil, errors.Join(err, tx.Rollback(ctx))
	}
	return tx, nil
}

// guarded acquires a session and sends a statement between the guards.
func (p *Pool) guarded(ctx context.Context, sql string, args []any) (*guardedRows, error) {
	conn, err := p.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := p.database.guarded(ctx, conn.Conn(), sql, args) //nolint:rowserrcheck // as above
	if err != nil {
		conn.Release()
		return nil, err
	}
	rows.release = conn.Release
	return rows, nil
}

// ExecOwn executes a statement on a session of a pool's, outside a transaction.
func (p *Pool) ExecOwn(ctx context.Context, conn *pgx.Conn, sql string, args ...any) (pgconn.CommandTag, error) {
	rows, err := p.database.guarded(ctx, conn, sql, args)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	rows.Close()
	return rows.CommandTag(), rows.Err()
}

// guarded sends a statement after SessionGuard, where there is a pooler, and before LedgerGuard.
func (d *Database) guarded(ctx context.Context, conn *pgx.Conn, sql string, args []any) (*guardedRows, error) {
	s, batch := sessionOf(conn), &pgx.Batch{}
	if s.pooled {
		_ = db.New().SessionGuard(ctx, queue{batch}, s.backend) // it is only queued
	}
	batch.Queue(sql, args...)
	rows := &guardedRows{conn: conn, guarded: QueueGuard(conn, batch), release: func() {}}
	rows.results = conn.SendBatch(ctx, batch)
	if s.pooled {
		if _, err := rows.results.Exec(); err != nil {
			_ = rows.results.Close() // its error is this one
			return nil, d.strayed(ctx, conn, err)
		}
	}
	var err error
	rows.Rows, err = rows.results.Query() //nolint:rowserrcheck // as above
	if err != nil {
		_ = rows.results.Close()
		return nil, err
	}
	return rows, nil
}

// guardedRows give the session back when they are closed. Their error tells whether they are the
// ledger's.
type guardedRows struct {
	pgx.Rows
	conn    *pgx.Conn
	guarded bool  // LedgerGuard comes after them
	err     error // of it
	results pgx.BatchResults
	release func() // nil: it was given back
}

func (r *guardedRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

func (r *guardedRows) Close() {
	if r.release == nil {
		return
	}
	r.Rows.Close()
	if r.guarded && r.Rows.Err() == nil {
		_, r.err = r.results.Exec()
	}
	_ = r.results.Close() // its error is that of the rows, or of the guard
	r.err = GuardError(r.conn, r.err)
	r.release()
	r.release = nil
}

func (r *guardedRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	return r.err
}

// A guardedRow is the first of some rows.
type guardedRow struct {
	rows *guardedRows
	err  error
}

func (r guardedRow) Scan(values ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(values...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}

// A queue puts the statement of a query of gen/db into a batch.
type queue struct{ *pgx.Batch }

func (q queue) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	q.Queue(sql, args...)
	return pgconn.CommandTag{}, nil
}

func (q queue) Query(context.Context, string, ...any) (pgx.Rows, error) {
	return nil, errors.New("a query's rows are not queued")
}

func (q queue) QueryRow(context.Context, string, ...any) pgx.Row {
	return guardedRow{err: errors.New("a query's row is not queued")}
}
