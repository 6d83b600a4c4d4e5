package proof_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/internal/proof"
	"internaltransfers/ledger"
)

// A corruption is a way to break a ledger by hand, once the constraints and triggers are out of the
// way.
type corruption struct {
	name, sql string
	want      map[string][]string // all broken invariants, and how their violations begin
	also      map[string][]string // for an incremental proof
}

// corruptions are what both proofs find: what they break is newer than the checkpoint, or an
// account. See newProven for the names.
var corruptions = []corruption{
	{name: "money from nowhere", sql: `UPDATE account SET balance = balance + 1 WHERE account_id = {A}`, want: map[string][]string{
		"sum_zero": {"currency USD: balances sum to 1"}, "balance_is_sum_of_entries": {"account {A}: balance "},
	}},
	{name: "money from nowhere in an account that did not change", sql: `UPDATE account SET balance = 21 WHERE account_id = {C}`, want: map[string][]string{
		"sum_zero":                  {"currency USD: balances sum to 1"},
		"balance_is_sum_of_entries": {"account {C}: balance 21 with 1 entries, but its ledger rows sum to 20 in 1 entries up to number 1"},
	}},
	{name: "money moved without a row", sql: `UPDATE account SET balance = balance + CASE account_id WHEN {A} THEN 5 ELSE -5 END
		WHERE account_id IN ({A}, {B})`, want: map[string][]string{
		"balance_is_sum_of_entries": {"account {A}: balance ", "account {B}: balance "},
	}},
	{name: "a balance that is no number", sql: `UPDATE account SET balance = 'NaN' WHERE account_id = {A}`, want: map[string][]string{
		"sum_zero": {"currency USD: balances sum to NaN"}, "balance_is_sum_of_entries": {"account {A}: balance NaN"},
	}},
	{name: "the last row lost", sql: `DELETE FROM transfer WHERE transfer_id = {spend}`, want: map[string][]string{
		"balance_is_sum_of_entries":   {"account {B}", "account {D}"},
		"running_balances_continuous": {"account {D}, transfer "},
	}},
	{name: "a row lost", sql: `DELETE FROM transfer WHERE transfer_id = {first}`, want: map[string][]string{
		"balance_is_sum_of_entries":   {"account {A}", "account {B}"},
		"running_balances_continuous": {"account {A}, transfer {paid}", "account {B}, transfer {paid}"},
	}},
	{name: "a row's amount changed", sql: `UPDATE transfer SET amount = 41 WHERE transfer_id = {paid}`, want: map[string][]string{
		"balance_is_sum_of_entries":   {"account {A}", "account {B}"},
		"running_balances_continuous": {"account {A}, transfer {paid}", "account {B}, transfer {paid}"},
	}},
	{name: "a row's accounts changed", sql: `UPDATE transfer SET to_account_id = {C} WHERE transfer_id = {paid}`, want: map[string][]string{
		"balance_is_sum_of_entries":   {"account {B}", "account {C}"},
		"running_balances_continuous": {"account {B}, transfer ", "account {C}, transfer {paid}"},
	}},
	{name: "a success turned into a refusal", sql: `UPDATE transfer SET status = 'FAILED', error_reason = 'x' WHERE transfer_id = {paid}`,
		want: map[string][]string{"entries_are_successes": {"transfer {paid}, FAILED: entry "}}},
	{name: "a hold that is an entry", sql: `UPDATE transfer SET from_sequence = 99, to_sequence = 99 WHERE transfer_id = {hold}`,
		want: map[string][]string{
			"entries_are_successes":       {"transfer {hold}, INIT, deferred: entry 99 of account {A}"},
			"balance_is_sum_of_entries":   {"account {A}", "account {B}"},
			"running_balances_continuous": {"account {A}, transfer {hold}", "account {B}, transfer {hold}"},
		}},
	{name: "a success without a balance", sql: `UPDATE transfer SET to_balance = NULL WHERE transfer_id = {spend}`, want: map[string][]string{
		"entries_are_successes":       {"transfer {spend}, SUCCESS"},
		"running_balances_continuous": {"account {B}, transfer {spend}"},
	}},
	{name: "a running balance changed", sql: `UPDATE transfer SET to_balance = to_balance + 1 WHERE transfer_id = {spend}`,
		want: map[string][]string{"running_balances_continuous": {"account {B}, transfer {spend}"}}},
	{name: "running balances swapped", sql: `UPDATE transfer SET from_balance = to_balance, to_balance = from_balance
		WHERE transfer_id = {spend}`, want: map[string][]string{
		"running_balances_continuous": {"account {B}, transfer {spend}", "account {D}, transfer {spend}", "account {D}, transfer "},
	}},
	{name: "a gap in the numbers", sql: `UPDATE transfer SET to_sequence = to_sequence + 1 WHERE transfer_id = {spend}`, want: map[string][]string{
		"running_balances_continuous": {"account {B}, transfer {spend}"},
		"balance_is_sum_of_entries":   {"account {B}"},
	}},
	{name: "a number of before the first", sql: `UPDATE transfer SET from_sequence = 0 WHERE transfer_id = {gift}`, want: map[string][]string{
		"running_balances_continuous": {"account {A}, transfer {gift}: entry 0", "account {A}, transfer "},
	}, also: map[string][]string{
		"checkpoint_continued":        {"account {A}, transfer {gift}: entry 0 was made after the checkpoint"},
		"running_balances_continuous": {"account {A}, transfer "},
		"balance_is_sum_of_entries":   {"account {A}"},
	}},
	{name: "rows out of order", sql: `UPDATE transfer SET position = 1 WHERE transfer_id = {spend}`,
		want: map[string][]string{"running_balances_continuous": {"account {B}, transfer {spend}", "account {D}, transfer {spend}"}}},
	{name: "a row before the checkpoint's", sql: `UPDATE transfer SET position = 1 WHERE transfer_id = {late reversal}`,
		want: map[string][]string{
			"running_balances_continuous": {"account {A}, transfer {late reversal}", "account {B}, transfer {late reversal}"},
		}, also: map[string][]string{
			"running_balances_continuous": nil, // the first after the checkpoint
			"checkpoint_continued":        {"account {A}, transfer {late reversal}: entry ", "account {B}, transfer {late reversal}: entry "},
		}},
	{name: "a row twice", sql: `INSERT INTO transfer (transfer_id, from_account_id, to_account_id, amount, currency, asked_currency, status,
		from_balance, to_balance, from_sequence, to_sequence, create_time, update_time) SELECT {new}, from_account_id,
		to_account_id, amount, currency, asked_currency, status, from_balance, to_balance, from_sequence, to_sequence,
		create_time, update_time FROM transfer WHERE transfer_id = {spend}`, want: map[string][]string{
		"balance_is_sum_of_entries":   {"account {D}", "account {B}"},
		"running_balances_continuous": {"account {D}, transfer "}, // the reversal, before {new}
	}},
	{name: "entries miscounted", sql: `UPDATE account SET entry_count = entry_count - 1 WHERE account_id = {B}`,
		want: map[string][]string{"balance_is_sum_of_entries": {"account {B}: balance "}}},
	{name: "an account lost", sql: `DELETE FROM account WHERE account_id = {D}`, want: map[string][]string{
		"sum_zero": {"currency USD: balances sum to 10"}, "balance_is_sum_of_entries": {"account {D}: balance none"},
		"currencies_match": {"transfer {gift}", "transfer {spend}", "transfer "},
		"opened_once":      {"account {D}: it was opened, but is not there"},
	}},
	{name: "a floor above the balance", sql: `UPDATE account SET min_balance = 20.01 WHERE account_id = {C}`, want: map[string][]string{
		"above_floor": {"account {C}: balance 20"},
	}},
	{name: "a floor that was not lowered by force", sql: `UPDATE account SET forced_floor = -9 WHERE account_id = {D}`, want: map[string][]string{
		"above_floor": {"account {D}: balance -10 less held 0, floor -9"},
	}},
	{name: "an account without a floor", sql: `UPDATE account SET min_balance = NULL WHERE account_id = {C}`, want: map[string][]string{
		"above_floor": {"account {C}: balance 20 less held 0, floor none"},
	}},
	{name: "an account made equity", sql: `UPDATE account SET is_equity = true, min_balance = NULL WHERE account_id = {C}`, want: map[string][]string{
		"above_floor": {"account {C}"},
	}},
	{name: "a ceiling below the balance", sql: `UPDATE account SET max_balance = 19.99 WHERE account_id = {C}`, want: map[string][]string{
		"below_ceiling": {"account {C}, OPEN: balance 20"},
	}},
	{name: "a ceiling below what may come", sql: `UPDATE account SET max_balance = balance + incoming - 1 WHERE account_id = {B}`, want: map[string][]string{
		"below_ceiling": {"account {B}, OPEN: balance "},
	}},
	{name: "money in a closed account", sql: `UPDATE account SET status = 'CLOSED' WHERE account_id = {C}`, want: map[string][]string{
		"below_ceiling": {"account {C}, CLOSED: balance 20"},
	}},
	{name: "held for nothing", sql: `UPDATE account SET held = 3, incoming = 2 WHERE account_id = {C}`, want: map[string][]string{
		"held_is_sum_of_holds": {"account {C}: held 3 and incoming 2, but its open holds sum to 0 and 0"},
	}},
	{name: "an account's currency changed", sql: `UPDATE account SET currency = 'EUR' WHERE account_id = {D}`, want: map[string][]string{
		"sum_zero":         {"currency USD: balances sum to 10", "currency EUR: balances sum to -10"},
		"currencies_match": {"transfer {gift}: 10 USD from an account in USD to one in EUR", "transfer {spend}", "transfer "},
	}},
	{name: "a row's currency changed", sql: `UPDATE transfer SET currency = 'EUR' WHERE transfer_id = {paid}`, want: map[string][]string{
		"currencies_match": {"transfer {paid}: 40 EUR from an account in USD to one in USD"},
	}},
	{name: "an amount too precise", sql: `UPDATE transfer SET amount = 4.001 WHERE transfer_id = {later}`,
		want: map[string][]string{"currencies_match": {"transfer {later}: 4.001 USD"}}},
}

// TestCheckFindsCorruption: Check sees each way in which the rows can be wrong, and names where,
// whether it proves all or goes on from the checkpoint.
func TestCheckFindsCorruption(t *testing.T) {
	t.Parallel()
	p := newProven(t)
	reported := map[string]bool{}
	for _, c := range slices.Concat(corruptions, lifecycleCorruptions) {
		t.Run(c.name, func(t *testing.T) {
			p.exec(t, c.sql)
			defer p.exec(t, restore)
			requireFound(t, p, p.check(t, false), c.want)
			p.exec(t, goBack)
			want := maps.Clone(c.want)
			maps.Copy(want, c.also)
			report := p.check(t, true)
			requireFound(t, p, report, want)
			for i := range report.Invariants {
				name := report.Invariants[i].Name
				reported[name] = reported[name] || len(want[name]) > 0
			}
		})
	}
	if len(reported) != 16 {
		t.Errorf("%d invariants were checked: %v", len(reported), reported)
	}
	for name, found := range reported {
		if !found {
			t.Errorf("no corruption broke %s", name)
		}
	}
}

// requireFound fails the test unless the report has just these violations.
func requireFound(t *testing.T, p *proven, report proof.Report, want map[string][]string) {
	t.Helper()
	proof := "full"
	if !report.CheckpointTime.IsZero() {
		proof = "incremental"
	}
	for i := range report.Invariants {
		inv := &report.Invariants[i]
		want := want[inv.Name]
		if inv.ViolationCount != int64(len(want)) || len(inv.Violations) != len(want) || inv.Examined == 0 {
			t.Errorf("%s proof: %s\nwant violations %v", proof, inv, want)
		}
		for _, text := range want {
			text = p.plain.Replace(text)
			if !slices.ContainsFunc(inv.Violations, func(v string) bool { return strings.HasPrefix(v, text) }) {
				t.Errorf("%s proof: %s\nwant one that begins %q", proof, inv, text)
			}
		}
	}
}

// TestCheckCounts: only the first ten violations are spelled out, all are counted.
func TestCheckCounts(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	for range 12 {
		ledgertest.OpenAccount(t, l, ledger.AccountParams{InitialBalance: ledgertest.Amount("1")})
	}
	conn := ledgertest.Connect(t, url)
	ledgertest.Execute(t, conn, "UPDATE account SET held = 1 WHERE NOT is_equity")
	report, err := l.Proofs.Check(ctx, proof.Options{})
	if err != nil || report.OK() {
		t.Fatalf("the ledger is found sound: %+v, %v", report, err)
	}
	for i := range report.Invariants {
		inv := &report.Invariants[i]
		if inv.Name == "held_is_sum_of_holds" && (inv.ViolationCount != 12 || len(inv.Violations) != 10) {
			t.Errorf("%s", inv)
		}
	}
	ledgertest.Execute(t, conn, "UPDATE account SET held = 0 WHERE NOT is_equity")
}
