package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"

	"internaltransfers/internal/pgdb"
)

// SQLSTATE codes that are told apart, from the PostgreSQL manual, appendix A.
const (
	stateUniqueViolation      = "23505"
	stateSerializationFailure = "40001"
	stateDeadlockDetected     = "40P01"
	stateReadOnly             = "25006" // a standby, or a primary that is being demoted
	stateLockNotAvailable     = "55P03" // a lock_timeout that somebody has set
	stateNoPrivilege          = "42501" // that was taken from the role: at the start it had all that it needs
)

// transient reports whether the same batch may succeed when it is tried again: another instance was faster, or the
// database went away. Nothing else is: an error that repeats must not be retried for ever.
func transient(err error) bool {
	if errors.Is(err, errRelock) {
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

// away reports whether the error says that the database cannot be reached, is shutting down, is short of something, or is
// not sure of what it has: whatever was asked of it is not to blame.
func away(err error) bool {
	if _, ok := errors.AsType[*pgdb.RefusedError](err); ok {
		return true // it became another database than it was at the start
	}
	if errors.Is(err, ErrUnavailable) || errors.Is(err, errWaitCancelled) {
		return true
	}
	if _, ok := errors.AsType[unansweredError](err); ok {
		return true
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		// No answer of the server's: the network, a closed connection, a time-out.
		var network net.Error
		var connect *pgconn.ConnectError
		return errors.As(err, &network) || errors.As(err, &connect) || pgconn.SafeToRetry(err) || pgconn.Timeout(err) ||
			errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	}
	switch pg.SeverityUnlocalized {
	case "FATAL", "PANIC": // the session is over, or was refused
		return true
	}
	switch pg.Code[:2] {
	case "08", "53", "57", "58": // connection, resources (a full disk), operator (shutdown, crash), operating system
		return true
	}
	return pg.Code == stateReadOnly || pg.Code == stateLockNotAvailable || pg.Code == stateNoPrivilege
}

// An unansweredError is that of a COMMIT which may have happened all the same. The next attempt finds out.
type unansweredError struct{ error }

func (e unansweredError) Unwrap() error { return e.error }

// commitError says what failed in the round trip that has the COMMIT, and whether that may have happened.
func commitError(what string, err error) error {
	if err == nil {
		return nil
	}
	wrapped := fmt.Errorf("%s: %w", what, err)
	if unanswered(err) {
		return unansweredError{wrapped}
	}
	return wrapped
}

// unanswered reports whether the error of a COMMIT leaves open whether it happened: the server did not say no, or said
// no more than that it is going away.
func unanswered(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.SeverityUnlocalized == "FATAL" || pg.SeverityUnlocalized == "PANIC"
	}
	return !errors.Is(err, errNotCommitted) && !errors.Is(err, errBroken)
}

// readError turns a driver's error of a read into one of this package's. The driver's text stays inside, for the log.
func readError(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if away(err) {
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// errBroken marks an invariant found broken before commit. The batch is rolled back and its callers get an internal
// error: it is a bug, and is logged as one.
var errBroken = errors.New("invariant broken")
