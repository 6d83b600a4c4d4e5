package pgdb_test

import (
	"strings"
	"testing"

	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/pgtest"
)

// TestPartOfLedgerIsNotPassedOver: beside a ledger that lacks one of its first tables, no other one
// is made, and it is not taken for an empty schema.
func TestPartOfLedgerIsNotPassedOver(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ change, found string }{
		{"ALTER TABLE ledger.goose_db_version RENAME TO old_goose", "the table goose_db_version is missing"},
		{"DROP TABLE ledger.setting CASCADE", "the table setting is missing"},
		{"ALTER TABLE ledger.account RENAME TO accounts", "the table account is missing"},
		{"ALTER TABLE ledger.transfer RENAME TO transfers; CREATE VIEW ledger.transfer AS SELECT * FROM ledger.transfers", "transfer is not a plain table"},
		{"CREATE TABLE ledger.parted (LIKE ledger.transfer) PARTITION BY RANGE (create_time); ALTER TABLE ledger.transfer RENAME TO old;" +
			"ALTER TABLE ledger.parted RENAME TO transfer", "transfer is not a plain table"},
		{"DROP TABLE ledger.goose_db_version, ledger.setting CASCADE; ALTER TABLE ledger.currency RENAME TO coin",
			"the table currency is missing, the table goose_db_version is missing, the table setting is missing"},
	} {
		t.Run(c.found, func(t *testing.T) {
			t.Parallel()
			database := pgtest.NewDatabase(t)
			execute(t, admin(t, database), c.change)
			for url, use := range map[string]pgdb.Use{
				pgtest.Superuser(database): pgdb.Migrating, pgtest.Owner(database): pgdb.Migrating,
				database: pgdb.Reading, pgtest.Reader(database): pgdb.Proving,
			} {
				for _, schema := range []string{"", "ledger"} {
					_, err := pgdb.Open(t.Context(), pgdb.Target{URL: url, Schema: schema}, use)
					requireRefused(t, err, `schema "ledger"`, "holds a part of a ledger", c.found, "DB_SCHEMA")
				}
			}
			if d, err := pgdb.Open(t.Context(), pgdb.Target{URL: pgtest.Superuser(database), Schema: "other"}, pgdb.Migrating); err != nil || d.HasLedger() {
				t.Errorf("another schema, by its name: %v", err)
			}
		})
	}
}

// TestTablesOfOthersAreNoLedger: another program's tables with names of the ledger's are not taken
// for a part of one, nor is a copy of its accounts.
func TestTablesOfOthersAreNoLedger(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	execute(t, admin(t, database), "CREATE SCHEMA bank", "CREATE TABLE bank.account (account_id uuid)", "CREATE TABLE bank.transfer (transfer_id uuid)",
		"CREATE TABLE bank.currency ()", "CREATE TABLE bank.setting ()", "CREATE SCHEMA kept", "CREATE TABLE kept.account AS TABLE ledger.account")
	if d, err := pgdb.Open(t.Context(), pgdb.Target{URL: database}, pgdb.Reading); err != nil || d.Schema() != "ledger" {
		t.Error(err)
	}
}

// TestVersionsOfOthersAreRefused: where another program has its versions, nothing is made, and
// migrate does not say that it is done.
func TestVersionsOfOthersAreRefused(t *testing.T) {
	t.Parallel()
	const table = "CREATE TABLE goose_db_version (id serial PRIMARY KEY, version_id bigint, is_applied boolean, tstamp timestamptz DEFAULT now()); "
	for _, statement := range []string{
		table + "INSERT INTO goose_db_version (version_id, is_applied) SELECT n, true FROM generate_series(0, 30) AS n",
		table + "INSERT INTO goose_db_version (version_id, is_applied) SELECT n, true FROM generate_series(0, 2) AS n",
		table + "INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, true), (1, true), (2, true), (20, true)",
		"CREATE TABLE goose_db_version (version text)",
	} {
		t.Run(statement[strings.LastIndex(statement, "SELECT")+1:], func(t *testing.T) {
			t.Parallel()
			database := pgtest.NewEmptyDatabase(t, "")
			conn := admin(t, database)
			execute(t, conn, statement)
			_, err := pgdb.Migrate(t.Context(), pgdb.Target{URL: database}, silent)
			requireRefused(t, err, `schema "public" has a goose_db_version that is not the ledger's`, "DB_SCHEMA")
			if n := show(t, conn, "SELECT count(*)::text FROM pg_class WHERE relname = 'account'"); n != "0" {
				t.Error("something was made all the same")
			}
			if _, err := pgdb.Migrate(t.Context(), pgdb.Target{URL: database, Schema: "ledger"}, silent); err != nil {
				t.Errorf("in a schema of its own: %v", err)
			}
		})
	}
}

// TestMigrationGoesOn: a first migration that failed is tried again, and one that changed nothing
// still fails where the ledger is not whole.
func TestMigrationGoesOn(t *testing.T) {
	t.Parallel()
	database := pgtest.NewEmptyDatabase(t, "")
	conn := admin(t, database)
	execute(t, conn, "CREATE FUNCTION no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no DDL here'; END $$",
		"CREATE EVENT TRIGGER no_ddl ON ddl_command_start EXECUTE FUNCTION no_ddl()")
	_, err := pgdb.Migrate(t.Context(), pgdb.Target{URL: database}, silent)
	requireRefused(t, err, "an event trigger", "no DDL here", "pg_event_trigger")
	execute(t, conn, "DROP EVENT TRIGGER no_ddl",
		"CREATE TABLE goose_db_version (id serial PRIMARY KEY, version_id bigint NOT NULL, is_applied boolean NOT NULL, tstamp timestamp DEFAULT now())",
		"INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, true)")
	if _, err := pgdb.Migrate(t.Context(), pgdb.Target{URL: database}, silent); err != nil {
		t.Fatal(err)
	}
	execute(t, conn, "DROP TRIGGER account_keep_changed ON account")
	_, err = pgdb.Migrate(t.Context(), pgdb.Target{URL: database}, silent)
	requireRefused(t, err, "the table account lacks the trigger account_keep_changed")
}
