package ledgertest

import (
	"context"
	"errors"
	"testing"

	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/internal/proof"
	"internaltransfers/ledger"
)

// Open opens a ledger on the database, or on one of the test's own without a URL. The
// test's end proves every invariant, and that the events are complete, and closes it.
func Open(t testing.TB, config postgres.Config) *postgres.Ledger {
	t.Helper()
	if config.DatabaseURL == "" {
		config.DatabaseURL = pgtest.NewDatabase(t)
	}
	l, err := postgres.Open(context.Background(), config)
	if err != nil {
		t.Fatalf("open the ledger: %v", err)
	}
	t.Cleanup(func() {
		RequireSound(t, l)
		RequireRetold(t, l)
		if err := l.Close(context.Background()); err != nil {
			t.Errorf("close the ledger: %v", err)
		}
	})
	return l
}

// OpenPrivate opens a ledger on a server that is gone before the test's clean-up can use it.
func OpenPrivate(t testing.TB, database string, config postgres.Config) *postgres.Ledger {
	t.Helper()
	config.DatabaseURL = database
	l := Must(postgres.Open(context.Background(), config))
	t.Cleanup(func() {
		if err := l.Close(context.Background()); err != nil {
			t.Errorf("close the ledger: %v", err)
		}
	})
	return l
}

// RequireSound fails the test when an invariant is broken.
func RequireSound(t testing.TB, l *postgres.Ledger) {
	t.Helper()
	report, err := l.Proofs.Check(context.Background(), proof.Options{})
	// After a crash of the database each idle connection fails once, and each failure takes one out
	// of the pool.
	for try := 0; errors.Is(err, ledger.ErrUnavailable) && try < 10; try++ {
		report, err = l.Proofs.Check(context.Background(), proof.Options{})
	}
	if err != nil {
		t.Fatalf("check the ledger: %v", err)
	}
	for i := range report.Invariants {
		if report.Invariants[i].ViolationCount != 0 {
			t.Errorf("invariant broken: %s", &report.Invariants[i])
		}
	}
}

// RequireProof fails the test unless the report says so.
func RequireProof(t *testing.T, r proof.Report, sound bool) {
	t.Helper()
	if r.OK() != sound {
		t.Errorf("the ledger is found sound: %v, want %v", r.OK(), sound)
		for i := range r.Invariants {
			if r.Invariants[i].ViolationCount > 0 {
				t.Error(&r.Invariants[i])
			}
		}
	}
}
