package postgres_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// The races of a transfer's life, each between two servers on one database: one wins, the others
// get its outcome.

// twoServers opens two ledgers on one database of their own.
func twoServers(t *testing.T) (url string, servers [2]*postgres.Ledger) {
	t.Helper()
	url = pgtest.NewDatabase(t)
	for i := range servers {
		servers[i] = ledgertest.Open(t, postgres.Config{DatabaseURL: url, BatchMax: 16})
	}
	return url, servers
}

// balanceOf reads an account's balance and what is available of it.
func balanceOf(t *testing.T, l *postgres.Ledger, id uuid.UUID) (balance, available int64) {
	t.Helper()
	a, err := l.GetAccount(context.Background(), id)
	if err != nil {
		t.Fatalf("read an account: %v", err)
	}
	return a.Balance.IntPart(), a.Available().IntPart()
}

// Post against void: of each hold the money moved or it is free, never both, and the loser gets the
// winner's outcome.
func TestRacePostAgainstVoid(t *testing.T) {
	t.Parallel()
	_, servers := twoServers(t)
	ids := ledgertest.OpenAccounts(t, servers[0], 2, 1000)
	const holds = 60
	posted := 0
	for range holds {
		h := ledgertest.NewHold(t, servers[0], ids[0], ids[1], 5, ledger.TransferOptions{})
		var capture ledger.Transfer
		var postErr, voidErr error
		ledgertest.InParallel(2, func(worker int) {
			if worker == 0 {
				capture, _, _, postErr = servers[0].Post(context.Background(), ledger.PostParams{HoldID: h.ID, ID: uuid.New()})
			} else {
				_, _, voidErr = servers[1].Void(context.Background(), h.ID, false)
			}
		})
		if postErr != nil {
			t.Fatalf("post: %v", postErr)
		}
		var refused *ledger.RefusedError
		switch {
		case capture.Status == ledger.TransferSuccess && errors.As(voidErr, &refused) && refused.Reason == ledger.AlreadyPosted:
			posted++
		case capture.Reason == ledger.AlreadyVoided && voidErr == nil:
		default:
			t.Errorf("the capture is %s %s, the void returned %v", capture.Status, capture.Reason, voidErr)
		}
	}
	if balance, available := balanceOf(t, servers[1], ids[1]); balance != 1000+5*int64(posted) || available != balance {
		t.Errorf("%d of %d holds were posted, the payee has %d, available %d", posted, holds, balance, available)
	}
}

// Post against expiry: the clock passes the holds' time while they are posted and swept up. Each
// ends one way.
func TestRacePostAgainstExpiry(t *testing.T) {
	t.Parallel()
	url, servers := twoServers(t)
	clock := ledgertest.StopClock(t, url)
	ids := ledgertest.OpenAccounts(t, servers[0], 2, 1000)
	const holds = 100
	all := make([]ledger.Transfer, holds)
	for i := range all {
		all[i] = ledgertest.NewHold(t, servers[0], ids[0], ids[1], 5, ledger.TransferOptions{HoldTTL: time.Second})
	}
	var posted, expired atomic.Int64
	var answered atomic.Int64
	ledgertest.InParallel(9, func(worker int) {
		if worker == 8 {
			for answered.Load() < holds/3 {
				// Until a third of the holds were posted, Settle finds nothing due.
				_ = servers[1].Settle(context.Background(), all[0].ID)
			}
			clock.Step(time.Second)
			return
		}
		for i := worker; i < holds; i += 8 {
			if worker%2 == 1 && answered.Load() > holds/2 {
				_ = servers[1].Settle(context.Background(), all[i].ID)
			}
			capture, _, _, err := servers[worker%2].Post(context.Background(), ledger.PostParams{HoldID: all[i].ID, ID: uuid.New()})
			answered.Add(1)
			switch {
			case err != nil:
				t.Errorf("post: %v", err)
			case capture.Status == ledger.TransferSuccess:
				posted.Add(1)
			case capture.Reason == ledger.HoldExpired:
				expired.Add(1)
			default:
				t.Errorf("post: %s %s", capture.Status, capture.Reason)
			}
		}
	})
	if posted.Load() == 0 || expired.Load() == 0 || posted.Load()+expired.Load() != holds {
		t.Errorf("%d holds were posted and %d expired, of %d", posted.Load(), expired.Load(), holds)
	}
	if balance, available := balanceOf(t, servers[1], ids[0]); balance != 1000-5*posted.Load() || available != balance {
		t.Errorf("%d holds were posted, the payer has %d, available %d", posted.Load(), balance, available)
	}
}

// Two reversals in full: one wins, and the other gets its outcome.
func TestRaceTwoReversals(t *testing.T) {
	t.Parallel()
	_, servers := twoServers(t)
	ids := ledgertest.OpenAccounts(t, servers[0], 2, 1000)
	for range 40 {
		original, _, err := servers[0].Transfer(context.Background(), ledger.TransferParams{From: ids[0], To: ids[1], Amount: decimal.NewFromInt(7)})
		if err != nil {
			t.Fatal(err)
		}
		var won, lost atomic.Int64
		ledgertest.InParallel(4, func(worker int) {
			r, _, _, err := servers[worker%2].Reverse(context.Background(), ledger.ReverseParams{TransferID: original.ID, ID: uuid.New()})
			switch {
			case err != nil:
				t.Errorf("reverse: %v", err)
			case r.Status == ledger.TransferSuccess:
				won.Add(1)
			case r.Reason == ledger.AlreadyReversed:
				lost.Add(1)
			default:
				t.Errorf("reverse: %s %s", r.Status, r.Reason)
			}
		})
		if won.Load() != 1 || lost.Load() != 3 {
			t.Fatalf("%d reversals won and %d lost", won.Load(), lost.Load())
		}
	}
	if balance, _ := balanceOf(t, servers[1], ids[0]); balance != 1000 {
		t.Errorf("the payer has %d, want 1000", balance)
	}
}

// Holds against transfers for the last cent: exactly one of them gets it.
func TestRaceForTheLastCent(t *testing.T) {
	t.Parallel()
	_, servers := twoServers(t)
	to := ledgertest.OpenAccounts(t, servers[0], 1, 0)[0]
	for range 30 {
		from := ledgertest.OpenAccounts(t, servers[0], 1, 1)[0]
		var got atomic.Int64
		ledgertest.InParallel(6, func(worker int) {
			p := ledger.TransferParams{From: from, To: to, Amount: decimal.NewFromInt(1)}
			if worker < 3 {
				p.Options = &ledger.TransferOptions{Hold: true}
			}
			transfer, _, err := servers[worker%2].Transfer(context.Background(), p)
			switch {
			case err != nil:
				t.Errorf("transfer: %v", err)
			case transfer.Status != ledger.TransferFailed:
				got.Add(1)
			case transfer.Reason != ledger.InsufficientFunds:
				t.Errorf("refused as %s", transfer.Reason)
			}
		})
		if _, available := balanceOf(t, servers[1], from); got.Load() != 1 || available != 0 {
			t.Fatalf("%d callers got the last cent, %d is available", got.Load(), available)
		}
	}
}

// 6 × 1,000 holds on 5,000: 5,000 are made and 1,000 refused, not one more or less.
func TestRaceSixThousandHoldsOnFiveThousand(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	var servers [2]*postgres.Ledger
	for i := range servers {
		servers[i] = ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	}
	from, to := ledgertest.OpenAccounts(t, servers[0], 1, 5000)[0], ledgertest.OpenAccounts(t, servers[0], 1, 0)[0]
	var made, refused atomic.Int64
	ledgertest.InParallel(6, func(worker int) {
		ps := make([]ledger.TransferParams, 1000)
		for i := range ps {
			ps[i] = ledger.TransferParams{From: from, To: to, Amount: decimal.NewFromInt(1), Options: &ledger.TransferOptions{Hold: true}}
		}
		outcomes, err := servers[worker%2].TransferBatch(context.Background(), ps, ledger.BatchOptions{})
		if err != nil {
			t.Errorf("batch: %v", err)
		}
		for i := range outcomes {
			switch o := &outcomes[i]; {
			case o.Err != nil:
				t.Errorf("hold: %v", o.Err)
			case o.Transfer.Status == ledger.TransferInit:
				made.Add(1)
			case o.Transfer.Reason == ledger.InsufficientFunds:
				refused.Add(1)
			}
		}
	})
	if made.Load() != 5000 || refused.Load() != 1000 {
		t.Errorf("%d holds were made and %d refused", made.Load(), refused.Load())
	}
	if balance, available := balanceOf(t, servers[1], from); balance != 5000 || available != 0 {
		t.Errorf("the payer has %d, available %d", balance, available)
	}
}

// A limit at its edge: 64 callers, a limit of 10 transfers and of 100.00, and exactly 10 or exactly
// 100.00 go through.
func TestRaceLimitAtItsEdge(t *testing.T) {
	t.Parallel()
	_, servers := twoServers(t)
	to := ledgertest.OpenAccounts(t, servers[0], 1, 0)[0]
	for name, limit := range map[string]ledger.Limit{
		"count":  {Window: 24 * time.Hour, MaxCount: new(int64(10))},
		"amount": {Window: 24 * time.Hour, MaxAmount: new(decimal.NewFromInt(100))},
	} {
		from := ledgertest.OpenAccounts(t, servers[0], 1, 100_000)[0]
		if _, err := servers[0].UpdateAccount(context.Background(), ledger.AccountChange{ID: from, Limits: &[]ledger.Limit{limit}}); err != nil {
			t.Fatal(err)
		}
		var paid, refused atomic.Int64
		ledgertest.InParallel(64, func(worker int) {
			p := ledger.TransferParams{From: from, To: to, Amount: decimal.NewFromInt(10)}
			if worker%3 == 0 {
				p.Options = &ledger.TransferOptions{Hold: true}
			}
			transfer, _, err := servers[worker%2].Transfer(context.Background(), p)
			switch {
			case err != nil:
				t.Errorf("%s: %v", name, err)
			case transfer.Status != ledger.TransferFailed:
				paid.Add(1)
			case transfer.Reason == ledger.CountLimitExceeded || transfer.Reason == ledger.AmountLimitExceeded:
				refused.Add(1)
			default:
				t.Errorf("%s: refused as %s", name, transfer.Reason)
			}
		})
		if paid.Load() != 10 || refused.Load() != 54 {
			t.Errorf("%s: %d went through and %d were refused, want 10 and 54", name, paid.Load(), refused.Load())
		}
	}
}
