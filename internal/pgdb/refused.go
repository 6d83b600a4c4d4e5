package pgdb

import (
	"errors"
	"fmt"

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

// SQLSTATE codes of what an operator can change, from the PostgreSQL manual, appendix A.
const (
	insufficientPrivilege = "42501"
	serializationFailure  = "40001"
	deadlockDetected      = "40P01"
)

// Explain returns a RefusedError in place of an error by which the database says that an operator must change something: the
// role lacks a right, or a standby does not let a session read for as long as it must. Other errors stay as they are.
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
		// Whoever only reads there gets these for no other reason.
		return &RefusedError{
			Found:  "the standby did not let a session go on, for the sake of what the primary had written",
			Wanted: "a standby that lets it end",
			Fix:    "Set hot_standby_feedback = on there, or a longer max_standby_streaming_delay, or use the primary.",
		}
	default:
		return err
	}
}
