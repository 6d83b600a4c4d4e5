package durable

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"internaltransfers/internal/pgdb"
)

// Transaction control, the only SQL text outside queries/: pipes put it around the queries. The
// conditional UPDATE is made for read committed, so it is set whatever the database's default is.
const (
	Begin      = "BEGIN ISOLATION LEVEL READ COMMITTED"
	BeginAgain = "ROLLBACK AND CHAIN" // undoes the transaction and begins anew
	Commit     = "COMMIT"
	Rollback   = "ROLLBACK"
)

// ReadCommitted is for transactions outside the batches; as above, the database's default may be
// another.
var ReadCommitted = pgx.TxOptions{IsoLevel: pgx.ReadCommitted}

// oneMoment is for transactions that read several things as they were at one moment.
var oneMoment = pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}

// A Pipe is a connection whose next statement travels in one round trip with the transaction
// control around it: a batch then costs two round trips, [BEGIN, UPDATE] and [INSERT, guard,
// COMMIT]. It serves the :many and :exec queries of gen/db; after an error the transaction, if one
// was begun, is still to be rolled back.
//
// An :exec query is the last of a transaction. The guard after it finds out whether another ledger
// has taken the name of this one meanwhile: then nothing is committed, and nothing that was read is
// returned.
type Pipe struct {
	*pgx.Conn
	Before, After string // begin and commit, for example; empty: nothing
}

// errNotCommitted: the response to COMMIT was ROLLBACK.
var errNotCommitted = errors.New("the transaction was rolled back instead of committed")

// batch returns the statement with the one before it.
func (p Pipe) batch(sql string, args []any) *pgx.Batch {
	b := &pgx.Batch{}
	if p.Before != "" {
		b.Queue(p.Before)
	}
	b.Queue(sql, args...)
	return b
}

// Exec runs the statement with those before and after it. A COMMIT is not cancelled: see
// session.
func (p Pipe) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if p.After != Commit {
		return p.exec(ctx, sql, args)
	}
	return finish(ctx, sessionOf(p.Conn), func(ctx context.Context) (pgconn.CommandTag, error) {
		return p.exec(ctx, sql, args)
	})
}

func (p Pipe) exec(ctx context.Context, sql string, args []any) (pgconn.CommandTag, error) {
	batch := p.batch(sql, args)
	guarded := pgdb.QueueGuard(p.Conn, batch)
	if p.After != "" {
		batch.Queue(p.After)
	}
	results := p.SendBatch(ctx, batch)
	if p.Before != "" {
		if _, err := results.Exec(); err != nil {
			return pgconn.CommandTag{}, errors.Join(err, results.Close())
		}
	}
	tag, err := results.Exec()
	if err == nil && guarded {
		if _, err := results.Exec(); err != nil {
			_ = results.Close() // its error is this one
			return tag, pgdb.GuardError(p.Conn, err)
		}
	}
	if err == nil && p.After != "" {
		var end pgconn.CommandTag
		end, err = results.Exec()
		if err == nil && end.String() == Rollback {
			err = errNotCommitted
		}
	}
	if closeErr := results.Close(); err == nil {
		err = closeErr
	}
	return tag, err
}

// Query runs the statement with the one before it.
func (p Pipe) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if p.After != "" {
		return nil, errors.New("a query's rows are read before anything can come after it")
	}
	results := p.SendBatch(ctx, p.batch(sql, args))
	if p.Before != "" {
		if _, err := results.Exec(); err != nil {
			return nil, errors.Join(err, results.Close())
		}
	}
	rows, err := results.Query() //nolint:rowserrcheck // the caller reads them, and their error
	if err != nil {
		return nil, errors.Join(err, results.Close())
	}
	return pipeRows{rows, results}, nil
}

// pipeRows closes its batch with itself, which frees the connection for the next statement.
type pipeRows struct {
	pgx.Rows
	results pgx.BatchResults
}

func (r pipeRows) Close() {
	r.Rows.Close()
	_ = r.results.Close() // its error is that of the rows, which the caller has read
}
