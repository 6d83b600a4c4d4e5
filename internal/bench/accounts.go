package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	transfersv1 "internaltransfers/gen/transfers/v1"
)

// An account is one that this run opened.
type account struct {
	id   uuid.UUID
	text string // the id as the API spells it
}

// initialBalance is each account's opening balance: enough to pay, at a dollar a transfer, for as
// long as a run may last.
const initialBalance = "1000000000.00"

// openersMax is how many callers open accounts, or preload transfers, at once.
const openersMax = 256

// openAccounts opens n accounts through the API, many at a time, and shuffles them: which accounts
// are hot then has nothing to do with which rows lie next to each other. It also returns the rates
// of the first and the last tenth, in accounts a second.
func openAccounts(ctx context.Context, control *api, n int, progress func(done int)) (accounts []account, first, last float64, err error) {
	accounts = make([]account, n)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tenth := max(n/10, 1)
	var claimed, done atomic.Int64
	marks := make([]time.Time, n+1) // when the n-th was open
	marks[0] = time.Now()
	var openers sync.WaitGroup
	for range min(n, openersMax) {
		openers.Go(func() {
			source := newSource()
			for ctx.Err() == nil {
				i := claimed.Add(1) - 1
				if i >= int64(n) {
					return
				}
				id := source.id()
				accounts[i] = account{id, id.String()}
				if err := openAccount(ctx, control, accounts[i].text); err != nil {
					cancel(fmt.Errorf("open account %d of %d: %w", i+1, n, err))
					return
				}
				now := done.Add(1)
				marks[now] = time.Now()
				if progress != nil && now%int64(max(n/20, 1000)) == 0 {
					progress(int(now))
				}
			}
		})
	}
	openers.Wait()
	if ctx.Err() != nil {
		return nil, 0, 0, context.Cause(ctx)
	}
	first = float64(tenth) / marks[tenth].Sub(marks[0]).Seconds()
	last = float64(tenth) / marks[n].Sub(marks[n-tenth]).Seconds()
	rand.Shuffle(n, func(i, j int) { accounts[i], accounts[j] = accounts[j], accounts[i] })
	return accounts, first, last, nil
}

// openAccount tries again when the server is full: with that many openers it may be.
func openAccount(ctx context.Context, control *api, id string) error {
	for {
		_, err := control.accounts.CreateAccount(ctx, &transfersv1.CreateAccountRequest{AccountId: id, InitialBalance: initialBalance})
		if err == nil || connect.CodeOf(err) != connect.CodeResourceExhausted {
			return err
		}
		if err := wait(ctx, retryDelay(err)); err != nil {
			return err
		}
	}
}

// preload makes n transfers between random accounts, in batches, and returns the ids of the last
// few.
func preload(ctx context.Context, control *api, p *population, n int, progress func(done int)) error {
	const size, callersAtOnce, keptMax = 1000, 8, 10_000
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pick := newPicker(uniform, len(p.accounts))
	var claimed, made atomic.Int64
	var mu sync.Mutex // guards p.transfers
	var callers sync.WaitGroup
	for range callersAtOnce {
		callers.Go(func() {
			c := &apiCaller{api: control, source: newSource(), pick: pick, population: p}
			for ctx.Err() == nil {
				begin := claimed.Add(size) - size
				if begin >= int64(n) {
					return
				}
				c.call(uniform, max(2, int(min(size, int64(n)-begin)))) // sizes the request
				done, err := c.createBatch(ctx)
				if err != nil {
					cancel(fmt.Errorf("preload: %w", err))
					return
				}
				mu.Lock()
				for i := 0; i < len(c.batch.Transfers) && len(p.transfers) < keptMax; i++ {
					p.transfers = append(p.transfers, c.batch.Transfers[i].GetTransferId())
				}
				mu.Unlock()
				if now := made.Add(int64(done)); progress != nil && now/1_000_000 != (now-int64(done))/1_000_000 {
					progress(int(now))
				}
			}
		})
	}
	callers.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// A Proof is the result of the proofs after the load.
type Proof struct {
	OK         bool     `json:"ok"`          // CheckLedger found every invariant to hold
	Examined   int64    `json:"examined"`    // rows, over all invariants
	Violations []string `json:"violations"`  // the first of those that CheckLedger named
	Accounts   int      `json:"accounts"`    // of this run, read back through the API
	Opened     string   `json:"opened_with"` // the sum of their opening balances
	Balance    string   `json:"balance"`     // the sum of their balances now
	Conserved  bool     `json:"conserved"`   // the two are equal
	Seconds    float64  `json:"seconds"`     // of the proof
}

// Sound reports whether no money was lost or made.
func (p *Proof) Sound() bool { return p != nil && p.OK && p.Conserved }

// prove runs the service's proof, and adds up the balances of the run's accounts itself: transfers
// among them cannot change the sum.
func prove(ctx context.Context, control *api, groups ...[]account) (*Proof, error) {
	began := time.Now()
	checked, err := control.ledger.CheckLedger(ctx, &transfersv1.CheckLedgerRequest{})
	if err != nil {
		return nil, fmt.Errorf("CheckLedger: %w", err)
	}
	proof := &Proof{OK: checked.GetOk()}
	for _, invariant := range checked.GetInvariants() {
		proof.Examined += invariant.GetExamined()
		proof.OK = proof.OK && invariant.GetOk() && invariant.GetViolationCount() == 0
		for _, violation := range invariant.GetViolations() {
			proof.Violations = append(proof.Violations, invariant.GetName()+": "+violation)
		}
	}
	mine := map[string]struct{}{}
	for _, accounts := range groups {
		for _, a := range accounts {
			mine[a.text] = struct{}{}
		}
	}
	proof.Accounts = len(mine)
	opened := decimal.RequireFromString(initialBalance).Mul(decimal.NewFromInt(int64(len(mine))))
	now, err := sumBalances(ctx, control, mine)
	if err != nil {
		return nil, err
	}
	proof.Opened, proof.Balance = opened.StringFixed(2), now.StringFixed(2)
	proof.Conserved = opened.Equal(now)
	proof.Seconds = time.Since(began).Seconds()
	return proof, nil
}

// sumBalances reads accounts page by page, newest first, until it has seen all of the wanted ones,
// which it removes.
func sumBalances(ctx context.Context, control *api, wanted map[string]struct{}) (decimal.Decimal, error) {
	sum := decimal.Zero
	request := &transfersv1.ListAccountsRequest{PageSize: 1000}
	for len(wanted) > 0 {
		page, err := control.accounts.ListAccounts(ctx, request)
		if err != nil {
			return sum, fmt.Errorf("ListAccounts: %w", err)
		}
		for _, a := range page.GetAccounts() {
			if _, ok := wanted[a.GetAccountId()]; !ok {
				continue
			}
			delete(wanted, a.GetAccountId())
			balance, err := decimal.NewFromString(a.GetBalance())
			if err != nil {
				return sum, fmt.Errorf("account %s: balance %q: %w", a.GetAccountId(), a.GetBalance(), err)
			}
			sum = sum.Add(balance)
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" && len(wanted) > 0 {
			return sum, fmt.Errorf("%d accounts that were opened are not in the list", len(wanted))
		}
	}
	return sum, nil
}
