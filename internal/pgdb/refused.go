package pgdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"
)

// A RefusedError says why a database cannot be used as it is.
type RefusedError struct {
	Found  string // such as "server_encoding is LATIN1"
	Wanted string // such as "UTF8"
	Fix    string // what changes it: a command, or where to look
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the database cannot be used: %s, wanted is %s. %s", e.Found, e.Wanted, e.Fix)
}

// Explain makes an error of writing a refusal when the database is read-only, which only an
// operator can change.
func Explain(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != stateReadOnly {
		return err
	}
	return &RefusedError{
		Found:  "the database is read-only (" + pg.Message + ")",
		Wanted: "one that can be written to",
		Fix: "Switch it back: ALTER DATABASE … RESET default_transaction_read_only, or ALTER ROLE … RESET default_transaction_read_only. " +
			"A standby follows its primary.",
	}
}

// told logs refusals, once each. The callers that wait for a session get few words, since there may
// be many.
type told struct {
	logger atomic.Pointer[slog.Logger]
	last   atomic.Pointer[string] // what was said; nil: nothing since a session could be had
}

// LogTo has what is wrong with the database from now on logged, once, with what changes it. The
// errors of sessions then only say that something is wrong.
func (d *Database) LogTo(logger *slog.Logger) { d.told.logger.Store(logger) }

// once returns the error of making a session, in few words where the log has more.
func (t *told) once(ctx context.Context, err error) error {
	logger := t.logger.Load()
	if logger == nil {
		return err
	}
	if err == nil {
		if t.last.Swap(nil) != nil {
			logger.InfoContext(ctx, "the database can be used again")
		}
		return nil
	}
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok {
		return err
	}
	text := refused.Error()
	if before := t.last.Swap(&text); before == nil || *before != text {
		logger.ErrorContext(ctx, text)
	}
	return unusable{refused}
}

// unusable is a refusal in few words.
type unusable struct{ refused *RefusedError }

func (unusable) Error() string { return "the database cannot be used as it is now: the log says why" }

func (u unusable) Unwrap() error { return u.refused }

// SQLSTATE codes of what an operator can change, from the PostgreSQL manual, appendix A.
const (
	insufficientPrivilege = "42501"
	serializationFailure  = "40001"
	deadlockDetected      = "40P01"
)

// routineRaise is where PostgreSQL executes RAISE, in any language of its messages.
const routineRaise = "exec_stmt_raise"

// Explain returns a RefusedError in place of an error of the database that an operator must mend:
// the role lacks a right, or a standby does not let a session read for as long as it must. Other
// errors stay as they are.
func (d *Database) Explain(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch {
	case pg.Code == insufficientPrivilege:
		return &RefusedError{
			Found:  fmt.Sprintf("role %s gets: %s", d.facts.Role, pg.Message),
			Wanted: "the rights that docs/roles.sql grants",
			Fix:    "Apply docs/roles.sql, or grant that right.",
		}
	case d.facts.IsStandby && (pg.Code == serializationFailure || pg.Code == deadlockDetected):
		// A session that only reads there gets these for no other reason.
		return &RefusedError{
			Found:  "the standby did not let a session go on, for the sake of what the primary had written",
			Wanted: "a standby that lets it end",
			Fix:    "Set hot_standby_feedback = on there, or a longer max_standby_streaming_delay, or use the primary.",
		}
	default:
		return err
	}
}
