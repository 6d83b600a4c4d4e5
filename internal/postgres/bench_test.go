package postgres_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// BenchmarkTransfer makes transfers one by one, from many callers, each returning after its commit.
// Compare the cases of one run with each other: hot should not be slower than uniform.
func BenchmarkTransfer(b *testing.B) {
	l := benchLedger(b)
	accounts := benchAccounts(b, l, 10_000)
	for _, callers := range []int{1, 64} {
		for name, pair := range pairings {
			b.Run(fmt.Sprintf("%s/callers=%d", name, callers), func(b *testing.B) {
				var next atomic.Int64
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						for next.Add(1) <= int64(b.N) {
							from, to := pair(accounts)
							benchTransfer(b, l, from, to)
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "transfers/s")
			})
		}
	}
}

// BenchmarkTransferBatch makes 1,000 transfers a call.
func BenchmarkTransferBatch(b *testing.B) {
	l := benchLedger(b)
	accounts := benchAccounts(b, l, 10_000)
	const size = 1000
	for name, pair := range pairings {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				batch := make([]ledger.TransferParams, size)
				for i := range batch {
					from, to := pair(accounts)
					batch[i] = ledger.TransferParams{ID: uuid.Must(uuid.NewV7()), From: from, To: to, Amount: decimal.New(1, -2)}
				}
				if _, err := l.TransferBatch(b.Context(), batch, ledger.BatchOptions{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(size*float64(b.N)/b.Elapsed().Seconds(), "transfers/s")
		})
	}
}

// BenchmarkApplyBatch applies batches one after another on one connection: the database's part and
// ours, without the queue.
func BenchmarkApplyBatch(b *testing.B) {
	l := benchLedger(b)
	accounts := benchAccounts(b, l, 10_000)
	conn, err := l.Writers().Acquire(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Release()
	for name, pair := range pairings {
		for _, size := range []int{1, 16, 64, 1000} {
			b.Run(fmt.Sprintf("%s/size=%d", name, size), func(b *testing.B) {
				params := make([]ledger.TransferParams, size)
				for b.Loop() {
					for i := range params {
						from, to := pair(accounts)
						params[i] = ledger.TransferParams{ID: uuid.Must(uuid.NewV7()), From: from, To: to, Amount: decimal.New(1, -2)}
					}
					commands, err := postgres.NewCommands(params)
					if err != nil {
						b.Fatal(err)
					}
					outcomes, err := l.ApplyBatch(b.Context(), conn.Conn(), commands)
					if err != nil || outcomes[size-1].Transfer.Status != ledger.TransferSuccess {
						b.Fatalf("apply a batch: %+v, %v", outcomes, err)
					}
				}
				b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "transfers/s")
			})
		}
	}
}

// pairings choose payer and payee.
var pairings = map[string]func([]uuid.UUID) (from, to uuid.UUID){
	"uniform": func(a []uuid.UUID) (uuid.UUID, uuid.UUID) {
		i := rand.IntN(len(a))
		return a[i], a[(i+1+rand.IntN(len(a)-1))%len(a)]
	},
	"hot": func(a []uuid.UUID) (uuid.UUID, uuid.UUID) { return a[0], a[1+rand.IntN(len(a)-1)] },
}

func benchLedger(b *testing.B) *postgres.Ledger {
	b.Helper()
	l, err := postgres.Open(b.Context(), postgres.Config{
		DatabaseURL: pgtest.NewDatabase(b), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ledgertest.RequireSound(b, l)
		if err := l.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return l
}

// benchAccounts opens n accounts that never run dry.
func benchAccounts(b *testing.B, l *postgres.Ledger, n int) []uuid.UUID {
	b.Helper()
	ids := make([]uuid.UUID, n)
	var wg sync.WaitGroup
	for i := range ids {
		ids[i] = uuid.Must(uuid.NewV7())
		wg.Go(func() {
			_, _, err := l.CreateAccount(b.Context(), ledger.AccountParams{ID: ids[i], InitialBalance: decimal.New(1, 9)})
			if err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	return ids
}

func benchTransfer(b *testing.B, l *postgres.Ledger, from, to uuid.UUID) {
	t, _, err := l.Transfer(b.Context(), ledger.TransferParams{
		ID: uuid.Must(uuid.NewV7()), From: from, To: to, Amount: decimal.New(1, -2),
	})
	if err != nil || t.Status != ledger.TransferSuccess {
		b.Errorf("transfer: %v %v", t, err)
	}
}
