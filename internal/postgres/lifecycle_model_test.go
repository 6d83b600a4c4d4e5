package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// TestLifecycleModel runs random holds, captures, voids, reversals, schedules, sweeps, conditions
// and policies on the ledger and on a model of it, while time passes: whole numbers, a whole number
// of seconds, one transfer at a time, and every hold ended at the very second when it expires,
// whereas the ledger ends it when a batch needs it. Every result must be the same, with its
// figures, and at the end every account and every transfer.
func TestLifecycleModel(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	clock := ledgertest.StopClock(t, url)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	runs := 0
	seen := map[string]int{}
	run := func(rt *rapid.T) {
		runs++
		m := newLifeRun(rt, l, clock, runs, seen)
		rt.Repeat(map[string]func(*rapid.T){
			"transfer": m.transfer,
			"hold":     m.transfer,
			"group":    m.group,
			"post":     m.post,
			"void":     m.void,
			"reverse":  m.reverse,
			"settle":   m.settle,
			"policy":   m.policy,
			"clock":    m.clock,
		})
		m.compareAll(rt)
	}
	unseen := func() (answers []string) {
		for _, answer := range lifeAnswers {
			if seen[answer] == 0 {
				answers = append(answers, answer)
			}
		}
		return answers
	}
	for checks := 0; checks < 2 || checks < 10 && len(unseen()) > 0; checks++ {
		rapid.Check(t, run)
	}
	if missing := unseen(); len(missing) > 0 {
		t.Errorf("%v were never returned, the runs say little: %v", missing, seen)
	}
}

// lifeAnswers are what the runs must meet.
var lifeAnswers = []string{
	"ok", "init", "INSUFFICIENT_FUNDS", "MAX_BALANCE_EXCEEDED", "TRANSFER_CAP_EXCEEDED", "AMOUNT_LIMIT_EXCEEDED",
	"COUNT_LIMIT_EXCEEDED", "VERSION_MISMATCH", "BALANCE_CONDITION_FAILED", "DEBITS_BLOCKED", "CREDITS_BLOCKED",
	"GROUP_FAILED", "HOLD_EXPIRED", "ALREADY_POSTED", "ALREADY_VOIDED", "HOLD_AMOUNT_EXCEEDED", "ALREADY_REVERSED",
	"NOT_REVERSIBLE", "NOT_PENDING", "VOIDED", "refused", "replay",
}

// lifeAccounts are the accounts of a run; the first is the currency's equity account.
const (
	lifeAccounts = 4
	noFloor      = -100 // of a sweep without one
)

// A lifeAccount is the model's account. -1 stands for no ceiling, cap or limit.
type lifeAccount struct {
	balance, held, incoming, floor, ceiling int64
	cap, limit, count, window               int64
	debitBlock, creditBlock                 int64 // when it ends; 0: there is none
	version                                 int64
	equity                                  bool
}

// A lifeTransfer is the model's transfer.
type lifeTransfer struct {
	id           uuid.UUID
	kind         ledger.TransferKind
	from, to     int
	amount       int64
	status       ledger.TransferStatus
	reason       ledger.ErrorReason
	created, due int64 // due -1: never
	open, posted int64 // open is 0 once it is final
	reversed     int64
	upTo         bool
	upToFloor    int64
	voided       string // the result of Void
}

// A lifeRun is one run of the ledger beside the model.
type lifeRun struct {
	l         *postgres.Ledger
	time      *ledgertest.Clock
	start     time.Time
	now       int64 // seconds since start
	ids       []uuid.UUID
	accounts  []*lifeAccount
	transfers []*lifeTransfer
	seen      map[string]int
}

func newLifeRun(rt *rapid.T, l *postgres.Ledger, clock *ledgertest.Clock, run int, seen map[string]int) *lifeRun {
	m := &lifeRun{l: l, time: clock, start: clock.Now(), seen: seen}
	c, _, err := l.CreateCurrency(context.Background(), fmt.Sprintf("L%dX", run), 0, false)
	if err != nil {
		rt.Fatalf("add a currency: %v", err)
	}
	m.ids = []uuid.UUID{c.EquityAccountID}
	m.accounts = []*lifeAccount{{equity: true, version: 1, ceiling: -1, cap: -1, limit: -1, count: -1}}
	for i := 1; i < lifeAccounts; i++ {
		floor := []int64{0, -5, 3}[i-1]
		a, _, err := l.CreateAccount(context.Background(), ledger.AccountParams{
			Currency: c.Code, InitialBalance: decimal.NewFromInt(20), MinBalance: decimal.NewFromInt(floor),
		})
		if err != nil {
			rt.Fatalf("open an account: %v", err)
		}
		m.ids = append(m.ids, a.ID)
		m.accounts = append(m.accounts, &lifeAccount{balance: 20, floor: floor, version: 2, ceiling: -1, cap: -1, limit: -1, count: -1})
		m.accounts[0].balance -= 20
		m.accounts[0].version++
	}
	for range 2 {
		m.policy(rt)
	}
	return m
}

// require compares a result.
func (m *lifeRun) require(rt *rapid.T, what, got, want string) {
	words := strings.Fields(got)
	m.seen[words[0]]++
	if words[0] == "replay" {
		m.seen[words[1]]++
	}
	if got != want {
		rt.Fatalf("%s at %d: got %q, want %q", what, m.now, got, want)
	}
}

// A lifeCall is a call that makes a new transfer.
type lifeCall struct {
	kind                   ledger.TransferKind
	from, to               int
	amount                 int64
	due                    int64 // -1: never
	upTo, ttl              bool
	upToFloor              int64
	version, atLeast, most int64 // of the payer; -1: no condition
}

func (m *lifeRun) draw(rt *rapid.T) lifeCall {
	route := rapid.SampledFrom([][2]int{{1, 2}, {2, 3}, {3, 1}, {2, 1}, {1, 3}, {0, 1}, {3, 0}}).Draw(rt, "route")
	c := lifeCall{
		kind: rapid.SampledFrom([]ledger.TransferKind{
			ledger.KindTransfer, ledger.KindHold, ledger.KindHold, ledger.KindScheduled,
		}).Draw(rt, "kind"),
		from: route[0], to: route[1], amount: rapid.Int64Range(1, 12).Draw(rt, "amount"), due: -1, version: -1, atLeast: -1,
		most: -1, upTo: rapid.IntRange(0, 5).Draw(rt, "sweep") == 5, upToFloor: noFloor,
	}
	if c.upTo && rapid.Bool().Draw(rt, "down to") {
		c.upToFloor = rapid.Int64Range(-6, 6).Draw(rt, "floor")
	}
	switch c.kind {
	case ledger.KindScheduled:
		c.due = m.now + rapid.Int64Range(1, 4).Draw(rt, "delay")
		return c
	case ledger.KindHold:
		if rapid.IntRange(0, 3).Draw(rt, "expires") > 0 {
			c.due, c.ttl = m.now+rapid.Int64Range(1, 4).Draw(rt, "life"), rapid.Bool().Draw(rt, "ttl")
		}
	default:
	}
	switch a := m.accounts[c.from]; rapid.IntRange(0, 9).Draw(rt, "condition") {
	case 7:
		c.version = max(1, a.version-rapid.Int64Range(0, 1).Draw(rt, "old"))
	case 8:
		c.atLeast = max(0, a.balance+rapid.Int64Range(-1, 1).Draw(rt, "off"))
	case 9:
		c.most = max(0, a.balance+rapid.Int64Range(-1, 1).Draw(rt, "off"))
	}
	return c
}

// params are the call's parameters for the ledger.
func (m *lifeRun) params(c lifeCall, id uuid.UUID) ledger.TransferParams {
	o := &ledger.TransferOptions{Hold: c.kind == ledger.KindHold, UpTo: c.upTo}
	if c.upToFloor != noFloor {
		o.UpToFloor = decimal.NewNullDecimal(decimal.NewFromInt(c.upToFloor))
	}
	due := m.start.Add(time.Duration(c.due) * time.Second)
	switch {
	case c.kind == ledger.KindScheduled:
		o.ExecuteTime = due
	case c.due >= 0 && c.ttl:
		o.HoldTTL = time.Duration(c.due-m.now) * time.Second
	case c.due >= 0:
		o.ExpireTime = due
	}
	if c.version >= 0 {
		o.FromVersion = &c.version
	}
	if c.atLeast >= 0 {
		o.FromAtLeast = decimal.NewNullDecimal(decimal.NewFromInt(c.atLeast))
	}
	if c.most >= 0 {
		o.FromAtMost = decimal.NewNullDecimal(decimal.NewFromInt(c.most))
	}
	return ledger.TransferParams{ID: id, From: m.ids[c.from], To: m.ids[c.to], Amount: decimal.NewFromInt(c.amount), Options: o}
}

func (m *lifeRun) transfer(rt *rapid.T) {
	c := m.draw(rt)
	t, replayed, err := m.l.Transfer(context.Background(), m.params(c, uuid.New()))
	got := outcomeText(ledger.Outcome{Transfer: t, Replayed: replayed, Err: err})
	m.require(rt, fmt.Sprintf("%+v", c), got, m.execute(c, t.ID))
}

// group makes two or three transfers or holds, all or none.
func (m *lifeRun) group(rt *rapid.T) {
	calls := rapid.SliceOfN(rapid.Custom(m.draw), 2, 3).Draw(rt, "calls")
	params := make([]ledger.TransferParams, 0, len(calls))
	for _, c := range calls {
		params = append(params, m.params(c, uuid.New()))
	}
	outcomes, err := m.l.TransferBatch(context.Background(), params, ledger.BatchOptions{Atomic: true})
	if err != nil {
		rt.Fatalf("group: %v", err)
	}
	for i, want := range m.executeGroup(calls, params) {
		m.require(rt, fmt.Sprintf("group %d %+v", i, calls), outcomeText(outcomes[i]), want)
	}
}

// pick draws a transfer of the run, with preference for one of the kinds; nil: there is none yet.
func (m *lifeRun) pick(rt *rapid.T, kinds ...ledger.TransferKind) *lifeTransfer {
	var all []*lifeTransfer
	for _, t := range m.transfers {
		for _, k := range kinds {
			if t.kind == k {
				all = append(all, t, t, t, t, t)
			}
		}
		all = append(all, t)
	}
	if len(all) == 0 {
		return nil
	}
	return rapid.SampledFrom(all[max(0, len(all)-24):]).Draw(rt, "transfer")
}

func (m *lifeRun) post(rt *rapid.T) {
	t := m.pick(rt, ledger.KindHold)
	if t == nil {
		return
	}
	p := ledger.PostParams{HoldID: t.id, ID: uuid.New(), Final: rapid.Bool().Draw(rt, "final")}
	amount := rapid.Int64Range(0, 8).Draw(rt, "amount") // 0: all
	if amount > 0 {
		p.Amount = decimal.NewNullDecimal(decimal.NewFromInt(amount))
	}
	do := func() string {
		capture, _, replayed, err := m.l.Post(context.Background(), p)
		return outcomeText(ledger.Outcome{Transfer: capture, Replayed: replayed, Err: err})
	}
	got := do()
	m.require(rt, fmt.Sprintf("post %d of %+v", amount, *t), got, m.capture(t, p.ID, amount, p.Final))
	m.require(rt, "post again", do(), "replay "+got)
}

func (m *lifeRun) reverse(rt *rapid.T) {
	t := m.pick(rt, ledger.KindTransfer, ledger.KindCapture, ledger.KindExecution)
	if t == nil {
		return
	}
	p := ledger.ReverseParams{TransferID: t.id, ID: uuid.New(), Force: rapid.IntRange(0, 3).Draw(rt, "force") == 3}
	amount := rapid.Int64Range(0, 8).Draw(rt, "amount") // 0: all
	if amount > 0 {
		p.Amount = decimal.NewNullDecimal(decimal.NewFromInt(amount))
	}
	do := func() string {
		reversal, _, replayed, err := m.l.Reverse(context.Background(), p)
		return outcomeText(ledger.Outcome{Transfer: reversal, Replayed: replayed, Err: err})
	}
	got := do()
	m.require(rt, fmt.Sprintf("reverse %d of %+v", amount, *t), got, m.reversal(t, p.ID, amount, p.Force))
	m.require(rt, "reverse again", do(), "replay "+got)
}

func (m *lifeRun) void(rt *rapid.T) {
	t := m.pick(rt, ledger.KindHold, ledger.KindScheduled)
	if t == nil {
		return
	}
	voided, replayed, err := m.l.Void(context.Background(), t.id, false)
	m.require(rt, fmt.Sprintf("void %+v", *t), outcomeText(ledger.Outcome{Transfer: voided, Replayed: replayed, Err: err}), m.end(t))
}

// settle does what a worker does. Without anything due, its result is not compared.
func (m *lifeRun) settle(rt *rapid.T) {
	t := m.pick(rt, ledger.KindHold, ledger.KindScheduled)
	if t == nil {
		return
	}
	o := m.l.Settle(context.Background(), t.id)
	if o.Err != nil {
		rt.Fatalf("settle %+v: %v", *t, o.Err)
	}
	if t.kind == ledger.KindScheduled && t.status == ledger.TransferInit && t.due <= m.now {
		m.require(rt, fmt.Sprintf("settle %+v", *t), outcomeText(o), m.run(t, o.Transfer.ID))
	}
}

// policy changes what an account may do.
func (m *lifeRun) policy(rt *rapid.T) {
	i := rapid.IntRange(1, lifeAccounts-1).Draw(rt, "account")
	a := m.accounts[i]
	none := rapid.IntRange(0, 2).Draw(rt, "none") == 2
	n := rapid.Int64Range(1, 15).Draw(rt, "bound")
	change := ledger.AccountChange{ID: m.ids[i]}
	amount := func() *decimal.NullDecimal { return &decimal.NullDecimal{Decimal: decimal.NewFromInt(n), Valid: !none} }
	block := func(end *int64) *ledger.OptionalBlock {
		if *end = 0; none {
			return &ledger.OptionalBlock{}
		}
		*end = m.now + n%3 + 1
		return &ledger.OptionalBlock{Block: &ledger.Block{Reason: "why", End: new(m.start.Add(time.Duration(*end) * time.Second))}}
	}
	apply := func() {}
	switch rapid.SampledFrom([]string{"count", "amount", "ceiling", "cap", "count", "amount", "debits", "credits"}).Draw(rt, "field") {
	case "ceiling":
		n += a.balance + a.incoming
		change.MaxBalance = amount()
		apply = func() { a.ceiling = orNone(n, none) }
	case "cap":
		change.MaxTransfer = amount()
		apply = func() { a.cap = orNone(n, none) }
	case "amount":
		change.Limits = &[]ledger.Limit{}
		if !none {
			*change.Limits = []ledger.Limit{{Window: 3 * time.Second, MaxAmount: new(decimal.NewFromInt(n))}}
		}
		apply = func() { a.limit, a.count, a.window = orNone(n, none), -1, 3 }
	case "count":
		change.Limits = &[]ledger.Limit{}
		if n = n%3 + 1; !none {
			*change.Limits = []ledger.Limit{{Window: 2 * time.Second, MaxCount: new(n)}}
		}
		apply = func() { a.limit, a.count, a.window = -1, orNone(n, none), 2 }
	case "debits":
		change.DebitBlock = block(&a.debitBlock)
	case "credits":
		change.CreditBlock = block(&a.creditBlock)
	}
	if _, err := m.l.UpdateAccount(context.Background(), change); err != nil {
		rt.Fatalf("update account %d: %v", i, err)
	}
	apply()
	a.version++
}

func orNone(n int64, none bool) int64 {
	if none {
		return -1
	}
	return n
}

// clock lets time pass, and the model end what expires.
func (m *lifeRun) clock(rt *rapid.T) {
	seconds := rapid.Int64Range(1, 2).Draw(rt, "seconds")
	m.time.Step(time.Duration(seconds) * time.Second)
	m.now += seconds
	m.expire()
}

// compareAll executes what is due and reads everything.
func (m *lifeRun) compareAll(rt *rapid.T) {
	for _, t := range m.transfers {
		if o := m.l.Settle(context.Background(), t.id); t.kind == ledger.KindHold && o.Err != nil {
			rt.Fatalf("settle %+v: %v", *t, o.Err)
		} else if t.kind == ledger.KindScheduled && t.status == ledger.TransferInit && t.due <= m.now {
			m.require(rt, fmt.Sprintf("settle %+v", *t), outcomeText(o), m.run(t, o.Transfer.ID))
		}
	}
	for i, a := range m.accounts {
		got, err := m.l.GetAccount(context.Background(), m.ids[i])
		if err != nil {
			rt.Fatalf("read account %d: %v", i, err)
		}
		gotText := fmt.Sprintf("%s held %s incoming %s v%d", got.Balance, got.Held, got.Incoming, got.Version)
		if want := fmt.Sprintf("%d held %d incoming %d v%d", a.balance, a.held, a.incoming, a.version); gotText != want {
			rt.Fatalf("account %d: got %s, want %s", i, gotText, want)
		}
	}
	for _, t := range m.transfers {
		got, err := m.l.GetTransfer(context.Background(), t.id)
		if err != nil {
			rt.Fatalf("read %+v: %v", *t, err)
		}
		gotText := fmt.Sprintf("%s %s %s %s", got.Kind(), got.Status, got.Reason, got.Amount)
		want := fmt.Sprintf("%s %s %s %d", t.kind, t.status, t.reason, t.amount)
		if t.kind == ledger.KindHold {
			gotText += fmt.Sprintf(" open %s posted %s", got.Detail.Open.Decimal, got.Detail.Posted.Decimal)
			want += fmt.Sprintf(" open %d posted %d", t.open, t.posted)
		}
		if t.reversed > 0 {
			gotText += fmt.Sprintf(" reversed %s", got.Detail.Reversed.Decimal)
			want += fmt.Sprintf(" reversed %d", t.reversed)
		}
		if gotText != want {
			rt.Fatalf("transfer %s: got %s, want %s", t.id, gotText, want)
		}
	}
}
