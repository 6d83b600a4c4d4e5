package postgres_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// The number of runs is moderate by default; the flag -rapid.checks raises it.
func init() {
	if err := flag.Set("rapid.checks", "30"); err != nil {
		panic(err)
	}
}

// TestModel runs random calls on the ledger and on a model of it, which is as simple as can be:
// maps, whole numbers of thousandths, one transfer at a time. Every result must be the same, and at
// the end everything that can be read. Each run has its own currencies and accounts. The spaces of
// ids and amounts are small, so that calls collide.
func TestModel(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{BatchMax: 8})
	runs := 0
	seen := map[string]int{} // results of transfers, by their first word
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		m := newModelRun(rt, l, runs)
		m.seen = seen
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
	for _, answer := range []string{
		"ok", "replay", "conflict", "invalid", "FROM_ACCOUNT_NOT_FOUND", "TO_ACCOUNT_NOT_FOUND", "CURRENCY_MISMATCH",
		"ACCOUNT_CLOSED", "ACCOUNT_FROZEN", "INSUFFICIENT_FUNDS", "GROUP_FAILED", "group ok", "group replay",
	} {
		if seen[answer] == 0 {
			t.Errorf("%s was never returned, the runs say little: %v", answer, seen)
		}
	}
}

// A modelAccount is the model's account. Amounts are in thousandths.
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

// A modelTransfer is the model's record of a transfer: the call that made it, and the result.
type modelTransfer struct {
	call   modelCall
	answer string
	group  int // 0: it stood alone
}

// A modelCall is a call that makes a transfer. Accounts are named by their index.
type modelCall struct {
	id, from, to                int
	amount                      int64
	currency, reference, detail string
}

// A modelRun is one run of the ledger beside the model.
type modelRun struct {
	l          *postgres.Ledger
	scope      uuid.UUID
	currencies []string         // of 2 and of 0 decimals
	unit       map[string]int64 // of each currency, in thousandths
	ids        []uuid.UUID      // accounts by index: equity of both currencies, then the others
	accounts   map[int]*modelAccount
	transfers  map[int]*modelTransfer
	drawn      int            // ids of transfers in use
	groups     [][]modelCall  // that were called so far
	group      int            // that is decided, or 0
	sizes      []int          // of the groups decided so far
	seen       map[string]int // see TestModel
}

// The accounts of a run, by index: equity of the two currencies; three and two that are open in
// these at the start; one that may be opened; one that never is; one that is closed and one that is
// frozen from the start.
const modelAccounts = 11

// modelRoutes are payers and payees. The draw prefers what stands first.
var modelRoutes = [][2]int{
	{2, 3}, {3, 4}, {4, 2}, {3, 2}, {2, 4}, {5, 6}, {4, 3}, {6, 5}, {0, 2}, {2, 0}, {7, 2}, {3, 7}, {5, 1}, {2, 5}, {2, 8},
	{8, 3}, {2, 10}, {2, 9}, {10, 3}, {8, 7}, {4, 4}, {0, 5}, {9, 10},
}

func newModelRun(rt *rapid.T, l *postgres.Ledger, run int) *modelRun {
	m := &modelRun{
		l: l, scope: uuid.New(), unit: map[string]int64{}, accounts: map[int]*modelAccount{}, transfers: map[int]*modelTransfer{},
	}
	for i, scale := range []int32{2, 0} {
		code := fmt.Sprintf("M%dS%d", run, scale)
		c, _, err := l.CreateCurrency(context.Background(), code, scale, false)
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
	for i, initial := range []int64{10_000, 5000, 0, 10_000, 1000} {
		m.open(rt, i+2, m.currencies[i/3], initial, min(0, 3000-initial), "")
	}
	m.open(rt, 9, m.currencies[0], 0, 0, "")
	m.open(rt, 10, m.currencies[0], 1000, 0, "")
	m.change(rt, 9, nil, new(ledger.AccountClosed), nil)
	m.change(rt, 10, nil, new(ledger.AccountFrozen), nil)
	return m
}

func (m *modelRun) transferID(i int) uuid.UUID { return uuid.NewSHA1(m.scope, fmt.Append(nil, "t", i)) }

// thousandths makes the number, written in one of several ways.
func thousandths(rt *rapid.T, n int64) decimal.Decimal {
	d := decimal.New(n, -3)
	if rapid.Bool().Draw(rt, "short") {
		return decimal.RequireFromString(d.String())
	}
	return d
}

var modelAmounts = rapid.SampledFrom([]int64{1000, 2000, 3000, 4000, 5000, 1000, 2000, 500, 10, 100_000, 1, 0, -1000})

// create opens an account, or repeats that with the same or other fields.
func (m *modelRun) create(rt *rapid.T) {
	i := rapid.SampledFrom([]int{7, 2, 3, 5}).Draw(rt, "account")
	currency := rapid.SampledFrom([]string{m.currencies[0], m.currencies[0], m.currencies[1], "NONE9"}).Draw(rt, "currency")
	initial := rapid.SampledFrom([]int64{10_000, 5000, 0, 10, 1, -1000}).Draw(rt, "initial")
	floor := rapid.SampledFrom([]int64{0, 0, -7000, -2000, 5000, 1}).Draw(rt, "floor")
	m.open(rt, i, currency, initial, floor, rapid.SampledFrom([]string{"", "n"}).Draw(rt, "name"))
}

func (m *modelRun) open(rt *rapid.T, i int, currency string, initial, floor int64, name string) {
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
	var floor, version *int64
	var status *ledger.AccountStatus
	if rapid.Bool().Draw(rt, "change the floor") {
		floor = new(rapid.SampledFrom([]int64{0, -3000, 2000, 10, 1}).Draw(rt, "floor"))
	}
	if rapid.Bool().Draw(rt, "change the status") {
		status = new(rapid.SampledFrom([]ledger.AccountStatus{
			ledger.AccountOpen, ledger.AccountOpen, ledger.AccountOpen, ledger.AccountFrozen, ledger.AccountClosed,
		}).Draw(rt, "status"))
	}
	if rapid.Bool().Draw(rt, "expect a version") {
		version = new(rapid.Int64Range(1, 4).Draw(rt, "version"))
	}
	m.change(rt, rapid.IntRange(0, modelAccounts-1).Draw(rt, "account"), floor, status, version)
}

func (m *modelRun) change(rt *rapid.T, i int, floor *int64, status *ledger.AccountStatus, version *int64) {
	change := ledger.AccountChange{ID: m.ids[i], Status: status, ExpectedVersion: version}
	if floor != nil {
		change.MinBalance = new(thousandths(rt, *floor))
	}
	a, err := m.l.UpdateAccount(context.Background(), change)
	got := errorText(err)
	if err == nil {
		got = modelAccountText(&a, false)
	}
	if want := m.updateModel(i, floor, status, version); got != want {
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
		entries, _, err := m.l.ListEntries(ctx, postgres.EntryFilter{AccountID: m.ids[i], OldestFirst: true}, paging.Page{Size: 1000})
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
	for i := range m.drawn {
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

// compareList reads the transfers of both currencies, which are those of the run but for opening
// balances and for the few that have no currency at all.
func (m *modelRun) compareList(rt *rapid.T) {
	want := map[uuid.UUID]string{}
	for i, known := range m.transfers {
		want[m.transferID(i)] = known.answer
	}
	got := map[uuid.UUID]string{}
	for _, id := range m.ids {
		list, _, err := m.l.ListTransfers(context.Background(), postgres.TransferFilter{AccountID: id}, paging.Page{Size: 1000})
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
	// Some calls repeat an earlier one, perhaps with a field changed.
	known := slices.Sorted(maps.Keys(m.transfers))
	if len(known) > 0 && rapid.IntRange(0, 5).Draw(rt, "repeat") == 5 {
		c := m.transfers[rapid.SampledFrom(known).Draw(rt, "known")].call
		switch rapid.IntRange(0, 15).Draw(rt, "changed field") {
		case 15:
			c.amount = modelAmounts.Draw(rt, "amount")
		case 14:
			c.reference += "x"
		case 13:
			c.detail += "x"
		case 12:
			c.currency = m.currencies[0]
		case 11:
			c.from, c.to = c.to, c.from
		}
		return c
	}
	route := rapid.SampledFrom(modelRoutes).Draw(rt, "route")
	c := modelCall{
		id: m.drawn, from: route[0], to: route[1], amount: modelAmounts.Draw(rt, "amount"),
		currency: rapid.SampledFrom([]string{"", "", "", "", "", m.currencies[0], m.currencies[1], "NONE9"}).Draw(rt, "currency"),
	}
	if m.drawn > 0 && rapid.IntRange(0, 15).Draw(rt, "known id") == 15 {
		c.id = rapid.IntRange(0, m.drawn-1).Draw(rt, "id")
	} else {
		m.drawn++
	}
	return c
}

// drawGroup draws calls for one group: often they are new and one after another along one route and
// back.
func (m *modelRun) drawGroup(rt *rapid.T) []modelCall {
	if len(m.groups) > 0 && rapid.IntRange(0, 3).Draw(rt, "repeat a group") == 3 {
		return rapid.SampledFrom(m.groups).Draw(rt, "group")
	}
	calls := rapid.SliceOfN(rapid.Custom(m.drawCall), 1, 4).Draw(rt, "calls")
	if rapid.Bool().Draw(rt, "tame") {
		for i := range calls {
			calls[i] = modelCall{id: m.drawn, from: 2 + i%3, to: 2 + (i+1)%3, amount: []int64{1000, 2000, 4000, 8000}[i]}
			m.drawn++
		}
	}
	m.groups = append(m.groups, calls)
	return calls
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
	m.seen[strings.Fields(got)[0]]++
	if want := m.transferModel(c); got != want {
		rt.Fatalf("transfer %+v: got %q, want %q", c, got, want)
	}
}

func (m *modelRun) batch(rt *rapid.T, atomic bool) {
	var calls []modelCall
	if atomic {
		calls = m.drawGroup(rt)
	} else {
		calls = rapid.SliceOfN(rapid.Custom(m.drawCall), 1, 12).Draw(rt, "calls")
	}
	params := make([]ledger.TransferParams, 0, len(calls))
	for _, c := range calls {
		params = append(params, m.params(rt, c))
	}
	outcomes, err := m.l.TransferBatch(context.Background(), params, ledger.BatchOptions{Atomic: atomic})
	got := []string{errorText(err)}
	if err == nil {
		got = nil
		for _, o := range outcomes {
			got = append(got, outcomeText(o))
		}
	}
	for _, answer := range got {
		m.seen[strings.Fields(answer)[0]]++
	}
	if atomic && len(got) > 1 {
		m.seen["group "+strings.Fields(got[0])[0]]++
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
