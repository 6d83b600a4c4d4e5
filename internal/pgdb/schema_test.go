package pgdb_test

import (
	"testing"

	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/pgtest"
)

// TestShadowLedger: a ledger stays where it is when a schema appears that comes before it in the
// search_path, for new sessions and for those that come later to an open pool.
func TestShadowLedger(t *testing.T) {
	t.Parallel()
	database := pgtest.NewEmptyDatabase(t, "")
	role, as := newRole(t, database, true)
	first := migrate(t, pgdb.Target{URL: as})
	if first.Schema() != "public" {
		t.Fatalf("the ledger is in %s", first.Schema())
	}
	pool, err := first.Pool(t.Context(), pgdb.Reading, 2, pgdb.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	execute(t, admin(t, database), "CREATE SCHEMA "+role+" AUTHORIZATION "+role)
	again := migrate(t, pgdb.Target{URL: as})
	if again.Schema() != "public" || !again.HasLedger() {
		t.Errorf("the second server serves schema %s", again.Schema())
	}
	var schema string
	err = pool.QueryRow(t.Context(), "SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'transfer'::regclass").Scan(&schema)
	if err != nil || schema != "public" {
		t.Errorf("a new session of the first server looks at %s, %v", schema, err)
	}
	if n := show(t, admin(t, database), "SELECT count(*)::text FROM pg_class WHERE relname = 'transfer'"); n != "1" {
		t.Errorf("there are %s tables of transfers", n)
	}
}

// TestShadowTables: tables and functions of others, temporary ones too, never stand in for the
// ledger's.
func TestShadowTables(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	name := databaseName(t, database)
	execute(t, admin(t, database), "CREATE SCHEMA others", "CREATE TABLE others.transfer ()",
		"CREATE FUNCTION others.ledger_now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT 'epoch'::timestamptz $$",
		"ALTER DATABASE "+name+" SET search_path = others, public")
	for _, use := range []pgdb.Use{pgdb.Writing, pgdb.Reading, pgdb.Migrating} {
		conn := connect(t, pgdb.Target{URL: database}, use)
		execute(t, conn, "CREATE TEMPORARY TABLE transfer ()")
		if n := show(t, conn, "SELECT count(transfer_id)::text FROM transfer"); n != "0" {
			t.Errorf("%s transfers", n)
		}
		if now := show(t, conn, "SELECT (ledger_now() > '2020-01-01')::text"); now != "true" {
			t.Errorf("the clock is another schema's")
		}
	}
}

// TestTriggersOfOneLedger: what an UPDATE by hand sets off stays in its ledger, whatever the
// search_path of that session.
func TestTriggersOfOneLedger(t *testing.T) {
	t.Parallel()
	database := pgtest.NewEmptyDatabase(t, "")
	migrate(t, pgdb.Target{URL: database, Schema: "first"})
	migrate(t, pgdb.Target{URL: database, Schema: "second"})
	conn := admin(t, database)
	const changes = "SELECT concat_ws(' ', (SELECT count(*) FROM first.account_change), (SELECT count(*) FROM second.account_change))"
	before := show(t, conn, changes)
	execute(t, conn, "SET search_path = second", "LISTEN \"any\"",
		"UPDATE first.account SET display_name = 'by hand' WHERE currency = 'USD'")
	if after := show(t, conn, changes); before != "6 6" || after != "7 6" {
		t.Errorf("changes of accounts were %s and are %s", before, after)
	}
	channels := show(t, conn, "SELECT concat_ws(' ', second.profile_channel('first.account'::regclass), "+
		"second.profile_channel('second.account'::regclass))")
	first, second := connect(t, pgdb.Target{URL: database, Schema: "first"}, pgdb.Reading), connect(t, pgdb.Target{URL: database, Schema: "second"}, pgdb.Reading)
	const own = "SELECT profile_channel('account'::regclass)"
	if got := show(t, first, own) + " " + show(t, second, own); got != channels || show(t, first, own) == show(t, second, own) {
		t.Errorf("the channels are %s, wanted %s", got, channels)
	}
}

// TestChooseSchema: which schema is taken, and which database is refused.
func TestChooseSchema(t *testing.T) {
	t.Parallel()
	database := pgtest.NewEmptyDatabase(t, "")
	if _, err := pgdb.Open(t.Context(), pgdb.Target{URL: database}, pgdb.Reading); err != nil {
		requireRefused(t, err, `schema "public"`, "holds no ledger", "internaltransfers migrate")
	} else {
		t.Error("an empty database is read")
	}
	for _, name := range []string{"pg_ledger", "information_schema", "\x00", string(make([]byte, 64)), "\xff"} {
		if _, err := pgdb.Open(t.Context(), pgdb.Target{URL: database, Schema: name}, pgdb.Migrating); err == nil {
			t.Errorf("the schema %q is taken", name)
		}
	}
	nowhere := withParameter(t, database, "search_path", "missing")
	_, err := pgdb.Open(t.Context(), pgdb.Target{URL: nowhere}, pgdb.Migrating)
	requireRefused(t, err, "no schema of the search_path", "DB_SCHEMA")

	odd := `o"d; DROP SCHEMA public --`
	migrate(t, pgdb.Target{URL: database, Schema: odd})
	if got := migrate(t, pgdb.Target{URL: database}); got.Schema() != odd || !got.HasLedger() {
		t.Errorf("the only ledger is in %q, found was %q", odd, got.Schema())
	}
	if got := migrate(t, pgdb.Target{URL: nowhere}); got.Schema() != odd {
		t.Errorf("with a search_path that has no schema, %q was found", got.Schema())
	}
	migrate(t, pgdb.Target{URL: database, Schema: "public"})
	_, err = pgdb.Open(t.Context(), pgdb.Target{URL: database}, pgdb.Reading)
	requireRefused(t, err, "several ledgers", "public", odd, "DB_SCHEMA")
	for _, schema := range []string{odd, "public"} {
		d, err := pgdb.Open(t.Context(), pgdb.Target{URL: database, Schema: schema}, pgdb.Reading)
		if err != nil || d.Schema() != schema {
			t.Errorf("schema %q: %v, %v", schema, d, err)
		}
	}
	_, err = pgdb.Open(t.Context(), pgdb.Target{URL: database, Schema: "another"}, pgdb.Writing)
	requireRefused(t, err, `schema "another"`, "holds no ledger")
}
