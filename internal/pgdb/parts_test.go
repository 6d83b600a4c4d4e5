package pgdb_test

import (
	"errors"
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/pgtest"
)

var update = flag.Bool("update", false, "write schema.txt anew")

// partStatements reads all parts, with the statements that make them.
const partStatements = `
SELECT p.kind, p.relation, p.name, p.shape, coalesce(CASE p.kind
    WHEN 'constraint' THEN (
        SELECT format('ALTER TABLE ledger.%I ADD CONSTRAINT %I ', p.relation, p.name) || pg_get_constraintdef(o.oid)
        FROM pg_constraint AS o JOIN pg_class AS c ON c.oid = o.conrelid
        WHERE c.relnamespace = 'ledger'::regnamespace AND c.relname = p.relation AND o.conname = p.name)
    WHEN 'trigger' THEN (
        SELECT pg_get_triggerdef(t.oid) FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
        WHERE c.relnamespace = 'ledger'::regnamespace AND c.relname = p.relation AND t.tgname = p.name)
    WHEN 'unique index' THEN (
        SELECT pg_get_indexdef(c.oid) FROM pg_class AS c
        WHERE c.relnamespace = 'ledger'::regnamespace AND c.relname = p.name)
    END, '') AS statement
FROM part AS p
WHERE p.relation <> 'goose_db_version' AND p.shape <> 'S' AND p.relation NOT LIKE '%\_seq'
ORDER BY array_position(ARRAY['relation', 'column', 'constraint', 'unique index', 'function', 'trigger'], p.kind),
         CASE p.kind WHEN 'constraint' THEN position(left(p.shape, 1) IN 'pucf') END,
         p.relation COLLATE "C", p.name COLLATE "C"`

// lineEnd is where PostgreSQL breaks the line of a statement.
var lineEnd = regexp.MustCompile(`\n\s*`)

// readParts reads the parts of the ledger in the schema ledger as lines of schema.txt.
func readParts(t *testing.T, conn *pgx.Conn) (lines []string) {
	t.Helper()
	queries, err := os.ReadFile("../../queries/role.sql")
	if err != nil {
		t.Fatal(err)
	}
	_, query, found := strings.Cut(string(queries), "-- name: SchemaMissing :many\n")
	query, _, ends := strings.Cut(query, ", missing AS (")
	if !found || !ends {
		t.Fatal("the query SchemaMissing has another form")
	}
	execute(t, conn, "SET search_path = ''")
	rows, err := conn.Query(t.Context(), strings.ReplaceAll(query, "@schema", "$1")+partStatements, "ledger")
	if err != nil {
		t.Fatal(err)
	}
	type row struct{ Kind, Relation, Name, Shape, Statement string }
	parts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		statement := lineEnd.ReplaceAllString(strings.ReplaceAll(p.Statement, "ledger.", "{schema}."), " ")
		lines = append(lines, strings.Join([]string{p.Kind, p.Relation, p.Name, p.Shape, statement}, "\t"))
	}
	return lines
}

// withoutStatement cuts off what versions of PostgreSQL may spell differently.
func withoutStatement(line string) string { return line[:strings.LastIndex(line, "\t")] }

// TestSchemaFileIsWhatTheMigrationsMake: schema.txt has every table, view, column, constraint,
// unique index, function and trigger, and no other. With -update it is written.
func TestSchemaFileIsWhatTheMigrationsMake(t *testing.T) {
	t.Parallel()
	found := readParts(t, admin(t, pgtest.NewDatabase(t)))
	if *update {
		if err := os.WriteFile("schema.txt", []byte(strings.Join(found, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile("schema.txt")
	if err != nil {
		t.Fatal(err)
	}
	var wanted, made []string
	for line := range strings.Lines(string(file)) {
		wanted = append(wanted, withoutStatement(line))
	}
	for _, line := range found {
		made = append(made, withoutStatement(line))
	}
	if !slices.Equal(wanted, made) {
		t.Error("the migrations make something else than schema.txt has: go test ./internal/pgdb -run TestSchemaFile -update")
	}
}

// TestMissingPartIsRefused: without any one key, check, index or trigger nothing is served, proved
// or exported, and the statement of the refusal makes it again as it was.
func TestMissingPartIsRefused(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	d, err := pgdb.Open(t.Context(), pgdb.Target{URL: database}, pgdb.Reading)
	if err != nil {
		t.Fatal(err)
	}
	conn := admin(t, database)
	before := readParts(t, conn)
	for _, line := range before {
		f := strings.Split(line, "\t")
		kind, relation, name := f[0], f[1], f[2]
		switch kind {
		case "constraint":
			execute(t, conn, "ALTER TABLE ledger."+relation+" DROP CONSTRAINT "+name+" CASCADE")
		case "unique index":
			execute(t, conn, "DROP INDEX ledger."+name)
		case "trigger":
			execute(t, conn, "DROP TRIGGER "+name+" ON ledger."+relation)
		default:
			continue
		}
		err := d.RequireParts(t.Context(), conn)
		requireRefused(t, err, "the table "+relation+" lacks the "+kind+" "+name, "the tables as migrate makes them")
		_, statement, _ := strings.Cut(err.Error(), "Run: ")
		execute(t, conn, statement)
	}
	plain := strings.NewReplacer("(", "", ")", "") // one of them loses some when it is made again
	for i, line := range readParts(t, conn) {
		if plain.Replace(line) != plain.Replace(before[i]) {
			t.Errorf("made is %q, wanted %q", line, before[i])
		}
	}
}

// TestMeddledPartIsRefused: so is a ledger in which something else has the name of a part, and one
// without a table, a view, a column or a function, for every use but the owner's.
func TestMeddledPartIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ statement, found, fix string }{
		{"ALTER TABLE ledger.transfer DROP CONSTRAINT transfer_pkey CASCADE; ALTER TABLE ledger.transfer ADD CONSTRAINT transfer_pkey UNIQUE (position)",
			"the constraint transfer_pkey of the table transfer is not as migrate makes it", "Drop what has its name, then run: ALTER TABLE"},
		{"CREATE OR REPLACE TRIGGER account_keep_changed AFTER UPDATE ON ledger.account EXECUTE FUNCTION ledger.refuse_change()",
			"the trigger account_keep_changed of the table account is not", "then run: CREATE TRIGGER"},
		{"ALTER TABLE ledger.transfer_detail ALTER CONSTRAINT transfer_detail_transfer_fkey NOT DEFERRABLE",
			"the constraint transfer_detail_transfer_fkey of the table transfer_detail is not", "then run: ALTER TABLE"},
		{"ALTER TABLE ledger.transfer ALTER reference DROP DEFAULT", "the column reference of the table transfer is not", "migrations/"},
		{"ALTER TABLE ledger.account DROP held CASCADE", "lacks the column held", "Restore a whole backup"},
		{"DROP VIEW ledger.transfer_full", "the ledger lacks the view transfer_full.", "Restore a whole backup"},
		{"ALTER TABLE ledger.transfer_group RENAME TO old", "the ledger lacks the table transfer_group.", "Restore a whole backup"},
		{"DROP FUNCTION ledger.event_writers()", "the ledger lacks the function event_writers", "Restore a whole backup"},
		{"ALTER TABLE ledger.transfer DROP CONSTRAINT transfer_pkey CASCADE; ALTER TABLE ledger.account DROP CONSTRAINT account_pkey CASCADE;" +
			"ALTER TABLE ledger.schedule DROP CONSTRAINT schedule_pkey CASCADE; DROP TRIGGER account_is_kept ON ledger.account;" +
			"DROP TRIGGER schedule_is_kept ON ledger.schedule", "the table account lacks the constraint account_pkey, and ", "--section=post-data"},
	} {
		t.Run(c.found, func(t *testing.T) {
			t.Parallel()
			database := pgtest.NewDatabase(t)
			execute(t, admin(t, database), c.statement)
			for _, use := range []pgdb.Use{pgdb.Writing, pgdb.Reading, pgdb.Proving} {
				as := database
				if use == pgdb.Proving {
					as = pgtest.Reader(database)
				}
				_, err := pgdb.Open(t.Context(), pgdb.Target{URL: as}, use)
				refused, ok := errors.AsType[*pgdb.RefusedError](err)
				if !ok || !strings.Contains(refused.Found+".", c.found) || !strings.Contains(refused.Fix, c.fix) {
					t.Errorf("use %d: %v", use, err)
				}
			}
		})
	}
}
