package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/events"
	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/localpg"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// stall is how long batches of ledgers that meet a stalled standby may take, so that a test meets
// it soon.
const stall = time.Second

// A pair is a server whose commits wait for a standby.
type pair struct {
	t       testing.TB
	primary *localpg.Server
	standby *pgtest.Standby
	ledger  *postgres.Ledger // that waits for long
	ids     []uuid.UUID      // of accounts with 1,000 each
}

func newPair(t testing.TB) *pair {
	t.Helper()
	p := &pair{t: t, primary: pgtest.NewServer(t)}
	p.standby = pgtest.NewStandby(t, p.primary)
	pgtest.Synchronous(t, p.primary)
	p.ledger = ledgertest.OpenPrivate(t, p.primary.URL(), postgres.Config{Logger: ledgertest.Silent})
	p.ids = ledgertest.OpenAccounts(t, p.ledger, 8, 1000)
	return p
}

// hasty opens another ledger, whose batches are given up soon.
func (p *pair) hasty() *postgres.Ledger {
	p.t.Helper()
	l := ledgertest.OpenPrivate(p.t, p.primary.URL(), postgres.Config{Logger: ledgertest.Silent, BatchTimeout: stall})
	if _, err := l.GetAccount(context.Background(), p.ids[0]); err != nil {
		p.t.Fatal(err)
	}
	return l
}

// failOver kills the primary, and opens a ledger on the standby in its place. The test's end proves
// it.
func (p *pair) failOver() *postgres.Ledger {
	p.t.Helper()
	if err := p.primary.Kill(); err != nil {
		p.t.Fatal(err)
	}
	p.standby.Promote(p.t)
	l := ledgertest.OpenPrivate(p.t, p.standby.URL(), postgres.Config{Logger: ledgertest.Silent})
	p.t.Cleanup(func() {
		ledgertest.RequireSound(p.t, l)
		ledgertest.RequireRetold(p.t, l)
	})
	return l
}

// transfer makes a transfer between two accounts of the pair.
func (p *pair) transfer(from, to int) ledger.TransferParams {
	return ledger.TransferParams{ID: uuid.New(), From: p.ids[from], To: p.ids[to], Amount: decimal.NewFromInt(10)}
}

// awaitStandbyWait returns when a session waits for the standby, and its process.
func awaitStandbyWait(t testing.TB, conn *pgx.Conn) (pid int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		err := conn.QueryRow(t.Context(), "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' LIMIT 1").Scan(&pid)
		if err == nil {
			return pid
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			t.Fatal(err)
		}
	}
	t.Fatal("nobody waits for the standby")
	return 0
}

// requireUnsure fails the test unless a call gets ErrUnavailable.
func requireUnsure(t testing.TB, what string, err error) {
	t.Helper()
	if !errors.Is(err, ledger.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s hears %v, want ErrUnavailable", what, err)
	}
}

// requireAvailable returns when the call no longer gets ErrUnavailable, which must be soon.
func requireAvailable(t testing.TB, call func() error) {
	t.Helper()
	err := call()
	for deadline := time.Now().Add(time.Minute); errors.Is(err, ledger.ErrUnavailable) && time.Now().Before(deadline); {
		err = call()
	}
	if err != nil {
		t.Errorf("when all is well again, a call hears %v", err)
	}
}

// requireUnseen fails the test when a ledger shows a transfer, in whatever way.
func requireUnseen(t testing.TB, l *postgres.Ledger, p ledger.TransferParams) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stall)
	defer cancel()
	if got, err := l.GetTransfer(ctx, p.ID); err == nil {
		t.Errorf("what no standby has is read: %+v", got)
	}
	if a, err := l.GetAccount(ctx, p.From); err == nil && !a.Balance.Equal(decimal.NewFromInt(1000)) {
		t.Errorf("what no standby has is in a balance: %s", a.Balance)
	}
	if list, _, err := l.ListTransfers(ctx, postgres.TransferFilter{AccountID: p.To}, paging.Page{}); err == nil && len(list) != 1 {
		t.Errorf("what no standby has is listed: %+v", list)
	}
	err := l.Events.Follow(ctx, 0, nil, func(events []*events.Event, _ int64) error {
		for _, e := range events {
			if e.Transfer != nil && e.Transfer.ID == p.ID {
				t.Errorf("what no standby has is an event: %+v", e)
			}
		}
		return nil
	})
	if err == nil {
		t.Error("following ended by itself")
	}
}

// A batch that waits for a standby in vain is given up, not cancelled: no session sees what it did,
// and the same call again is no success, until the standby has it.
func TestGivenUpCommitIsNotSeen(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := newPair(t)
	l := p.hasty()
	p.standby.Freeze()
	params := p.transfer(0, 1)
	for i := range 2 {
		_, _, err := l.Transfer(ctx, params)
		requireUnsure(t, fmt.Sprintf("call %d", i+1), err)
		requireUnseen(t, l, params)
		requireUnseen(t, p.ledger, params)
	}
	promoted := p.failOver()
	if _, err := promoted.GetTransfer(ctx, params.ID); !isNotFound(err) {
		t.Errorf("after the failover the transfer is answered with %v", err)
	}
	transfer, replayed, err := promoted.Transfer(ctx, params)
	requireOutcome(t, "after the failover", ledger.Outcome{Transfer: transfer, Replayed: replayed, Err: err}, "", false)
}

func isNotFound(err error) bool {
	_, ok := errors.AsType[*ledger.NotFoundError](err)
	return ok
}

// When the standby comes back, what was given up is done, once, and outlives a failover.
func TestGivenUpCommitIsDoneLater(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := newPair(t)
	l := p.hasty()
	p.standby.Freeze()
	params := p.transfer(0, 1)
	_, _, err := l.Transfer(ctx, params)
	requireUnsure(t, "the caller", err)
	p.standby.Thaw()
	transfer, replayed, err := p.ledger.Transfer(ctx, params)
	requireOutcome(t, "again", ledger.Outcome{Transfer: transfer, Replayed: replayed, Err: err}, "", true)
	requireAvailable(t, func() error {
		transfer, err = l.GetTransfer(ctx, params.ID)
		return err
	})
	promoted := p.failOver()
	stored, err := promoted.GetTransfer(ctx, params.ID)
	if err != nil || !stored.CreateTime.Equal(transfer.CreateTime) {
		t.Errorf("after the failover the transfer is %+v, %v", stored, err)
	}
	requireBalance(t, promoted, p.ids[0], 990)
}

// Ending the wait for a standby from outside commits the transaction where no other server has it.
// That is no success for its caller, nor for a repeated call at another server, and no reader here
// sees it before a standby has it.
func TestWaitCancelledByOthers(t *testing.T) {
	t.Parallel()
	for _, function := range []string{"pg_cancel_backend", "pg_terminate_backend", "restart"} {
		t.Run(function, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			p := newPair(t)
			l := p.hasty()
			p.standby.Freeze()
			params := p.transfer(0, 1)
			answered := make(chan error, 1)
			go func() {
				_, _, err := l.Transfer(ctx, params)
				answered <- err
			}()
			admin := ledgertest.Connect(t, p.primary.URL())
			pid := awaitStandbyWait(t, admin)
			if function == "restart" {
				if err := p.primary.Kill(); err != nil {
					t.Fatal(err)
				}
				p.primary = pgtest.Restart(t, p.primary)
			} else {
				ledgertest.Execute(t, admin, "SELECT "+function+"($1)", pid)
			}
			requireUnsure(t, "the caller", <-answered)
			var there bool
			err := ledgertest.Connect(t, p.primary.URL()).QueryRow(ctx, "SELECT EXISTS (SELECT FROM transfer WHERE transfer_id = $1)",
				params.ID).Scan(&there)
			if err != nil || !there {
				t.Fatalf("the test is in vain: the transfer is there: %t, %v", there, err)
			}
			requireUnseen(t, l, params)
			for what, l := range map[string]*postgres.Ledger{"the same server": l, "another server": p.hastyElsewhere()} {
				_, _, err := l.Transfer(ctx, params)
				requireUnsure(t, "the call again, at "+what, err)
			}
			p.standby.Thaw()
			requireAvailable(t, func() error {
				_, err := l.GetTransfer(ctx, params.ID)
				return err
			})
			transfer, replayed, err := p.ledger.Transfer(ctx, params)
			requireOutcome(t, "again", ledger.Outcome{Transfer: transfer, Replayed: replayed, Err: err}, "", true)
			promoted := p.failOver()
			requireBalance(t, promoted, p.ids[1], 1010)
		})
	}
}

// hastyElsewhere opens another ledger while the standby is stalled.
func (p *pair) hastyElsewhere() *postgres.Ledger {
	return ledgertest.OpenPrivate(p.t, p.primary.URL(), postgres.Config{Logger: ledgertest.Silent, BatchTimeout: stall})
}

// awaitMore returns when a count has grown by so much.
func awaitMore(count *atomic.Int64, more int64) {
	for goal := count.Load() + more; count.Load() < goal; {
		runtime.Gosched()
	}
}

// A load of callers, while the standby stalls and goes on, until the primary dies: no transfer that
// was acknowledged is lost, none is done twice.
func TestFailoverLosesNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := newPair(t)
	ledgers := []*postgres.Ledger{p.hasty(), p.hasty()}
	const callers, stalls = 16, 3
	var acknowledged, unsure atomic.Int64
	over := make(chan struct{})
	known := make([][]ledger.Outcome, callers)
	var group sync.WaitGroup
	end := sync.OnceFunc(func() {
		close(over)
		group.Wait()
	})
	defer end()
	for worker := range callers {
		l := ledgers[worker%2]
		group.Go(func() {
			for i := 0; ; i++ {
				params := p.transfer((worker+i)%8, (worker+i+1+i%7)%8)
				for done := false; !done; {
					select {
					case <-over:
						return
					default:
					}
					transfer, replayed, err := l.Transfer(ctx, params)
					if done = err == nil; done {
						known[worker] = append(known[worker], ledger.Outcome{Transfer: transfer, Replayed: replayed})
						acknowledged.Add(1)
					} else if unsure.Add(1); !errors.Is(err, ledger.ErrUnavailable) {
						t.Errorf("a caller hears %v", err)
						return
					}
				}
			}
		})
	}
	admin := ledgertest.Connect(t, p.primary.URL())
	for i := range stalls {
		awaitMore(&acknowledged, 10*callers)
		p.standby.Freeze()
		pid := awaitStandbyWait(t, admin)
		if i%2 == 1 {
			ledgertest.Execute(t, admin, "SELECT pg_cancel_backend($1)", pid)
		}
		if i < stalls-1 {
			p.standby.Thaw()
		}
	}
	awaitMore(&unsure, 3*callers) // they have called again
	promoted := p.failOver()
	end()
	for _, outcomes := range known {
		for i := range outcomes {
			requireStored(t, promoted, &outcomes[i], map[uuid.UUID]bool{outcomes[i].Transfer.ID: true})
		}
	}
	t.Logf("%d transfers were acknowledged", acknowledged.Load())
}
