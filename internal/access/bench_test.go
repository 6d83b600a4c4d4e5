package access

import (
	"net/netip"
	"testing"

	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/pgtest"
)

// BenchmarkAuthenticate is what a key costs a call, among 100 keys.
func BenchmarkAuthenticate(b *testing.B) {
	k, err := Open(b.Context(), Config{Target: pgdb.Target{URL: pgtest.NewDatabase(b), Schema: "ledger"}})
	if err != nil {
		b.Fatal(err)
	}
	defer k.Close()
	var secret string
	for range 100 {
		if _, secret, err = k.Create(b.Context(), nil, Params{Name: "x", Role: "sender"}); err != nil {
			b.Fatal(err)
		}
	}
	address := netip.MustParseAddr("127.0.0.1")
	b.ReportAllocs()
	for b.Loop() {
		c, err := k.Authenticate(b.Context(), secret, address)
		if err != nil || !c.Permissions.Has(TransfersCreate) {
			b.Fatal(err)
		}
	}
}
