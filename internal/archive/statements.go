package archive

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// The statements whose tables and columns are only known at run time. All others are in
// queries/archive.sql. Nothing from a file gets in here before it was found in the database.

const (
	// setLockTimeout and the locks below are what a transaction begins with: neither takes the
	// snapshot, so that the tables which the snapshot shows are as they stay.
	setLockTimeout = "SET LOCAL lock_timeout = '5s'"

	tableExists   = "SELECT to_regclass($1) IS NOT NULL"
	schemaVersion = "SELECT coalesce(max(version_id), 0) FROM " + versionTable + " WHERE is_applied"
)

func quoted(names ...string) string {
	identifiers := make([]string, 0, len(names))
	for _, name := range names {
		identifiers = append(identifiers, pgx.Identifier{name}.Sanitize())
	}
	return strings.Join(identifiers, ", ")
}

// lockShared keeps migrations from changing the tables, and other sessions free to work.
func lockShared(names []string) string {
	return "LOCK TABLE " + quoted(names...) + " IN ACCESS SHARE MODE"
}

// lockExclusive keeps all other sessions out.
func lockExclusive(names []string) string {
	return "LOCK TABLE " + quoted(names...) + " IN ACCESS EXCLUSIVE MODE"
}

func copyOut(t *table, columns []column) string {
	where := "true"
	if t.copied != "" {
		where = t.copied
	}
	return fmt.Sprintf("COPY (SELECT %s FROM %s WHERE %s ORDER BY %s) TO STDOUT (FORMAT text, ENCODING 'UTF8')",
		quoted(namesOfColumns(columns)...), quoted(t.name), where, t.order)
}

// copyIn loads rows. Those of a table that the transaction has just emptied are frozen at once: no
// later read or VACUUM writes their pages again.
func copyIn(t *table, columns []column) string {
	freeze := ", FREEZE"
	if t.copied != "" {
		freeze = ""
	}
	return fmt.Sprintf("COPY %s (%s) FROM STDIN (FORMAT text, ENCODING 'UTF8'%s)",
		quoted(t.name), quoted(namesOfColumns(columns)...), freeze)
}

// anyBut selects whether the table has a row that does not meet the condition.
func anyBut(t *table, condition string) string {
	return fmt.Sprintf("SELECT EXISTS (SELECT FROM %s WHERE (%s) IS NOT TRUE)", quoted(t.name), condition)
}

// firstWithMore selects the first table that has a row which a new ledger has not; empty: there is
// none.
func firstWithMore(there map[string][]column) string {
	var cases strings.Builder
	for i := range tables {
		t := &tables[i]
		if len(there[t.name]) == 0 {
			continue
		}
		fresh := "false"
		if t.fresh != "" {
			fresh = t.fresh
		}
		fmt.Fprintf(&cases, " WHEN (%s) THEN '%s'", anyBut(t, fresh), t.name)
	}
	return "SELECT CASE" + cases.String() + " ELSE '' END"
}

// readable is the condition of the rows that the service can read: the table's own, and times in
// the years 1 to 9999. Empty: there is none.
func readable(t *table, columns []column) string {
	var conditions []string
	if t.valid != "" {
		conditions = append(conditions, t.valid)
	}
	for _, c := range columns {
		if c.Type == "timestamp with time zone" {
			conditions = append(conditions, fmt.Sprintf(
				"coalesce(%s BETWEEN '0001-01-01 00:00:00Z' AND '9999-12-31 23:59:59.999999Z', true)", quoted(c.Name)))
		}
	}
	return strings.Join(conditions, " AND ")
}

// empty removes all rows of tables. Their triggers, which refuse that, are off by then.
func empty(names []string) string { return "TRUNCATE " + quoted(names...) }

func disableTrigger(table, trigger string) string {
	return fmt.Sprintf("ALTER TABLE %s DISABLE TRIGGER %s", quoted(table), quoted(trigger))
}

func enableTrigger(table, trigger string) string {
	return fmt.Sprintf("ALTER TABLE %s ENABLE TRIGGER %s", quoted(table), quoted(trigger))
}

func dropConstraint(table, constraint string) string {
	return fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s", quoted(table), quoted(constraint))
}

// addConstraint makes a constraint by its definition in the database's spelling.
func addConstraint(table, constraint, definition string) string {
	return fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s %s", quoted(table), quoted(constraint), definition)
}

// dropIndex removes an index by its name in the database's spelling.
func dropIndex(name string) string { return "DROP INDEX " + name }

// continueAfter has the sequence of positions go on after one. Unlike setval it is undone with the
// transaction.
func continueAfter(position int64) string {
	return fmt.Sprintf("ALTER TABLE transfer ALTER COLUMN position RESTART WITH %d", position+1)
}

func analyze(names []string) string { return "ANALYZE " + quoted(names...) }
