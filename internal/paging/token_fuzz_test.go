package paging

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"internaltransfers/ledger"
)

// A testFilter is what a list is narrowed by.
type testFilter struct {
	Reference string
	Start     time.Time
	Status    ledger.TransferStatus
}

// FuzzPageToken: a token that this ledger made says what was put in, for its list and filter and no
// other; any other text, one bit away or more, is refused.
func FuzzPageToken(f *testing.F) {
	signer := Signer{Secret: []byte("the key of the ledger")}
	first := signer.Token("transfers", testFilter{}, Key{Position: 1})
	f.Add("", int64(0), int64(0), "", uint16(0))
	f.Add(first, int64(1_700_000_000_000_000), int64(7), "USD", uint16(8*len(first)-1))
	f.Add(first+"\n", int64(-62_135_596_800_000_000), int64(1<<62), "\x00\xff", uint16(3))
	f.Add(first[:len(first)-1]+"_", int64(253_402_300_799_999_999), int64(-1), "ZZZ", uint16(9))
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAA", int64(5), int64(5), "é", uint16(60_000))
	f.Fuzz(func(t *testing.T, text string, micros, position int64, code string, bit uint16) {
		code = strings.ToValidUTF8(code, "?") // as all codes and references are
		p := Key{Time: time.UnixMicro(micros).UTC(), Position: position, ID: uuid.NewSHA1(uuid.Nil, []byte(code)), Code: code}
		if p.Time.Before(ledger.TimeMin) || p.Time.After(ledger.TimeMax) {
			p.Time = time.Time{} // no row has such a time
		}
		filter := testFilter{Reference: code, Start: p.Time}
		token := signer.Token("transfers", filter, p)
		got, err := signer.Key("transfers", filter, token)
		if err != nil {
			t.Fatalf("own token %q: %v", token, err)
		}
		if !got.Time.Equal(p.Time) || got.Position != p.Position || got.ID != p.ID || signer.Token("transfers", filter, *got) != token {
			t.Errorf("token of %+v says %+v", p, got)
		}
		other := filter
		other.Status = ledger.TransferFailed
		flipped := []byte(token)
		flipped[int(bit/8)%len(flipped)] ^= 1 << (bit % 8)
		for _, c := range []struct {
			what   string
			signer Signer
			list   string
			filter testFilter
			token  string
		}{
			{"one bit flipped", signer, "transfers", filter, string(flipped)},
			{"cut off", signer, "transfers", filter, token[:len(token)-1]},
			{"a line break added", signer, "transfers", filter, token + "\n"},
			{"of another list", signer, "entries", filter, token},
			{"of another filter", signer, "transfers", other, token},
			{"of another ledger", Signer{Secret: []byte("another key")}, "transfers", filter, token},
		} {
			if got, err := c.signer.Key(c.list, c.filter, c.token); !errors.Is(err, ledger.ErrPageToken) {
				t.Errorf("token %s: %+v, %v", c.what, got, err)
			}
		}
		if got, err := signer.Key("transfers", filter, text); text == "" {
			if got != nil || err != nil {
				t.Errorf("no token: %+v, %v", got, err)
			}
		} else if text != token && !errors.Is(err, ledger.ErrPageToken) {
			t.Errorf("token %q, which no ledger made, says %+v, %v", text, got, err)
		}
	})
}
