package access

import (
	"net/netip"
	"testing"

	"internaltransfers/internal/pgtest"
)

// BenchmarkAuthenticate is what a key costs a call, among 100 keys.
func BenchmarkAuthenticate(b *testing.B) {
	k := openAt(b, pgtest.NewDatabase(b))
	defer k.Close()
	var (
		secret string
		err    error
	)
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
