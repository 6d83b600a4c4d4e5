package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"internaltransfers/internal/archive"
	"internaltransfers/internal/events"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/internal/proof"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var silent = slog.New(slog.DiscardHandler)

// newDatabase returns the owner's URL of a fresh ledger.
func newDatabase(t testing.TB) string {
	t.Helper()
	return pgtest.Owner(pgtest.NewDatabase(t))
}

// connect opens a session of the superuser that ends with the test.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), pgtest.Superuser(url))
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execute(t testing.TB, url string, statements ...string) {
	t.Helper()
	conn := connect(t, url)
	for _, statement := range statements {
		if _, err := conn.Exec(context.Background(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// texts returns the one column of a query.
func texts(t testing.TB, url, query string) []string {
	t.Helper()
	return column(t, connect(t, url), query)
}

func column(t testing.TB, conn *pgx.Conn, query string) []string {
	t.Helper()
	rows, err := conn.Query(context.Background(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return list
}

func count(t testing.TB, url, table string) (n int) {
	t.Helper()
	if err := connect(t, url).QueryRow(context.Background(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// bare returns the URL of a database that nothing was ever migrated into.
func bare(t testing.TB) string {
	t.Helper()
	return pgtest.NewEmptyDatabase(t, "")
}

func exported(t testing.TB, url string, webhooks bool) []byte {
	t.Helper()
	var file bytes.Buffer
	_, _, err := archive.Export(context.Background(), &file, archive.Options{DatabaseURL: url, Webhooks: webhooks})
	if err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func tryImport(file []byte, url string, webhooks bool) error {
	_, err := archive.Import(context.Background(), bytes.NewReader(file),
		archive.Options{DatabaseURL: url, Webhooks: webhooks}, silent)
	return err
}

// imported returns the URL of a database with the ledger of the file.
func imported(t testing.TB, file []byte, webhooks bool) string {
	t.Helper()
	url := newDatabase(t)
	if err := tryImport(file, url, webhooks); err != nil {
		t.Fatal(err)
	}
	return url
}

// openLedger opens the ledger of a database until close is called, at the latest when the test
// ends.
func openLedger(t testing.TB, url string, workers int) (l *postgres.Ledger, closeIt func()) {
	t.Helper()
	l, err := postgres.Open(context.Background(), postgres.Config{
		DatabaseURL: url, Logger: silent, Workers: workers, WorkerInterval: 10 * time.Millisecond,
	})
	if err != nil {
		t.Fatalf("open the ledger: %v", err)
	}
	closed := false
	closeIt = func() {
		if closed {
			return
		}
		closed = true
		if err := l.Close(context.Background()); err != nil {
			t.Errorf("close the ledger: %v", err)
		}
	}
	t.Cleanup(closeIt)
	return l, closeIt
}

// requireSound proves the ledger of a database, in full or from its checkpoint on.
func requireSound(t testing.TB, url string, incremental bool) {
	t.Helper()
	l, closeIt := openLedger(t, url, 0)
	defer closeIt()
	report, err := l.Proofs.Check(context.Background(), proof.Options{Incremental: incremental})
	if err != nil {
		t.Fatal(err)
	}
	for i := range report.Invariants {
		if report.Invariants[i].ViolationCount != 0 {
			t.Errorf("broken: %s", &report.Invariants[i])
		}
	}
	if incremental && report.CheckpointTime.IsZero() {
		t.Error("the proof did not go on from a checkpoint")
	}
}

// tablesOf returns the names of all tables of a database but the migrations' and the test clock's.
func tablesOf(t testing.TB, conn *pgx.Conn) []string {
	t.Helper()
	return column(t, conn, `SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace
		AND relkind IN ('r', 'p') AND relname NOT IN ('goose_db_version', 'api_key', 'test_clock') ORDER BY relname`)
}

// contents returns all rows of all tables, in one order, without the key of page tokens.
func contents(t testing.TB, url string) map[string][]string {
	t.Helper()
	conn := connect(t, url)
	rows := make(map[string][]string)
	for _, table := range tablesOf(t, conn) {
		rows[table] = column(t, conn, fmt.Sprintf(`SELECT x::text FROM %s AS x ORDER BY x::text COLLATE "C"`, table))
	}
	rows["setting"] = slices.DeleteFunc(rows["setting"], func(row string) bool { return strings.HasPrefix(row, "(page_token_key,") })
	return rows
}

// requireSameRows compares all tables of two databases but those named.
func requireSameRows(t testing.TB, got, want map[string][]string, but ...string) {
	t.Helper()
	for _, table := range slices.Sorted(maps.Keys(want)) {
		if slices.Contains(but, table) {
			continue
		}
		if len(got[table]) != len(want[table]) {
			t.Errorf("%s has %d rows, want %d", table, len(got[table]), len(want[table]))
			continue
		}
		for i, row := range want[table] {
			if got[table][i] != row {
				t.Errorf("%s: got %s, want %s", table, got[table][i], row)
				break
			}
		}
	}
}

// A testClock is the clock of a database, which stands still until it is set.
type testClock struct {
	t   testing.TB
	url string
}

// stopClock gives the database a clock of the test's own.
func stopClock(t testing.TB, url string, now time.Time) testClock {
	t.Helper()
	execute(t, url, "CREATE TABLE test_clock (now timestamptz NOT NULL)", "GRANT SELECT ON test_clock TO PUBLIC", "INSERT INTO test_clock VALUES ('epoch')",
		"CREATE OR REPLACE FUNCTION ledger_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE AS 'SELECT now FROM test_clock'")
	c := testClock{t, url}
	c.set(now)
	return c
}

func (c testClock) set(now time.Time) {
	c.t.Helper()
	execute(c.t, c.url, "UPDATE test_clock SET now = '"+now.Format(time.RFC3339Nano)+"'")
}

// eventually returns when done does, which is called after each event of the ledger.
func eventually(t testing.TB, l *postgres.Ledger, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	over := errors.New("over")
	err := l.Events.Follow(ctx, 0, nil, func([]*events.Event, int64) error {
		if done() {
			return over
		}
		return nil
	})
	if !errors.Is(err, over) {
		t.Fatalf("%s: %v", what, err)
	}
}
