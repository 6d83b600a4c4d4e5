package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

const (
	linearAccounts = 3
	linearCallers  = 16
	linearCalls    = 14 // of each caller
	linearRounds   = 8
	linearOpening  = 10 // the balance of each account: small, so that refusals are frequent
	linearRepeated = 2  // the first ids of a round are used by all callers, for the same transfer
	linearHolds    = 3  // holds of a round, which all callers make, post and void
	linearHeld     = 6  // the amount of each
)

// A linearMove is a call of Transfer. Ids below linearRepeated are shared; the others are used
// once.
type linearMove struct {
	from, to, amount int
	id               int
}

// A linearCall is an operation of a history: a read of an account when it has no moves, a group
// when it has several; or something about a hold.
type linearCall struct {
	read  int
	moves []linearMove
	verb  string // hold, post or void; empty: a read or moves
	hold  int
}

// A linearState is what a history's operations see: the balances, and the results of the shared
// ids.
type linearState struct {
	balances [linearAccounts]int
	answers  [linearRepeated]string
	held     [linearAccounts]int
	holds    [linearHolds]string // init, posted, voided, refused; empty: not there yet
}

// about executes a call about a hold, from one account to the next.
func (s linearState) about(c linearCall) (linearState, string) {
	from, to := c.hold%linearAccounts, (c.hold+1)%linearAccounts
	h := &s.holds[c.hold]
	switch c.verb {
	case "hold":
		if *h != "" {
			return s, "replay"
		}
		if *h = "refused"; s.balances[from]-s.held[from] >= linearHeld {
			s.held[from] += linearHeld
			*h = "init"
		}
		return s, *h
	case "post":
		if *h == "init" {
			*h = "posted"
			s.held[from] -= linearHeld
			s.balances[from] -= linearHeld
			s.balances[to] += linearHeld
			return s, fmt.Sprintf("ok %d %d", s.balances[from], s.balances[to])
		}
	case "void":
		if *h == "init" {
			*h = "voided"
			s.held[from] -= linearHeld
			return s, "voided"
		}
	}
	if *h == "" {
		return s, "missing"
	}
	return s, *h
}

// step executes a call on the state and returns what the ledger should.
func (s linearState) step(c linearCall) (linearState, string) {
	if c.verb != "" {
		return s.about(c)
	}
	if len(c.moves) == 0 {
		return s, fmt.Sprint(s.balances[c.read])
	}
	if m := c.moves[0]; len(c.moves) == 1 && m.id < linearRepeated && s.answers[m.id] != "" {
		return s, "replay " + s.answers[m.id]
	}
	next, failed := s, -1
	var answers []string
	for i, m := range c.moves {
		if next.balances[m.from]-next.held[m.from] < m.amount {
			failed = i
			break
		}
		next.balances[m.from] -= m.amount
		next.balances[m.to] += m.amount
		answers = append(answers, fmt.Sprintf("ok %d %d", next.balances[m.from], next.balances[m.to]))
	}
	if failed >= 0 {
		next, answers = s, nil
		for i, m := range c.moves {
			reason := ledger.GroupFailed
			if i == failed {
				reason = ledger.InsufficientFunds
			}
			answers = append(answers, fmt.Sprintf("%s %d %d", reason, s.balances[m.from], s.balances[m.to]))
		}
	}
	answer := strings.Join(answers, ", ")
	if m := c.moves[0]; m.id < linearRepeated {
		next.answers[m.id] = answer
	}
	return next, answer
}

var linearModel = porcupine.Model{
	Init: func() any {
		var s linearState
		for i := range s.balances {
			s.balances[i] = linearOpening
		}
		return s
	},
	Step: func(state, input, output any) (bool, any) {
		next, answer := state.(linearState).step(input.(linearCall))
		return answer == output.(string), next
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %s", input, output) },
}

// TestLinearizability: whatever callers do at the same time, some serial order of the calls gives
// each result and each read, an order in which no call comes before one that returned before it was
// made.
func TestLinearizability(t *testing.T) {
	t.Parallel()
	// Small batches on several connections, so that batches run beside each other.
	l := ledgertest.Open(t, postgres.Config{BatchesInFlight: 4, BatchMax: 4})
	refused, replayed := 0, 0
	for range linearRounds {
		history := linearHistory(t, l)
		for _, op := range history {
			if strings.Contains(op.Output.(string), string(ledger.InsufficientFunds)) {
				refused++
			}
			if strings.Contains(op.Output.(string), "replay") {
				replayed++
			}
		}
		if result := porcupine.CheckOperationsTimeout(linearModel, history, 30*time.Second); result != porcupine.Ok {
			t.Errorf("the history of %d calls is %s", len(history), result)
			for _, op := range history {
				t.Logf("%4d–%4d %s", op.Call, op.Return, linearModel.DescribeOperation(op.Input, op.Output))
			}
		}
	}
	if refused == 0 || replayed == 0 {
		t.Errorf("%d calls refused and %d replayed: the histories say little", refused, replayed)
	}
}

// linearHistory runs callers on fresh accounts and records what they saw.
func linearHistory(t *testing.T, l *postgres.Ledger) []porcupine.Operation {
	t.Helper()
	var accounts [linearAccounts]uuid.UUID
	for i := range accounts {
		a, _, err := l.CreateAccount(context.Background(), ledger.AccountParams{InitialBalance: decimal.NewFromInt(linearOpening)})
		if err != nil {
			t.Fatalf("create an account: %v", err)
		}
		accounts[i] = a.ID
	}
	run := linearRun{l: l, accounts: accounts, scope: uuid.New()}
	histories := make([][]porcupine.Operation, linearCallers)
	var clock atomic.Int64
	var callers sync.WaitGroup
	for caller := range linearCallers {
		callers.Go(func() {
			for i := range linearCalls {
				c := linearDraw(caller*linearCalls + i)
				op := porcupine.Operation{ClientId: caller, Input: c, Call: clock.Add(1)}
				op.Output = run.do(c)
				op.Return = clock.Add(1)
				histories[caller] = append(histories[caller], op)
			}
		})
	}
	callers.Wait()
	var history []porcupine.Operation
	for _, h := range histories {
		history = append(history, h...)
	}
	return history
}

// linearDraw makes the n-th call of a history.
func linearDraw(n int) linearCall {
	draw := func() linearMove {
		from := rand.IntN(linearAccounts)
		to := (from + 1 + rand.IntN(linearAccounts-1)) % linearAccounts
		return linearMove{from: from, to: to, amount: 1 + rand.IntN(12)}
	}
	switch kind := rand.IntN(14); {
	case kind >= 10:
		return linearCall{verb: []string{"hold", "hold", "post", "void"}[kind-10], hold: rand.IntN(linearHolds)}
	case kind < 5:
		return linearCall{read: rand.IntN(linearAccounts)}
	case kind < 6:
		id := rand.IntN(linearRepeated)
		return linearCall{moves: []linearMove{{from: id, to: id + 1, amount: 5, id: id}}}
	case kind < 7:
		first, second := draw(), draw()
		first.id, second.id = linearRepeated+2*n, linearRepeated+2*n+1
		return linearCall{moves: []linearMove{first, second}}
	default:
		m := draw()
		m.id = linearRepeated + 2*n
		return linearCall{moves: []linearMove{m}}
	}
}

// A linearRun is the ledger's side of a history.
type linearRun struct {
	l        *postgres.Ledger
	accounts [linearAccounts]uuid.UUID
	scope    uuid.UUID
}

// do makes a call on the ledger and returns what was seen.
func (r *linearRun) do(c linearCall) string {
	ctx := context.Background()
	if c.verb != "" {
		return r.about(c)
	}
	if len(c.moves) == 0 {
		a, err := r.l.GetAccount(ctx, r.accounts[c.read])
		if err != nil {
			return err.Error()
		}
		return a.Balance.String()
	}
	params := make([]ledger.TransferParams, 0, len(c.moves))
	for _, m := range c.moves {
		params = append(params, ledger.TransferParams{
			ID: uuid.NewSHA1(r.scope, []byte(fmt.Sprint(m.id))), From: r.accounts[m.from], To: r.accounts[m.to],
			Amount: decimal.NewFromInt(int64(m.amount)),
		})
	}
	if len(params) == 1 {
		transfer, replayed, err := r.l.Transfer(ctx, params[0])
		return withoutFigures(ledger.Outcome{Transfer: transfer, Replayed: replayed, Err: err})
	}
	outcomes, err := r.l.TransferBatch(ctx, params, ledger.BatchOptions{Atomic: true})
	if err != nil {
		return err.Error()
	}
	answers := make([]string, 0, len(outcomes))
	for _, o := range outcomes {
		answers = append(answers, withoutFigures(o))
	}
	return strings.Join(answers, ", ")
}

// withoutFigures is the text of an outcome without those of a refusal, which say what is held.
func withoutFigures(o ledger.Outcome) string {
	words := strings.Fields(outcomeText(o))
	if last := len(words) - 1; strings.Contains(words[last], "/") {
		words = words[:last]
	}
	return strings.Join(words, " ")
}

// about makes a call about a hold and returns what was seen.
func (r *linearRun) about(c linearCall) string {
	ctx, id := context.Background(), uuid.NewSHA1(r.scope, []byte(fmt.Sprint("hold ", c.hold)))
	var t ledger.Transfer
	var replayed bool
	var err error
	switch c.verb {
	case "hold":
		t, replayed, err = r.l.Transfer(ctx, ledger.TransferParams{
			ID: id, From: r.accounts[c.hold%linearAccounts], To: r.accounts[(c.hold+1)%linearAccounts],
			Amount: decimal.NewFromInt(linearHeld), Options: &ledger.TransferOptions{Hold: true},
		})
	case "post":
		t, _, _, err = r.l.Post(ctx, ledger.PostParams{HoldID: id, ID: uuid.New()})
	case "void":
		t, _, err = r.l.Void(ctx, id, false)
	}
	text := outcomeText(ledger.Outcome{Transfer: t, Err: err})
	switch {
	case replayed:
		return "replay"
	case strings.HasPrefix(text, "init"):
		return "init"
	case strings.HasPrefix(text, "INSUFFICIENT_FUNDS"), strings.Contains(text, "NOT_PENDING"):
		return "refused"
	case strings.Contains(text, "ALREADY_POSTED"):
		return "posted"
	case strings.Contains(text, "VOIDED"):
		return "voided"
	}
	return text
}

// TestLinearizabilityFindsBrokenHistories: the model above finds errors; each of these histories is
// wrong in one way.
func TestLinearizabilityFindsBrokenHistories(t *testing.T) {
	t.Parallel()
	pay := func(id, from, to, amount int) linearCall {
		return linearCall{moves: []linearMove{{from: from, to: to, amount: amount, id: linearRepeated + id}}}
	}
	shared := linearCall{moves: []linearMove{{from: 0, to: 1, amount: 5, id: 0}}}
	group := linearCall{moves: []linearMove{{from: 0, to: 1, amount: 4, id: 10}, {from: 1, to: 2, amount: 20, id: 11}}}
	// Each operation is made after the one before it returned, or all at the same time.
	type seen struct {
		call   linearCall
		answer string
	}
	for _, h := range []struct {
		name       string
		concurrent bool
		seen       []seen
		ok         bool
	}{
		{"a serial history", false, []seen{{pay(1, 0, 1, 4), "ok 6 14"}, {linearCall{read: 0}, "6"}}, true},
		{"a read from before", false, []seen{{pay(1, 0, 1, 4), "ok 6 14"}, {linearCall{read: 0}, "10"}}, false},
		{"a concurrent read from before", true, []seen{{pay(1, 0, 1, 4), "ok 6 14"}, {linearCall{read: 0}, "10"}}, true},
		{"money spent twice", true, []seen{{pay(1, 0, 1, 10), "ok 0 20"}, {pay(2, 0, 2, 10), "ok 0 20"}}, false},
		{"an update lost", true, []seen{{pay(1, 0, 1, 1), "ok 9 11"}, {pay(2, 0, 1, 1), "ok 9 11"}}, false},
		{"refused with funds there", true, []seen{{pay(1, 0, 1, 10), "INSUFFICIENT_FUNDS 10 10"}}, false},
		{"half a group", true, []seen{
			{group, "GROUP_FAILED 10 10, INSUFFICIENT_FUNDS 10 10"}, {linearCall{read: 0}, "6"},
		}, false},
		{"a balance that nobody had", true, []seen{
			{pay(1, 0, 1, 1), "ok 9 11"}, {pay(2, 0, 1, 2), "ok 7 13"}, {linearCall{read: 0}, "8"},
		}, false},
		{"applied twice", true, []seen{{shared, "ok 5 15"}, {shared, "ok 0 20"}}, false},
		{"replayed", true, []seen{{shared, "replay ok 5 15"}, {shared, "ok 5 15"}}, true},
		{"held money spent", false, []seen{
			{linearCall{verb: "hold"}, "init"}, {pay(1, 0, 1, 5), "ok 5 15"},
		}, false},
		{"posted and voided", true, []seen{
			{linearCall{verb: "hold"}, "init"}, {linearCall{verb: "post"}, "ok 4 16"}, {linearCall{verb: "void"}, "voided"},
		}, false},
		{"posted twice", true, []seen{
			{linearCall{verb: "hold"}, "init"}, {linearCall{verb: "post"}, "ok 4 16"}, {linearCall{verb: "post"}, "ok -2 22"},
		}, false},
		{"voided twice", true, []seen{
			{linearCall{verb: "hold"}, "init"}, {linearCall{verb: "void"}, "voided"}, {linearCall{verb: "void"}, "voided"},
		}, true},
		{"replayed before it happened", false, []seen{{shared, "replay ok 5 15"}, {shared, "ok 5 15"}}, false},
	} {
		var history []porcupine.Operation
		for i, s := range h.seen {
			op := porcupine.Operation{ClientId: i, Input: s.call, Output: s.answer, Call: int64(2 * i), Return: int64(2*i + 1)}
			if h.concurrent {
				op.Call, op.Return = 0, 1
			}
			history = append(history, op)
		}
		if got := porcupine.CheckOperations(linearModel, history); got != h.ok {
			t.Errorf("%s: linearizable is %t, want %t", h.name, got, h.ok)
		}
	}
}
