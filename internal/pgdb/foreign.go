package pgdb

import (
	"regexp"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
)

// Classes of SQLSTATE codes, from the PostgreSQL manual, appendix A.
const (
	classIntegrityViolation = "23"
	classTransactionState   = "25"
	classSyntaxOrAccess     = "42"
)

// violatesOwn reports whether a row was refused by what the migrations made.
func violatesOwn(err *pgconn.PgError) bool {
	own := ownParts()
	if err.ConstraintName == "" {
		return own[partKey{partColumn, err.TableName, err.ColumnName}]
	}
	return own[partKey{partConstraint, err.TableName, err.ConstraintName}] ||
		own[partKey{partUniqueIndex, err.TableName, err.ConstraintName}]
}

// IsOwn reports whether one of the ledger's own statements is to blame for an error: it is wrong,
// or breaks a rule of the ledger. Other errors of a statement come from what somebody has put into
// the database, such as a trigger that raises, an index on an expression or a publication.
func IsOwn(err *pgconn.PgError) bool {
	switch err.Code[:2] {
	case classIntegrityViolation:
		return violatesOwn(err) || (err.Where != "" && !IsElsewhere(err))
	case classSyntaxOrAccess:
		return !IsElsewhere(err)
	case classTransactionState:
		return true
	default:
		return false
	}
}

// ownFunctions finds the names of the ledger's functions.
var ownFunctions = sync.OnceValue(func() *regexp.Regexp {
	var names []string
	for _, p := range allParts() {
		if p.kind == partFunction {
			names = append(names, regexp.QuoteMeta(p.name))
		}
	}
	return regexp.MustCompile(`\b(` + strings.Join(names, "|") + `)\b`)
})

// IsElsewhere reports whether a function that is not the ledger's raised an error. PostgreSQL says
// where it was, the innermost place first, in the language of its messages: only names are read.
func IsElsewhere(err *pgconn.PgError) bool {
	where := err.Where
	if err.Routine == routineRaise {
		where, _, _ = strings.Cut(where, "\n")
	}
	return where != "" && !ownFunctions().MatchString(where)
}
