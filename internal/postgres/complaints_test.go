package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
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

// Each test here is named after a complaint that recurs in the issue trackers of other ledgers, and
// shows that it is none about this one:
//
//	HotAccountsSerialise          one account takes transfers in groups, not one commit at a time
//	FloodOnOneAccountStarvesOthers     one account has half of the queue at most
//	OneGlobalLock                 a locked account holds up its own transfers and no others
//	BalanceAndTransferRowNotInOneTransaction
//	MoneyLostBetweenCacheAndDatabase   what one instance commits, another sees at once
//	Overspend                     many callers with the same money: one has it
//	DoubleRefundOrCommit          many callers with the same id: it is applied once
//	UnsafeIdempotency             an id is remembered for ever and stands for one set of fields
//	Precision                     18 decimals and 38 digits, exactly
//	Deadlocks                     batches in opposite orders never deadlock
//	BusinessErrorsAnsweredAsFaults     a refusal is an outcome, a mistake has its own type
//	EndlessRetriesWithoutDeadline a caller that gives up gets an error, and can call again
//	NoAccountLimits               floors, freezing and closing
//	UnclearBatchSemantics         in order, one by one; or all or none
//	NoResultingBalanceInTheAnswer
//	WeakListing                   by account, status, reference and time, in pages
//	RefusedAttemptsInvisible
//
// Holds, events, authentication, set-up and the console are for tests elsewhere.

// one is the amount of most transfers.
var one = decimal.NewFromInt(1)

func TestComplaint_HotAccountsSerialise(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	ids := ledgertest.OpenAccounts(t, l, 41, 100)
	hot, others := ids[0], ids[1:]
	holder := ledgertest.Connect(t, url)
	ledgertest.Execute(t, holder, "BEGIN")
	ledgertest.Execute(t, holder, "SELECT FROM account WHERE account_id = $1 FOR UPDATE", hot)
	// While the first batch waits for the account, the others queue; then they go together.
	times := make(chan time.Time, 5*len(others))
	for range 5 {
		for _, id := range others {
			go func() {
				transfer, _, err := l.Transfer(context.Background(), ledger.TransferParams{From: id, To: hot, Amount: one})
				if err != nil {
					t.Errorf("transfer: %v", err)
				}
				times <- transfer.CreateTime
			}()
		}
	}
	awaitLockWait(context.Background(), t, ledgertest.Connect(t, url))
	ledgertest.Execute(t, holder, "COMMIT")
	commits := map[time.Time]bool{}
	for range cap(times) {
		commits[(<-times).UTC()] = true
	}
	if len(commits) > cap(times)/4 {
		t.Errorf("%d transfers on one account took %d commits", cap(times), len(commits))
	}
	requireBalance(t, l, hot, 100+int64(cap(times)))
}

func TestComplaint_FloodOnOneAccountStarvesOthers(t *testing.T) {
	t.Parallel()
	const queueMax, flooders, others, rounds = 100, 300, 49, 20
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url, BatchesInFlight: 1, BatchMax: 16, QueueMax: queueMax})
	ids := ledgertest.OpenAccounts(t, l, 2+2*others, 1_000_000)
	// The first batch of the flood waits for its account, so that the others find the flood as high
	// as it gets.
	holder := ledgertest.Connect(t, url)
	ledgertest.Execute(t, holder, "BEGIN")
	ledgertest.Execute(t, holder, "SELECT FROM account WHERE account_id = $1 FOR UPDATE", ids[0])
	turnedAway, ebb := flood(t, l, ids[0], ids[1], flooders)
	for l.Waiting() < queueMax/2 || turnedAway.Load() == 0 {
		runtime.Gosched()
	}
	answers := make(chan error, others*rounds)
	for i := range others {
		go func() {
			for range rounds {
				_, _, err := l.Transfer(context.Background(), ledger.TransferParams{From: ids[2+i], To: ids[2+others+i], Amount: one})
				answers <- err
			}
		}()
	}
	for l.Waiting() < queueMax/2+others && len(answers) == 0 {
		runtime.Gosched()
	}
	ledgertest.Execute(t, holder, "COMMIT")
	for range others * rounds {
		if err := <-answers; err != nil {
			t.Errorf("a caller on another account heard: %v", err)
		}
	}
	ebb()
	for i := range others {
		requireBalance(t, l, ids[2+i], 1_000_000-rounds)
	}
	t.Logf("of the flood, %d calls were turned away", turnedAway.Load())
}

func TestComplaint_OneGlobalLock(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url, BatchesInFlight: 2})
	ids := ledgertest.OpenAccounts(t, l, 4, 10)
	holder := ledgertest.Connect(t, url)
	ledgertest.Execute(t, holder, "BEGIN")
	ledgertest.Execute(t, holder, "SELECT FROM account WHERE account_id = $1 FOR UPDATE", ids[0])
	held := make(chan error)
	go func() {
		_, _, err := l.Transfer(context.Background(), ledger.TransferParams{From: ids[0], To: ids[1], Amount: one})
		held <- err
	}()
	awaitLockWait(context.Background(), t, ledgertest.Connect(t, url))
	for range 3 {
		if got := ledgertest.Pay(t, l, ledger.TransferParams{From: ids[2], To: ids[3], Amount: one}); got.Status != ledger.TransferSuccess {
			t.Errorf("another transfer: %+v", got)
		}
	}
	select {
	case err := <-held:
		t.Errorf("the locked account's transfer returned: %v", err)
	default:
	}
	ledgertest.Execute(t, holder, "COMMIT")
	if err := <-held; err != nil {
		t.Errorf("the locked account's transfer: %v", err)
	}
}

func TestComplaint_BalanceAndTransferRowNotInOneTransaction(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url, Logger: ledgertest.Silent})
	ids := ledgertest.OpenAccounts(t, l, 2, 10)
	// The ledger row is written after the balances; here it cannot be.
	ledgertest.Execute(t, ledgertest.Connect(t, url), "ALTER TABLE transfer ADD CONSTRAINT poison CHECK (reference <> 'poison')")
	before, err := l.GetAccount(context.Background(), ids[0])
	if err != nil {
		t.Fatal(err)
	}
	p := ledger.TransferParams{ID: uuid.New(), From: ids[0], To: ids[1], Amount: one, Reference: "poison"}
	if transfer, _, err := l.Transfer(context.Background(), p); err == nil {
		t.Errorf("a transfer without a row: %+v", transfer)
	}
	if after, err := l.GetAccount(context.Background(), ids[0]); err != nil || !sameAccount(&before, &after) {
		t.Errorf("the account was %+v and is %+v, %v", before, after, err)
	}
	requireBalance(t, l, ids[1], 10)
	if _, err := l.GetTransfer(context.Background(), p.ID); errorText(err) != "missing" {
		t.Errorf("read it: %v", err)
	}
}

func TestComplaint_MoneyLostBetweenCacheAndDatabase(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	instances := []*postgres.Ledger{ledgertest.Open(t, postgres.Config{DatabaseURL: url}), ledgertest.Open(t, postgres.Config{DatabaseURL: url})}
	ids := ledgertest.OpenAccounts(t, instances[0], 2, 10)
	for i := range int64(10) {
		here, there := instances[i%2], instances[(i+1)%2]
		if got := ledgertest.Pay(t, here, ledger.TransferParams{From: ids[0], To: ids[1], Amount: one}); got.Status != ledger.TransferSuccess {
			t.Errorf("transfer %d: %+v", i, got)
		}
		requireBalance(t, there, ids[0], 9-i)
		requireBalance(t, there, ids[1], 11+i)
	}
	if got := ledgertest.Pay(t, instances[1], ledger.TransferParams{From: ids[0], To: ids[1], Amount: one}); got.Reason != ledger.InsufficientFunds {
		t.Errorf("with nothing left: %+v", got)
	}
}

func TestComplaint_Overspend(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	instances := []*postgres.Ledger{ledgertest.Open(t, postgres.Config{DatabaseURL: url}), ledgertest.Open(t, postgres.Config{DatabaseURL: url})}
	ids := ledgertest.OpenAccounts(t, instances[0], 2, 10)
	const callers = 50
	outcomes := make([]ledger.Transfer, callers)
	ledgertest.InParallel(callers, func(i int) {
		outcomes[i] = ledgertest.Pay(t, instances[i%2], ledger.TransferParams{From: ids[0], To: ids[1], Amount: decimal.NewFromInt(10)})
	})
	spent := 0
	for i := range outcomes {
		if outcomes[i].Status == ledger.TransferSuccess {
			spent++
		} else if outcomes[i].Reason != ledger.InsufficientFunds {
			t.Errorf("caller %d: %+v", i, outcomes[i])
		}
	}
	if spent != 1 {
		t.Errorf("the same money was spent %d times", spent)
	}
	requireBalance(t, instances[0], ids[0], 0)
	requireBalance(t, instances[0], ids[1], 20)
}

func TestComplaint_DoubleRefundOrCommit(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	quiet := postgres.Config{DatabaseURL: url, Logger: ledgertest.Silent}
	instances := []*postgres.Ledger{ledgertest.Open(t, quiet), ledgertest.Open(t, quiet)}
	ids := ledgertest.OpenAccounts(t, instances[0], 2, 10)
	p := ledger.TransferParams{ID: uuid.New(), From: ids[0], To: ids[1], Amount: decimal.NewFromInt(3), Reference: "refund"}
	const callers = 32
	outcomes := make([]ledger.Outcome, callers)
	ledgertest.InParallel(callers, func(i int) {
		o := &outcomes[i]
		o.Transfer, o.Replayed, o.Err = instances[i%2].Transfer(context.Background(), p)
	})
	first := 0
	for i := range outcomes {
		if !outcomes[i].Replayed {
			first++
		}
		requireOutcome(t, "refund", outcomes[i], "", outcomes[i].Replayed)
		if a, b := transferText(&outcomes[0].Transfer), transferText(&outcomes[i].Transfer); a != b {
			t.Errorf("one caller heard\n%s\nanother\n%s", a, b)
		}
	}
	if first != 1 {
		t.Errorf("%d callers were the first", first)
	}
	requireBalance(t, instances[0], ids[0], 7)
	requireBalance(t, instances[0], ids[1], 13)
}

func TestComplaint_UnsafeIdempotency(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	ids := ledgertest.OpenAccounts(t, l, 2, 10)
	p := ledger.TransferParams{ID: uuid.New(), From: ids[0], To: ids[1], Amount: one, Metadata: map[string]string{"k": "v"}}
	first := ledgertest.Pay(t, l, p)
	// No expiry: the row is ten years old.
	admin := ledgertest.Connect(t, url)
	ledgertest.Execute(t, admin, "SET session_replication_role = replica")
	ledgertest.Execute(t, admin, "UPDATE transfer SET create_time = create_time - interval '10 years' WHERE transfer_id = $1", p.ID)
	again, replayed, err := l.Transfer(context.Background(), p)
	requireOutcome(t, "after ten years", ledger.Outcome{Transfer: again, Replayed: replayed, Err: err}, "", true)
	if !again.FromBalance.Decimal.Equal(first.FromBalance.Decimal) {
		t.Errorf("first returned %+v, then %+v", first, again)
	}
	other := p
	other.Metadata = map[string]string{"k": "w"}
	if _, _, err := l.Transfer(context.Background(), other); errorText(err) != "conflict" {
		t.Errorf("another body under the same id: %v", err)
	}
	requireBalance(t, l, ids[0], 9)
}

func TestComplaint_Precision(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	from := ledgertest.OpenAccount(t, l, ledger.AccountParams{Currency: "ETH", InitialBalance: ledgertest.Amount("0.3")})
	to := ledgertest.OpenAccount(t, l, ledger.AccountParams{Currency: "ETH", InitialBalance: ledgertest.Amount("12345678901234567890.000000000000000001")})
	for _, text := range []string{"0.1", "0.2"} {
		if got := ledgertest.Pay(t, l, ledger.TransferParams{From: from.ID, To: to.ID, Amount: ledgertest.Amount(text)}); got.Status != ledger.TransferSuccess {
			t.Errorf("%s: %+v", text, got)
		}
	}
	got, err := l.GetAccount(context.Background(), to.ID)
	if err != nil || got.Balance.String() != "12345678901234567890.300000000000000001" {
		t.Errorf("payee: %s, %v", got.Balance, err)
	}
	if got, err = l.GetAccount(context.Background(), from.ID); err != nil || !got.Balance.IsZero() {
		t.Errorf("payer: %s, %v", got.Balance, err)
	}
}

func TestComplaint_Deadlocks(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	var log bytes.Buffer // the handler guards it
	config := postgres.Config{DatabaseURL: url, Logger: slog.New(slog.NewTextHandler(&log, nil)), BatchesInFlight: 2, BatchMax: 1}
	instances := []*postgres.Ledger{ledgertest.Open(t, config), ledgertest.Open(t, config)}
	ids := ledgertest.OpenAccounts(t, instances[0], 8, 1000)
	ledgertest.InParallel(8, func(worker int) {
		order := slices.Clone(ids)
		if worker%2 == 1 {
			slices.Reverse(order)
		}
		for range 25 {
			group := make([]ledger.TransferParams, 0, len(order)-1)
			for i := 1; i < len(order); i++ {
				group = append(group, ledger.TransferParams{From: order[i-1], To: order[i], Amount: one})
			}
			if _, err := instances[worker/2%2].TransferBatch(context.Background(), group, ledger.BatchOptions{Atomic: true}); err != nil {
				t.Errorf("group: %v", err)
			}
		}
	})
	if log.Len() > 0 {
		t.Errorf("batches were tried again:\n%s", log.String())
	}
}

func TestComplaint_BusinessErrorsAnsweredAsFaults(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	ids := ledgertest.OpenAccounts(t, l, 2, 10)
	for _, c := range []struct {
		params ledger.TransferParams
		want   ledger.ErrorReason
	}{
		{ledger.TransferParams{From: ids[0], To: ids[1], Amount: decimal.NewFromInt(11)}, ledger.InsufficientFunds},
		{ledger.TransferParams{From: uuid.New(), To: ids[1], Amount: one}, ledger.FromAccountNotFound},
		{ledger.TransferParams{From: ids[0], To: uuid.New(), Amount: one}, ledger.ToAccountNotFound},
		{ledger.TransferParams{From: ids[0], To: ids[1], Amount: one, Currency: "EUR"}, ledger.CurrencyMismatch},
	} {
		transfer, replayed, err := l.Transfer(context.Background(), c.params)
		requireOutcome(t, string(c.want), ledger.Outcome{Transfer: transfer, Replayed: replayed, Err: err}, c.want, false)
	}
	var invalid *ledger.InvalidError
	if _, _, err := l.Transfer(context.Background(), ledger.TransferParams{From: ids[0], To: ids[1]}); !errors.As(err, &invalid) || invalid.Field != "amount" {
		t.Errorf("no amount: %v", err)
	}
}

func TestComplaint_EndlessRetriesWithoutDeadline(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	ids := ledgertest.OpenAccounts(t, l, 2, 10)
	holder := ledgertest.Connect(t, url)
	ledgertest.Execute(t, holder, "BEGIN")
	ledgertest.Execute(t, holder, "SELECT FROM account WHERE account_id = $1 FOR UPDATE", ids[0])
	ctx, cancel := context.WithCancel(context.Background())
	p := ledger.TransferParams{ID: uuid.New(), From: ids[0], To: ids[1], Amount: one}
	answered := make(chan error)
	go func() {
		_, _, err := l.Transfer(ctx, p)
		answered <- err
	}()
	awaitLockWait(context.Background(), t, ledgertest.Connect(t, url))
	cancel()
	if err := <-answered; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller who gave up hears %v", err)
	}
	ledgertest.Execute(t, holder, "COMMIT")
	if got := ledgertest.Pay(t, l, p); got.Status != ledger.TransferSuccess {
		t.Errorf("asked again: %+v", got)
	}
	requireBalance(t, l, ids[0], 9) // once, by whichever caller
}

func TestComplaint_NoAccountLimits(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	a := ledgertest.OpenAccount(t, l, ledger.AccountParams{InitialBalance: ledgertest.Amount("10"), MinBalance: ledgertest.Amount("5")})
	b := ledgertest.OpenAccount(t, l, ledger.AccountParams{MinBalance: ledgertest.Amount("-20")})
	for i, c := range []struct {
		change ledger.AccountChange
		from   uuid.UUID
		want   ledger.ErrorReason
	}{
		{ledger.AccountChange{ID: a.ID}, a.ID, ledger.InsufficientFunds},
		{ledger.AccountChange{ID: b.ID}, b.ID, ""},
		{ledger.AccountChange{ID: b.ID, MinBalance: new(ledgertest.Amount("-6"))}, b.ID, ledger.InsufficientFunds},
		{ledger.AccountChange{ID: a.ID, Status: new(ledger.AccountFrozen)}, a.ID, ledger.ReasonAccountFrozen},
	} {
		if _, err := l.UpdateAccount(context.Background(), c.change); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		to := a.ID
		if c.from == a.ID {
			to = b.ID
		}
		if got := ledgertest.Pay(t, l, ledger.TransferParams{From: c.from, To: to, Amount: ledgertest.Amount("6")}); got.Reason != c.want {
			t.Errorf("step %d: %+v, want %q", i, got, c.want)
		}
	}
}

func TestComplaint_UnclearBatchSemantics(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	ids := ledgertest.OpenAccounts(t, l, 3, 10)
	chain := func() []ledger.TransferParams {
		return []ledger.TransferParams{
			{From: ids[0], To: ids[1], Amount: decimal.NewFromInt(10)},
			{From: ids[1], To: ids[2], Amount: decimal.NewFromInt(20)}, // with the first one's
			{From: ids[0], To: ids[2], Amount: one},                    // nothing is left
		}
	}
	for _, c := range []struct {
		atomic bool
		want   string
	}{
		{true, "GROUP_FAILED 10 10, GROUP_FAILED 10 10, INSUFFICIENT_FUNDS 10 10 0.00/0.00"},
		{false, "ok 0 20, ok 0 30, INSUFFICIENT_FUNDS 0 30"},
	} {
		outcomes, err := l.TransferBatch(context.Background(), chain(), ledger.BatchOptions{Atomic: c.atomic})
		if err != nil {
			t.Fatalf("batch: %v", err)
		}
		var got []string
		for _, o := range outcomes {
			got = append(got, outcomeText(o))
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("atomic %t: got %v, want %s", c.atomic, got, c.want)
		}
	}
}

func TestComplaint_NoResultingBalanceInTheAnswer(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	ids := ledgertest.OpenAccounts(t, l, 2, 10)
	for range 3 {
		got := ledgertest.Pay(t, l, ledger.TransferParams{From: ids[0], To: ids[1], Amount: one})
		requireBalance(t, l, ids[0], got.FromBalance.Decimal.IntPart())
		requireBalance(t, l, ids[1], got.ToBalance.Decimal.IntPart())
	}
	requireBalance(t, l, ids[0], 7)
}

func TestComplaint_WeakListing(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	ids := ledgertest.OpenAccounts(t, l, 3, 20)
	var want []string // newest first
	var since time.Time
	for i := range 16 {
		p := ledger.TransferParams{From: ids[0], To: ids[1+i%2], Amount: one, Reference: []string{"x", "x", "y", "y"}[i%4]}
		transfer := ledgertest.Pay(t, l, p)
		if i == 4 {
			since = transfer.CreateTime
		}
		if i >= 4 && p.To == ids[1] && p.Reference == "x" {
			want = append([]string{transfer.ID.String()}, want...)
		}
	}
	f := postgres.TransferFilter{AccountID: ids[1], Reference: "x", Status: ledger.TransferSuccess, Currency: "USD", Start: since}
	if got := collect(t, 1, (&listed{l: l}).transfers(f)); !slices.Equal(got, want) || len(got) != 3 {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestComplaint_RefusedAttemptsInvisible(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	ids := ledgertest.OpenAccounts(t, l, 2, 10)
	refused := ledgertest.Pay(t, l, ledger.TransferParams{From: ids[0], To: ids[1], Amount: decimal.NewFromInt(11), Reference: "rent"})
	ledgertest.Pay(t, l, ledger.TransferParams{From: ids[0], To: ids[1], Amount: one})
	read, err := l.GetTransfer(context.Background(), refused.ID)
	if err != nil || read.Reason != ledger.InsufficientFunds || read.Reference != "rent" || read.FromBalance.Decimal.IntPart() != 10 {
		t.Errorf("read back: %+v, %v", read, err)
	}
	list, _, err := l.ListTransfers(context.Background(), postgres.TransferFilter{AccountID: ids[0], Status: ledger.TransferFailed}, paging.Page{})
	if err != nil || len(list) != 1 || transferText(&list[0]) != transferText(&read) {
		t.Errorf("listed: %+v, %v", list, err)
	}
}
