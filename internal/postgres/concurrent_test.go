package postgres_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

var soakTime = flag.Duration("ledger.soak", time.Second, "how long each test of concurrency goes on")

// flood makes transfers between two accounts, in both directions, from many callers that come again
// at once, or after the delay of an error. It counts refused calls, and ends with ebb.
func flood(t *testing.T, l *postgres.Ledger, a, b uuid.UUID, callers int) (turnedAway *atomic.Int64, ebb func()) {
	turnedAway = new(atomic.Int64)
	var group sync.WaitGroup
	calm := make(chan struct{})
	for i := range callers {
		p := ledger.TransferParams{From: a, To: b, Amount: one}
		if i%2 == 1 {
			p.From, p.To = b, a
		}
		group.Go(func() {
			for {
				wait, overloaded := time.Duration(0), (*ledger.OverloadedError)(nil)
				if _, _, err := l.Transfer(context.Background(), p); errors.As(err, &overloaded) {
					turnedAway.Add(1)
					wait = overloaded.RetryAfter
				} else if err != nil {
					t.Errorf("a caller of the flood heard: %v", err)
				}
				select {
				case <-calm:
					return
				case <-time.After(wait):
				}
			}
		})
	}
	return turnedAway, func() { close(calm); group.Wait() }
}

// A storm is many callers on a few ledgers that share a database. It keeps its own books of what
// was acknowledged.
type storm struct {
	t        *testing.T
	database string
	ledgers  []*postgres.Ledger
	deadline time.Time
	balance  int64 // that each account was opened with

	calls, replays, refusals atomic.Int64

	mu           sync.Mutex
	acknowledged map[uuid.UUID]ledger.Transfer   // guarded by mu
	opened       map[uuid.UUID]decimal.Decimal   // opening balances; guarded by mu
	recent       [64]ledger.TransferParams       // calls of any caller; guarded by mu
	accounts     []uuid.UUID                     // not changed once the storm goes on
	reasons      map[ledger.ErrorReason]struct{} // that may be given; fixed once the storm goes on
}

// newStorm opens ledgers on one database, with accounts.
func newStorm(t *testing.T, ledgers, accounts int, balance int64) *storm {
	t.Helper()
	s := &storm{
		t: t, database: pgtest.NewDatabase(t), balance: balance,
		acknowledged: make(map[uuid.UUID]ledger.Transfer), opened: make(map[uuid.UUID]decimal.Decimal),
		reasons: map[ledger.ErrorReason]struct{}{"": {}, ledger.InsufficientFunds: {}},
	}
	for range ledgers {
		s.ledgers = append(s.ledgers, ledgertest.OpenPrivate(t, s.database, postgres.Config{Logger: ledgertest.Silent}))
	}
	s.accounts = ledgertest.OpenAccounts(t, s.ledgers[0], accounts, balance)
	for _, id := range s.accounts {
		s.opened[id] = decimal.NewFromInt(balance)
	}
	s.deadline = time.Now().Add(*soakTime)
	return s
}

func (s *storm) any(r *rand.Rand) *postgres.Ledger { return s.ledgers[r.IntN(len(s.ledgers))] }

// check fails the test unless an acknowledged outcome agrees with all that was acknowledged before
// under the id, and reports whether it is the first.
func (s *storm) check(o ledger.Outcome) {
	s.calls.Add(1)
	if o.Err != nil {
		s.t.Errorf("a caller heard %v", o.Err)
		return
	}
	if _, ok := s.reasons[o.Transfer.Reason]; !ok {
		s.t.Errorf("a transfer was refused: %s", o.Transfer.Reason)
	}
	if o.Replayed {
		s.replays.Add(1)
	} else if o.Transfer.Reason != "" {
		s.refusals.Add(1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before, ok := s.acknowledged[o.Transfer.ID]
	if !ok {
		s.acknowledged[o.Transfer.ID] = o.Transfer
	} else if !sameTransfer(&before, &o.Transfer) {
		s.t.Errorf("one caller heard %+v, another %+v", before, o.Transfer)
	}
}

func sameTransfer(a, b *ledger.Transfer) bool {
	return a.ID == b.ID && a.From == b.From && a.To == b.To && a.Amount.Equal(b.Amount) && a.Status == b.Status &&
		a.Reason == b.Reason && a.FromBalance.Decimal.Equal(b.FromBalance.Decimal) &&
		a.ToBalance.Decimal.Equal(b.ToBalance.Decimal) && a.CreateTime.Equal(b.CreateTime)
}

// transfer makes a transfer, and in half of the cases repeats that one or another: later, at the
// same time, or as another caller.
func (s *storm) transfer(r *rand.Rand, from, to uuid.UUID) {
	p := ledger.TransferParams{ID: uuid.New(), From: from, To: to, Amount: decimal.NewFromInt(r.Int64N(s.balance) + 1)}
	first := func(l *postgres.Ledger) ledger.Outcome {
		t, replayed, err := l.Transfer(context.Background(), p)
		o := ledger.Outcome{Transfer: t, Replayed: replayed, Err: err}
		s.check(o)
		return o
	}
	switch r.IntN(6) {
	case 0: // again, after the result
		if a, b := first(s.any(r)), first(s.any(r)); a.Replayed || !b.Replayed {
			s.t.Errorf("a call and its repeat: replayed %v and %v", a.Replayed, b.Replayed)
		}
	case 1: // twice at once
		both := [2]*postgres.Ledger{s.any(r), s.any(r)}
		var outcomes [2]ledger.Outcome
		ledgertest.InParallel(2, func(i int) { outcomes[i] = first(both[i]) })
		if outcomes[0].Replayed == outcomes[1].Replayed {
			s.t.Errorf("two calls at once: both replayed %v", outcomes[0].Replayed)
		}
	case 2: // another caller's recent one
		i := r.IntN(len(s.recent))
		s.mu.Lock()
		other := s.recent[i]
		s.recent[i] = p
		s.mu.Unlock()
		first(s.any(r))
		if p = other; p.ID != uuid.Nil {
			first(s.any(r))
		}
	default:
		if first(s.any(r)).Replayed {
			s.t.Error("a first call was replayed")
		}
	}
}

// blow runs callers until the time is over, then compares the ledger with the storm's own books.
func (s *storm) blow(callers int, act func(r *rand.Rand)) {
	s.t.Helper()
	began := time.Now()
	ledgertest.InParallel(callers, func(worker int) {
		r := rand.New(rand.NewPCG(uint64(worker), uint64(began.UnixNano())))
		for once := true; once || time.Now().Before(s.deadline) && !s.t.Failed(); once = false {
			act(r)
		}
	})
	took := time.Since(began)
	ledgertest.RequireSound(s.t, s.ledgers[0])
	for _, l := range s.ledgers {
		if err := l.Close(context.Background()); err != nil {
			s.t.Error(err)
		}
	}
	s.compare()
	n := len(s.acknowledged)
	s.t.Logf("%d callers, %s: %d calls, %d transfers (%.0f a second), %d refused, %d replayed", callers,
		took.Round(time.Millisecond), s.calls.Load(), n, float64(n)/took.Seconds(), s.refusals.Load(), s.replays.Load())
}

// compare reads all that is stored, on a connection of its own: exactly what was acknowledged, and
// nothing else.
func (s *storm) compare() {
	s.t.Helper()
	ctx := context.Background()
	conn := ledgertest.Connect(s.t, s.database)
	balances := s.opened
	const transfers = `SELECT transfer_id, from_account_id, to_account_id, amount::text, status,
		coalesce(error_reason, ''), coalesce(from_balance::text, ''), coalesce(to_balance::text, ''), create_time
		FROM transfer WHERE from_account_id NOT IN (SELECT equity_account_id FROM currency)`
	var stored int
	var got ledger.Transfer
	var amount, from, to string
	rows, err := conn.Query(ctx, transfers)
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = pgx.ForEachRow(rows, []any{
		&got.ID, &got.From, &got.To, &amount, &got.Status, &got.Reason, &from, &to, &got.CreateTime,
	}, func() error {
		stored++
		got.Amount = ledgertest.Must(decimal.NewFromString(amount))
		got.FromBalance.Decimal = ledgertest.Must(decimal.NewFromString(from))
		got.ToBalance.Decimal = ledgertest.Must(decimal.NewFromString(to))
		want, ok := s.acknowledged[got.ID]
		if !ok || !sameTransfer(&want, &got) {
			return fmt.Errorf("stored is %+v, acknowledged was %+v", got, want)
		}
		if got.Status == ledger.TransferSuccess {
			balances[got.From] = balances[got.From].Sub(got.Amount)
			balances[got.To] = balances[got.To].Add(got.Amount)
		}
		return nil
	})
	if err = errors.Join(err, rows.Err()); err != nil {
		s.t.Error(err)
	}
	if stored != len(s.acknowledged) {
		s.t.Errorf("%d transfers are stored, %d were acknowledged", stored, len(s.acknowledged))
	}
	const ends = `SELECT account_id, balance::text FROM account WHERE NOT is_equity`
	var id uuid.UUID
	var accounts int
	if rows, err = conn.Query(ctx, ends); err != nil {
		s.t.Fatal(err)
	}
	_, err = pgx.ForEachRow(rows, []any{&id, &from}, func() error {
		accounts++
		if want, ok := balances[id]; !ok || !want.Equal(ledgertest.Must(decimal.NewFromString(from))) {
			return fmt.Errorf("account %s has %s, the acknowledged transfers make it %s", id, from, want)
		}
		return nil
	})
	if err = errors.Join(err, rows.Err()); err != nil {
		s.t.Error(err)
	}
	if accounts != len(balances) {
		s.t.Errorf("%d accounts are stored, %d were opened", accounts, len(balances))
	}
	s.requireNoDeadlock(conn)
}

// requireNoDeadlock fails the test when two sessions of the database ever waited for each other.
// The ledgers are closed.
func (s *storm) requireNoDeadlock(conn *pgx.Conn) {
	s.t.Helper()
	ctx := context.Background()
	awaitAlone(ctx, s.t, conn)
	var deadlocks int
	err := conn.QueryRow(ctx, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`).Scan(&deadlocks)
	if err != nil || deadlocks != 0 {
		s.t.Errorf("%d deadlocks, %v", deadlocks, err)
	}
}

func TestStormOnOneAccount(t *testing.T) {
	t.Parallel()
	s := newStorm(t, 1, 65, 1000)
	s.blow(64, func(r *rand.Rand) {
		other := s.accounts[1+r.IntN(64)]
		if r.IntN(2) == 0 {
			s.transfer(r, s.accounts[0], other)
		} else {
			s.transfer(r, other, s.accounts[0])
		}
	})
}

func TestStormOnTwoAccounts(t *testing.T) {
	t.Parallel()
	s := newStorm(t, 1, 2, 100)
	s.blow(64, func(r *rand.Rand) {
		i := r.IntN(2)
		s.transfer(r, s.accounts[i], s.accounts[1-i])
	})
}

func TestStormOnManyAccounts(t *testing.T) {
	t.Parallel()
	s := newStorm(t, 1, 10_000, 100)
	s.blow(64, func(r *rand.Rand) {
		i := r.IntN(len(s.accounts))
		s.transfer(r, s.accounts[i], s.accounts[(i+1+r.IntN(len(s.accounts)-1))%len(s.accounts)])
	})
}

func TestStormOfTenThousandCallers(t *testing.T) {
	t.Parallel()
	s := newStorm(t, 1, 9, 100_000)
	s.blow(10_000, func(r *rand.Rand) {
		if other := s.accounts[1+r.IntN(8)]; r.IntN(2) == 0 {
			s.transfer(r, s.accounts[0], other)
		} else {
			s.transfer(r, other, s.accounts[0])
		}
	})
}

// Two instances on one database: transfers, groups that touch accounts in every order, accounts
// that are frozen, get another floor, or are opened twice.
func TestStormOfTwoInstances(t *testing.T) {
	t.Parallel()
	s := newStorm(t, 2, 12, 1000)
	for _, reason := range []ledger.ErrorReason{ledger.ReasonAccountFrozen, ledger.GroupFailed} {
		s.reasons[reason] = struct{}{}
	}
	s.blow(64, func(r *rand.Rand) {
		order := r.Perm(len(s.accounts))
		switch r.IntN(16) {
		case 0:
			s.update(r, s.accounts[order[0]])
		case 1:
			s.open(r)
		case 2, 3, 4:
			s.group(r, order[:2+r.IntN(5)])
		default:
			s.transfer(r, s.accounts[order[0]], s.accounts[order[1]])
		}
	})
}

// update freezes or unfreezes an account, or changes its floor.
func (s *storm) update(r *rand.Rand, id uuid.UUID) {
	change := ledger.AccountChange{ID: id}
	switch r.IntN(4) {
	case 0:
		change.Status = new(ledger.AccountFrozen)
	case 1:
		change.MinBalance = new(decimal.NewFromInt(r.Int64N(200)))
	default:
		change.Status = new(ledger.AccountOpen)
	}
	_, err := s.any(r).UpdateAccount(context.Background(), change)
	if state := (*ledger.StateError)(nil); err != nil && (!errors.As(err, &state) || change.MinBalance == nil) {
		s.t.Errorf("an update: %v", err)
	}
}

// open opens an account on all ledgers at once, in half of the cases with other fields on each.
func (s *storm) open(r *rand.Rand) {
	id, differ := uuid.New(), r.Int64N(2)
	amount := r.Int64N(3)
	answers := make([]ledger.Account, len(s.ledgers))
	replays := make([]bool, len(s.ledgers))
	errs := make([]error, len(s.ledgers))
	ledgertest.InParallel(len(s.ledgers), func(i int) {
		answers[i], replays[i], errs[i] = s.ledgers[i].CreateAccount(context.Background(), ledger.AccountParams{
			ID: id, InitialBalance: decimal.NewFromInt(amount + differ*int64(i)),
		})
	})
	first := 0
	for i, err := range errs {
		conflict := (*ledger.ConflictError)(nil)
		switch {
		case err == nil && !replays[i]:
			first++
			s.mu.Lock()
			s.opened[id] = answers[i].Balance
			s.mu.Unlock()
		case err == nil && differ == 0, differ == 1 && errors.As(err, &conflict):
		default:
			s.t.Errorf("an opening, other fields %d: replayed %v, %v", differ, replays[i], err)
		}
	}
	if first != 1 {
		s.t.Errorf("an account was opened by %d callers at once", first)
	}
}

// group moves money round along accounts, all or nothing, and repeats the call.
func (s *storm) group(r *rand.Rand, order []int) {
	var group []ledger.TransferParams
	for i := range order {
		group = append(group, ledger.TransferParams{
			ID: uuid.New(), From: s.accounts[order[i]], To: s.accounts[order[(i+1)%len(order)]],
			Amount: decimal.NewFromInt(r.Int64N(s.balance) + 1),
		})
	}
	for again := range 2 {
		outcomes, err := s.any(r).TransferBatch(context.Background(), group, ledger.BatchOptions{Atomic: true})
		if err != nil {
			s.t.Errorf("a group: %v", err)
			return
		}
		reasons := make(map[ledger.ErrorReason]int)
		for _, o := range outcomes {
			s.check(o)
			reasons[o.Transfer.Reason]++
			if o.Replayed != (again == 1) {
				s.t.Errorf("call %d of a group: replayed %v", again, o.Replayed)
			}
		}
		if n := len(group); reasons[""] != n && (reasons[""] != 0 || reasons[ledger.GroupFailed] != n-1) {
			s.t.Errorf("a group happened in part: %v", reasons)
		}
	}
}

// Rows without a lock before them, since no account is there to be locked, still go in without a
// deadlock when two instances have the same ids in opposite orders.
func TestOppositeOrderOfIDs(t *testing.T) {
	t.Parallel()
	s := newStorm(t, 2, 0, 1)
	s.reasons = map[ledger.ErrorReason]struct{}{ledger.FromAccountNotFound: {}}
	const rounds, size = 20, 300
	for range rounds {
		var orders [2][]ledger.TransferParams
		for range size {
			p := ledger.TransferParams{ID: uuid.New(), From: uuid.New(), To: uuid.New(), Amount: decimal.NewFromInt(1)}
			orders[0] = append(orders[0], p)
			orders[1] = append([]ledger.TransferParams{p}, orders[1]...)
		}
		var firsts atomic.Int64
		ledgertest.InParallel(2, func(i int) {
			outcomes, err := s.ledgers[i].TransferBatch(context.Background(), orders[i], ledger.BatchOptions{})
			if err != nil {
				t.Error(err)
			}
			for _, o := range outcomes {
				if o.Err != nil || o.Transfer.Reason != ledger.FromAccountNotFound {
					t.Errorf("a caller heard %+v", o)
				}
				if !o.Replayed {
					firsts.Add(1)
				}
			}
		})
		if firsts.Load() != size {
			t.Errorf("%d of %d transfers were the first of their id", firsts.Load(), size)
		}
	}
	for _, l := range s.ledgers {
		ledgertest.RequireSound(t, l)
		if err := l.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
	s.requireNoDeadlock(ledgertest.Connect(t, s.database))
}

// Closing under load applies what was queued and refuses the rest: what returned is stored, what
// was refused is not.
func TestCloseUnderLoad(t *testing.T) {
	t.Parallel()
	s := newStorm(t, 1, 2, 1_000_000)
	l := s.ledgers[0]
	var answered, refused atomic.Int64
	closed := make(chan error)
	ledgertest.InParallel(64, func(worker int) {
		for {
			transfer, _, err := l.Transfer(context.Background(), ledger.TransferParams{
				From: s.accounts[worker%2], To: s.accounts[1-worker%2], Amount: decimal.NewFromInt(1),
			})
			if errors.Is(err, ledger.ErrClosed) {
				refused.Add(1)
				return
			}
			s.check(ledger.Outcome{Transfer: transfer, Err: err})
			if answered.Add(1) == 1000 {
				go func() { closed <- l.Close(context.Background()) }()
			}
		}
	})
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if refused.Load() != 64 {
		t.Errorf("%d callers were refused, want 64", refused.Load())
	}
	s.compare() // exactly what was acknowledged, and nothing else
}
