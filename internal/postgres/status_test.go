package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/internal/proof"
	"internaltransfers/ledger"
)

func status(t *testing.T, l *postgres.Ledger) postgres.Status {
	t.Helper()
	l.Rested()
	s, err := l.GetStatus(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// totalsText spells totals for a comparison.
func totalsText(s postgres.Status) (text []string) {
	for _, t := range s.Totals {
		text = append(text, fmt.Sprintf("%s %s %d", t.Currency, t.Amount.StringFixed(t.Scale), t.Accounts))
	}
	return text
}

func TestStatusTotals(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	if got := status(t, l); len(got.Totals) != 0 || got.Proof != nil || time.Since(got.Time).Abs() > time.Minute {
		t.Errorf("of an empty ledger: %+v", got)
	}
	a := ledgertest.OpenAccount(t, l, ledger.AccountParams{InitialBalance: ledgertest.Amount("100")})
	b := ledgertest.OpenAccount(t, l, ledger.AccountParams{InitialBalance: ledgertest.Amount("0.5")})
	ledgertest.OpenAccount(t, l, ledger.AccountParams{Currency: "JPY"})
	ledgertest.OpenAccount(t, l, ledger.AccountParams{Currency: "BTC", InitialBalance: ledgertest.Amount("0.00000001")})
	if _, _, err := l.Transfer(t.Context(), ledger.TransferParams{From: a.ID, To: b.ID, Amount: ledgertest.Amount("7")}); err != nil {
		t.Fatal(err)
	}
	want := []string{"BTC 0.00000001 1", "JPY 0 1", "USD 100.50 2"}
	if got := totalsText(status(t, l)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A count that would take long becomes an estimate, of the size that the table has.
func TestStatusEstimates(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	l.CountAtMost(1000)
	conn := ledgertest.Connect(t, url)
	open := func(n int) {
		t.Helper()
		ledgertest.Execute(t, conn, `INSERT INTO account (account_id, currency, min_balance, create_fingerprint)
			SELECT gen_random_uuid(), CASE WHEN i % 4 = 0 THEN 'EUR' ELSE 'USD' END, 0, '' FROM generate_series(1, $1) AS i`, n)
	}
	open(1200)
	ledgertest.Execute(t, conn, "ANALYZE account")
	open(400)
	if got := totalsText(status(t, l)); !slices.Equal(got, []string{"EUR 0.00 400", "USD 0.00 1001"}) {
		t.Errorf("analyzed when there were fewer: %q", got)
	}
	open(4000)
	ledgertest.Execute(t, conn, "ANALYZE account")
	totals := status(t, l).Totals
	if e, n := totals[0].Accounts, totals[1].Accounts; e < 1300 || e > 1500 || n < 4100 || n > 4300 {
		t.Errorf("got %+v, want about 1,400 and 4,200", totals)
	}
}

// The end of a proof is seen by every ledger on the database.
func TestStatusTellsTheLastProof(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.NewDatabase(t)
	l, other := ledgertest.OpenPrivate(t, url, postgres.Config{Logger: ledgertest.Silent}), ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	a := ledgertest.OpenAccount(t, l, ledger.AccountParams{InitialBalance: ledgertest.Amount("100")})
	prove := func(incremental bool) proof.Report {
		t.Helper()
		report, err := l.Proofs.Check(ctx, proof.Options{Incremental: incremental})
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	require := func(report proof.Report, incremental bool, broken ...string) {
		t.Helper()
		got := status(t, other).Proof
		if got == nil || !got.Time.Equal(report.Time) || got.Incremental != incremental || !slices.Equal(got.Broken, broken) {
			t.Errorf("got %+v, want one of %v, incremental %v, that broke %q", got, report.Time, incremental, broken)
		}
	}
	require(prove(true), false) // there was nothing to go on from
	require(prove(true), true)
	require(prove(false), false)

	conn := ledgertest.Connect(t, url)
	ledgertest.Execute(t, conn, "UPDATE account SET balance = balance + 1 WHERE account_id = $1", a.ID)
	bad := prove(false)
	var broken []string
	for i := range bad.Invariants {
		if bad.Invariants[i].ViolationCount > 0 {
			broken = append(broken, bad.Invariants[i].Name)
		}
	}
	if !slices.Contains(broken, "sum_zero") {
		t.Fatalf("the proof found %q broken", broken)
	}
	require(bad, false, broken...)
	ledgertest.Execute(t, conn, "UPDATE account SET balance = balance - 1 WHERE account_id = $1", a.ID)

	// A proof that cannot be recorded returns all the same, and one that is older than the recorded
	// one is not recorded.
	ledgertest.Execute(t, conn, "ALTER TABLE last_proof RENAME TO gone")
	if report := prove(false); !report.OK() {
		t.Error("the proof that cannot be recorded is broken")
	}
	ledgertest.Execute(t, conn, "ALTER TABLE gone RENAME TO last_proof")
	require(bad, false, broken...)
	ledgertest.Execute(t, conn, "BEGIN")
	ledgertest.Execute(t, conn, "LOCK TABLE last_proof IN EXCLUSIVE MODE")
	proved := make(chan error, 1)
	go func() {
		_, err := l.Proofs.Check(ctx, proof.Options{})
		proved <- err
	}()
	awaitLockWait(ctx, t, ledgertest.Connect(t, url))
	ledgertest.Execute(t, conn, "UPDATE last_proof SET check_time = clock_timestamp(), broken = '{newer}'")
	ledgertest.Execute(t, conn, "COMMIT")
	if err := <-proved; err != nil {
		t.Fatal(err)
	}
	if got := status(t, other).Proof.Broken; !slices.Equal(got, []string{"newer"}) {
		t.Errorf("an older proof took the place of a newer one: %q", got)
	}
}

// However many ask, one reads, and what took long is not read again at once.
func TestStatusIsShared(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	conn, watcher := ledgertest.Connect(t, url), ledgertest.Connect(t, url)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE last_proof"); err != nil {
		t.Fatal(err)
	}
	times := make(chan time.Time)
	for range 20 {
		go func() {
			s, err := l.GetStatus(context.Background())
			if err != nil {
				t.Error(err)
			}
			times <- s.Time
		}()
	}
	// The reader waits for the table for a while, 200 looks long.
	for waiting, looks := 0, 0; looks < 200; looks += waiting {
		err := watcher.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'last_proof'::regclass").
			Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
		if waiting > 1 {
			t.Fatalf("%d read at a time", waiting)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.GetStatus(ended); err == nil {
		t.Error("who waits no more still waits")
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := <-times
	for range 19 {
		if next := <-times; !next.Equal(first) {
			t.Errorf("read at %v and at %v", first, next)
		}
	}
}
