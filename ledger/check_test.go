package ledger_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"internaltransfers/internal/pgtest"
	"internaltransfers/ledger"
)

// corruptions are ways to break a ledger by hand, once the constraints and triggers are out of the way, and what Check
// says: the invariants that it reports, no others, and what their violations name. See newCorruptible for the names.
var corruptions = []struct {
	name, sql string
	want      map[string][]string
}{
	{"money from nowhere", `UPDATE account SET balance = balance + 1 WHERE account_id = {A}`, map[string][]string{
		"sum_zero": {"currency USD: balances sum to 1"}, "balance_is_sum_of_entries": {"account {A}: balance 101"},
	}},
	{"money moved without a row", `UPDATE account SET balance = balance + CASE account_id WHEN {A} THEN 5 ELSE -5 END
		WHERE account_id IN ({A}, {B})`, map[string][]string{
		"balance_is_sum_of_entries": {"account {A}: balance 105", "account {B}: balance 45"},
	}},
	{"a balance that is no number", `UPDATE account SET balance = 'NaN' WHERE account_id = {A}`, map[string][]string{
		"sum_zero": {"currency USD: balances sum to NaN"}, "balance_is_sum_of_entries": {"account {A}: balance NaN"},
	}},
	{"the last row lost", `DELETE FROM transfer WHERE transfer_id = {paid}`, map[string][]string{
		"balance_is_sum_of_entries": {"account {A}: balance 100", "account {B}: balance 50"},
	}},
	{"a row lost", `DELETE FROM transfer WHERE transfer_id = {first}`, map[string][]string{
		"balance_is_sum_of_entries":   {"account {A}", "account {B}"},
		"running_balances_continuous": {"account {A}, transfer {paid}", "account {B}, transfer {paid}"},
	}},
	{"a row's amount changed", `UPDATE transfer SET amount = 41 WHERE transfer_id = {paid}`, map[string][]string{
		"balance_is_sum_of_entries":   {"account {A}", "account {B}"},
		"running_balances_continuous": {"account {A}, transfer {paid}", "account {B}, transfer {paid}"},
	}},
	{"a success turned into a refusal", `UPDATE transfer SET status = 'FAILED', error_reason = 'x' WHERE transfer_id = {paid}`,
		map[string][]string{"balance_is_sum_of_entries": {"account {A}", "account {B}"}}},
	{"a running balance changed", `UPDATE transfer SET from_balance = 99 WHERE transfer_id = {paid}`, map[string][]string{
		"running_balances_continuous": {"account {A}, transfer {paid}"},
	}},
	{"running balances swapped", `UPDATE transfer SET from_balance = to_balance, to_balance = from_balance WHERE transfer_id = {paid}`,
		map[string][]string{"running_balances_continuous": {"account {A}, transfer {paid}", "account {B}, transfer {paid}"}}},
	{"a gap in the numbers", `UPDATE transfer SET to_sequence = 3 WHERE transfer_id = {paid}`, map[string][]string{
		"running_balances_continuous": {"account {B}, transfer {paid}"},
	}},
	{"rows out of order", `UPDATE transfer SET position = 1 WHERE transfer_id = {paid}`,
		map[string][]string{"running_balances_continuous": {"account {A}, transfer {paid}", "account {B}, transfer {paid}"}}},
	{"a row twice", `INSERT INTO transfer (transfer_id, from_account_id, to_account_id, amount, currency, asked_currency, status,
		from_balance, to_balance, from_sequence, to_sequence, create_time, update_time) SELECT {new}, from_account_id,
		to_account_id, amount, currency, asked_currency, status, from_balance, to_balance, from_sequence, to_sequence,
		create_time, update_time FROM transfer WHERE transfer_id = {paid}`, map[string][]string{
		"balance_is_sum_of_entries":   {"account {A}", "account {B}"},
		"running_balances_continuous": {"account {A}, transfer {new}", "account {B}, transfer {new}"},
	}},
	{"entries miscounted", `UPDATE account SET entry_count = entry_count + 1 WHERE account_id = {B}`, map[string][]string{
		"balance_is_sum_of_entries": {"account {B}: balance 50 with 3 entries"},
	}},
	{"an account lost", `DELETE FROM account WHERE account_id = {B}`, map[string][]string{
		"sum_zero": {"currency USD: balances sum to -50"}, "balance_is_sum_of_entries": {"account {B}: balance none"},
		"currencies_match": {"transfer {paid}", "transfer {first}"},
	}},
	{"a floor above the balance", `UPDATE account SET min_balance = 100.01 WHERE account_id = {A}`, map[string][]string{
		"above_floor": {"account {A}: balance 100"},
	}},
	{"an account without a floor", `UPDATE account SET min_balance = NULL WHERE account_id = {A}`, map[string][]string{
		"above_floor": {"account {A}: balance 100 less held 0, floor none"},
	}},
	{"an account made equity", `UPDATE account SET is_equity = true, min_balance = NULL WHERE account_id = {A}`, map[string][]string{
		"above_floor": {"account {A}"},
	}},
	{"held for nothing", `UPDATE account SET held = 3, incoming = 2 WHERE account_id = {B}`, map[string][]string{
		"held_is_sum_of_holds": {"account {B}: held 3 and incoming 2"},
	}},
	{"a hold that holds nothing", transferRow("{new}", "{A}", "{B}", "2", "'INIT', NULL, NULL, NULL, NULL, NULL"), map[string][]string{
		"held_is_sum_of_holds": {"account {A}: held 0 and incoming 0, but its open holds sum to 2 and 0", "account {B}"},
	}},
	{"an account's currency changed", `UPDATE account SET currency = 'EUR' WHERE account_id = {B}`, map[string][]string{
		"sum_zero":         {"currency USD: balances sum to -50", "currency EUR: balances sum to 50"},
		"currencies_match": {"transfer {first}", "transfer {paid}: 40 USD from an account in USD to one in EUR"},
	}},
	{"a row's currency changed", `UPDATE transfer SET currency = 'EUR' WHERE transfer_id = {paid}`, map[string][]string{
		"currencies_match": {"transfer {paid}: 40 EUR from an account in USD to one in USD"},
	}},
	{"an amount too precise", transferRow("{new}", "{A}", "{B}", "0.001", "'INIT', NULL, NULL, NULL, NULL, NULL") +
		`; UPDATE account SET held = 0.001 WHERE account_id = {A}; UPDATE account SET incoming = 0.001 WHERE account_id = {B}`,
		map[string][]string{"currencies_match": {"transfer {new}: 0.001 USD"}}},
}

// unguard takes the constraints and triggers away, as only somebody who wants to can, and keeps a copy of the rows.
const unguard = `SET session_replication_role = replica;
	DO $$ DECLARE c record; BEGIN
		FOR c IN SELECT conname, conrelid::regclass AS name FROM pg_constraint
			WHERE contype = 'c' AND conrelid IN ('account'::regclass, 'transfer'::regclass)
		LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.name, c.conname); END LOOP;
	END $$;
	ALTER TABLE transfer ALTER position DROP IDENTITY, ALTER position SET DEFAULT 1000000;
	CREATE TABLE saved_account AS TABLE account;
	CREATE TABLE saved_transfer AS TABLE transfer`

const restore = `DELETE FROM account; INSERT INTO account SELECT * FROM saved_account;
	DELETE FROM transfer; INSERT INTO transfer SELECT * FROM saved_transfer`

// TestCheckFindsCorruption: Check sees each way in which the rows can be wrong, and names where.
func TestCheckFindsCorruption(t *testing.T) {
	url := pgtest.NewDatabase(t)
	l := openLedger(t, ledger.Config{DatabaseURL: url})
	c := newCorruptible(t, url, l)
	c.exec(t, unguard)
	reported := map[string]bool{}
	for _, corruption := range corruptions {
		t.Run(corruption.name, func(t *testing.T) {
			requireSound(t, l)
			c.exec(t, corruption.sql)
			defer c.exec(t, restore)
			report, err := l.Check(context.Background())
			if err != nil || report.OK() || report.Time.IsZero() {
				t.Fatalf("the ledger is found sound: %+v, %v", report, err)
			}
			for i := range report.Invariants {
				inv := &report.Invariants[i]
				want := corruption.want[inv.Name]
				if inv.ViolationCount != int64(len(want)) || len(inv.Violations) != len(want) || inv.Examined == 0 {
					t.Errorf("%s\nwant violations %v", inv, want)
				}
				for _, text := range want {
					text = c.plain.Replace(text)
					if !slices.ContainsFunc(inv.Violations, func(v string) bool { return strings.HasPrefix(v, text) }) {
						t.Errorf("%s\nwant one that begins %q", inv, text)
					}
				}
				reported[inv.Name] = reported[inv.Name] || len(want) > 0
			}
		})
	}
	if len(reported) != 6 {
		t.Errorf("%d invariants were checked: %v", len(reported), reported)
	}
	for name, found := range reported {
		if !found {
			t.Errorf("no corruption broke %s", name)
		}
	}
}

// exec runs hand-typed SQL.
func (c *corruptible) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := c.conn.Exec(context.Background(), c.names.Replace(sql)); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// TestCheckCounts: only the first ten violations are spelled out, all are counted.
func TestCheckCounts(t *testing.T) {
	ctx := context.Background()
	url := pgtest.NewDatabase(t)
	l := openLedger(t, ledger.Config{DatabaseURL: url})
	for range 12 {
		openAccount(t, l, ledger.AccountParams{InitialBalance: amount("1")})
	}
	conn := connect(t, url)
	hold := func(held string) {
		if _, err := conn.Exec(ctx, "UPDATE account SET held = "+held+" WHERE NOT is_equity"); err != nil {
			t.Fatalf("hold %s: %v", held, err)
		}
	}
	hold("1")
	report, err := l.Check(ctx)
	if err != nil || report.OK() {
		t.Fatalf("the ledger is found sound: %+v, %v", report, err)
	}
	for _, inv := range report.Invariants {
		if inv.Name == "held_is_sum_of_holds" && (inv.ViolationCount != 12 || len(inv.Violations) != 10) {
			t.Errorf("%s", &inv)
		}
	}
	hold("0")
}
