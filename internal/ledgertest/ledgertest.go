// Package ledgertest has what the tests of a ledger share: opening one that is proved at the end,
// accounts and transfers, a clock that stands still, and a copy rebuilt from events.
package ledgertest

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/events"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// Silent is for ledgers whose warnings are the point of the test.
var Silent = slog.New(slog.DiscardHandler)

// Must returns the value, or panics with the error.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// First drops the other results of a call.
func First[T, U any](v T, _ U, err error) (T, error) { return v, err }

// Amount reads a number of a test.
func Amount(text string) decimal.Decimal { return decimal.RequireFromString(text) }

// NullAmount reads a number that may be missing, but is not.
func NullAmount(text string) decimal.NullDecimal { return decimal.NewNullDecimal(Amount(text)) }

// InParallel runs n workers and waits for them.
func InParallel(n int, work func(worker int)) {
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { work(i) })
	}
	group.Wait()
}

// Connect opens a plain connection to a database for its superuser, closed by the test's end.
func Connect(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), pgtest.Superuser(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// Execute runs one statement.
func Execute(t testing.TB, conn *pgx.Conn, statement string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// OpenAccount opens an account with a balance.
func OpenAccount(t testing.TB, l *postgres.Ledger, p ledger.AccountParams) ledger.Account {
	t.Helper()
	a, _, err := l.CreateAccount(context.Background(), p)
	if err != nil {
		t.Fatalf("create an account: %v", err)
	}
	return a
}

// OpenAccounts opens n accounts with a balance each.
func OpenAccounts(t testing.TB, l *postgres.Ledger, n int, balance int64) []uuid.UUID {
	t.Helper()
	ids := make([]uuid.UUID, n)
	errs := make([]error, n)
	InParallel(min(n, 256), func(worker int) {
		for i := worker; i < n; i += min(n, 256) {
			var a ledger.Account
			a, _, errs[i] = l.CreateAccount(context.Background(), ledger.AccountParams{
				InitialBalance: decimal.NewFromInt(balance),
			})
			ids[i] = a.ID
		}
	})
	for _, err := range errs {
		if err != nil {
			t.Fatalf("open an account: %v", err)
		}
	}
	return ids
}

// Pay moves money and fails the test on any error.
func Pay(t testing.TB, l *postgres.Ledger, p ledger.TransferParams) ledger.Transfer {
	t.Helper()
	transfer, _, err := l.Transfer(context.Background(), p)
	if err != nil {
		t.Fatalf("transfer: %v", err)
	}
	return transfer
}

// NewHold reserves an amount.
func NewHold(t *testing.T, l *postgres.Ledger, from, to uuid.UUID, n int64, o ledger.TransferOptions) ledger.Transfer {
	t.Helper()
	o.Hold = true
	h, _, err := l.Transfer(context.Background(), ledger.TransferParams{From: from, To: to, Amount: decimal.NewFromInt(n), Options: &o})
	if err != nil || h.Status != ledger.TransferInit {
		t.Fatalf("hold %d: %s %s, %v", n, h.Status, h.Reason, err)
	}
	return h
}

// AllEvents reads all events, page by page.
func AllEvents(t *testing.T, l *postgres.Ledger, limit int) (all []*events.Event) {
	t.Helper()
	for after, more := int64(0), true; more; {
		var page []*events.Event
		var err error
		if page, after, more, err = l.Events.Read(context.Background(), after, limit); err != nil {
			t.Fatalf("read events: %v", err)
		}
		if len(page) > limit {
			t.Fatalf("a page of %d has %d events", limit, len(page))
		}
		all = append(all, page...)
	}
	return all
}
