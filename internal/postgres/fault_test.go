package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// requireBalance fails the test when an account has another balance.
func requireBalance(t testing.TB, l *postgres.Ledger, id uuid.UUID, want int64) {
	t.Helper()
	a, err := l.GetAccount(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	if !a.Balance.Equal(decimal.NewFromInt(want)) {
		t.Errorf("account %s has balance %s, want %d", id, a.Balance, want)
	}
}

// requireOutcome fails the test when an outcome is not a transfer of this kind.
func requireOutcome(t testing.TB, what string, o ledger.Outcome, reason ledger.ErrorReason, replayed bool) {
	t.Helper()
	status := ledger.TransferSuccess
	if reason != "" {
		status = ledger.TransferFailed
	}
	if o.Err != nil || o.Transfer.Status != status || o.Transfer.Reason != reason || o.Replayed != replayed {
		t.Errorf("%s: %s %s, replayed %v, error %v; want %s %s, replayed %v", what, o.Transfer.Status, o.Transfer.Reason,
			o.Replayed, o.Err, status, reason, replayed)
	}
}

// Every point of a batch at which its connection can be lost, on the way of a batch that succeeds
// at once and on that of one that is decided in order.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	points := []struct {
		name  string
		fault fault
	}{
		{"before BEGIN", fault{at: "BEGIN", do: cutBefore}},
		{"BEGIN arrived, UPDATE did not", fault{at: "AccountsApply", do: cutBefore}},
		{"after the UPDATE", fault{at: "AccountsApply", do: cutAnswer}},
		{"before the second try", fault{at: "ROLLBACK AND CHAIN", do: cutBefore}},
		{"after the locks", fault{at: "AccountsLock", do: cutAnswer}},
		{"after the look for earlier transfers", fault{at: "TransfersGet", do: cutAnswer}},
		{"before the INSERT", fault{at: "TransfersInsert", do: cutBefore}},
		{"INSERT arrived, COMMIT did not", fault{at: "COMMIT", do: cutBefore}},
		{"COMMIT arrived, its answer is lost", fault{at: "COMMIT", do: cutAnswer}},
	}
	for _, p := range points {
		for _, kind := range []string{"moves", "refused", "repeated"} {
			switch p.fault.at {
			case "AccountsApply":
				if kind == "repeated" {
					continue
				}
			case "ROLLBACK AND CHAIN":
				if kind != "refused" {
					continue
				}
			case "AccountsLock", "TransfersGet":
				if kind == "moves" {
					continue
				}
			}
			t.Run(p.name+", "+kind, func(t *testing.T) {
				t.Parallel()
				testConnectionLost(t, p.fault, kind)
			})
		}
	}
}

func testConnectionLost(t *testing.T, f fault, kind string) {
	ctx := t.Context()
	proxy := newProxy(t, pgtest.NewDatabase(t))
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: proxy.url, Logger: ledgertest.Silent})
	ids := ledgertest.OpenAccounts(t, l, 2, 100)
	ten := decimal.NewFromInt(10)
	batch := []ledger.TransferParams{
		{ID: uuid.New(), From: ids[0], To: ids[1], Amount: ten},
		{From: ids[0], To: ids[1], Amount: ten}, // its id is made
	}
	if kind != "moves" {
		batch = append(batch, ledger.TransferParams{ID: uuid.New(), From: ids[0], To: ids[1], Amount: decimal.NewFromInt(1000)})
	}
	if kind == "repeated" {
		batch = append(batch, batch[2], batch[0], batch[0])
		batch[5].Reference = "another"
	}
	proxy.expect(f)
	outcomes, err := l.TransferBatch(ctx, batch, ledger.BatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	requireOutcome(t, "the first", outcomes[0], "", false)
	requireOutcome(t, "the second", outcomes[1], "", false)
	for i, want := range []string{"90", "80"} {
		if got := outcomes[i].Transfer.FromBalance.Decimal.String(); got != want {
			t.Errorf("transfer %d left %s, want %s", i, got, want)
		}
	}
	if kind != "moves" {
		requireOutcome(t, "the refused", outcomes[2], ledger.InsufficientFunds, false)
	}
	if kind == "repeated" {
		requireOutcome(t, "the refused, again", outcomes[3], ledger.InsufficientFunds, true)
		requireOutcome(t, "the first, again", outcomes[4], "", true)
		if outcomes[5].Err == nil {
			t.Errorf("the id with other fields: %+v, want a conflict", outcomes[5])
		}
	}
	requireBalance(t, l, ids[0], 80)
	requireBalance(t, l, ids[1], 120)
	for i := range outcomes {
		o := &outcomes[i]
		if o.Err != nil {
			continue
		}
		stored, err := l.GetTransfer(ctx, o.Transfer.ID)
		if err != nil {
			t.Fatal(err)
		}
		if !stored.CreateTime.Equal(o.Transfer.CreateTime) {
			t.Errorf("transfer %d was returned with time %s and stored with %s", i, o.Transfer.CreateTime, stored.CreateTime)
		}
	}
}

// A COMMIT that is still on its way when its batch is tried again moves the money once, and its
// caller is first.
func TestCommitArrivesDuringRetry(t *testing.T) {
	t.Parallel()
	for _, missing := range []bool{false, true} {
		t.Run(fmt.Sprintf("missing=%v", missing), func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			database := pgtest.NewDatabase(t)
			proxy := newProxy(t, database)
			l := ledgertest.Open(t, postgres.Config{DatabaseURL: proxy.url, Logger: ledgertest.Silent})
			ids := ledgertest.OpenAccounts(t, l, 2, 100)
			watcher := ledgertest.Connect(t, database)
			p := ledger.TransferParams{ID: uuid.New(), From: ids[0], To: ids[1], Amount: decimal.NewFromInt(10)}
			reason := ledger.ErrorReason("")
			late := fault{at: "TransfersInsert", do: cutBeforeAnswer}
			late.then = func() { awaitLockWait(ctx, t, watcher) } // the retry waits for locks
			if missing {
				// No row is locked: the retry may be over before the first one arrives, or the
				// other way round.
				p.From, reason = uuid.New(), ledger.FromAccountNotFound
				late.then = func() {}
			}
			proxy.expect(late)
			transfer, replayed, err := l.Transfer(ctx, p)
			requireOutcome(t, "the transfer", ledger.Outcome{Transfer: transfer, Replayed: replayed, Err: err}, reason, false)
			transfer, replayed, err = l.Transfer(ctx, p)
			requireOutcome(t, "again", ledger.Outcome{Transfer: transfer, Replayed: replayed, Err: err}, reason, true)
			if !missing {
				requireBalance(t, l, ids[0], 90)
			}
		})
	}
}

// awaitLockWait returns when a session of the database waits for a lock.
func awaitLockWait(ctx context.Context, t testing.TB, conn *pgx.Conn) {
	for waiting := false; !waiting; {
		err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waiting)
		if err != nil {
			t.Error(err)
			return
		}
	}
}

// The caller that wrote the row is first: an attempt that was lost does not count when another
// instance then was faster.
func TestLostAttemptIsNotFirst(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	database := pgtest.NewDatabase(t)
	proxy := newProxy(t, database)
	slow := ledgertest.Open(t, postgres.Config{DatabaseURL: proxy.url, Logger: ledgertest.Silent})
	fast := ledgertest.Open(t, postgres.Config{DatabaseURL: database, Logger: ledgertest.Silent})
	ids := ledgertest.OpenAccounts(t, fast, 2, 100)
	for i, next := range []string{"TransfersGet", "BEGIN"} { // before and after it looks
		p := ledger.TransferParams{ID: uuid.New(), From: ids[0], To: ids[1], Amount: decimal.NewFromInt(10)}
		proxy.expect(fault{at: "COMMIT", do: cutBefore}, fault{at: next, do: look, then: func() {
			transfer, replayed, err := fast.Transfer(ctx, p)
			requireOutcome(t, "the faster", ledger.Outcome{Transfer: transfer, Replayed: replayed, Err: err}, "", false)
		}})
		transfer, replayed, err := slow.Transfer(ctx, p)
		requireOutcome(t, "the slower", ledger.Outcome{Transfer: transfer, Replayed: replayed, Err: err}, "", true)
		requireBalance(t, fast, ids[0], 90-10*int64(i))
	}
	for _, next := range []string{"AccountsGet", "BEGIN"} {
		account := ledger.AccountParams{ID: uuid.New(), InitialBalance: decimal.NewFromInt(5)}
		proxy.expect(fault{at: "COMMIT", do: cutBefore}, fault{at: next, do: look, then: func() {
			if _, replayed, err := fast.CreateAccount(ctx, account); replayed || err != nil {
				t.Errorf("the faster opening: replayed %v, %v", replayed, err)
			}
		}})
		if _, replayed, err := slow.CreateAccount(ctx, account); !replayed || err != nil {
			t.Errorf("the slower opening: replayed %v, %v", replayed, err)
		}
	}
}

// Opening accounts survives a lost connection at each point, with and without an opening balance.
func TestConnectionLostWhileOpening(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{
		{at: "BEGIN", do: cutBefore}, {at: "AccountsInsert", do: cutBefore}, {at: "AccountsInsert", do: cutAnswer},
		{at: "AccountsApply", do: cutAnswer}, {at: "TransfersInsert", do: cutBefore},
		{at: "COMMIT", do: cutBefore}, {at: "COMMIT", do: cutAnswer},
	} {
		for _, balance := range []int64{0, 70} {
			if balance == 0 && (f.at == "AccountsApply" || f.at == "TransfersInsert") {
				continue
			}
			t.Run(fmt.Sprintf("%s %d with %d", f.at, f.do, balance), func(t *testing.T) {
				t.Parallel()
				proxy := newProxy(t, pgtest.NewDatabase(t))
				l := ledgertest.Open(t, postgres.Config{DatabaseURL: proxy.url, BatchesInFlight: 1, Logger: ledgertest.Silent})
				params := ledger.AccountParams{ID: uuid.New(), InitialBalance: decimal.NewFromInt(balance)}
				proxy.expect(f)
				a, replayed, err := l.CreateAccount(t.Context(), params)
				if err != nil || replayed || !a.Balance.Equal(params.InitialBalance) {
					t.Errorf("opened with %s, replayed %v, %v", a.Balance, replayed, err)
				}
				if _, replayed, err := l.CreateAccount(t.Context(), params); err != nil || !replayed {
					t.Errorf("again: replayed %v, %v", replayed, err)
				}
				requireBalance(t, l, a.ID, balance)
			})
		}
	}
}

// Two callers open the same account in one batch, whose COMMIT gets no response: one of them is
// first.
func TestConnectionLostWhileOpeningTwice(t *testing.T) {
	t.Parallel()
	proxy := newProxy(t, pgtest.NewDatabase(t))
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: proxy.url, BatchesInFlight: 1, Logger: ledgertest.Silent})
	p := ledger.AccountParams{ID: uuid.New(), InitialBalance: decimal.NewFromInt(5)}
	other := p
	other.DisplayName = "another"
	var group sync.WaitGroup
	var first, replayed, conflicts atomic.Int64
	open := func(p ledger.AccountParams) {
		_, again, err := l.CreateAccount(t.Context(), p)
		conflict := (*ledger.ConflictError)(nil)
		switch {
		case errors.As(err, &conflict):
			conflicts.Add(1)
		case err != nil:
			t.Error(err)
		case again:
			replayed.Add(1)
		default:
			first.Add(1)
		}
	}
	proxy.expect(
		fault{at: "BEGIN", do: look, then: func() {
			// A batch is in flight: what comes now goes together.
			for _, p := range []ledger.AccountParams{p, p, other} {
				group.Go(func() { open(p) })
			}
			for l.Waiting() < 3 {
				runtime.Gosched()
			}
		}},
		fault{at: "COMMIT", do: look, then: func() {}},
		fault{at: "COMMIT", do: cutAnswer},
	)
	group.Go(func() {
		if _, _, err := l.CreateAccount(t.Context(), ledger.AccountParams{}); err != nil {
			t.Error(err)
		}
	})
	group.Wait()
	if first.Load() != 1 || conflicts.Load() == 0 || first.Load()+replayed.Load()+conflicts.Load() != 3 {
		t.Errorf("%d first, %d replayed, %d conflicts", first.Load(), replayed.Load(), conflicts.Load())
	}
}
