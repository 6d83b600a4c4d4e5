package postgres_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// handTyped are statements that a person with a database session might type, by mistake or not, and
// what refuses each: a constraint, or a trigger by its message. {A} holds 100, {B} holds 40 paid by
// {A} as {paid}; {failed} was refused.
var handTyped = []struct{ sql, by string }{
	{"UPDATE account SET balance = -1 WHERE account_id = {A}", "account_balance_floor"},
	{"UPDATE account SET balance = balance - 100.01 WHERE account_id = {A}", "account_balance_floor"},
	{"UPDATE account SET held = 100.01 WHERE account_id = {A}", "account_balance_floor"},
	{"UPDATE account SET min_balance = 100.01 WHERE account_id = {A}", "account_balance_floor"},
	{"UPDATE account SET balance = 'NaN' WHERE account_id = {A}", "account_amounts_finite"},
	{"UPDATE account SET balance = 'Infinity' WHERE account_id = {A}", "account_amounts_finite"},
	{"UPDATE account SET balance = '-Infinity' WHERE account_id = {equity}", "account_amounts_finite"},
	{"UPDATE account SET balance = 'NaN' WHERE account_id = {equity}", "account_amounts_finite"},
	{"UPDATE account SET held = 'NaN' WHERE account_id = {equity}", "account_amounts_finite"},
	{"UPDATE account SET incoming = 'Infinity' WHERE account_id = {A}", "account_amounts_finite"},
	{"UPDATE account SET min_balance = '-Infinity' WHERE account_id = {A}", "account_amounts_finite"},
	{"UPDATE account SET min_balance = 'NaN' WHERE account_id = {A}", "account_amounts_finite"},
	{"UPDATE account SET min_balance = NULL WHERE account_id = {A}", "account_floor_unless_equity"},
	{"UPDATE account SET min_balance = -1000000 WHERE account_id = {equity}", "account_floor_unless_equity"},
	{"UPDATE account SET held = -1 WHERE account_id = {A}", "account_holds_not_negative"},
	{"UPDATE account SET incoming = -1 WHERE account_id = {A}", "account_holds_not_negative"},
	{"UPDATE account SET status = 'HAPPY' WHERE account_id = {A}", "account_status_known"},
	{"UPDATE account SET status = 'CLOSED' WHERE account_id = {A}", "account_closed_is_empty"},
	{"UPDATE account SET entry_count = -1 WHERE account_id = {A}", "account_version_counts_entries"},
	{"UPDATE account SET entry_count = version WHERE account_id = {A}", "account_version_counts_entries"},
	{"INSERT INTO account (account_id, currency, min_balance, create_fingerprint) VALUES ({A}, 'USD', 0, '')", "account_pkey"},
	{"INSERT INTO account (account_id, currency, min_balance, create_fingerprint) VALUES ({new}, 'ZZZ', 0, '')", "account_currency_fkey"},
	{"UPDATE account SET currency = 'EUR' WHERE account_id = {A}", "UPDATE on account"},
	{"UPDATE account SET is_equity = true, min_balance = NULL WHERE account_id = {A}", "UPDATE on account"},
	{"UPDATE account SET account_id = {new} WHERE account_id = {A}", "UPDATE on account"},
	{"DELETE FROM account WHERE account_id = {A}", "DELETE on account"},
	{"TRUNCATE account CASCADE", "TRUNCATE on account"},
	{"UPDATE transfer SET amount = amount + 1 WHERE transfer_id = {paid}", "UPDATE on transfer"},
	{"UPDATE transfer SET status = 'FAILED', error_reason = 'x' WHERE transfer_id = {paid}", "UPDATE on transfer"},
	{"UPDATE transfer SET reference = 'x' WHERE transfer_id = {failed}", "UPDATE on transfer"},
	{"DELETE FROM transfer WHERE transfer_id = {failed}", "DELETE on transfer"},
	{"DELETE FROM transfer", "DELETE on transfer"},
	{"TRUNCATE transfer CASCADE", "TRUNCATE on transfer"},
	{transferRow("{paid}", "{A}", "{B}", "1", "'FAILED', 'x', NULL, NULL, NULL, NULL"), "transfer_pkey"},
	{transferRow("{new}", "{A}", "{A}", "1", "'FAILED', 'x', NULL, NULL, NULL, NULL"), "transfer_accounts_differ"},
	{transferRow("{new}", "{A}", "{B}", "0", "'FAILED', 'x', NULL, NULL, NULL, NULL"), "transfer_amount_positive"},
	{transferRow("{new}", "{A}", "{B}", "-1", "'FAILED', 'x', NULL, NULL, NULL, NULL"), "transfer_amount_positive"},
	{transferRow("{new}", "{A}", "{B}", "'NaN'", "'FAILED', 'x', NULL, NULL, NULL, NULL"), "transfer_amount_positive"},
	{transferRow("{new}", "{A}", "{B}", "'Infinity'", "'FAILED', 'x', NULL, NULL, NULL, NULL"), "transfer_amount_positive"},
	{transferRow("{new}", "{A}", "{B}", "1", "'INIT', NULL, NULL, NULL, NULL, NULL"), "transfer_only_deferred_is_init"},
	{"UPDATE account SET max_balance = 99.99 WHERE account_id = {A}", "account_balance_ceiling"},
	{"UPDATE account SET max_balance = 100, incoming = 0.01 WHERE account_id = {A}", "account_balance_ceiling"},
	{"UPDATE account SET max_balance = 'NaN' WHERE account_id = {A}", "account_ceiling_finite"},
	{"UPDATE account SET max_balance = 'Infinity' WHERE account_id = {A}", "account_ceiling_finite"},
	{"UPDATE account SET forced_floor = '-Infinity' WHERE account_id = {A}", "account_forced_floor_finite"},
	{"UPDATE account SET forced_floor = 'NaN' WHERE account_id = {A}", "account_forced_floor_finite"},
	{"UPDATE account SET max_balance = 1000 WHERE account_id = {equity}", "account_equity_without_policy"},
	{"UPDATE account SET policy = '{}' WHERE account_id = {equity}", "account_equity_without_policy"},
	{"UPDATE account SET forced_floor = -1, balance = -1.01 WHERE account_id = {A}", "account_balance_floor"},
	{detail("transfer_id, kind", "{paid}, 'TRANSFER'") + ", ({paid}, 'TRANSFER')", "transfer_detail_pkey"},
	{detail("transfer_id, kind", "{new}, 'TRANSFER'"), "transfer_detail_transfer_fkey"},
	{detail("transfer_id, kind", "{paid}, 'GIFT'"), "transfer_detail_kind_known"},
	{detail("transfer_id, kind, asked_amount", "{paid}, 'TRANSFER', 0"), "transfer_detail_asked_amount"},
	{detail("transfer_id, kind, up_to_floor", "{paid}, 'TRANSFER', 1"), "transfer_detail_up_to_floor"},
	{detail("transfer_id, kind, asked_amount, up_to_floor", "{paid}, 'TRANSFER', 1, 'NaN'"), "transfer_detail_up_to_floor"},
	{detail("transfer_id, kind, asked_amount, up_to_floor", "{paid}, 'TRANSFER', 1, '-Infinity'"), "transfer_detail_up_to_floor"},
	{
		detail("transfer_id, kind, asked_amount, up_to_floor", "{paid}, 'TRANSFER', 1, 1") + "; UPDATE transfer_detail SET up_to_floor = 0",
		"UPDATE on transfer_detail",
	},
	{detail("transfer_id, kind, reversed_amount", "{paid}, 'TRANSFER', 0"), "transfer_detail_reversed_amount"},
	{detail("transfer_id, kind, reversed_amount", "{paid}, 'TRANSFER', 'NaN'"), "transfer_detail_reversed_amount"},
	{detail("transfer_id, kind, posted_amount", "{paid}, 'HOLD', -1"), "transfer_detail_posted_amount"},
	{detail("transfer_id, kind, posted_amount", "{paid}, 'TRANSFER', 0"), "transfer_detail_hold_is_posted"},
	{detail("transfer_id, kind", "{paid}, 'HOLD'"), "transfer_detail_hold_is_posted"},
	{detail("transfer_id, kind, posted_amount, open_amount", "{paid}, 'HOLD', 0, 1"), "transfer_detail_open_has_accounts"},
	{detail("transfer_id, kind, open_amount, from_account_id, to_account_id", "{paid}, 'TRANSFER', 1, {A}, {B}"), "transfer_detail_open_has_accounts"},
	{detail("transfer_id, kind, posted_amount, open_amount, from_account_id, to_account_id", "{paid}, 'HOLD', 0, -1, {A}, {B}"), "transfer_detail_open_amount"},
	{detail("transfer_id, kind", "{paid}, 'CAPTURE'"), "transfer_detail_parent_iff_child"},
	{"INSERT INTO transfer_group VALUES ({new}, 1), ({new}, 2)", "transfer_group_pkey"},
	{"INSERT INTO transfer_group VALUES ({new}, 0)", "transfer_group_size_positive"},
	{"INSERT INTO transfer_group VALUES ({new}, 1); DELETE FROM transfer_group", "DELETE on transfer_group"},
	{"INSERT INTO transfer_group VALUES ({new}, 1); UPDATE transfer_group SET size = size + 1", "UPDATE on transfer_group"},
	{"TRUNCATE transfer_group", "TRUNCATE on transfer_group"},
	{detail("transfer_id, kind, parent_id", "{paid}, 'TRANSFER', {failed}"), "transfer_detail_parent_iff_child"},
	{transferRow("{new}", "{A}", "{B}", "1", "'HAPPY', NULL, NULL, NULL, NULL, NULL"), "transfer_status_known"},
	{transferRow("{new}", "{A}", "{B}", "1", "'FAILED', NULL, NULL, NULL, NULL, NULL"), "transfer_reason_iff_failed"},
	{transferRow("{new}", "{A}", "{B}", "1", "'SUCCESS', 'x', 1, 1, 1, 1"), "transfer_reason_iff_failed"},
	{transferRow("{new}", "{A}", "{B}", "1", "'SUCCESS', NULL, 1, 1, 1, NULL"), "transfer_entries_iff_success"},
	{transferRow("{new}", "{A}", "{B}", "1", "'SUCCESS', NULL, 1, NULL, 1, 1"), "transfer_entries_iff_success"},
	{transferRow("{new}", "{A}", "{B}", "1", "'FAILED', 'x', 1, 1, 1, 1"), "transfer_entries_iff_success"},
	{"UPDATE currency SET scale = 3 WHERE code = 'USD'", "UPDATE on currency"},
	{"DELETE FROM currency WHERE code = 'USD'", "DELETE on currency"},
	{"INSERT INTO currency VALUES ('usd', 2, {new})", "currency_code_form"},
	{"INSERT INTO currency VALUES ('ABC', 19, {new})", "currency_scale_range"},
	{"INSERT INTO currency VALUES ('USD', 2, {new})", "currency_pkey"},
	{"INSERT INTO currency VALUES ('ABC', 2, {equity})", "currency_equity_account_key"},
	{"INSERT INTO currency VALUES ('ABC', 2, {new})", "currency_equity_account_fkey"},
	{"INSERT INTO setting VALUES ('page_token_key', '')", "setting_pkey"},
	{"INSERT INTO account_change SELECT * FROM account_change LIMIT 1", "account_change_pkey"},
	{"UPDATE account SET metadata = '{\"n\": 1}' WHERE account_id = {A}", "account_change_metadata_texts"},
	{"UPDATE account_change SET balance = 1", "UPDATE on account_change"},
	{"DELETE FROM account_change", "DELETE on account_change"},
	{"TRUNCATE account_change", "TRUNCATE on account_change"},
	{"INSERT INTO transfer_change SELECT 1, {failed}, now(), 'FAILED', NULL, NULL, NULL, 1, now() FROM generate_series(1, 2)", "transfer_change_pkey"},
	{"INSERT INTO transfer_change SELECT 1, {failed}, now(), 'FAILED', NULL, NULL, NULL, 1, now(); UPDATE transfer_change SET version = 2", "UPDATE on transfer_change"},
	{"INSERT INTO transfer_change SELECT 1, {failed}, now(), 'FAILED', NULL, NULL, NULL, 1, now(); DELETE FROM transfer_change", "DELETE on transfer_change"},
	{"TRUNCATE transfer_change", "TRUNCATE on transfer_change"},
	{"INSERT INTO last_proof VALUES (1, now(), false, '{}'), (1, now(), false, '{}')", "last_proof_pkey"},
	{"INSERT INTO last_proof VALUES (2, now(), false, '{}')", "last_proof_is_one"},
	{"INSERT INTO checkpoint VALUES (1)", "checkpoint_pkey"},
	{"INSERT INTO checkpoint VALUES (2)", "checkpoint_is_one"},
	{"INSERT INTO account_checkpoint VALUES ({A}, 0, 0, 1, now()), ({A}, 0, 0, 1, now())", "account_checkpoint_pkey"},
	{keyRow("", "") + "; UPDATE api_key SET api_key_id = {new}", "UPDATE on api_key"},
	{keyRow("", "") + "; DELETE FROM api_key", "DELETE on api_key"},
	{"TRUNCATE api_key", "TRUNCATE on api_key"},
	{keyRow(", expire_time", ", now()") + "; " + "INSERT INTO api_key SELECT * FROM api_key", "api_key_pkey"},
	{keyRow(", old_secret_hash, old_secret_expire_time", ", '\\x00', now()"), "api_key_hash_sha256"},
	{keyRow(", old_secret_hash", ", sha256('')"), "api_key_old_secret_expires"},
	{keyRow("", "") + "; UPDATE api_key SET grants = '{}'", "api_key_grants_list"},
	{keyRow("", "") + "; UPDATE api_key SET role = ''", "api_key_may_something"},
	{keyRow(", version", ", 0"), "api_key_version_positive"},
	{keyRow(", revoke_time", ", now()") + "; UPDATE api_key SET display_name = 'y'", "api_key_stays_revoked"},
	{scheduleRow() + ", " + scheduleValues(), "schedule_pkey"},
	{scheduleRow("from_account_id", "{new}"), "schedule_from_account_fkey"},
	{scheduleRow("to_account_id", "{new}"), "schedule_to_account_fkey"},
	{scheduleRow("currency", "'ZZZ'"), "schedule_currency_fkey"},
	{scheduleRow("to_account_id", "{A}"), "schedule_accounts_differ"},
	{scheduleRow("amount", "0"), "schedule_amount_positive"},
	{scheduleRow("amount", "'NaN'"), "schedule_amount_positive"},
	{scheduleRow("amount", "'Infinity'"), "schedule_amount_positive"},
	{scheduleRow("cron", "'* * * * *'"), "schedule_one_recurrence"},
	{scheduleRow("time_zone", "'UTC'"), "schedule_one_recurrence"},
	{scheduleRow("interval_micros", "NULL"), "schedule_one_recurrence"},
	{scheduleRow("interval_micros", "999999"), "schedule_interval_range"},
	{scheduleRow("end_time", "'2030-01-01'"), "schedule_end_after_start"},
	{scheduleRow("max_count", "0"), "schedule_count_range"},
	{scheduleRow("occurrence_count", "-1"), "schedule_count_range"},
	{scheduleRow("occurrence_count", "2", "max_count", "1", "last_transfer_id", "{paid}"), "schedule_count_range"},
	{scheduleRow("catch_up", "'SOME'"), "schedule_catch_up_known"},
	{scheduleRow("status", "'HAPPY'", "next_time", "NULL"), "schedule_status_known"},
	{scheduleRow("status", "'PAUSED'"), "schedule_next_iff_active"},
	{scheduleRow("next_time", "NULL"), "schedule_next_iff_active"},
	{scheduleRow("next_time", "'2029-12-31'"), "schedule_next_in_bounds"},
	{scheduleRow("end_time", "'2030-01-02'", "next_time", "'2030-01-02'"), "schedule_next_in_bounds"},
	{scheduleRow("occurrence_count", "1"), "schedule_last_iff_any"},
	{scheduleRow("last_transfer_id", "{paid}"), "schedule_last_iff_any"},
	{scheduleRow("version", "0"), "schedule_version_positive"},
	{endpointRow() + ", " + endpointValues(), "webhook_endpoint_pkey"},
	{endpointRow("status", "'HAPPY'"), "webhook_endpoint_status_known"},
	{endpointRow("secret", "NULL"), "webhook_endpoint_secret_unless_deleted"},
	{endpointRow("status", "'DELETED'"), "webhook_endpoint_secret_unless_deleted"},
	{endpointRow("secret", "''"), "webhook_endpoint_secret_long"},
	{endpointRow("old_secret", "sha256('a')"), "webhook_endpoint_old_secret_expires"},
	{endpointRow("status", "'DELETED'", "secret", "NULL", "old_secret", "sha256('a')", "old_secret_expire_time", "now()"), "webhook_endpoint_old_secret_unless_deleted"},
	{endpointRow("cursor_position", "-1"), "webhook_endpoint_cursor_not_negative"},
	{endpointRow("holder", "{A}"), "webhook_endpoint_lease_iff_held"},
	{endpointRow("version", "0"), "webhook_endpoint_version_positive"},
	{endpointRow() + "; UPDATE webhook_endpoint SET endpoint_id = {A}", "UPDATE on webhook_endpoint"},
	{endpointRow("cursor_position", "2") + "; UPDATE webhook_endpoint SET cursor_position = 1", "UPDATE on webhook_endpoint"},
	{endpointRow("status", "'DELETED'", "secret", "NULL") + "; UPDATE webhook_endpoint SET status = 'ENABLED', secret = sha256('a')", "UPDATE on webhook_endpoint"},
	{endpointRow() + "; DELETE FROM webhook_endpoint", "DELETE on webhook_endpoint"},
	{"TRUNCATE webhook_endpoint CASCADE", "TRUNCATE on webhook_endpoint"},
	{delivery("", "({new}, 1, {A}), ({new}, 1, {A})"), "webhook_delivery_pkey"},
	{"INSERT INTO webhook_delivery (endpoint_id, position, account_id) VALUES ({new}, 1, {A})", "webhook_delivery_endpoint_fkey"},
	{delivery("", "({new}, 0, {A})"), "webhook_delivery_position_positive"},
	{delivery(", other_account_id", "({new}, 1, {A}, {A})"), "webhook_delivery_accounts_differ"},
	{delivery(", status, attempts, last_attempt_time", "({new}, 1, {A}, 'HAPPY', 1, now())"), "webhook_delivery_status_known"},
	{delivery(", attempts", "({new}, 1, {A}, -1)"), "webhook_delivery_attempts_not_negative"},
	{delivery(", status", "({new}, 1, {A}, 'DEAD')"), "webhook_delivery_tried_if_over"},
	{delivery(", status, attempts, last_attempt_time, next_attempt_time", "({new}, 1, {A}, 'DELIVERED', 1, now(), now())"), "webhook_delivery_next_only_pending"},
	{delivery("", "({new}, 1, {A})") + "; DELETE FROM webhook_delivery", "DELETE on webhook_delivery"},
	{"TRUNCATE webhook_delivery", "TRUNCATE on webhook_delivery"},
}

// scheduleColumns are those of a schedule, each with a value that is right.
var scheduleColumns = [][2]string{
	{"schedule_id", "{new}"}, {"from_account_id", "{A}"}, {"to_account_id", "{B}"}, {"amount", "1"}, {"currency", "'USD'"},
	{"cron", "NULL"}, {"time_zone", "NULL"}, {"interval_micros", "1000000"}, {"start_time", "'2030-01-01'"}, {"end_time", "NULL"},
	{"max_count", "NULL"}, {"catch_up", "'ALL'"}, {"reference", "''"}, {"metadata", "'{}'"}, {"status", "'ACTIVE'"},
	{"next_time", "'2030-01-01'"}, {"occurrence_count", "0"}, {"last_transfer_id", "NULL"}, {"create_time", "now()"},
	{"update_time", "now()"}, {"version", "1"}, {"create_fingerprint", "''"},
}

// endpointColumns are those of a webhook endpoint.
var endpointColumns = [][2]string{
	{"endpoint_id", "{new}"}, {"url", "''"}, {"description", "''"}, {"filter", "'{}'"}, {"status", "'ENABLED'"},
	{"secret", "sha256('s')"}, {"old_secret", "NULL"}, {"old_secret_expire_time", "NULL"}, {"cursor_position", "0"},
	{"version", "1"}, {"holder", "NULL"}, {"create_time", "now()"}, {"update_time", "now()"}, {"create_fingerprint", "''"},
}

// rowValues are the values of a row, all right but for those given by their column.
func rowValues(columns [][2]string, others []string) string {
	values := make([]string, 0, len(columns))
	for _, c := range columns {
		for i := 0; i < len(others); i += 2 {
			if others[i] == c[0] {
				c[1] = others[i+1]
			}
		}
		values = append(values, c[1])
	}
	return "(" + strings.Join(values, ", ") + ")"
}

// rowOf is the insertion of a row.
func rowOf(table string, columns [][2]string, others []string) string {
	names := make([]string, 0, len(columns))
	for _, c := range columns {
		names = append(names, c[0])
	}
	return "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ") VALUES " + rowValues(columns, others)
}

func scheduleRow(others ...string) string    { return rowOf("schedule", scheduleColumns, others) }
func scheduleValues(others ...string) string { return rowValues(scheduleColumns, others) }
func endpointRow(others ...string) string    { return rowOf("webhook_endpoint", endpointColumns, others) }
func endpointValues(others ...string) string { return rowValues(endpointColumns, others) }

// delivery is the insertion of deliveries to an endpoint.
func delivery(columns, values string) string {
	return endpointRow() + "; INSERT INTO webhook_delivery (endpoint_id, position, account_id" + columns + ") VALUES " + values
}

// keyRow is the insertion of an API key.
func keyRow(columns, values string) string {
	return "INSERT INTO api_key (api_key_id, display_name, role, grants, networks, secret_hash, create_time" + columns + ") " +
		"VALUES ({new}, 'x', 'viewer', '[]', '{}', sha256(''), now()" + values + ")"
}

// detail is the insertion of a transfer's details.
func detail(columns, values string) string {
	return "INSERT INTO transfer_detail (" + columns + ") VALUES (" + values + ")"
}

// transferRow is the insertion of a row; outcome is status, error_reason, both balances and both
// sequences.
func transferRow(id, from, to, amount, outcome string) string {
	return `INSERT INTO transfer (transfer_id, from_account_id, to_account_id, amount, currency, asked_currency, create_time,
		update_time, status, error_reason, from_balance, to_balance, from_sequence, to_sequence)
		VALUES (` + strings.Join([]string{id, from, to, amount, "'USD', '', now(), now()", outcome}, ", ") + ")"
}

// A corruptible is a small ledger beside a session for hand-typed SQL.
type corruptible struct {
	conn  *pgx.Conn
	names *strings.Replacer // of {A} and so on, in SQL and in what is expected
	plain *strings.Replacer // the same without quotes
}

// newCorruptible fills a database: 100 in {A}, 40 in {B}, in EUR 7 in {E}.
func newCorruptible(t *testing.T, url string, l *postgres.Ledger) *corruptible {
	t.Helper()
	a := ledgertest.OpenAccount(t, l, ledger.AccountParams{InitialBalance: ledgertest.Amount("150")})
	b := ledgertest.OpenAccount(t, l, ledger.AccountParams{})
	e := ledgertest.OpenAccount(t, l, ledger.AccountParams{Currency: "EUR", InitialBalance: ledgertest.Amount("7")})
	ids := map[string]uuid.UUID{
		"{A}": a.ID, "{B}": b.ID, "{E}": e.ID, "{new}": uuid.New(), "{equity}": uuid.MustParse("fcc612ef-05c7-51eb-9f2a-022abd238d80"),
	}
	for _, p := range []struct{ name, amount string }{{"{first}", "10"}, {"{paid}", "40"}, {"{failed}", "1000"}} {
		transfer, _, err := l.Transfer(context.Background(), ledger.TransferParams{From: a.ID, To: b.ID, Amount: ledgertest.Amount(p.amount)})
		if err != nil {
			t.Fatalf("transfer: %v", err)
		}
		ids[p.name] = transfer.ID
	}
	var quoted, plain []string
	for name, id := range ids {
		quoted = append(quoted, name, "'"+id.String()+"'")
		plain = append(plain, name, id.String())
	}
	return &corruptible{conn: ledgertest.Connect(t, url), names: strings.NewReplacer(quoted...), plain: strings.NewReplacer(plain...)}
}

// TestSchemaRefusesHandTypedSQL: the database keeps the rules by itself, and each constraint is the
// one that refuses something.
func TestSchemaRefusesHandTypedSQL(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	c := newCorruptible(t, url, ledgertest.Open(t, postgres.Config{DatabaseURL: url}))
	refused := map[string]bool{}
	for _, s := range handTyped {
		_, err := c.conn.Exec(context.Background(), c.names.Replace(s.sql))
		var pg *pgconn.PgError
		switch {
		case !errors.As(err, &pg):
			t.Errorf("%s: got %v, want a refusal by %s", s.sql, err, s.by)
		case pg.ConstraintName == s.by:
			refused[s.by] = true
		case pg.Code == "23001" && strings.HasPrefix(pg.Message, s.by+" is refused"):
		default:
			t.Errorf("%s: refused by %q: %v, want %s", s.sql, pg.ConstraintName, err, s.by)
		}
	}
	for _, name := range constraintNames(t, c.conn) {
		if !refused[name] {
			t.Errorf("no statement was refused by %s", name)
		}
	}
}

// TestConstraintsAreNamed: the service handles errors by the names of constraints, so none is
// Postgres's choice.
func TestConstraintsAreNamed(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	var migrations []string // their words
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		migrations = append(migrations, strings.Fields(string(text))...)
	}
	names := constraintNames(t, ledgertest.Connect(t, pgtest.NewDatabase(t)))
	if len(names) < 20 {
		t.Errorf("only %d constraints: %v", len(names), names)
	}
	for _, name := range names {
		if i := slices.Index(migrations, name); i < 1 || migrations[i-1] != "CONSTRAINT" {
			t.Errorf("constraint %s is not named in the migrations", name)
		}
	}
}

// constraintNames lists the constraints of our tables, but for those that only say NOT NULL.
func constraintNames(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	rows, err := conn.Query(context.Background(), `SELECT c.conname FROM pg_constraint AS c JOIN pg_class AS r ON r.oid = c.conrelid
		WHERE r.relnamespace = 'ledger'::regnamespace AND r.relname NOT LIKE 'goose%' AND c.contype <> 'n' ORDER BY 1`)
	if err != nil {
		t.Fatalf("read the constraints: %v", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("read the constraints: %v", err)
	}
	return names
}
