package pgdb

import (
	"io/fs"
	"regexp"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"internaltransfers/migrations"
)

// ownNames returns the words of the migrations. Every constraint and every column of the ledger is
// among them.
var ownNames = sync.OnceValue(func() map[string]bool {
	names := make(map[string]bool)
	files, _ := fs.Glob(migrations.FS, "*.sql") // the pattern is well-formed
	for _, file := range files {
		text, err := fs.ReadFile(migrations.FS, file)
		if err != nil {
			panic(err) // it is embedded
		}
		for _, name := range regexp.MustCompile(`\w+`).FindAllString(string(text), -1) {
			names[name] = true
		}
	}
	return names
})

// IsForeign reports whether a row was refused by a constraint or a column that the ledger's
// migrations did not make: somebody has added it to the ledger's tables.
func IsForeign(err *pgconn.PgError) bool {
	const integrityConstraintViolation = "23"
	if err.Code[:2] != integrityConstraintViolation {
		return false
	}
	if err.ConstraintName != "" {
		return !ownNames()[err.ConstraintName]
	}
	return err.ColumnName != "" && !ownNames()[err.ColumnName]
}
