package durable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"internaltransfers/internal/pgdb"
	"internaltransfers/ledger"
)

// SQLSTATE codes that are handled, from the PostgreSQL manual, appendix A.
const (
	stateUniqueViolation      = "23505"
	stateForeignKey           = "23503"
	stateSerializationFailure = "40001"
	stateDeadlockDetected     = "40P01"
	stateReadOnly             = "25006" // a standby, or a primary that is being demoted
	stateLockNotAvailable     = "55P03" // by a lock_timeout that an operator has set
	stateDivisionByZero       = "22012" // what a statement fails with that counts its own rows
	stateNotSupported         = "0A000" // a rule on a statement that counts its own rows
	stateAdminShutdown        = "57P01" // shutdown, or an operator ended the session
	stateNoRight              = "42501" // the role lacks a right: repeat after an operator adds it
)

// ErrRepeat: the batch may succeed when it is tried again, for a reason that is not the database's.
var ErrRepeat = errors.New("the batch is to be repeated")

// Transient reports whether the same batch may succeed when it is tried again: another instance was
// faster, or the database went away. Nothing else is: an error that repeats must not be retried for
// ever.
func Transient(err error) bool {
	if errors.Is(err, ErrRepeat) {
		return true
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return away(err)
	}
	switch pg.Code {
	case stateSerializationFailure, stateDeadlockDetected:
		return true
	case stateUniqueViolation:
		// Another instance wrote the same id since this one looked; it is found at the next look.
		return pg.ConstraintName == "transfer_pkey" || pg.ConstraintName == "transfer_detail_pkey" ||
			pg.ConstraintName == "transfer_group_pkey" || pg.ConstraintName == "account_pkey"
	default:
		return away(err)
	}
}

// away reports whether the error says that the database cannot be reached, is shutting down, is
// short of something, or is not sure of what it has. Then the statement is not to blame.
func away(err error) bool {
	if Refused(err) {
		return true
	}
	if errors.Is(err, pgdb.ErrOtherLedger) || errors.Is(err, ledger.ErrUnavailable) || errors.Is(err, ErrWaitCancelled) {
		return true
	}
	if _, ok := errors.AsType[AmbiguousCommitError](err); ok {
		return true
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		// No response of the server: the network, a closed connection, a time-out.
		var network net.Error
		var connect *pgconn.ConnectError
		return errors.As(err, &network) || errors.As(err, &connect) || pgconn.SafeToRetry(err) || pgconn.Timeout(err) ||
			errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	}
	switch pg.SeverityUnlocalized {
	case "FATAL", "PANIC": // the session is over, or was refused
		return true
	}
	if IsShortage(pg) {
		return true
	}
	switch pg.Code[:2] {
	case "08", "53", "57", "58": // connection, resources (a full disk), operator (shutdown), system
		return true
	}
	if pg.Code == stateForeignKey && pg.ConstraintName == "account_currency_fkey" {
		return true // the currency was read before a backup was restored; it is read again
	}
	return pg.Code == stateReadOnly || pg.Code == stateLockNotAvailable ||
		(pg.Code == stateNoRight && !pgdb.IsElsewhere(pg)) || pgdb.IsStray(pg)
}

// ErrNotWritten: the database has dropped rows of an INSERT.
var ErrNotWritten = errors.New("not all rows were written")

// Hindered reports whether something in the database that is not the ledger's keeps a statement
// from what it must do: a constraint, a trigger, a rule, an index on an expression, a publication.
// It may hinder one transfer and not its neighbours.
func Hindered(err error) bool {
	if errors.Is(err, ErrNotWritten) {
		return true
	}
	var pg *pgconn.PgError
	return errors.As(err, &pg) && !errors.Is(err, pgdb.ErrOtherLedger) && !Transient(pg) && !pgdb.IsOwn(pg)
}

// dropped reports whether it has dropped rows, as a rule or a trigger does.
func dropped(err error) bool {
	var pg *pgconn.PgError
	return errors.Is(err, ErrNotWritten) ||
		errors.As(err, &pg) && !pgdb.IsStray(pg) && (pg.Code == stateDivisionByZero || pg.Code == stateNotSupported)
}

// SessionEnded reports whether the error may be of one session alone, which an operator ended or
// which broke. Where no other session can be had, or the server does not respond in time, it is
// not.
func SessionEnded(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == stateAdminShutdown
	}
	var network net.Error
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) || pgconn.Timeout(err) || Refused(err) {
		return false
	}
	return errors.As(err, &network) || pgconn.SafeToRetry(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Refused reports whether the database became another one than it was at the start.
func Refused(err error) bool {
	_, ok := errors.AsType[*pgdb.RefusedError](err)
	return ok
}

// IsShortage reports whether the server is short of something: its disk is full, it has no memory,
// no connection, or no transaction id left.
func IsShortage(pg *pgconn.PgError) bool {
	return strings.HasPrefix(pg.Code, "53") || wantsVacuum(pg)
}

// wantsVacuum reports whether the server stops before its transaction ids wrap around. The SQLSTATE
// is also that of other limits, so the error is known by where PostgreSQL raises it.
func wantsVacuum(pg *pgconn.PgError) bool {
	return pg.Code == "54000" && (pg.Routine == "GetNewTransactionId" || pg.Routine == "GetNewMultiXactId")
}

const reasonHindered = "a constraint, a trigger or a rule in it, or the like, that is not the ledger's keeps this from being written"

// awayReasons are the reasons by SQLSTATE or its class; the first that fits counts.
var awayReasons = []struct{ code, reason string }{
	{stateReadOnly, "it is read-only"},
	{stateNoRight, "its role lacks a right that the ledger needs"},
	{stateLockNotAvailable, "somebody else keeps rows locked"},
	{"26000", "a connection pooler mixes up its sessions"},
	{"42P05", "a connection pooler mixes up its sessions"},
	{stateForeignKey, "an older backup was restored just now"},
	{"42P01", "the ledger's tables are not where they were"},
	{"42703", "the ledger's tables are not as they were"},
	{"42883", "the ledger's functions are not where they were"},
	{"53100", "its disk is full"},
	{"53200", "it is out of memory"},
	{"53300", "it has no connection left"},
	{"57014", "it cancelled a statement"},
	{stateAdminShutdown, "it is shutting down, or ended the session"},
	{"57P03", "it takes no connections now"},
	{"08", "the connection to it broke"},
	{"28", "it does not let our role in"},
	{"3D", "there is no database of its name"},
	{"53", "it is short of something"},
	{"57", "it was interrupted"},
	{"58", "its machine fails"},
}

// Unavailable makes an error of the database one whose reason is in plain words.
func Unavailable(err error) error {
	e := &ledger.UnavailableError{Cause: err}
	var pg *pgconn.PgError
	var network net.Error
	var connect *pgconn.ConnectError
	switch {
	case errors.Is(err, pgdb.ErrOtherLedger):
		e.Reason = "another ledger has taken its name"
	case Refused(err):
		e.Reason = "it is not as the ledger needs it; the server's log says more"
	case Hindered(err):
		e.Reason = reasonHindered
	case errors.As(err, &pg):
		if pg.SeverityUnlocalized == "FATAL" {
			e.Reason = "it ended the connection, or refused one"
		}
		for _, r := range awayReasons {
			if strings.HasPrefix(pg.Code, r.code) {
				e.Reason = r.reason
				break
			}
		}
		if wantsVacuum(pg) {
			e.Reason = "it has no transaction ids left: it must be vacuumed"
		}
		if pg.Code == stateNotSupported && pgdb.IsStray(pg) {
			e.Reason = "the ledger's tables were altered"
		}
	case pgconn.Timeout(err), errors.Is(err, context.DeadlineExceeded):
		e.Reason = "it does not respond in time"
	case errors.As(err, &connect), errors.As(err, &network):
		e.Reason = "it cannot be reached"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.Reason = "the connection to it broke"
	}
	return e
}

// An AmbiguousCommitError is that of a COMMIT which may have been applied all the same. The next
// attempt finds out.
type AmbiguousCommitError struct{ error }

func (e AmbiguousCommitError) Unwrap() error { return e.error }

// CommitError names what failed in the round trip of the COMMIT, and marks the error when the
// outcome is unknown.
func CommitError(what string, err error) error {
	if err == nil {
		return nil
	}
	wrapped := fmt.Errorf("%s: %w", what, err)
	if unanswered(err) {
		return AmbiguousCommitError{wrapped}
	}
	return wrapped
}

// unanswered reports whether the error of a COMMIT leaves its outcome unknown: the server did not
// refuse it, or only said that it is going away.
func unanswered(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.SeverityUnlocalized == "FATAL" || pg.SeverityUnlocalized == "PANIC"
	}
	return !errors.Is(err, errNotCommitted) && !errors.Is(err, ErrInvariant)
}

// ReadError turns a driver's error of a read into one of this package's. The driver's text stays
// inside, for the log.
func ReadError(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if away(err) || Hindered(err) {
		return Unavailable(fmt.Errorf("%s: %w", what, err))
	}
	return fmt.Errorf("%s: %w", what, err)
}

// ChangeError is ReadError for a change, which may also fail with an error of package ledger: that
// one stays as it is.
func ChangeError(ctx context.Context, what string, err error) error {
	var invalid *ledger.InvalidError
	var notFound *ledger.NotFoundError
	var conflict *ledger.ConflictError
	var version *ledger.VersionError
	var state *ledger.StateError
	if errors.As(err, &invalid) || errors.As(err, &notFound) || errors.As(err, &conflict) || errors.As(err, &version) ||
		errors.As(err, &state) || errors.Is(err, ledger.ErrMayNotIssue) {
		return err
	}
	return ReadError(ctx, what, err)
}

// ErrInvariant marks an invariant found broken before commit. The batch is rolled back and its
// callers get an internal error: it is a bug, and is logged as one.
var ErrInvariant = errors.New("invariant broken")
