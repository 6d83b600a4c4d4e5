package postgres_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// Errors that an attack on the write path found, each mended since.

// A void whose COMMIT is lost is not taken for committed, even when the clock was set back so that
// the hold was made at the same time.
func TestLostVoidIsNotAnswered(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	proxy := newProxy(t, database)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: proxy.url, Logger: ledgertest.Silent})
	clock := ledgertest.StopClock(t, database)
	ids := ledgertest.OpenAccounts(t, l, 2, 100)
	clock.Step(10 * time.Second)
	h := ledgertest.NewHold(t, l, ids[0], ids[1], 10, ledger.TransferOptions{})
	clock.Step(-3 * time.Second)
	proxy.expect(fault{at: "COMMIT", do: cutBefore})
	voided, _, err := l.Void(t.Context(), h.ID, false)
	if err != nil || voided.Reason != ledger.Voided {
		t.Errorf("the void returned %s %s, %v", voided.Status, voided.Reason, err)
	}
	if stored, err := l.GetTransfer(t.Context(), h.ID); err != nil || stored.Status != voided.Status {
		t.Errorf("returned %s, stored %s, %v", voided.Status, stored.Status, err)
	}
}

// Taking an id that follows from a scheduled transfer's cannot keep it from being executed, nor
// stop those that are due with it.
func TestExecutionDoesNotNeedAnID(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url, Logger: ledgertest.Silent})
	clock := ledgertest.StopClock(t, url)
	ids := ledgertest.OpenAccounts(t, l, 2, 100)
	at := clock.Now().Add(time.Second)
	s, _, err := l.Transfer(t.Context(), ledger.TransferParams{
		From: ids[0], To: ids[1], Amount: decimal.NewFromInt(10), Options: &ledger.TransferOptions{ExecuteTime: at},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, purpose := range []string{"execution", "post", "reverse"} {
		if _, _, err := l.Transfer(t.Context(), ledger.TransferParams{
			ID: uuid.NewSHA1(s.ID, []byte(purpose)), From: ids[1], To: ids[0], Amount: decimal.NewFromInt(1),
		}); err != nil {
			t.Fatal(err)
		}
	}
	clock.Step(2 * time.Second)
	if o := l.Settle(t.Context(), s.ID); o.Err != nil || o.Transfer.Status != ledger.TransferSuccess {
		t.Errorf("executed as %s %s, %v", o.Transfer.Status, o.Transfer.Reason, o.Err)
	}
}

// Two servers that refuse the same new hold at the same time, without any account's lock between
// them, agree.
func TestSameRefusedHoldAtTwoServers(t *testing.T) {
	t.Parallel()
	_, servers := twoServers(t)
	for range 30 {
		p := ledger.TransferParams{
			ID: uuid.New(), From: uuid.New(), To: uuid.New(), Amount: decimal.NewFromInt(1),
			Options: &ledger.TransferOptions{Hold: true},
		}
		ledgertest.InParallel(4, func(worker int) {
			h, _, err := servers[worker%2].Transfer(context.Background(), p)
			if err != nil || h.Reason != ledger.FromAccountNotFound {
				t.Errorf("the hold is %s %s, %v", h.Status, h.Reason, err)
			}
		})
	}
}

// A backlog of expired holds longer than one batch may end is worked off before the next decision.
func TestBacklogOfExpiredHolds(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	clock := ledgertest.StopClock(t, url)
	ids := ledgertest.OpenAccounts(t, l, 2, 2500)
	ps := make([]ledger.TransferParams, 2500)
	for i := range ps {
		ps[i] = ledger.TransferParams{From: ids[0], To: ids[1], Amount: decimal.NewFromInt(1), Options: &ledger.TransferOptions{
			Hold: true, HoldTTL: time.Second,
		}}
	}
	if _, err := l.TransferBatch(t.Context(), ps, ledger.BatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if balance, available := balanceOf(t, l, ids[0]); balance != 2500 || available != 0 {
		t.Fatalf("the payer has %d, available %d", balance, available)
	}
	clock.Step(time.Second)
	paid, _, err := l.Transfer(t.Context(), ledger.TransferParams{From: ids[0], To: ids[1], Amount: decimal.NewFromInt(2500)})
	if err != nil || paid.Status != ledger.TransferSuccess {
		t.Errorf("the money of expired holds is not available: %s %s, %v", paid.Status, paid.Reason, err)
	}
}

// Holds that expire all the time, towards one payee from ever other payers, make no call fail.
func TestContinuousExpiry(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	merchant := ledgertest.OpenAccounts(t, l, 1, 1000)[0]
	payers := ledgertest.OpenAccounts(t, l, 300, 10)
	ps := make([]ledger.TransferParams, len(payers))
	for i, payer := range payers {
		ps[i] = ledger.TransferParams{From: payer, To: merchant, Amount: decimal.NewFromInt(1), Options: &ledger.TransferOptions{
			Hold: true, HoldTTL: time.Duration(i+1) * 2 * time.Millisecond,
		}}
	}
	if _, err := l.TransferBatch(t.Context(), ps, ledger.BatchOptions{}); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		// More than it has, so that each is decided in order.
		paid, _, err := l.Transfer(t.Context(), ledger.TransferParams{From: merchant, To: payers[0], Amount: decimal.NewFromInt(5000)})
		if err != nil || paid.Reason != ledger.InsufficientFunds {
			t.Fatalf("the transfer is %s %s, %v", paid.Status, paid.Reason, err)
		}
	}
}

// Transfers that each stood alone are no group, and one group is not another.
func TestGroupOfOthersTransfers(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	ids := ledgertest.OpenAccounts(t, l, 2, 10)
	ps := []ledger.TransferParams{
		{ID: uuid.New(), From: ids[0], To: ids[1], Amount: decimal.NewFromInt(1)},
		{ID: uuid.New(), From: ids[0], To: ids[1], Amount: decimal.NewFromInt(100)},
	}
	if _, err := l.TransferBatch(t.Context(), ps, ledger.BatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if outcomes, err := l.TransferBatch(t.Context(), ps, ledger.BatchOptions{Atomic: true}); errorText(err) != "conflict" {
		t.Errorf("as a group they are %v, %v", outcomes, err)
	}
}

// A group is known by its id: the id is not given to another one, also when many ask at the same
// time, and what repeats a group repeats all of it.
func TestGroupIDIsTakenOnce(t *testing.T) {
	t.Parallel()
	_, servers := twoServers(t)
	ids := ledgertest.OpenAccounts(t, servers[0], 3, 1000)
	for range 5 {
		group := uuid.New()
		var made, taken atomic.Int64
		ledgertest.InParallel(32, func(worker int) {
			ps := []ledger.TransferParams{
				{From: ids[worker%3], To: ids[(worker+1)%3], Amount: decimal.NewFromInt(1)},
				// Every other group is refused.
				{From: ids[worker%3], To: ids[(worker+1)%3], Amount: decimal.NewFromInt(1 + int64(worker%2)*100_000)},
			}
			_, err := servers[worker%2].TransferBatch(context.Background(), ps, ledger.BatchOptions{Atomic: true, GroupID: group})
			switch errorText(err) {
			case "ok":
				made.Add(1)
			case "conflict":
				taken.Add(1)
			default:
				t.Errorf("group: %v", err)
			}
		})
		if made.Load() != 1 || taken.Load() != 31 {
			t.Errorf("the group was decided %d times and taken %d times", made.Load(), taken.Load())
		}
		list, _, err := servers[0].ListTransfers(t.Context(), postgres.TransferFilter{GroupID: group}, paging.Page{})
		if err != nil || len(list) != 2 {
			t.Errorf("the group has %d transfers, %v", len(list), err)
		}
	}
}

func TestGroupIsRepeatedAsAWhole(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	ids := ledgertest.OpenAccounts(t, l, 2, 10)
	ps := make([]ledger.TransferParams, 3)
	for i := range ps {
		ps[i] = ledger.TransferParams{ID: uuid.New(), From: ids[0], To: ids[1], Amount: decimal.NewFromInt(1)}
	}
	group := uuid.New()
	for _, c := range []struct {
		name    string
		ps      []ledger.TransferParams
		group   uuid.UUID
		dryRun  bool
		err     string
		replays bool
	}{
		{"as a trial", ps, group, true, "ok", false},
		{"at first", ps, group, false, "ok", false},
		{"again", ps, group, false, "ok", true},
		{"again, without its id", ps, uuid.Nil, false, "ok", true},
		{"under another id", ps, uuid.New(), false, "conflict", false},
		{"in part", ps[:2], group, false, "conflict", false},
		{"in part, without its id", ps[1:], uuid.Nil, false, "conflict", false},
		{"others under its id", []ledger.TransferParams{{From: ids[0], To: ids[1], Amount: decimal.NewFromInt(1)}}, group, false, "conflict", false},
		{"others under its id, as a trial", []ledger.TransferParams{{From: ids[0], To: ids[1], Amount: decimal.NewFromInt(1)}}, group, true, "conflict", false},
	} {
		outcomes, err := l.TransferBatch(t.Context(), c.ps, ledger.BatchOptions{Atomic: true, GroupID: c.group, DryRun: c.dryRun})
		if errorText(err) != c.err {
			t.Errorf("%s: %v, want %s", c.name, err, c.err)
		}
		for i := range outcomes {
			if outcomes[i].Replayed != c.replays {
				t.Errorf("%s: replayed is %t", c.name, outcomes[i].Replayed)
			}
		}
	}
	if balance, _ := balanceOf(t, l, ids[1]); balance != 13 {
		t.Errorf("the payee has %d, want 13", balance)
	}
}

// A reversal by force does not get the refusal of one without, in the same batch or later.
func TestForcedReversalAfterRefusedOne(t *testing.T) {
	t.Parallel()
	_, servers := twoServers(t)
	ids := ledgertest.OpenAccounts(t, servers[0], 3, 10)
	for range 20 {
		paid, _, err := servers[0].Transfer(t.Context(), ledger.TransferParams{From: ids[0], To: ids[1], Amount: decimal.NewFromInt(1)})
		if err != nil {
			t.Fatal(err)
		}
		b, _ := balanceOf(t, servers[0], ids[1])
		drain, _, err := servers[0].Transfer(t.Context(), ledger.TransferParams{From: ids[1], To: ids[2], Amount: decimal.NewFromInt(b)})
		if err != nil || drain.Status != ledger.TransferSuccess {
			t.Fatalf("%s, %v", drain.Status, err)
		}
		ledgertest.InParallel(6, func(worker int) {
			force := worker%2 == 1
			r, _, _, err := servers[0].Reverse(context.Background(), ledger.ReverseParams{TransferID: paid.ID, Force: force})
			if err != nil || (force && r.Status != ledger.TransferSuccess) {
				t.Errorf("forced %t: %s %s, %v", force, r.Status, r.Reason, err)
			}
		})
		back, _, err := servers[0].Transfer(t.Context(), ledger.TransferParams{From: ids[2], To: ids[1], Amount: decimal.NewFromInt(b)})
		if err != nil || back.Status != ledger.TransferSuccess {
			t.Fatalf("%s, %v", back.Status, err)
		}
	}
}
