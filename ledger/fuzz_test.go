package ledger

import (
	"bytes"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// FuzzPageToken: a token that this ledger made says what was put in, for its list and filter and no other; any other
// text, one bit away or more, is refused.
func FuzzPageToken(f *testing.F) {
	signer := tokenSigner{key: []byte("the key of the ledger")}
	first := signer.token("transfers", TransferFilter{}, place{Position: 1})
	f.Add("", int64(0), int64(0), "", uint16(0))
	f.Add(first, int64(1_700_000_000_000_000), int64(7), "USD", uint16(8*len(first)-1))
	f.Add(first+"\n", int64(-62_135_596_800_000_000), int64(1<<62), "\x00\xff", uint16(3))
	f.Add(first[:len(first)-1]+"_", int64(253_402_300_799_999_999), int64(-1), "ZZZ", uint16(9))
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAA", int64(5), int64(5), "é", uint16(60_000))
	f.Fuzz(func(t *testing.T, text string, micros, position int64, code string, bit uint16) {
		code = strings.ToValidUTF8(code, "?") // as all codes and references are
		p := place{Time: time.UnixMicro(micros).UTC(), Position: position, ID: uuid.NewSHA1(uuid.Nil, []byte(code)), Code: code}
		if p.Time.Before(timeMin) || p.Time.After(timeMax) {
			p.Time = time.Time{} // no row has such a time
		}
		filter := TransferFilter{Reference: code, Start: p.Time}
		token := signer.token("transfers", filter, p)
		got, err := signer.place("transfers", filter, token)
		if err != nil {
			t.Fatalf("own token %q: %v", token, err)
		}
		if !got.Time.Equal(p.Time) || got.Position != p.Position || got.ID != p.ID || signer.token("transfers", filter, *got) != token {
			t.Errorf("token of %+v says %+v", p, got)
		}
		other := filter
		other.Status = TransferFailed
		flipped := []byte(token)
		flipped[int(bit/8)%len(flipped)] ^= 1 << (bit % 8)
		for _, c := range []struct {
			what   string
			signer tokenSigner
			list   string
			filter TransferFilter
			token  string
		}{
			{"one bit flipped", signer, "transfers", filter, string(flipped)},
			{"cut off", signer, "transfers", filter, token[:len(token)-1]},
			{"a line break added", signer, "transfers", filter, token + "\n"},
			{"of another list", signer, "entries", filter, token},
			{"of another filter", signer, "transfers", other, token},
			{"of another ledger", tokenSigner{key: []byte("another key")}, "transfers", filter, token},
		} {
			if got, err := c.signer.place(c.list, c.filter, c.token); !errors.Is(err, ErrPageToken) {
				t.Errorf("token %s: %+v, %v", c.what, got, err)
			}
		}
		if got, err := signer.place("transfers", filter, text); text == "" {
			if got != nil || err != nil {
				t.Errorf("no token: %+v, %v", got, err)
			}
		} else if text != token && !errors.Is(err, ErrPageToken) {
			t.Errorf("token %q, which nobody made, says %+v, %v", text, got, err)
		}
	})
}

// FuzzAmount: checkSize and checkPrecision agree with exact fractions, and never write out a huge number to find out.
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
		if err := currency.checkPrecision("amount", d); (err == nil) != whole {
			t.Errorf("%q with %d decimals: %v, but a whole number of units is %t", text, currency.Scale, err, whole)
		}
	})
}

// FuzzDecide: for any batch, decide answers what a naive execution answers, one command after another, in whole
// numbers; no money comes from nowhere, and the rows are complete.
func FuzzDecide(f *testing.F) {
	f.Add([]byte{10, 0, 5, 0x01, 0x11, 0x21, 1, 2, 0x10, 0x0a})
	f.Add([]byte{0, 0, 0, 200, 3, 7, 9, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71})
	f.Add(bytes.Repeat([]byte{7, 91, 33, 250, 128}, 30))
	f.Add(bytes.Repeat([]byte{0x40, 0x81, 0x02, 0xc3}, 40))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 400 {
			return
		}
		n := newNaive(data)
		accounts := n.states()
		for _, s := range accounts {
			before := *s
			s.before = &before
		}
		d := decide(n.commands, &knowledge{accounts: accounts})
		n.execute()
		total, sum := decimal.Zero, decimal.Zero
		for i, id := range naiveIDs {
			s := accounts[id]
			if s == nil {
				continue
			}
			if !s.balance.Equal(decimal.NewFromInt(n.balances[i])) || s.entries != n.entries[i] {
				t.Errorf("account %d: %s after %d entries, want %d after %d", i, s.balance, s.entries, n.balances[i], n.entries[i])
			}
			total = total.Add(s.balance.Sub(s.before.balance))
		}
		recorded := 0
		for i := range d.outcomes {
			o := &d.outcomes[i]
			got := naiveAnswer{reason: o.Transfer.Reason, replayed: o.Replayed, conflict: o.Err != nil}
			if got != n.answers[i] {
				t.Errorf("command %d %+v: got %+v, want %+v", i, n.commands[i], got, n.answers[i])
			}
			if o.Err == nil && !o.Replayed {
				recorded++
			}
		}
		if len(d.recorded) != recorded {
			t.Errorf("%d rows, want %d", len(d.recorded), recorded)
		}
		for _, f := range foldAll(n.commands) {
			sum = sum.Add(f.delta)
		}
		if !total.IsZero() || !sum.IsZero() {
			t.Errorf("money came from nowhere: balances changed by %s, folds sum to %s", total, sum)
		}
	})
}
