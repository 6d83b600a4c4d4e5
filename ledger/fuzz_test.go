package ledger

import (
	"bytes"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/shopspring/decimal"
)

// FuzzAmount: checkSize and checkPrecision agree with exact fractions, and never write out a huge
// number to find out.
func FuzzAmount(f *testing.F) {
	for _, text := range []string{
		"0", "20", "20.00", "0.001", "-1.5", "1e1000000000", "-1e-1000000000", "1e2147483647", "1e-2147483648", "0e99",
		"99999999999999999999999999999999999999", "100000000000000000000000000000000000000", "1e37", "1e38", "10e37",
		"0.000000000000000001", "0.0000000000000000001", "1.0000000000000000000", "9999e34", "9999e35",
	} {
		f.Add(text, uint8(2))
		f.Add(text, uint8(18))
	}
	limit := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(digitsMax), nil))
	f.Fuzz(func(t *testing.T, text string, scale uint8) {
		d, err := decimal.NewFromString(text)
		if err != nil || len(text) > 200 {
			return
		}
		sizeErr := checkSize("amount", d)
		if e := d.Exponent(); e > digitsMax || e < -decimalsMax {
			if sizeErr == nil {
				t.Errorf("%q, exponent %d, has a good size", text, e)
			}
			return // a fraction of it may not fit into memory
		}
		exact := d.Rat()
		within := new(big.Rat).Abs(exact).Cmp(limit) < 0
		if (sizeErr == nil) != within && !d.IsZero() {
			t.Errorf("%q: size %v, but within bounds is %t", text, sizeErr, within)
		}
		if sizeErr != nil {
			return
		}
		currency := Currency{Code: "TST", Scale: int32(scale % 19)}
		unit := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(currency.Scale)), nil))
		whole := new(big.Rat).Mul(exact, unit).IsInt()
		if err := currency.CheckPrecision("amount", d); (err == nil) != whole {
			t.Errorf("%q with %d decimals: %v, but a whole number of units is %t", text, currency.Scale, err, whole)
		}
	})
}

// FuzzDecide: for any batch, Decide finds what a naive execution finds, one command after another,
// in whole numbers; no money comes from nowhere, and the rows are complete.
func FuzzDecide(f *testing.F) {
	f.Add([]byte{10, 0, 5, 0x01, 0x11, 0x21, 1, 2, 0x10, 0x0a})
	f.Add([]byte{0, 0, 0, 200, 3, 7, 9, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71})
	f.Add(bytes.Repeat([]byte{7, 91, 33, 250, 128}, 30))
	f.Add(bytes.Repeat([]byte{0x40, 0x81, 0x02, 0xc3}, 40))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 400 {
			return
		}
		requireNaive(t, data)
	})
}

// TestAMillionCommands is FuzzDecide with batches at random, a million commands in all; a tenth of
// that with the race detector, which makes them ten times slower.
func TestAMillionCommands(t *testing.T) {
	t.Parallel()
	commands := 1_000_000
	if raceDetector {
		commands /= 10
	}
	random := rand.NewChaCha8([32]byte{1})
	data := make([]byte, 400)
	for commands > 0 && !t.Failed() {
		_, _ = random.Read(data) // it never fails
		commands -= requireNaive(t, data)
	}
}

// requireNaive fails unless Decide finds for the batch in data what a naive execution finds. It
// returns the number of commands.
func requireNaive(t *testing.T, data []byte) int {
	t.Helper()
	n := newNaive(data)
	accounts := n.states()
	for _, s := range accounts {
		before := *s
		s.Before = &before
	}
	d := Decide(n.commands, &Snapshot{Accounts: accounts})
	n.execute()
	total, sum := decimal.Zero, decimal.Zero
	for i, id := range naiveIDs {
		s := accounts[id]
		if s == nil {
			continue
		}
		if !s.Balance.Equal(decimal.NewFromInt(n.balances[i])) || s.Entries != n.entries[i] {
			t.Errorf("account %d: %s after %d entries, want %d after %d", i, s.Balance, s.Entries, n.balances[i], n.entries[i])
		}
		total = total.Add(s.Balance.Sub(s.Before.Balance))
	}
	recorded := 0
	for i := range d.Outcomes {
		o := &d.Outcomes[i]
		got := naiveAnswer{reason: o.Transfer.Reason, replayed: o.Replayed, conflict: o.Err != nil}
		if got != n.answers[i] {
			t.Errorf("command %d %+v: got %+v, want %+v", i, n.commands[i], got, n.answers[i])
		}
		if o.Err == nil && !o.Replayed {
			recorded++
		}
	}
	if len(d.Recorded) != recorded {
		t.Errorf("%d rows, want %d", len(d.Recorded), recorded)
	}
	for _, f := range NetOf(n.commands) {
		sum = sum.Add(f.Delta)
	}
	if !total.IsZero() || !sum.IsZero() {
		t.Errorf("money came from nowhere: balances changed by %s, net changes sum to %s", total, sum)
	}
	return len(n.commands)
}
