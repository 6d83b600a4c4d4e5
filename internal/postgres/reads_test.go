package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// TestReadsSeeAnsweredWrites: reads that share a set read never see less than what returned before
// they began.
func TestReadsSeeAnsweredWrites(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	payer, _, err := l.CreateAccount(t.Context(), ledger.AccountParams{InitialBalance: decimal.New(1000, 0)})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			payee, _, err := l.CreateAccount(t.Context(), ledger.AccountParams{})
			if err != nil {
				t.Error(err)
				return
			}
			for n := range int64(10) {
				if err := payAndRead(t.Context(), l, payer.ID, payee.ID, decimal.New(n+1, 0)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// payAndRead pays 1 and reads the payee, whose balance must be want, and the transfer.
func payAndRead(ctx context.Context, l *postgres.Ledger, from, to uuid.UUID, want decimal.Decimal) error {
	made, _, err := l.Transfer(ctx, ledger.TransferParams{From: from, To: to, Amount: decimal.New(1, 0)})
	if err != nil {
		return err
	}
	account, err := l.GetAccount(ctx, to)
	if err != nil {
		return err
	}
	if !account.Balance.Equal(want) {
		return fmt.Errorf("account %s has %s right after it got %s", to, account.Balance, want)
	}
	read, err := l.GetTransfer(ctx, made.ID)
	if err != nil {
		return err
	}
	if !read.ToBalance.Decimal.Equal(want) || read.Status != ledger.TransferSuccess {
		return fmt.Errorf("transfer %s reads as %+v", made.ID, read)
	}
	return nil
}

// TestReadsOutliveTheirSessions: a read whose session was ended is made again on another one, also
// when all idle ones were ended.
func TestReadsOutliveTheirSessions(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	admin := ledgertest.Connect(t, pgtest.Superuser(database))
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, Logger: ledgertest.Silent})
	ids := ledgertest.OpenAccounts(t, l, 2, 100)
	made := ledgertest.Pay(t, l, ledger.TransferParams{From: ids[0], To: ids[1], Amount: ledgertest.Amount("1")})
	var wg sync.WaitGroup
	for range 3 {
		for range 32 { // so that several sessions are idle; one that was ended may fail a list
			wg.Go(func() { _, _, _ = l.ListTransfers(t.Context(), postgres.TransferFilter{}, paging.Page{}) })
		}
		wg.Wait()
		ledgertest.Execute(t, admin, `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
			WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`)
		if _, err := l.GetAccount(t.Context(), ids[0]); err != nil {
			t.Errorf("an account: %v", err)
		}
		if _, err := l.GetTransfer(t.Context(), made.ID); err != nil {
			t.Errorf("a transfer: %v", err)
		}
	}
}

// TestReadsTellTheirMisses: in one set read, exactly the callers of rows that do not exist get an
// error.
func TestReadsTellTheirMisses(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	account, _, err := l.CreateAccount(t.Context(), ledger.AccountParams{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			var missing *ledger.NotFoundError
			id := account.ID
			if i%2 == 0 {
				id = uuid.New()
			}
			got, err := l.GetAccount(t.Context(), id)
			if i%2 == 0 && (!errors.As(err, &missing) || missing.ID != id) {
				t.Errorf("a missing account: %v %v", got, err)
			}
			if i%2 == 1 && (err != nil || got.ID != id) {
				t.Errorf("an account: %v %v", got, err)
			}
		})
	}
	wg.Wait()
	given, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.GetAccount(given, account.ID); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who gave up: %v", err)
	}
}
