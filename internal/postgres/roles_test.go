package postgres_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/google/uuid"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/internal/proof"
	"internaltransfers/ledger"
)

// When a server's role loses a right while it runs, the database is unavailable to the calls that
// need it, with the reason in the log, and nothing is applied by halves. Once it is back, the same
// calls succeed.
func TestRightTakenWhileRunning(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	database := pgtest.NewDatabase(t)
	counting := newCounting()
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, Logger: slog.New(counting)})
	ids := ledgertest.OpenAccounts(t, l, 2, 100)
	conn := ledgertest.Connect(t, database)
	payment := ledger.TransferParams{ID: uuid.New(), From: ids[0], To: ids[1], Amount: ledgertest.Amount("5")}
	for _, right := range []string{"UPDATE (balance) ON account", "INSERT ON transfer"} {
		ledgertest.Execute(t, conn, "REVOKE "+right+" FROM ledger_writer")
		before := counting.count("a batch is tried again")
		if _, _, err := l.Transfer(ctx, payment); !errors.Is(err, ledger.ErrUnavailable) {
			t.Errorf("without %s: %v", right, err)
		}
		if counting.count("a batch is tried again") == before {
			t.Errorf("without %s nothing is logged", right)
		}
		ledgertest.Execute(t, conn, "GRANT "+right+" TO ledger_writer")
	}
	requireBalance(t, l, ids[0], 100)
	if _, _, err := l.Transfer(ctx, payment); err != nil {
		t.Errorf("with all rights again: %v", err)
	}
	requireBalance(t, l, ids[0], 95)

	ledgertest.Execute(t, conn, "REVOKE SELECT ON account FROM ledger_writer")
	if _, err := l.GetAccount(ctx, ids[0]); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("without a right to read: %v", err)
	}
	if err := openError(t, database); !isRefused(err) {
		t.Errorf("a server that starts then: %v", err)
	}
	ledgertest.Execute(t, conn, "GRANT SELECT ON account TO ledger_writer")
	requireBalance(t, l, ids[1], 105)
}

// openError is why a ledger cannot be opened.
func openError(t *testing.T, database string) error {
	t.Helper()
	l, err := postgres.Open(context.Background(), postgres.Config{DatabaseURL: database, Logger: ledgertest.Silent})
	if err == nil {
		t.Fatal(errors.Join(errors.New("it was opened"), l.Close(context.Background())))
	}
	return err
}

func isRefused(err error) bool {
	_, ok := errors.AsType[*pgdb.RefusedError](err)
	return ok && !errors.Is(err, ledger.ErrUnavailable)
}

// rowVersions distinguishes any two states of a ledger's rows, whatever was written.
const rowVersions = `SELECT md5(string_agg(query_to_xml(format('SELECT xmin, ctid FROM %s', oid::regclass), true, false, '')::text, ''
	ORDER BY relname)) FROM pg_class WHERE relnamespace = 'ledger'::regnamespace AND relkind = 'r'`

// A proof with the rights to read finds what a server's does, reports progress, goes on from what a
// server kept, and changes nothing.
func TestCheckByReader(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	ids := ledgertest.OpenAccounts(t, l, 2, 100)
	ledgertest.NewHold(t, l, ids[0], ids[1], 50, ledger.TransferOptions{})
	conn := ledgertest.Connect(t, url)
	check := func(incremental, sound bool) proof.Report {
		t.Helper()
		database, err := pgdb.Open(ctx, pgdb.Target{URL: pgtest.Reader(url)}, pgdb.Proving)
		if err != nil {
			t.Fatal(err)
		}
		var last proof.Progress
		var before, after string
		if err := conn.QueryRow(ctx, rowVersions).Scan(&before); err != nil {
			t.Fatal(err)
		}
		report, err := proof.Check(ctx, database, proof.Options{
			Incremental: incremental, Progress: func(p proof.Progress) { last = p },
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.QueryRow(ctx, rowVersions).Scan(&after); err != nil || after != before {
			t.Errorf("the proof wrote: %v", err)
		}
		if last.Step != last.Steps || last.Steps < len(report.Invariants) {
			t.Errorf("it ended at step %d of %d", last.Step, last.Steps)
		}
		ledgertest.RequireProof(t, report, sound)
		return report
	}
	for _, incremental := range []bool{false, true, true} {
		if r := check(incremental, true); !r.CheckpointTime.IsZero() {
			t.Errorf("no proof kept a checkpoint, and it went on from %v", r.CheckpointTime)
		}
	}
	kept, err := l.Proofs.Check(ctx, proof.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if r := check(true, true); !r.CheckpointTime.Equal(kept.Time) {
			t.Errorf("it went on from %v, but a server kept a checkpoint of %v", r.CheckpointTime, kept.Time)
		}
	}
	ledgertest.Execute(t, conn, "UPDATE account SET held = 1 WHERE account_id = $1", ids[1])
	for _, incremental := range []bool{false, true} {
		// A full proof that fails takes no checkpoint back either.
		if r := check(incremental, false); incremental && !r.CheckpointTime.Equal(kept.Time) {
			t.Errorf("it went on from %v", r.CheckpointTime)
		}
	}
	ledgertest.Execute(t, conn, "UPDATE account SET held = 0 WHERE account_id = $1", ids[1])
	ledgertest.Execute(t, conn, "REVOKE SELECT ON transfer_group FROM ledger_reader")
	database, err := pgdb.Open(ctx, pgdb.Target{URL: pgtest.Reader(url)}, pgdb.Proving)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proof.Check(ctx, database, proof.Options{}); !isRefused(err) {
		t.Errorf("without a right: %v", err)
	}
}
