package ledger_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"internaltransfers/ledger"
)

// The number of runs is moderate by default; the flag -rapid.checks raises it.
func init() {
	if err := flag.Set("rapid.checks", "40"); err != nil {
		panic(err)
	}
}

// TestModel runs random calls on the ledger and on a model of it, which is as simple as can be: maps, whole numbers of
// thousandths, one transfer at a time. Every answer must be the same, and at the end everything that can be read.
// Each run has its own currencies and accounts. The spaces of ids and amounts are small, so that calls collide.
func TestModel(t *testing.T) {
	l := openLedger(t, ledger.Config{BatchMax: 8})
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		m := newModelRun(rt, l, runs)
		rt.Repeat(map[string]func(*rapid.T){
			"create":   m.create,
			"update":   m.update,
			"read":     m.read,
			"transfer": m.transfer,
			"batch":    func(rt *rapid.T) { m.batch(rt, false) },
			"group":    func(rt *rapid.T) { m.batch(rt, true) },
		})
		m.compareAll(rt)
	})
}

// A modelAccount is what the model knows of an account. Amounts are in thousandths.
type modelAccount struct {
	currency       string
	balance, floor int64
	equity         bool
	status         ledger.AccountStatus
	name           string
	version        int64
	entries        []string // AMOUNT=BALANCE
	opened         string   // with these fields
}

// A modelTransfer is what the model knows of a transfer: the call that made it, and the answer.
type modelTransfer struct {
	call   modelCall
	answer string
}

// A modelCall is a transfer asked for. Accounts are named by their index.
type modelCall struct {
	id, from, to                int
	amount                      int64
	currency, reference, detail string
}

// A modelRun is one run of the ledger beside the model.
type modelRun struct {
	l          *ledger.Ledger
	scope      uuid.UUID
	currencies []string         // of 2 and of 0 decimals
	unit       map[string]int64 // of each currency, in thousandths
	ids        []uuid.UUID      // of accounts, by index: equity of both currencies, then those that may be opened
	accounts   map[int]*modelAccount
	transfers  map[int]*modelTransfer
}

const (
	modelAccounts  = 7 // the last is never opened
	modelTransfers = 12
)

func newModelRun(rt *rapid.T, l *ledger.Ledger, run int) *modelRun {
	m := &modelRun{
		l: l, scope: uuid.New(), unit: map[string]int64{}, accounts: map[int]*modelAccount{}, transfers: map[int]*modelTransfer{},
	}
	for i, scale := range []int32{2, 0} {
		code := fmt.Sprintf("M%dS%d", run, scale)
		c, _, err := l.CreateCurrency(context.Background(), code, scale)
		if err != nil {
			rt.Fatalf("add a currency: %v", err)
		}
		m.currencies = append(m.currencies, code)
		m.unit[code] = []int64{10, 1000}[i]
		m.ids = append(m.ids, c.EquityAccountID)
		m.accounts[i] = &modelAccount{currency: code, equity: true, status: ledger.AccountOpen, version: 1}
	}
	for i := len(m.ids); i < modelAccounts; i++ {
		m.ids = append(m.ids, uuid.NewSHA1(m.scope, []byte{'a', byte(i)}))
	}
	return m
}

func (m *modelRun) transferID(i int) uuid.UUID { return uuid.NewSHA1(m.scope, []byte{'t', byte(i)}) }

// thousandths makes the number, written in one of several ways.
func thousandths(rt *rapid.T, n int64) decimal.Decimal {
	d := decimal.New(n, -3)
	if rapid.Bool().Draw(rt, "short") {
		return decimal.RequireFromString(d.String())
	}
	return d
}

var modelAmounts = rapid.SampledFrom([]int64{1000, 1000, 2000, 3000, 5000, 500, 10, 1, 0, -1000, 100_000})

// create opens an account, or repeats that with the same or other fields.
func (m *modelRun) create(rt *rapid.T) {
	i := rapid.IntRange(2, modelAccounts-2).Draw(rt, "account")
	currency := rapid.SampledFrom([]string{m.currencies[0], m.currencies[0], m.currencies[1], "NONE9"}).Draw(rt, "currency")
	initial := rapid.SampledFrom([]int64{0, 5000, 10_000, 10, 1, -1000}).Draw(rt, "initial")
	floor := rapid.SampledFrom([]int64{0, 0, 0, -3000, 5000, 1}).Draw(rt, "floor")
	name := rapid.SampledFrom([]string{"", "n"}).Draw(rt, "name")
	a, replayed, err := m.l.CreateAccount(context.Background(), ledger.AccountParams{
		ID: m.ids[i], Currency: currency, InitialBalance: thousandths(rt, initial), MinBalance: thousandths(rt, floor),
		DisplayName: name,
	})
	got := errorText(err)
	if err == nil {
		got = modelAccountText(&a, replayed)
	}
	if want := m.createModel(i, currency, initial, floor, name); got != want {
		rt.Fatalf("create account %d: got %q, want %q", i, got, want)
	}
}

func (m *modelRun) createModel(i int, currency string, initial, floor int64, name string) string {
	unit := m.unit[currency]
	switch {
	case unit == 0:
		return "invalid currency"
	case initial%unit != 0:
		return "invalid initial_balance"
	case floor%unit != 0:
		return "invalid min_balance"
	case initial < 0:
		return "invalid initial_balance"
	case floor > initial:
		return "invalid min_balance"
	}
	opened := fmt.Sprint(currency, initial, floor, name)
	if a := m.accounts[i]; a != nil {
		if a.opened != opened {
			return "conflict"
		}
		return a.text(true)
	}
	a := &modelAccount{
		currency: currency, floor: floor, status: ledger.AccountOpen, name: name, version: 1, opened: opened,
	}
	m.accounts[i] = a
	if initial > 0 {
		equity := m.accounts[slices.Index(m.currencies, currency)]
		equity.add(-initial)
		a.add(initial)
	}
	return a.text(false)
}

// add moves money and makes the entry.
func (a *modelAccount) add(amount int64) {
	a.balance += amount
	a.version++
	a.entries = append(a.entries, thousandthsText(amount)+"="+thousandthsText(a.balance))
}

func thousandthsText(n int64) string { return decimal.New(n, -3).String() }

func (a *modelAccount) text(replayed bool) string {
	floor := thousandthsText(a.floor)
	if a.equity {
		floor = "-"
	}
	return fmt.Sprintf("%s %s floor %s %s v%d replayed %t", a.currency, thousandthsText(a.balance), floor, a.status,
		a.version, replayed)
}

func modelAccountText(a *ledger.Account, replayed bool) string {
	return fmt.Sprintf("%s %s floor %s %s v%d replayed %t", a.Currency, a.Balance, nullAmountText(a.MinBalance), a.Status,
		a.Version, replayed)
}

// update changes a floor, a status, or both, perhaps for an expected version.
func (m *modelRun) update(rt *rapid.T) {
	i := rapid.IntRange(0, modelAccounts-1).Draw(rt, "account")
	change := ledger.AccountChange{ID: m.ids[i]}
	var floor *int64
	if rapid.Bool().Draw(rt, "change the floor") {
		floor = new(rapid.SampledFrom([]int64{0, -3000, 2000, 10, 1}).Draw(rt, "floor"))
		change.MinBalance = new(thousandths(rt, *floor))
	}
	if rapid.Bool().Draw(rt, "change the status") {
		change.Status = new(rapid.SampledFrom([]ledger.AccountStatus{
			ledger.AccountOpen, ledger.AccountOpen, ledger.AccountFrozen, ledger.AccountClosed,
		}).Draw(rt, "status"))
	}
	if rapid.Bool().Draw(rt, "expect a version") {
		change.ExpectedVersion = new(rapid.Int64Range(1, 3).Draw(rt, "version"))
	}
	a, err := m.l.UpdateAccount(context.Background(), change)
	got := errorText(err)
	if err == nil {
		got = modelAccountText(&a, false)
	}
	if want := m.updateModel(i, floor, change.Status, change.ExpectedVersion); got != want {
		rt.Fatalf("update account %d: got %q, want %q", i, got, want)
	}
}

func (m *modelRun) updateModel(i int, floor *int64, status *ledger.AccountStatus, version *int64) string {
	a := m.accounts[i]
	switch {
	case a == nil:
		return "missing"
	case version != nil && *version != a.version:
		return "version"
	case a.status == ledger.AccountClosed:
		return "refused ACCOUNT_CLOSED"
	case a.equity && (floor != nil || status != nil):
		return "refused EQUITY_ACCOUNT"
	case floor != nil && *floor%m.unit[a.currency] != 0:
		return "invalid account.min_balance"
	case floor != nil && *floor > a.balance:
		return "refused INSUFFICIENT_FUNDS"
	case status != nil && *status == ledger.AccountClosed && a.balance != 0:
		return "refused ACCOUNT_NOT_EMPTY"
	}
	if floor != nil {
		a.floor = *floor
	}
	if status != nil {
		a.status = *status
	}
	a.version++
	return a.text(false)
}

// read compares one account.
func (m *modelRun) read(rt *rapid.T) {
	i := rapid.IntRange(0, modelAccounts-1).Draw(rt, "account")
	m.compareAccount(rt, i)
}

func (m *modelRun) compareAccount(rt *rapid.T, i int) {
	a, err := m.l.GetAccount(context.Background(), m.ids[i])
	got := errorText(err)
	if err == nil {
		got = modelAccountText(&a, false)
	}
	want := "missing"
	if known := m.accounts[i]; known != nil {
		want = known.text(false)
	}
	if got != want {
		rt.Fatalf("account %d: got %q, want %q", i, got, want)
	}
}

// compareAll reads everything that the run may have made.
func (m *modelRun) compareAll(rt *rapid.T) {
	ctx := context.Background()
	for i := range modelAccounts {
		m.compareAccount(rt, i)
		a := m.accounts[i]
		if a == nil {
			continue
		}
		entries, _, err := m.l.ListEntries(ctx, ledger.EntryFilter{AccountID: m.ids[i], OldestFirst: true}, ledger.Page{Size: 1000})
		if err != nil {
			rt.Fatalf("list the entries of account %d: %v", i, err)
		}
		got := make([]string, 0, len(entries))
		for j := range entries {
			got = append(got, entries[j].Amount.String()+"="+entries[j].Balance.String())
		}
		if !slices.Equal(got, a.entries) {
			rt.Fatalf("entries of account %d: got %v, want %v", i, got, a.entries)
		}
	}
	for i := range modelTransfers {
		t, err := m.l.GetTransfer(ctx, m.transferID(i))
		got, want := outcomeText(ledger.Outcome{Transfer: t, Err: err}), "missing"
		if known := m.transfers[i]; known != nil {
			want = known.answer
		}
		if got != want {
			rt.Fatalf("transfer %d: got %q, want %q", i, got, want)
		}
	}
	m.compareList(rt)
}

// compareList reads the transfers of both currencies, which are those of the run but for opening balances and for the
// few that have no currency at all.
func (m *modelRun) compareList(rt *rapid.T) {
	want := map[uuid.UUID]string{}
	for i, known := range m.transfers {
		want[m.transferID(i)] = known.answer
	}
	got := map[uuid.UUID]string{}
	for _, id := range m.ids {
		list, _, err := m.l.ListTransfers(context.Background(), ledger.TransferFilter{AccountID: id}, ledger.Page{Size: 1000})
		if err != nil {
			rt.Fatalf("list transfers: %v", err)
		}
		for j := range list {
			if list[j].ID.Version() == 5 { // of the run, not of an opening balance
				got[list[j].ID] = outcomeText(ledger.Outcome{Transfer: list[j]})
			}
		}
	}
	if !maps.Equal(got, want) {
		rt.Fatalf("transfers listed: got %v, want %v", got, want)
	}
}

func (m *modelRun) drawCall(rt *rapid.T) modelCall {
	// Every third call repeats an earlier one, perhaps with one field changed.
	known := slices.Sorted(maps.Keys(m.transfers))
	if len(known) > 0 && rapid.IntRange(0, 2).Draw(rt, "repeat") == 0 {
		c := m.transfers[rapid.SampledFrom(known).Draw(rt, "known")].call
		switch rapid.IntRange(0, 9).Draw(rt, "changed field") {
		case 0:
			c.amount = modelAmounts.Draw(rt, "amount")
		case 1:
			c.reference += "x"
		case 2:
			c.detail += "x"
		}
		return c
	}
	account := rapid.IntRange(0, modelAccounts-1)
	return modelCall{
		id: rapid.IntRange(0, modelTransfers-1).Draw(rt, "id"), from: account.Draw(rt, "from"), to: account.Draw(rt, "to"),
		amount:   modelAmounts.Draw(rt, "amount"),
		currency: rapid.SampledFrom([]string{"", "", "", m.currencies[0], m.currencies[1], "NONE9"}).Draw(rt, "currency"),
	}
}

func (m *modelRun) params(rt *rapid.T, c modelCall) ledger.TransferParams {
	p := ledger.TransferParams{
		ID: m.transferID(c.id), From: m.ids[c.from], To: m.ids[c.to], Amount: thousandths(rt, c.amount), Currency: c.currency,
		Reference: c.reference,
	}
	if c.detail != "" {
		p.Metadata = map[string]string{"detail": c.detail}
	}
	return p
}

func (m *modelRun) transfer(rt *rapid.T) {
	c := m.drawCall(rt)
	t, replayed, err := m.l.Transfer(context.Background(), m.params(rt, c))
	got := outcomeText(ledger.Outcome{Transfer: t, Replayed: replayed, Err: err})
	if want := m.transferModel(c); got != want {
		rt.Fatalf("transfer %+v: got %q, want %q", c, got, want)
	}
}

func (m *modelRun) batch(rt *rapid.T, atomic bool) {
	calls := rapid.SliceOfN(rapid.Custom(m.drawCall), 1, 12).Draw(rt, "calls")
	params := make([]ledger.TransferParams, 0, len(calls))
	for _, c := range calls {
		params = append(params, m.params(rt, c))
	}
	outcomes, err := m.l.TransferBatch(context.Background(), params, atomic)
	got := []string{errorText(err)}
	if err == nil {
		got = nil
		for _, o := range outcomes {
			got = append(got, outcomeText(o))
		}
	}
	var want []string
	if atomic {
		want = m.groupModel(calls)
	} else {
		for _, c := range calls {
			want = append(want, m.transferModel(c))
		}
	}
	if !slices.Equal(got, want) {
		rt.Fatalf("batch (atomic %t) %+v:\ngot  %q\nwant %q", atomic, calls, got, want)
	}
}
