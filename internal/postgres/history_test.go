package postgres_test

import (
	"context"
	"fmt"
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

// sumsText is what a balance as of then consists of: balance, held, incoming and available.
func sumsText(a *ledger.Account) string {
	return fmt.Sprint(a.Balance, " ", a.Held, " ", a.Incoming, " ", a.Available())
}

// newPast makes a history in which everything happens that a balance and a hold can go through, at
// known times: that of two accounts, until second 100.
func newPast(t *testing.T) *history {
	ctx := context.Background()
	url := pgtest.NewDatabase(t)
	clock := ledgertest.StopClock(t, url)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	clock.Step(time.Minute) // the equity account may be younger than the clock's time
	past := &history{l: l, clock: clock, start: clock.Now()}
	at := past.at
	a := ledgertest.OpenAccount(t, l, ledger.AccountParams{InitialBalance: ledgertest.Amount("100")}).ID
	clock.Set(at(10))
	b := ledgertest.OpenAccount(t, l, ledger.AccountParams{}).ID
	past.a, past.b = a, b
	hold := func(sum string, o ledger.TransferOptions) uuid.UUID {
		o.Hold = true
		return ledgertest.Pay(t, l, ledger.TransferParams{From: a, To: b, Amount: ledgertest.Amount(sum), Options: &o}).ID
	}
	capture := func(of uuid.UUID, sum string, final bool) uuid.UUID {
		c, _, _, err := l.Post(ctx, ledger.PostParams{HoldID: of, Amount: decimal.NewNullDecimal(ledgertest.Amount(sum)), Final: final})
		if err != nil || c.Status != ledger.TransferSuccess {
			t.Fatalf("capture: %+v, %v", c, err)
		}
		return c.ID
	}
	clock.Set(at(20))
	first := hold("30", ledger.TransferOptions{})                                          // captured twice
	second := hold("7", ledger.TransferOptions{HoldTTL: 25 * time.Second})                 // expires at 45
	third := hold("5", ledger.TransferOptions{HoldTTL: 15 * time.Second})                  // voided before 35
	refused := ledgertest.Pay(t, l, ledger.TransferParams{From: b, To: a, Amount: one}).ID // changes nothing
	clock.Set(at(25))
	captured := capture(first, "10", false)
	clock.Set(at(30))
	if _, _, err := l.Void(ctx, third, false); err != nil {
		t.Fatal(err)
	}
	clock.Set(at(40))
	capture(first, "4", true)
	if _, _, _, err := l.Reverse(ctx, ledger.ReverseParams{TransferID: captured}); err != nil {
		t.Fatal(err)
	}
	clock.Set(at(50))
	// Ends the second hold, five seconds late.
	ledgertest.Pay(t, l, ledger.TransferParams{From: a, To: b, Amount: ledgertest.Amount("3")})
	backdated := ledger.TransferOptions{EffectiveTime: at(1)}
	ledgertest.Pay(t, l, ledger.TransferParams{From: a, To: b, Amount: ledgertest.Amount("2"), Options: &backdated})
	scheduled := ledgertest.Pay(t, l, ledger.TransferParams{
		From: b, To: a, Amount: one, Options: &ledger.TransferOptions{ExecuteTime: at(60)},
	}).ID
	clock.Set(at(60))
	if o := l.Settle(ctx, scheduled); o.Err != nil || o.Transfer.Kind() != ledger.KindExecution {
		t.Fatalf("execute: %+v", o)
	}
	clock.Set(at(100))
	for _, id := range []uuid.UUID{second, refused} {
		if got, err := l.GetTransfer(ctx, id); err != nil || got.Status != ledger.TransferFailed {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	return past
}

// TestAccountAt reads every moment of a history.
func TestAccountAt(t *testing.T) {
	t.Parallel()
	past := newPast(t)
	l, a, b, at := past.l, past.a, past.b, past.at
	moments := []struct {
		from int // seconds; until the next one
		a, b string
	}{
		{0, "100 0 0 100", "missing"},
		{10, "100 0 0 100", "0 0 0 0"},
		{20, "100 42 0 58", "0 0 42 0"},
		{25, "90 32 0 58", "10 0 32 10"},
		{30, "90 27 0 63", "10 0 27 10"},
		{35, "90 27 0 63", "10 0 27 10"},
		{40, "96 7 0 89", "4 0 7 4"},
		{45, "96 0 0 96", "4 0 0 4"},
		{50, "91 0 0 91", "9 0 0 9"},
		{60, "92 0 0 92", "8 0 0 8"},
		{100, "92 0 0 92", "8 0 0 8"},
	}
	for i, moment := range moments {
		whens := []time.Time{at(moment.from), at(moment.from).Add(time.Nanosecond)}
		if i+1 < len(moments) {
			whens = append(whens, at(moment.from).Add(time.Microsecond), at(moments[i+1].from).Add(-time.Nanosecond))
		}
		for id, want := range map[uuid.UUID]string{a: moment.a, b: moment.b} {
			for _, when := range whens {
				got, err := l.GetAccountAt(t.Context(), id, when)
				text := sumsText(&got)
				if err != nil {
					text = errorText(err)
				}
				if text != want {
					t.Errorf("at %s: %s, want %s", when.Sub(past.start), text, want)
				}
			}
		}
	}
}

// TestAccountAtTheEdges: what is not of then is of now, and what lies outside of an account's past
// is an error.
func TestAccountAtTheEdges(t *testing.T) {
	t.Parallel()
	past := newPast(t)
	ctx, l, a, at := t.Context(), past.l, past.a, past.at
	now, err := l.GetAccount(ctx, a)
	if got, errAt := l.GetAccountAt(ctx, a, at(0)); err != nil || errAt != nil || got.Version != now.Version ||
		!got.UpdateTime.Equal(now.UpdateTime) {
		t.Errorf("all else is of now: %+v, %v; %+v, %v", got, errAt, now, err)
	}
	for name, of := range map[string]struct {
		id   uuid.UUID
		when time.Time
		want string
	}{
		"an account that does not exist": {uuid.New(), at(50), "missing"},
		"a microsecond ahead":            {a, at(100).Add(time.Microsecond), "invalid as_of"},
		"a microsecond before it was":    {a, at(0).Add(-time.Microsecond), "missing"},
		"no moment":                      {a, time.Time{}, "missing"},
		"before all time":                {a, time.Time{}.Add(-1), "invalid as_of"},
		"after all time":                 {a, time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC), "invalid as_of"},
	} {
		if _, err := l.GetAccountAt(ctx, of.id, of.when); errorText(err) != of.want {
			t.Errorf("%s: %v, want %s", name, err, of.want)
		}
	}
}

// TestAccountAtIsWhatItWas makes random changes, notes after each what the accounts are like, and
// reads that again later.
func TestAccountAtIsWhatItWas(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	clock := ledgertest.StopClock(t, url)
	clock.Step(time.Minute)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	moments, withHolds := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		ctx := context.Background()
		var ids []uuid.UUID
		for range 3 {
			ids = append(ids, ledgertest.OpenAccount(t, l, ledger.AccountParams{InitialBalance: ledgertest.Amount("20")}).ID)
		}
		var holds []uuid.UUID
		type seen struct {
			id  uuid.UUID
			at  time.Time
			was string
		}
		var notes []seen
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			if !randomStep(rt, t, l, ids, &holds) {
				continue
			}
			// What is noted is how it is at the end of the moment.
			for range rapid.IntRange(1, 3).Draw(rt, "seconds") {
				for _, id := range ids {
					a, err := l.GetAccount(ctx, id)
					if err != nil {
						rt.Fatal(err)
					}
					moments++
					if !a.Held.IsZero() {
						withHolds++
					}
					notes = append(notes, seen{id, clock.Now(), sumsText(&a)})
				}
				clock.Step(time.Second)
			}
		}
		for _, n := range notes {
			if got, err := l.GetAccountAt(ctx, n.id, n.at); err != nil || sumsText(&got) != n.was {
				rt.Fatalf("%s at %s: %s, %v, then it was %s", n.id, n.at, sumsText(&got), err, n.was)
			}
		}
	})
	if withHolds < moments/10 {
		t.Errorf("only %d of %d moments had holds, the runs say little", withHolds, moments)
	}
}

// randomStep makes a transfer or a hold, or ends one in some way, and reports whether it did.
func randomStep(rt *rapid.T, t *testing.T, l *postgres.Ledger, ids []uuid.UUID, holds *[]uuid.UUID) bool {
	from := rapid.IntRange(0, 2).Draw(rt, "from")
	p := ledger.TransferParams{
		From: ids[from], To: ids[(from+rapid.IntRange(1, 2).Draw(rt, "to"))%3],
		Amount: decimal.NewFromInt(rapid.Int64Range(1, 9).Draw(rt, "amount")),
	}
	switch rapid.IntRange(0, 4).Draw(rt, "what") {
	case 0, 1:
		ttl := rapid.IntRange(0, 5).Draw(rt, "ttl")
		p.Options = &ledger.TransferOptions{Hold: true, HoldTTL: time.Duration(ttl) * time.Second}
		h := ledgertest.Pay(t, l, p)
		*holds = append(*holds, h.ID)
	case 2:
		ledgertest.Pay(t, l, p)
	default:
		if len(*holds) == 0 {
			return false
		}
		id := rapid.SampledFrom(*holds).Draw(rt, "hold")
		part := ledger.PostParams{HoldID: id, Amount: decimal.NewNullDecimal(p.Amount), Final: rapid.Bool().Draw(rt, "final")}
		if rapid.Bool().Draw(rt, "void") {
			_, _, _ = l.Void(context.Background(), id, false) // refused if it has ended
		} else if _, _, _, err := l.Post(context.Background(), part); err != nil {
			rt.Fatalf("capture: %v", err)
		}
	}
	return true
}
