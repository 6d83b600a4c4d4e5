package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"internaltransfers/internal/archive"
	"internaltransfers/ledger"
	"internaltransfers/migrations"
)

// login makes a role that may log in, until the test ends, and returns the database's URL for it.
func login(t testing.TB, database string) (role, asRole string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	role = "archive_" + strings.TrimPrefix(u.Path, "/")
	execute(t, database, "CREATE ROLE "+role+" LOGIN PASSWORD 'secret'")
	t.Cleanup(func() { execute(t, database, "DROP OWNED BY "+role+" CASCADE", "DROP ROLE "+role) })
	u.User = url.UserPassword(role, "secret")
	return role, u.String()
}

// TestExportNeedsSelectOnly: a role that may read and nothing else, where nothing can be written,
// with settings that spell values in other ways, gets the same file as the owner.
func TestExportNeedsSelectOnly(t *testing.T) {
	t.Parallel()
	original := small(t)
	role, reader := login(t, original)
	execute(t, original, "GRANT ledger_reader TO "+role)
	for _, setting := range []string{
		"default_transaction_read_only = on", "DateStyle = 'German, DMY'", "TimeZone = 'Asia/Kathmandu'", "IntervalStyle = 'sql_standard'",
		"bytea_output = 'escape'", "extra_float_digits = -15", "client_encoding = 'LATIN1'",
		"quote_all_identifiers = on", "default_transaction_isolation = 'serializable'", "array_nulls = off", "lc_numeric = 'C'",
	} {
		execute(t, original, "ALTER ROLE "+role+" SET "+setting)
	}
	got, want := withoutTime(t, exported(t, reader, true)), withoutTime(t, exported(t, original, true))
	if !bytes.Equal(got, want) {
		t.Errorf("the role's file is\n%s, and the owner's\n%s", got, want)
	}
	execute(t, original, "REVOKE SELECT ON account FROM ledger_reader")
	_, _, err := archive.Export(context.Background(), &bytes.Buffer{}, archive.Options{DatabaseURL: reader})
	if err == nil || !strings.Contains(err.Error(), "permission denied for table account") {
		t.Errorf("without the right to read accounts: %v", err)
	}
	// A policy that hides rows makes the export fail.
	execute(t, original, "GRANT SELECT ON account TO "+role, "ALTER TABLE transfer ENABLE ROW LEVEL SECURITY",
		"CREATE POLICY little ON transfer FOR SELECT USING (amount < 10)")
	_, _, err = archive.Export(context.Background(), &bytes.Buffer{}, archive.Options{DatabaseURL: reader})
	if err == nil || !strings.Contains(err.Error(), "table transfer ") || !strings.Contains(err.Error(), "row-level security") {
		t.Errorf("an export of some rows: %v", err)
	}
	// A migration that is at work is not exported half done.
	conn := connect(t, original)
	for _, statement := range []string{"BEGIN", "LOCK TABLE schedule IN ACCESS EXCLUSIVE MODE"} {
		if _, err := conn.Exec(context.Background(), statement); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err = archive.Export(context.Background(), &bytes.Buffer{}, archive.Options{DatabaseURL: original})
	if err == nil || !strings.Contains(err.Error(), "lock the tables: ") {
		t.Errorf("an export while the schema changes: %v", err)
	}
	if _, err := conn.Exec(context.Background(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
}

// TestImportNeedsTheOwnerOnly: no superuser, and settings that read values in other ways.
func TestImportNeedsTheOwnerOnly(t *testing.T) {
	t.Parallel()
	original := sampleLedger(t)
	duplicate := bare(t)
	role, owner := login(t, duplicate)
	execute(t, duplicate, "ALTER SCHEMA public OWNER TO "+role)
	for _, setting := range []string{
		"DateStyle = 'SQL, DMY'", "TimeZone = 'America/St_Johns'", "client_encoding = 'LATIN1'", "array_nulls = off",
		"default_transaction_isolation = 'repeatable read'", "synchronous_commit = off",
	} {
		execute(t, duplicate, "ALTER ROLE "+role+" SET "+setting)
	}
	if err := tryImport(original.file, owner, true); err != nil {
		t.Fatal(err)
	}
	requireSameRows(t, contents(t, duplicate), original.rows)
	// The databases of other tests are clones, and have one key.
	if key := texts(t, duplicate, pageKey)[0]; key == original.pageKey || strings.Contains(string(unpacked(t, original.file)), original.pageKey) {
		t.Error("the key of page tokens was copied")
	}
	off := texts(t, duplicate, "SELECT tgname::text FROM pg_trigger WHERE tgenabled <> 'O'")
	if len(off) > 0 {
		t.Errorf("triggers that do not fire: %v", off)
	}
}

// TestImportReplacesNothing: whatever a ledger has keeps an import away, before anything is
// written, a migration included.
func TestImportReplacesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	database := newDatabase(t)
	conn := connect(t, database)
	for what, statement := range map[string]string{
		"account": `INSERT INTO account (account_id, currency, min_balance, create_fingerprint) VALUES (gen_random_uuid(), 'USD', 0, '')`,
		"currency": `WITH c AS (INSERT INTO currency (code, scale, equity_account_id) VALUES ('XYZ', 0, gen_random_uuid()) RETURNING *)
			INSERT INTO account (account_id, currency, is_equity, create_fingerprint) SELECT equity_account_id, code, true, '' FROM c`,
		"changed equity account": `UPDATE account SET display_name = 'x', version = 2 WHERE currency = 'USD'`,
		"transfer": `INSERT INTO transfer (transfer_id, from_account_id, to_account_id, amount, currency, asked_currency, status, error_reason,
			create_time, update_time) VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, '', '', 'FAILED', 'x', now(), now())`,
		"group":   `INSERT INTO transfer_group VALUES (gen_random_uuid(), 1)`,
		"setting": `INSERT INTO setting VALUES ('demo', '')`,
		"endpoint": `INSERT INTO webhook_endpoint (endpoint_id, url, description, filter, secret, cursor_position, create_time, update_time,
			create_fingerprint) VALUES (gen_random_uuid(), '', '', '{}', sha256(''), 0, now(), now(), '')`,
	} {
		tx, err := conn.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := archive.RequireEmpty(ctx, tx); err != nil {
			t.Errorf("empty: %v", err)
		}
		if _, err := tx.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if err := archive.RequireEmpty(ctx, tx); !errors.Is(err, archive.ErrNotEmpty) {
			t.Errorf("%s: %v", what, err)
		}
		if err := tx.Rollback(ctx); err != nil {
			t.Fatal(err)
		}
	}
	// A server of an older version would be locked out by a migration.
	execute(t, database, "INSERT INTO setting VALUES ('demo', '')",
		fmt.Sprintf("DELETE FROM goose_db_version WHERE version_id = %d", migrations.Newest()))
	before := contents(t, database)
	if err := tryImport(sampleLedger(t).file, database, true); !errors.Is(err, archive.ErrNotEmpty) {
		t.Errorf("import: %v", err)
	}
	requireSameRows(t, contents(t, database), before)
	if got := texts(t, database, "SELECT max(version_id)::text FROM goose_db_version")[0]; got == fmt.Sprint(migrations.Newest()) {
		t.Error("the database was migrated")
	}
}

// TestImportWhileOthersWork: open sessions of the database keep an import from starting, which does
// not wait for ever.
func TestImportWhileOthersWork(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	tx, err := connect(t, database).Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(context.Background(), "SELECT FROM account"); err != nil {
		t.Fatal(err)
	}
	if err := tryImport(sampleLedger(t).file, database, false); err == nil || !strings.Contains(err.Error(), "stop the servers that work on this database") {
		t.Errorf("import: %v", err)
	}
}

// TestWrongDatabases: what is no ledger, or not of this program, is named.
func TestWrongDatabases(t *testing.T) {
	t.Parallel()
	newest := migrations.Newest()
	file := sampleLedger(t).file
	export := func(url string) error {
		_, _, err := archive.Export(context.Background(), &bytes.Buffer{}, archive.Options{DatabaseURL: url})
		return err
	}
	load := func(url string) error { return tryImport(file, url, false) }
	older, newer, nothing := newDatabase(t), newDatabase(t), bare(t)
	execute(t, older, fmt.Sprintf("DELETE FROM goose_db_version WHERE version_id = %d", newest))
	execute(t, newer, fmt.Sprintf("INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, true)", newest+1))
	for _, c := range []struct {
		what string
		err  error
		want string
	}{
		{"export of nothing", export(nothing), "holds no ledger"},
		{"export of an older ledger", export(older), "migrate it first"},
		{"export of a newer ledger", export(newer), "use a newer program"},
		{"import into a newer ledger", load(newer), "give a new database"},
		{"export from nowhere", export("postgres://u:hunter2@127.0.0.1:1/x"), "connect: "},
		{"a malformed URL", export("postgres://u:hunter2@["), "the database URL must be"},
		{"import with a malformed URL", load("postgres://u:hunter2@["), "the database URL must be"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) || strings.Contains(c.err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", c.what, c.err, c.want)
		}
	}
	if tables := tablesOf(t, connect(t, nothing)); len(tables) > 0 {
		t.Errorf("an export made the tables %v", tables)
	}
}

// TestExportWhileWriting: what is exported while transfers are made is one moment of the ledger.
func TestExportWhileWriting(t *testing.T) {
	t.Parallel()
	original := small(t)
	l, _ := openLedger(t, original, 0)
	ctx, stop := context.WithCancel(context.Background())
	done, moved := make(chan struct{}), make(chan struct{}, 1)
	for worker := range 2 {
		go func() {
			n := 0
			for ctx.Err() == nil {
				p := ledger.TransferParams{From: uuidOf("a"), To: uuidOf("b"), Amount: one}
				if (n+worker)%2 == 1 {
					p.From, p.To, p.Options = p.To, p.From, &ledger.TransferOptions{Hold: n%3 == 0, HoldTTL: ttl(n%3 == 0)}
				}
				if _, _, err := l.Transfer(context.Background(), p); err != nil {
					t.Error(err)
					break
				}
				n++
				select {
				case moved <- struct{}{}:
				default:
				}
			}
			done <- struct{}{}
		}()
	}
	var files [][]byte
	for range 2 {
		<-moved // it has begun, and goes on
		files = append(files, exported(t, original, false))
	}
	stop()
	for range 2 {
		<-done
	}
	rows := []int{}
	for _, file := range files {
		duplicate := imported(t, file, false)
		requireSound(t, duplicate, false)
		rows = append(rows, count(t, duplicate, "transfer"))
	}
	if rows[0] >= rows[1] || rows[1] > count(t, original, "transfer") {
		t.Errorf("the exports have %v transfers", rows)
	}
}

func ttl(hold bool) time.Duration {
	if hold {
		return time.Millisecond
	}
	return 0
}
