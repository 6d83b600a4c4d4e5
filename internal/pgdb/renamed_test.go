package pgdb_test

import (
	"testing"

	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/pgtest"
)

// TestRenamedSchema: a ledger whose schema was renamed works on its own tables, also when another
// ledger has the name.
func TestRenamedSchema(t *testing.T) {
	t.Parallel()
	database := pgtest.NewEmptyDatabase(t, "")
	migrate(t, pgdb.Target{URL: database, Schema: "first"})
	conn := admin(t, database)
	execute(t, conn, `ALTER SCHEMA first RENAME TO "Old one"`)
	t.Run("alone", func(t *testing.T) {
		execute(t, conn, `UPDATE "Old one".account SET display_name = 'by hand' WHERE currency = 'USD'`)
		show(t, conn, `SELECT "Old one".event_writers()::text`)
	})
	migrate(t, pgdb.Target{URL: database, Schema: "first"})

	execute(t, conn, `UPDATE "Old one".account SET display_name = 'again' WHERE currency = 'USD'`,
		`INSERT INTO "Old one".account (account_id, currency, min_balance, create_fingerprint) VALUES (gen_random_uuid(), 'USD', 0, '')`)
	if got := show(t, conn, `SELECT concat_ws(' ', (SELECT count(*) FROM "Old one".account_change),
		(SELECT count(*) FROM first.account_change))`); got != "9 6" {
		t.Errorf("changes of accounts are %s", got)
	}
	writing := admin(t, database)
	execute(t, writing, "BEGIN", `LOCK TABLE "Old one".transfer IN ROW EXCLUSIVE MODE`)
	if got := show(t, conn, `SELECT concat_ws(' ', cardinality("Old one".event_writers()), cardinality(first.event_writers()))`); got != "1 0" {
		t.Errorf("writers of events are %s", got)
	}
	execute(t, writing, "ROLLBACK")
	execute(t, conn, `SELECT "Old one".webhook_account_waits(gen_random_uuid(), gen_random_uuid(), 1)`, "SELECT first.mark_demo('first')")
	if got := show(t, conn, `SELECT concat_ws(' ', coalesce("Old one".mark_demo('old')::text, 'none'), count(*))
		FROM "Old one".setting WHERE name = 'demo'`); got != "none 0" {
		t.Errorf("a ledger with an account became a demo: %s", got)
	}
	const named = `SELECT coalesce(string_agg(p.oid::regprocedure::text, ' '), '') FROM pg_proc AS p, unnest(p.proconfig) AS setting
		WHERE p.pronamespace = '"Old one"'::regnamespace AND setting <> 'search_path=pg_catalog, pg_temp'`
	if got := show(t, conn, named); got != "" {
		t.Errorf("these keep the name of a schema: %s", got)
	}
}
