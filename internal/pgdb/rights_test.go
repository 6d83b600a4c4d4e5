package pgdb_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"internaltransfers/internal/localpg"
	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/pgtest"
)

// granted is what a role is granted by itself in the schema of a ledger, as a sentence names it.
const granted = `
SELECT privilege_type || ' on ' || relname FROM pg_class AS c, aclexplode(c.relacl)
WHERE relnamespace = 'ledger'::regnamespace AND grantee = $1::regrole
UNION ALL
SELECT format('%s of %s.%s', privilege_type, relname, attname)
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid, aclexplode(a.attacl)
WHERE relnamespace = 'ledger'::regnamespace AND grantee = $1::regrole
UNION ALL
SELECT privilege_type || ' on ' || proname FROM pg_proc AS p, aclexplode(p.proacl)
WHERE pronamespace = 'ledger'::regnamespace AND grantee = $1::regrole
UNION ALL
SELECT privilege_type || ' of the schema' FROM pg_namespace AS n, aclexplode(n.nspacl)
WHERE oid = 'ledger'::regnamespace AND grantee = $1::regrole`

// TestRightsAreThoseOfTheFile: what the program verifies at its start is what PostgreSQL reads in
// docs/roles.sql.
func TestRightsAreThoseOfTheFile(t *testing.T) {
	t.Parallel()
	conn := admin(t, pgtest.NewDatabase(t))
	for _, role := range []string{localpg.Writer, localpg.Reader} {
		found := texts(t, conn, granted, role)
		read, _ := pgdb.RightsOf(role, "ledger")
		slices.Sort(read)
		if !slices.Equal(found, read) || len(read) == 0 {
			t.Errorf("%s is granted\n%q, and the program reads\n%q", role, found, read)
		}
	}
	if public := texts(t, conn, strings.ReplaceAll(granted, "$1::regrole", "0")); len(public) > 0 {
		t.Errorf("everybody is granted %q", public)
	}
	// An export reads all tables but the keys of callers, and changes none.
	tables := texts(t, conn, "SELECT 'SELECT on ' || relname FROM pg_class WHERE relnamespace = 'ledger'::regnamespace AND relkind = 'r' AND relname <> 'api_key'")
	wanted := append(tables, "USAGE of the schema", "EXECUTE on ledger_now")
	slices.Sort(wanted)
	if found := texts(t, conn, granted, localpg.Reader); !slices.Equal(wanted, found) {
		t.Errorf("the reader is granted\n%q, wanted is\n%q", found, wanted)
	}
}

// TestEveryRightIsNeeded: all statements of the program are allowed to the writer, and without any
// single right one of them is not.
func TestEveryRightIsNeeded(t *testing.T) {
	t.Parallel()
	conn := admin(t, pgtest.NewDatabase(t))
	statements := append(explained(t, conn),
		// Triggers and indexes need rights of their own, and the version is not read by a query of
		// ours.
		statement{"an account is opened", "account_change transfer_position_seq search_words",
			"INSERT INTO account (account_id, currency, min_balance, create_fingerprint, display_name) " +
				"VALUES (gen_random_uuid(), 'USD', 0, '', 'somebody')"},
		statement{"the version is read", "goose_db_version", "EXPLAIN SELECT version_id FROM goose_db_version"})
	if len(statements) < 100 {
		t.Fatalf("there are only %d statements", len(statements))
	}
	for _, s := range statements {
		if err := asWriter(t, conn, "", s.run); err != nil {
			t.Errorf("%s is not allowed: %v", s.name, err)
		}
	}
	rights, grants := pgdb.RightsOf(localpg.Writer, "ledger")
	for i, grant := range grants {
		// The object, and the column if there is one.
		words := strings.FieldsFunc(rights[i], func(r rune) bool { return r == ' ' || r == '.' })[2:]
		needed := slices.ContainsFunc(statements, func(s statement) bool {
			mentions := !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(s.sql, word) })
			if !mentions && !strings.HasSuffix(rights[i], "the schema") {
				return false
			}
			var refused *pgconn.PgError
			err := asWriter(t, conn, "REVOKE "+grant+" FROM "+localpg.Writer+";", s.run)
			// Without a right to the schema, nothing in it is found.
			return errors.As(err, &refused) && (refused.Code == "42501" || refused.Code == "42P01")
		})
		if !needed {
			t.Errorf("nothing needs %s", rights[i])
		}
	}
}

// A statement is one of the program's: its text, and how PostgreSQL checks whether it is allowed.
type statement struct{ name, sql, run string }

var parameter = regexp.MustCompile(`\$(\d+)`)

// explained prepares all queries of the program. Explaining how one would be executed verifies the
// rights to.
func explained(t *testing.T, conn *pgx.Conn) (statements []statement) {
	t.Helper()
	execute(t, conn, "SET plan_cache_mode = force_generic_plan")
	paths, err := filepath.Glob("../../gen/db/*.sql.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || !strings.HasPrefix(literal.Value, "`-- name: ") {
				return true
			}
			sql := strings.Trim(literal.Value, "`")
			name := strings.Fields(sql)[2]
			if name == "SessionDiscard" {
				return true // that is about the session alone, and cannot be prepared
			}
			last := 0
			for _, p := range parameter.FindAllStringSubmatch(sql, -1) {
				number, err := strconv.Atoi(p[1])
				if err != nil {
					t.Fatal(err)
				}
				last = max(last, number)
			}
			run := "EXPLAIN EXECUTE " + name
			if last > 0 {
				run += "(" + strings.Repeat("NULL, ", last-1) + "NULL)"
			}
			execute(t, conn, fmt.Sprintf("PREPARE %s AS %s", name, sql))
			statements = append(statements, statement{name, sql, run})
			return true
		})
	}
	return statements
}

// asWriter runs a statement as the writer, after something else, and takes back all of it.
func asWriter(t *testing.T, conn *pgx.Conn, before, statement string) error {
	t.Helper()
	_, err := conn.Exec(t.Context(), "BEGIN; "+before+" SET LOCAL ROLE "+localpg.Writer+"; "+statement)
	execute(t, conn, "ROLLBACK")
	return err
}

// texts reads a list.
func texts(t *testing.T, conn *pgx.Conn, query string, args ...any) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	slices.Sort(list)
	return list
}

// TestMissingRight: without a right, Open says which is missing, and the command that it names
// gives it.
func TestMissingRight(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	conn := admin(t, database)
	rights, grants := pgdb.RightsOf(localpg.Writer, "ledger")
	for i := range grants {
		execute(t, conn, "REVOKE "+grants[i]+" FROM "+localpg.Writer)
		_, err := pgdb.Open(t.Context(), pgdb.Target{URL: database}, pgdb.Writing)
		requireRefused(t, err, "role ledger_writer lacks "+rights[i], "docs/roles.sql")
		_, command, _ := strings.Cut(err.Error(), "run: ")
		execute(t, conn, command)
	}
	d, err := pgdb.Open(t.Context(), pgdb.Target{URL: database}, pgdb.Reading)
	if err != nil || d.Excess() != "" {
		t.Fatalf("after all these commands: %v, %v", d, err)
	}
	execute(t, conn, "REVOKE ALL ON ALL TABLES IN SCHEMA ledger FROM "+localpg.Writer)
	_, err = pgdb.Open(t.Context(), pgdb.Target{URL: database}, pgdb.Reading)
	requireRefused(t, err, "lacks SELECT on goose_db_version, and ", " other rights")
}

// TestExcess: what a role is or may do beyond that is named, the worst first.
func TestExcess(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	conn := admin(t, database)
	role, as := newRole(t, database, false)
	execute(t, conn, "GRANT ledger_writer TO "+role)
	require := func(url, want string) {
		t.Helper()
		d, err := pgdb.Open(t.Context(), pgdb.Target{URL: url}, pgdb.Writing)
		if err != nil || d.Excess() != want {
			t.Errorf("it %q, wanted was %q: %v", d.Excess(), want, err)
		}
	}
	require(database, "")
	require(as, "")
	for _, c := range []struct{ grant, revoke, want string }{
		{"GRANT UPDATE (amount) ON transfer TO %s", "REVOKE UPDATE (amount) ON transfer FROM %s", "may UPDATE transfer.amount"},
		{"GRANT UPDATE ON setting TO %s", "REVOKE UPDATE ON setting FROM %s", "may UPDATE setting.name"},
		{"GRANT INSERT ON setting TO %s", "REVOKE INSERT ON setting FROM %s", "may INSERT on setting"},
		{"GRANT DELETE ON account TO %s", "REVOKE DELETE ON account FROM %s", "may DELETE on account"},
		{"GRANT TRUNCATE ON transfer TO %s", "REVOKE TRUNCATE ON transfer FROM %s", "may TRUNCATE on transfer"},
		{"GRANT TRIGGER ON transfer TO PUBLIC", "REVOKE TRIGGER ON transfer FROM PUBLIC", "may TRIGGER on transfer"},
		{"GRANT CREATE ON SCHEMA ledger TO %s", "REVOKE CREATE ON SCHEMA ledger FROM %s", "may CREATE in the schema"},
		{"ALTER ROLE %s CREATEROLE", "ALTER ROLE %s NOCREATEROLE", "may make roles or databases, replicate, or bypass row security"},
		{"GRANT pg_write_server_files TO %s", "REVOKE pg_write_server_files FROM %s", "is a member of pg_write_server_files"},
		{"GRANT ledger_owner TO %s", "REVOKE ledger_owner FROM %s", "owns the table account"},
		{"ALTER ROLE %s SUPERUSER", "ALTER ROLE %s NOSUPERUSER", "is a superuser"},
	} {
		execute(t, conn, strings.ReplaceAll(c.grant, "%s", role))
		require(as, c.want)
		execute(t, conn, strings.ReplaceAll(c.revoke, "%s", role))
	}
	require(as, "")
	require(pgtest.Owner(database), "owns the table account")
	require(pgtest.Superuser(database), "is a superuser")
}

// TestMeddledTables: what loses rows is refused at the start, with the statement that undoes it.
func TestMeddledTables(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	admin, err := pgx.Connect(t.Context(), pgtest.Superuser(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	for _, c := range []struct{ statement, found, fix string }{
		{"CREATE RULE meddle AS ON INSERT TO account_change DO INSTEAD NOTHING",
			"the table account_change has the rule meddle", "DROP RULE meddle ON ledger.account_change"},
		{"ALTER TABLE account DISABLE TRIGGER USER", "of the table account does not fire", "ALTER TABLE ledger.account ENABLE TRIGGER USER"},
		{"ALTER TABLE goose_db_version SET UNLOGGED", "the table goose_db_version is not logged", "ALTER TABLE ledger.goose_db_version SET LOGGED"},
		{"CREATE TABLE public.kept () INHERITS (account)", "the table account has the rows of public.kept, which inherits from it",
			"ALTER TABLE public.kept NO INHERIT ledger.account"},
	} {
		if _, err := admin.Exec(t.Context(), c.statement); err != nil {
			t.Fatal(err)
		}
		_, err := pgdb.Open(t.Context(), pgdb.Target{URL: database}, pgdb.Reading)
		requireRefused(t, err, c.found, "Run: ")
		if _, err := admin.Exec(t.Context(), c.fix); err != nil {
			t.Fatal(err)
		}
		if _, err := pgdb.Open(t.Context(), pgdb.Target{URL: database}, pgdb.Reading); err != nil {
			t.Errorf("after %s: %v", c.fix, err)
		}
	}
}
