package postgres_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

const hinderedWords = "a constraint, a trigger or a rule in it"

// requireHindered fails unless the database was to blame, in words that say for what.
func requireHindered(t testing.TB, what string, err error, words string) {
	t.Helper()
	if !errors.Is(err, ledger.ErrUnavailable) || !strings.Contains(err.Error(), words) {
		t.Errorf("%s: %v, want ErrUnavailable that says %q", what, err, words)
	}
}

// A foreign trigger or rule drops rows, or raises an error. What it hinders is not applied, and its
// neighbours are. Once it is gone, the same call is applied once.
func TestForeignTriggers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, make, undo string }{
		{"drops the row", `CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF new.amount = 7 THEN RETURN NULL; END IF; RETURN new; END $$;
			CREATE TRIGGER meddle BEFORE INSERT ON transfer FOR EACH ROW EXECUTE FUNCTION meddle()`,
			"DROP TRIGGER meddle ON transfer"},
		{"raises", `CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF new.amount = 7 THEN RAISE 'audit says no'; END IF; RETURN new; END $$;
			CREATE TRIGGER meddle AFTER INSERT ON transfer FOR EACH ROW EXECUTE FUNCTION meddle()`,
			"DROP TRIGGER meddle ON transfer"},
		{"a constraint", "ALTER TABLE transfer ADD CONSTRAINT meddle CHECK (amount <> 7)",
			"ALTER TABLE transfer DROP CONSTRAINT meddle"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			database := pgtest.NewDatabase(t)
			l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, Logger: ledgertest.Silent})
			ids := ledgertest.OpenAccounts(t, l, 2, 100)
			pay := func(id uuid.UUID, amount int64) error {
				_, _, err := l.Transfer(t.Context(), ledger.TransferParams{
					ID: id, From: ids[0], To: ids[1], Amount: decimal.NewFromInt(amount),
				})
				return err
			}
			admin := ledgertest.Connect(t, database)
			ledgertest.Execute(t, admin, c.make)
			id := uuid.New()
			var neighbours sync.WaitGroup
			for range 20 {
				neighbours.Go(func() {
					if err := pay(uuid.New(), 1); err != nil {
						t.Errorf("a neighbour: %v", err)
					}
				})
			}
			for range 3 {
				requireHindered(t, "the hindered one", pay(id, 7), hinderedWords)
			}
			neighbours.Wait()
			hold := ledger.TransferParams{
				From: ids[0], To: ids[1], Amount: decimal.NewFromInt(7), Options: &ledger.TransferOptions{Hold: true},
			}
			_, _, err := l.Transfer(t.Context(), hold)
			requireHindered(t, "a hold", err, hinderedWords)
			_, _, err = l.CreateAccount(t.Context(), ledger.AccountParams{InitialBalance: decimal.NewFromInt(7)})
			requireHindered(t, "an opening", err, hinderedWords)
			requireBalance(t, l, ids[0], 80)
			ledgertest.Execute(t, admin, c.undo)
			for range 2 {
				if err := pay(id, 7); err != nil {
					t.Errorf("without it: %v", err)
				}
			}
			requireBalance(t, l, ids[0], 73)
		})
	}
}

// A rule in place of an INSERT is noticed wherever rows are written.
func TestForeignRules(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"transfer", "transfer_detail", "transfer_change", "transfer_group"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			database := pgtest.NewDatabase(t)
			l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, Logger: ledgertest.Silent})
			ids := ledgertest.OpenAccounts(t, l, 2, 100)
			p := ledger.TransferParams{
				From: ids[0], To: ids[1], Amount: decimal.NewFromInt(7), Options: &ledger.TransferOptions{Hold: true},
			}
			held, _, err := l.Transfer(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			admin := ledgertest.Connect(t, database)
			ledgertest.Execute(t, admin, "CREATE RULE meddle AS ON INSERT TO "+table+" DO INSTEAD NOTHING")
			switch table {
			case "transfer", "transfer_detail":
				_, _, err = l.Transfer(t.Context(), p)
			case "transfer_change":
				_, _, err = l.Void(t.Context(), held.ID, false)
			default:
				plain := ledger.TransferParams{From: ids[0], To: ids[1], Amount: decimal.NewFromInt(1)}
				var outcomes []ledger.Outcome
				outcomes, err = l.TransferBatch(t.Context(), []ledger.TransferParams{plain, plain}, ledger.BatchOptions{Atomic: true})
				if err == nil {
					err = outcomes[0].Err
				}
			}
			requireHindered(t, table, err, hinderedWords)
			ledgertest.Execute(t, admin, "DROP RULE meddle ON "+table)
			requireBalance(t, l, ids[0], 100)
		})
	}
}

// A rule in place of an UPDATE is noticed too, and what it has done to prepared statements ends
// with it. While it is there, the ledger is not ready.
func TestForeignRuleOnUpdates(t *testing.T) {
	t.Parallel()
	for _, event := range []string{"INSERT", "UPDATE"} {
		t.Run(event, func(t *testing.T) {
			t.Parallel()
			database := pgtest.NewDatabase(t)
			l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, Logger: ledgertest.Silent})
			ids := ledgertest.OpenAccounts(t, l, 2, 100)
			hold := func() (ledger.Transfer, error) {
				transfer, _, err := l.Transfer(t.Context(), ledger.TransferParams{
					From: ids[0], To: ids[1], Amount: decimal.NewFromInt(7), Options: &ledger.TransferOptions{Hold: true},
				})
				return transfer, err
			}
			held, err := hold()
			if err != nil {
				t.Fatal(err)
			}
			admin := ledgertest.Connect(t, database)
			ledgertest.Execute(t, admin, "CREATE RULE meddle AS ON "+event+" TO transfer_detail DO INSTEAD NOTHING")
			for range 5 { // more than there are sessions
				if event == "INSERT" {
					_, err = hold()
				} else {
					_, _, err = l.Void(t.Context(), held.ID, false)
				}
				requireHindered(t, event, err, hinderedWords)
			}
			if event == "INSERT" {
				requireHindered(t, "ready", l.ReadyToWrite(t.Context()), hinderedWords)
			}
			ledgertest.Execute(t, admin, "DROP RULE meddle ON transfer_detail")
			for range 5 {
				again, err := hold()
				if err == nil {
					_, _, err = l.Void(t.Context(), again.ID, false)
				}
				if err != nil {
					t.Errorf("without the rule: %v", err)
				}
			}
			if _, _, err := l.Void(t.Context(), held.ID, false); err != nil {
				t.Errorf("the first hold: %v", err)
			}
		})
	}
}

// A session that began with too few rights is not kept.
func TestRoleWithoutRightsForAWhile(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, Logger: ledgertest.Silent})
	ids := ledgertest.OpenAccounts(t, l, 2, 100)
	pay := func() error {
		_, _, err := l.Transfer(t.Context(), ledger.TransferParams{From: ids[0], To: ids[1], Amount: decimal.NewFromInt(1)})
		return err
	}
	admin := ledgertest.Connect(t, database)
	ledgertest.Execute(t, admin, "ALTER TABLE account ALTER held TYPE numeric(60, 18)")
	requireAvailable(t, pay)
	ledgertest.Execute(t, admin, "REVOKE INSERT ON transfer FROM ledger_writer")
	requireHindered(t, "without the right", pay(), "lacks a right")
	ledgertest.Execute(t, admin, "GRANT INSERT ON transfer TO ledger_writer")
	if err := pay(); err != nil {
		t.Errorf("with it: %v", err)
	}
}

// With row-level security a role may not see rows that are there. Nothing is then said not to be
// found, and nothing is recorded for want of an account; the ledger is not ready, and is not opened
// anew.
func TestRowLevelSecurity(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"account", "transfer", "currency"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			database := pgtest.NewDatabase(t)
			l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, Logger: ledgertest.Silent})
			ids := ledgertest.OpenAccounts(t, l, 2, 100)
			p := ledger.TransferParams{ID: uuid.New(), From: ids[0], To: ids[1], Amount: decimal.NewFromInt(1)}
			done, _, err := l.Transfer(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			admin := ledgertest.Connect(t, database)
			ledgertest.Execute(t, admin, "ALTER TABLE "+table+" ENABLE ROW LEVEL SECURITY")
			const words = "lacks a right"
			_, _, err = l.ListCurrencies(t.Context(), paging.Page{})
			if table == "currency" {
				requireHindered(t, "the currencies", err, words)
			} else {
				_, _, err = l.Transfer(t.Context(), p)
				requireHindered(t, "a replay", err, words)
				p.ID = uuid.New()
				_, _, err = l.Transfer(t.Context(), p)
				requireHindered(t, "a transfer", err, words)
				if table == "account" {
					_, err = l.GetAccount(t.Context(), ids[0])
					requireHindered(t, "a read", err, words)
				} else if _, err = l.GetTransfer(t.Context(), done.ID); err != nil {
					// It reads a view, with the rights of its owner, which sees all rows.
					t.Errorf("a read: %v", err)
				}
				requireHindered(t, "ready to write", l.ReadyToWrite(t.Context()), words)
			}
			requireHindered(t, "ready to read", l.ReadyToRead(t.Context()), words)
			for _, url := range []string{database, pgtest.Reader(database)} {
				use := pgdb.Reading
				if url != database {
					use = pgdb.Proving
				}
				_, err := pgdb.Open(t.Context(), pgdb.Target{URL: url}, use)
				refused, ok := errors.AsType[*pgdb.RefusedError](err)
				if !ok || !strings.Contains(refused.Error(), "row-level security hides rows of the table "+table) {
					t.Errorf("opened as %s: %v", url, err)
				}
			}
			ledgertest.Execute(t, admin, "ALTER TABLE "+table+" DISABLE ROW LEVEL SECURITY")
			requireAvailable(t, func() error { return l.ReadyToWrite(t.Context()) })
			if _, replayed, err := l.Transfer(t.Context(), p); err != nil || replayed != (table == "currency") {
				t.Errorf("afterwards: replayed %t, %v", replayed, err)
			}
		})
	}
}

// Whatever others put on the tables, and whatever error it has, hinders a transfer or an opening
// and not its neighbours; nobody is told that the ledger has a bug.
func TestForeignErrors(t *testing.T) {
	t.Parallel()
	raises := func(code string) string {
		return `CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF new.metadata ? 'bad' THEN RAISE 'no' USING ERRCODE = '` + code + `'; END IF; RETURN new; END $$;
			CREATE TRIGGER meddle BEFORE INSERT ON transfer FOR EACH ROW EXECUTE FUNCTION meddle();
			CREATE TRIGGER meddle BEFORE INSERT ON account FOR EACH ROW EXECUTE FUNCTION meddle()`
	}
	for name, meddle := range map[string]string{
		"check_violation": raises("23514"), "ZZ001": raises("ZZ001"), "22000": raises("22000"), "P0002": raises("P0002"), "22P02": raises("22P02"),
		"23505": raises("23505"), "XX000": raises("XX000"), "42P01": raises("42P01"), "42501": raises("42501"), "42703": raises("42703"),
		"a missing table": `CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF new.metadata ? 'bad' THEN INSERT INTO nowhere DEFAULT VALUES; END IF; RETURN new; END $$;
			CREATE TRIGGER meddle BEFORE INSERT ON transfer FOR EACH ROW EXECUTE FUNCTION meddle();
			CREATE TRIGGER meddle BEFORE INSERT ON account FOR EACH ROW EXECUTE FUNCTION meddle()`,
		"an index on an expression": `CREATE INDEX meddle ON transfer (((metadata->>'bad')::bigint));
			CREATE INDEX meddle_account ON account (((metadata->>'bad')::bigint))`,
		"a generated column": `ALTER TABLE transfer ADD meddle bigint GENERATED ALWAYS AS ((metadata->>'bad')::bigint) STORED;
			ALTER TABLE account ADD meddle bigint GENERATED ALWAYS AS ((metadata->>'bad')::bigint) STORED`,
		"a check with a cast": `ALTER TABLE transfer ADD CONSTRAINT meddle CHECK ((metadata->>'bad')::bigint > 0);
			ALTER TABLE account ADD CONSTRAINT meddle CHECK ((metadata->>'bad')::bigint > 0)`,
		"a unique index": `CREATE UNIQUE INDEX meddle ON transfer ((1)) WHERE metadata ? 'bad'; CREATE UNIQUE INDEX account_pkey_2 ON account ((1)) WHERE metadata ? 'bad';
			INSERT INTO transfer (transfer_id, from_account_id, to_account_id, amount, currency, asked_currency, status, error_reason, create_time, update_time, metadata)
			VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, 'USD', 'USD', 'FAILED', 'X', now(), now(), '{"bad": "1"}');
			INSERT INTO account (account_id, currency, min_balance, create_fingerprint, metadata) VALUES (gen_random_uuid(), 'USD', 0, '', '{"bad": "1"}')`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := pgtest.NewDatabase(t)
			l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, Logger: ledgertest.Silent})
			ids := ledgertest.OpenAccounts(t, l, 2, 100)
			ledgertest.Execute(t, ledgertest.Connect(t, database), meddle)
			bad := map[string]string{"bad": "abc"}
			good := ledger.TransferParams{From: ids[0], To: ids[1], Amount: decimal.NewFromInt(1)}
			hindered := good
			hindered.Metadata = bad
			outcomes, err := l.TransferBatch(t.Context(), []ledger.TransferParams{good, hindered, good}, ledger.BatchOptions{})
			if err != nil {
				t.Fatal(err)
			}
			requireHindered(t, "a transfer", outcomes[1].Err, hinderedWords)
			if outcomes[0].Err != nil || outcomes[2].Err != nil {
				t.Errorf("its neighbours: %v, %v", outcomes[0].Err, outcomes[2].Err)
			}
			_, _, err = l.CreateAccount(t.Context(), ledger.AccountParams{Metadata: bad})
			requireHindered(t, "an opening", err, hinderedWords)
			requireBalance(t, l, ids[0], 98)
		})
	}
}

// A column that others require, with a name that the ledger has elsewhere, and a publication of a
// table without an identity, hinder everything. Where an update is hindered, the ledger is not
// ready, and says why.
func TestForeignColumnsAndPublications(t *testing.T) {
	t.Parallel()
	for meddle, ready := range map[string]string{
		"ALTER TABLE transfer ADD name text DEFAULT 'a' NOT NULL; ALTER TABLE transfer ALTER name DROP DEFAULT":   "",
		"ALTER TABLE transfer ADD value text DEFAULT 'a' NOT NULL; ALTER TABLE transfer ALTER value DROP DEFAULT": "",
		"CREATE PUBLICATION meddle FOR TABLE account; ALTER TABLE account REPLICA IDENTITY NOTHING":               hinderedWords,
	} {
		t.Run(meddle, func(t *testing.T) {
			t.Parallel()
			database := pgtest.NewDatabase(t)
			l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, Logger: ledgertest.Silent})
			ids := ledgertest.OpenAccounts(t, l, 2, 100)
			ledgertest.Execute(t, ledgertest.Connect(t, database), meddle)
			_, _, err := l.Transfer(t.Context(), ledger.TransferParams{From: ids[0], To: ids[1], Amount: decimal.NewFromInt(1)})
			requireHindered(t, "a transfer", err, hinderedWords)
			requireReady(t, l.ReadyToWrite, ready)
		})
	}
}
