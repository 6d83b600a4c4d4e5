package pgdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"internaltransfers/gen/db"
)

// A name does not make a ledger: a schema or a database may be renamed, and another ledger may take
// its name while a server runs. What makes it this ledger is a random value in its table setting,
// which never changes and which a restored backup keeps.
//
// A new session reads that value, and is refused where it is another one than the first session
// read. A rename also reaches open sessions, whose statements PostgreSQL then plans anew, by name.
// So whatever a session of a pool does ends with LedgerGuard, in the same round trip. It compares
// the tables named account and transfer with those that the session began with. It reads no row and
// takes no lock. It comes last: what it finds was so for all statements before it.

// ErrOtherLedger is the error of a session that finds another ledger than it began with. Nothing
// was committed, and what was read is not this ledger's.
var ErrOtherLedger = errors.New("the session finds another ledger than it began with")

// guardsLedger reports whether sessions of that use serve one ledger for long.
func (u Use) guardsLedger() bool { return u == Writing || u == Reading }

// identify notes the ledger that a new session finds, and refuses another one than the first
// session found.
func (d *Database) identify(ctx context.Context, conn *pgx.Conn) error {
	found, err := db.New().LedgerIdentity(ctx, unprepared{conn})
	if errors.Is(err, pgx.ErrNoRows) {
		return &RefusedError{
			Found:  fmt.Sprintf("the table setting of schema %s in database %s lacks its row page_token_key", d.schema, d.facts.Database),
			Wanted: "the row that migrate made, by which the ledger is known",
			Fix:    "Restore the table from a backup.",
		}
	}
	if err != nil {
		return fmt.Errorf("read which ledger it is: %w", err)
	}
	if !d.identity.CompareAndSwap(nil, &found.Identity) && !bytes.Equal(*d.identity.Load(), found.Identity) {
		return &RefusedError{
			Found:  fmt.Sprintf("schema %s of database %s holds another ledger", d.schema, d.facts.Database),
			Wanted: "the one that was opened at the start",
			Fix:    "Give that one its name back, or restart the server if the other one is meant.",
		}
	}
	sessionOf(conn).tables = found.Tables
	d.begun.Add(1)
	return nil
}

// Begun counts the sessions that have begun. What is remembered of the ledger from before the last
// one may be of the time after a backup that was restored since.
func (d *Database) Begun() int64 { return d.begun.Load() }

// QueueGuard puts LedgerGuard at the end of a batch for the session, and reports whether the
// session is of a use that needs it. GuardError takes the error of its result.
func QueueGuard(conn *pgx.Conn, batch *pgx.Batch) bool {
	s := sessionOf(conn)
	if s == nil || s.tables == 0 {
		return false
	}
	_ = db.New().LedgerGuard(context.Background(), queue{batch}, s.tables) // it is only queued
	return true
}

// GuardError translates the error of LedgerGuard. That session is not used again. The batch is
// over.
func GuardError(conn *pgx.Conn, err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != stateDivisionByZero {
		return err
	}
	HangUp(conn)
	return fmt.Errorf("%w: %w", ErrOtherLedger, err)
}

// RequireSame returns ErrOtherLedger where the session finds another ledger than it began with. It
// costs a round trip of its own.
func RequireSame(ctx context.Context, conn *pgx.Conn) error {
	s := sessionOf(conn)
	if s == nil || s.tables == 0 {
		return nil
	}
	return GuardError(conn, db.New().LedgerGuard(ctx, conn, s.tables))
}
