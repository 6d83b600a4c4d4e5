package pgdb_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"internaltransfers/docs"
	"internaltransfers/internal/localpg"
	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/pgtest"
	"internaltransfers/migrations"
)

var silent = slog.New(slog.DiscardHandler)

// requireDenied fails unless PostgreSQL says that the role may not do it.
func requireDenied(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	_, err := conn.Exec(t.Context(), statement)
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "42501" {
		t.Errorf("%s: %v", statement, err)
	}
	execute(t, conn, "ROLLBACK") // of a statement that has a BEGIN
}

// plainSession is a role's session with none of our settings: one of ours ends with such an error.
func plainSession(t *testing.T, database string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["search_path"] = "ledger"
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// TestWriterCannot: the writer can neither take anything away, nor change what was decided, nor get
// at more rights.
func TestWriterCannot(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	super, conn := admin(t, database), plainSession(t, database)
	rights, _ := pgdb.RightsOf(localpg.Writer, "ledger")
	for _, table := range texts(t, super, "SELECT relname FROM pg_class WHERE relnamespace = 'ledger'::regnamespace AND relkind = 'r'") {
		for _, statement := range []string{
			"DELETE FROM %s", "TRUNCATE %s", "ALTER TABLE %s DISABLE TRIGGER ALL", "ALTER TABLE %s ADD more int", "DROP TABLE %s",
			"BEGIN; LOCK TABLE %s IN EXCLUSIVE MODE", "CREATE TRIGGER another BEFORE INSERT ON %s EXECUTE FUNCTION refuse_change()",
			"CREATE RULE another AS ON INSERT TO %s DO INSTEAD NOTHING", "CREATE INDEX ON %s ((1))", "COPY %s TO PROGRAM 'true'",
			"COPY %s TO '/tmp/stolen'",
		} {
			requireDenied(t, conn, fmt.Sprintf(statement, table))
		}
		for _, column := range texts(t, super, "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0", table) {
			if !slices.Contains(rights, fmt.Sprintf("UPDATE of %s.%s", table, column)) {
				requireDenied(t, conn, fmt.Sprintf("UPDATE %s SET %s = DEFAULT", table, column))
			}
		}
	}
	for _, statement := range []string{
		"CREATE TABLE another ()", "CREATE FUNCTION another() RETURNS int LANGUAGE sql AS 'SELECT 1'", "CREATE SCHEMA another",
		"CREATE OR REPLACE FUNCTION ledger_now() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'", "CREATE VIEW another AS SELECT 1",
		"SELECT setval('transfer_position_seq', 1)", "SET session_replication_role = replica", "SET ROLE ledger_owner",
		"CREATE ROLE another", "ALTER ROLE ledger_writer SUPERUSER", "ALTER ROLE ledger_reader PASSWORD 'known'",
		"SELECT pg_read_file('postgresql.conf')", "ALTER SYSTEM SET fsync = off", "CREATE EXTENSION file_fdw",
		"SELECT rolpassword FROM pg_authid", "INSERT INTO setting VALUES ('demo', '')", "INSERT INTO goose_db_version VALUES (9, 9, true)",
	} {
		requireDenied(t, conn, statement)
	}
	execute(t, conn, "GRANT ALL ON account TO CURRENT_USER") // which is no more than a warning
	if granted := texts(t, super, granted, localpg.Writer); len(granted) != len(rights) {
		t.Errorf("after all that it is granted %q", granted)
	}
}

// TestReaderCannot: the reader sees everything but the keys of callers, and writes nothing even
// where the session would let it.
func TestReaderCannot(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	super := admin(t, database)
	conn, err := pgx.Connect(t.Context(), pgtest.Reader(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pgdb.HangUp(conn) })
	for _, table := range texts(t, super, "SELECT relname FROM pg_class WHERE relnamespace = 'ledger'::regnamespace AND relkind = 'r'") {
		table = "ledger." + table
		if table == "ledger.api_key" {
			requireDenied(t, conn, "SELECT FROM "+table)
		} else {
			execute(t, conn, "SELECT FROM "+table)
		}
		column := texts(t, super, "SELECT min(attname) FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0", table)[0]
		for _, statement := range []string{
			"INSERT INTO %s DEFAULT VALUES", "UPDATE %s SET %s = DEFAULT", "DELETE FROM %s", "TRUNCATE %s",
			"SELECT FROM %s FOR KEY SHARE", "BEGIN; LOCK TABLE %s IN ROW EXCLUSIVE MODE",
		} {
			requireDenied(t, conn, strings.ReplaceAll(strings.Replace(statement, "%s", table, 1), "%s", column))
		}
	}
	for _, statement := range []string{
		"SELECT nextval('ledger.transfer_position_seq')", "CREATE TABLE ledger.another ()", "SELECT ledger.mark_demo('')",
	} {
		requireDenied(t, conn, statement)
	}
}

// TestRolesAreApplied: by a superuser and by the owner of a database, under other names, before and
// after there are tables, and again by the ledger's owner; each time with the same result.
func TestRolesAreApplied(t *testing.T) {
	t.Parallel()
	database := pgtest.NewEmptyDatabase(t, "")
	super := admin(t, database)
	dba, asDBA := newRole(t, database, true)
	execute(t, super, "ALTER ROLE "+dba+" CREATEROLE")
	text := strings.NewReplacer("ledger_owner", dba+"_owner", "ledger_writer", dba+"_writer", "ledger_reader", dba+"_reader",
		"SCHEMA ledger", "SCHEMA books", "search_path = ledger", "search_path = books").Replace(docs.Roles)
	t.Cleanup(func() {
		// The roles belong to the whole server.
		for _, role := range []string{"_owner", "_writer", "_reader"} {
			dropped := "DROP OWNED BY " + dba + role + " CASCADE; DROP ROLE " + dba + role
			if _, err := super.Exec(context.Background(), dropped); err != nil {
				t.Error(err)
			}
		}
	})
	apply := func(url string) string {
		t.Helper()
		execute(t, admin(t, url), text)
		return show(t, super, `SELECT concat_ws(' ', (SELECT nspacl FROM pg_namespace WHERE nspname = 'books'),
			(SELECT string_agg(concat(relname, relacl), ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'books'::regnamespace),
			(SELECT string_agg(concat(proname, proacl), ' ' ORDER BY proname) FROM pg_proc WHERE pronamespace = 'books'::regnamespace),
			(SELECT string_agg(concat(relname, attname, attacl), ' ' ORDER BY relname, attname) FROM pg_attribute AS a
			 JOIN pg_class AS c ON c.oid = a.attrelid WHERE relnamespace = 'books'::regnamespace))`)
	}
	apply(asDBA)
	urls := map[string]string{}
	for _, role := range []string{"_owner", "_writer", "_reader"} {
		execute(t, super, "ALTER ROLE "+dba+role+" PASSWORD 'secret'")
		urls[role] = withUser(t, database, dba+role, "secret")
	}
	_, err := pgdb.Open(t.Context(), pgdb.Target{URL: urls["_writer"]}, pgdb.Reading)
	requireRefused(t, err, "holds no ledger")
	// Without a schema named, it is the roles'.
	if d := migrate(t, pgdb.Target{URL: urls["_owner"]}); d.Schema() != "books" {
		t.Fatalf("the ledger is in %s", d.Schema())
	}
	_, err = pgdb.Open(t.Context(), pgdb.Target{URL: urls["_writer"]}, pgdb.Reading)
	requireRefused(t, err, "lacks SELECT on goose_db_version")
	want := apply(asDBA)
	for _, url := range []string{asDBA, urls["_owner"], database} {
		if got := apply(url); got != want {
			t.Errorf("applied again the rights are\n%s, and were\n%s", got, want)
		}
	}
	for _, use := range []pgdb.Use{pgdb.Reading, pgdb.Writing} {
		d, err := pgdb.Open(t.Context(), pgdb.Target{URL: urls["_writer"]}, use)
		if err != nil || d.Excess() != "" || d.Schema() != "books" {
			t.Errorf("the writer: %v, %v", d, err)
		}
	}
	if _, err := pgdb.Open(t.Context(), pgdb.Target{URL: urls["_reader"]}, pgdb.Proving); err != nil {
		t.Errorf("the reader: %v", err)
	}
	_, err = pgdb.Open(t.Context(), pgdb.Target{URL: urls["_reader"]}, pgdb.Reading)
	requireRefused(t, err, "lacks SELECT on transfer_full, and ")
}

// TestRolesOfALedgerThatIsThere: what one role has made and served is handed over by the commands
// that the manual names.
func TestRolesOfALedgerThatIsThere(t *testing.T) {
	t.Parallel()
	database := pgtest.NewEmptyDatabase(t, "")
	app, as := newRole(t, database, true)
	makeOlder(t, pgdb.Target{URL: as})
	text := strings.NewReplacer("SCHEMA ledger", "SCHEMA public", "search_path = ledger", "search_path = public").Replace(docs.Roles)
	execute(t, admin(t, database), text, "REASSIGN OWNED BY "+app+" TO ledger_owner")
	if _, err := pgdb.Migrate(t.Context(), pgdb.Target{URL: pgtest.Owner(database)}, silent); err != nil {
		t.Fatalf("the owner: %v", err)
	}
	execute(t, admin(t, database), text)
	d, err := pgdb.Open(t.Context(), pgdb.Target{URL: pgtest.Writer(database)}, pgdb.Writing)
	if err != nil || d.Excess() != "" || d.Schema() != "public" {
		t.Errorf("the writer: %v, %v", d, err)
	}
}

// makeOlder makes a ledger of an older version.
func makeOlder(t *testing.T, target pgdb.Target) {
	t.Helper()
	d, err := pgdb.Open(t.Context(), target, pgdb.Migrating)
	if err != nil {
		t.Fatal(err)
	}
	sessions := d.SQL(pgdb.Migrating)
	_, err = migrations.UpTo(t.Context(), sessions, d.Schema(), silent, migrations.Newest()-1)
	if err = errors.Join(err, sessions.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestPrepare: in a database of our own everything is made, in the schema that is named or found,
// also for an owner that existed before; a repeat has no effect.
func TestPrepare(t *testing.T) {
	t.Parallel()
	for named, want := range map[string]string{"": "ledger", "public": "public", `o"d'; DROP ROLE ledger_owner --`: `o"d'; DROP ROLE ledger_owner --`} {
		database := pgtest.NewEmptyDatabase(t, "")
		for _, schema := range []string{named, ""} {
			got, err := pgdb.Prepare(t.Context(), pgdb.Target{URL: database, Schema: schema}, pgtest.Owner(database), silent)
			if err != nil || got != want {
				t.Fatalf("schema %q: %q, %v", schema, got, err)
			}
		}
		conn := admin(t, database)
		if n := show(t, conn, "SELECT count(*)::text FROM pg_class WHERE relname = 'transfer' AND relowner = 'ledger_owner'::regrole"); n != "1" {
			t.Errorf("schema %q: the owner has %s tables of transfers", named, n)
		}
	}
}

// TestWhoMayMigrate: an older ledger is migrated by its owner, and refused to others before
// anything is written; a newer one is refused to all.
func TestWhoMayMigrate(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	conn := admin(t, database)
	open := func(url string) *pgdb.Database {
		t.Helper()
		d, err := pgdb.Open(t.Context(), pgdb.Target{URL: url}, pgdb.Migrating)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	newest := show(t, conn, "SELECT max(version_id)::text FROM goose_db_version")
	for _, url := range []string{database, pgtest.Owner(database)} {
		if err := open(url).Migrate(t.Context(), silent); err != nil {
			t.Errorf("a ledger that is current: %v", err)
		}
	}
	execute(t, conn, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)")
	for _, url := range []string{database, pgtest.Owner(database)} {
		requireRefused(t, open(url).Migrate(t.Context(), silent), "version 99999", newest+" or older", "newer program")
		requireRefused(t, open(url).RequireCurrent(t.Context()), "version 99999", newest+" or older", "newer program")
	}
	execute(t, conn, "REVOKE SELECT ON goose_db_version FROM ledger_reader")
	requireRefused(t, open(pgtest.Reader(database)).RequireCurrent(t.Context()), "ledger_reader", "goose_db_version", "docs/roles.sql")

	database = pgtest.NewEmptyDatabase(t, "")
	older := strconv.FormatInt(migrations.Newest()-1, 10)
	conn = admin(t, database)
	execute(t, conn, "CREATE SCHEMA ledger AUTHORIZATION ledger_owner", "GRANT USAGE ON SCHEMA ledger TO PUBLIC")
	makeOlder(t, pgdb.Target{URL: pgtest.Owner(database), Schema: "ledger"})
	execute(t, conn, "GRANT SELECT ON goose_db_version TO PUBLIC")
	requireRefused(t, open(pgtest.Writer(database)).Migrate(t.Context(), silent), "has version "+older, "role ledger_writer may not migrate it",
		"version "+newest, "internaltransfers migrate")
	requireRefused(t, open(pgtest.Reader(database)).RequireCurrent(t.Context()), "has version "+older, "version "+newest, "internaltransfers migrate")
	if version := show(t, conn, "SELECT max(version_id)::text FROM goose_db_version"); version != older {
		t.Errorf("it was brought to version %s", version)
	}
	if err := open(pgtest.Owner(database)).Migrate(t.Context(), silent); err != nil {
		t.Errorf("by the owner: %v", err)
	}
	if version := show(t, conn, "SELECT max(version_id)::text FROM goose_db_version"); version != newest {
		t.Errorf("the owner brought it to version %s", version)
	}

	empty := pgtest.NewEmptyDatabase(t, "")
	_, as := newRole(t, empty, false)
	requireRefused(t, open(as).Migrate(t.Context(), silent), "holds no ledger", "may not migrate it", "internaltransfers migrate")
}
