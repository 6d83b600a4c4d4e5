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
	"internaltransfers/internal/pgtest"
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

// TestExportNeedsSelectOnly: a role that may read and nothing else, where nothing can be written, with
// settings that spell values in other ways, gets the same file as the owner.
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
}

// TestExportHidesNoRows: a policy that hides rows from the role makes the export fail.
func TestExportHidesNoRows(t *testing.T) {
	t.Parallel()
	original := small(t)
	role, reader := login(t, original)
	execute(t, original, "GRANT ledger_reader TO "+role, "ALTER TABLE transfer ENABLE ROW LEVEL SECURITY",
		"CREATE POLICY little ON transfer FOR SELECT USING (amount < 10)")
	_, _, err := archive.Export(context.Background(), &bytes.Buffer{}, archive.Options{DatabaseURL: reader})
	if err == nil || !strings.Contains(err.Error(), "table transfer: ") || !strings.Contains(err.Error(), "row-level security") {
		t.Errorf("an export of some rows: %v", err)
	}
}

// TestImportNeedsTheOwnerOnly: no superuser, and settings that read values in other ways.
func TestImportNeedsTheOwnerOnly(t *testing.T) {
	t.Parallel()
	original := small(t)
	duplicate := bare(t)
	role, owner := login(t, duplicate)
	execute(t, duplicate, "ALTER SCHEMA public OWNER TO "+role)
	for _, setting := range []string{
		"DateStyle = 'SQL, DMY'", "TimeZone = 'America/St_Johns'", "client_encoding = 'LATIN1'", "array_nulls = off",
		"default_transaction_isolation = 'repeatable read'", "synchronous_commit = off",
	} {
		execute(t, duplicate, "ALTER ROLE "+role+" SET "+setting)
	}
	if err := tryImport(exported(t, original, true), owner, true); err != nil {
		t.Fatal(err)
	}
	requireSameRows(t, contents(t, duplicate), contents(t, original))
	off := texts(t, duplicate, "SELECT tgname::text FROM pg_trigger WHERE tgenabled <> 'O'")
	if len(off) > 0 {
		t.Errorf("triggers that do not fire: %v", off)
	}
}

// TestImportReplacesNothing: whatever a ledger has keeps an import away, before anything is written, a
// migration included.
func TestImportReplacesNothing(t *testing.T) {
	t.Parallel()
	file := exported(t, small(t), true)
	for name, change := range map[string]func(t *testing.T, l *ledger.Ledger) error{
		"an account": func(_ *testing.T, l *ledger.Ledger) error {
			_, _, err := l.CreateAccount(context.Background(), ledger.AccountParams{})
			return err
		},
		"a currency": func(_ *testing.T, l *ledger.Ledger) error {
			_, _, err := l.CreateCurrency(context.Background(), "XYZ", 3, false)
			return err
		},
		"a change of an equity account": func(t *testing.T, l *ledger.Ledger) error {
			currencies, _, err := l.ListCurrencies(context.Background(), ledger.Page{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = l.UpdateAccount(context.Background(), ledger.AccountChange{ID: currencies[0].EquityAccountID, DisplayName: new("x")})
			return err
		},
		"a webhook endpoint": func(_ *testing.T, l *ledger.Ledger) error {
			_, _, err := l.CreateWebhook(context.Background(), ledger.WebhookParams{URL: "https://example.com"})
			return err
		},
		"a refusal": func(_ *testing.T, l *ledger.Ledger) error {
			a, b := uuidOf("a"), uuidOf("b")
			_, _, err := l.Transfer(context.Background(), ledger.TransferParams{From: a, To: b, Amount: one})
			return err
		},
		"a demo": func(_ *testing.T, l *ledger.Ledger) error {
			_, err := l.MarkDemo(context.Background(), 1)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := newDatabase(t)
			l, closeIt := openLedger(t, database, 0)
			if err := change(t, l); err != nil {
				t.Fatal(err)
			}
			closeIt()
			before := contents(t, database)
			// A server of an older version would be locked out by a migration.
			execute(t, database, fmt.Sprintf("DELETE FROM goose_db_version WHERE version_id = %d", migrations.Newest()))
			if err := tryImport(file, database, true); !errors.Is(err, archive.ErrNotEmpty) {
				t.Errorf("import: %v", err)
			}
			requireSameRows(t, contents(t, database), before)
			if got := texts(t, database, "SELECT max(version_id)::text FROM goose_db_version")[0]; got == fmt.Sprint(migrations.Newest()) {
				t.Error("the database was migrated")
			}
		})
	}
}

// TestImportAfterProof: a proof of the empty ledger keeps a checkpoint, which is nothing to lose.
func TestImportAfterProof(t *testing.T) {
	t.Parallel()
	original := small(t)
	duplicate := newDatabase(t)
	requireSound(t, duplicate, false)
	if err := tryImport(exported(t, original, true), duplicate, true); err != nil {
		t.Fatal(err)
	}
	requireSameRows(t, contents(t, duplicate), contents(t, original))
}

// TestImportWhileOthersWork: who uses the database keeps an import away, which does not wait for ever.
func TestImportWhileOthersWork(t *testing.T) {
	t.Parallel()
	file := exported(t, small(t), false)
	database := newDatabase(t)
	tx, err := connect(t, database).Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(context.Background(), "SELECT FROM account"); err != nil {
		t.Fatal(err)
	}
	if err := tryImport(file, database, false); err == nil || !strings.Contains(err.Error(), "stop the servers that work on this database") {
		t.Errorf("import: %v", err)
	}
}

// TestWrongDatabases: what is no ledger, or not of this program, is named.
func TestWrongDatabases(t *testing.T) {
	t.Parallel()
	newest := migrations.Newest()
	file := exported(t, small(t), false)
	export := func(url string) error {
		_, _, err := archive.Export(context.Background(), &bytes.Buffer{}, archive.Options{DatabaseURL: url})
		return err
	}
	load := func(url string) error { return tryImport(file, url, false) }
	older, newer, nothing := newDatabase(t), pgtest.NewDatabase(t), bare(t)
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
	done, moved := make(chan int), make(chan struct{}, 1)
	for worker := range 4 {
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
			done <- n
		}()
	}
	var files [][]byte
	for range 3 {
		<-moved // it has begun, and goes on
		files = append(files, exported(t, original, false))
	}
	stop()
	total := 0
	for range 4 {
		total += <-done
	}
	rows := []int{}
	for _, file := range files {
		duplicate := imported(t, file, false)
		requireSound(t, duplicate, false)
		rows = append(rows, len(contents(t, duplicate)["transfer"]))
	}
	if rows[0] >= rows[2] || rows[2] > total+6 {
		t.Errorf("the exports have %v transfers, of %d at the end", rows, total)
	}
}

func ttl(hold bool) time.Duration {
	if hold {
		return time.Millisecond
	}
	return 0
}

// TestExportWaitsForNoMigration: a migration that is at work is not exported half done.
func TestExportWaitsForNoMigration(t *testing.T) {
	t.Parallel()
	original := small(t)
	tx, err := connect(t, original).Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(context.Background(), "LOCK TABLE schedule IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	_, _, err = archive.Export(context.Background(), &bytes.Buffer{}, archive.Options{DatabaseURL: original})
	if err == nil || !strings.Contains(err.Error(), "lock the tables: ") {
		t.Errorf("export: %v", err)
	}
}

// TestCancelledImport: whoever gives up has changed nothing.
func TestCancelledImport(t *testing.T) {
	t.Parallel()
	original := small(t)
	target := newTarget(t, original)
	file := exported(t, original, true)
	ctx, cancel := context.WithCancel(context.Background())
	_, err := archive.Import(ctx, bytes.NewReader(file), archive.Options{DatabaseURL: target.url, Progress: func(text string) {
		if strings.HasPrefix(text, "schedule ") {
			cancel()
		}
	}}, silent)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("import: %v", err)
	}
	if after := target.state(t); after != target.before {
		t.Errorf("the database was %s, and is %s", target.before, after)
	}
}
