package server_test

import (
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"testing"

	"connectrpc.com/connect"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/access"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/server"
)

// slow is a rate at which no token comes back during a test.
const slow = 0.0001

// limited starts a server with a rate limit.
func limited(t *testing.T, config server.Config) *guarded {
	t.Helper()
	database := pgtest.NewDatabase(t)
	keys := openKeys(t, database)
	config.Ledger, config.Keys, config.RateLimit = openLedger(t, postgres.Config{DatabaseURL: database}), keys, slow
	return &guarded{serve(t, config), keys}
}

// TestRateLimit: a key makes as many calls as its bucket has, over whatever protocol, and is told
// when to come again. It takes nothing from other keys.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	const burst = 9
	g := limited(t, server.Config{AuthRequired: true, RateBurst: burst})
	_, mine := g.key(t, access.Params{Role: "viewer"})
	_, theirs := g.key(t, access.Params{Role: "viewer"})
	call := func(c client) (http.Header, *connect.Error) {
		return c.call(t.Context(), "AccessService/GetCaller", &transfersv1.GetCallerRequest{}, &transfersv1.GetCallerResponse{})
	}
	clients := g.as("Bearer " + mine).protocols()
	for i := range burst {
		if _, err := call(clients[i%len(clients)]); err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	for _, c := range clients {
		header, err := call(c)
		if err == nil || err.Code() != connect.CodeResourceExhausted {
			t.Errorf("%s: %v", c.name(), err)
			continue
		}
		if reason, _ := infoOf(err); reason != "RATE_LIMITED" {
			t.Errorf("%s: %s", c.name(), reason)
		}
		seconds, _ := strconv.Atoi(header.Get("Retry-After"))
		if want := int(1 / slow); seconds < want-60 || seconds > want || header.Get("RateLimit-Limit") != strconv.Itoa(burst) ||
			header.Get("RateLimit-Remaining") != "0" || header.Get("RateLimit-Reset") != header.Get("Retry-After") {
			t.Errorf("%s: %v", c.name(), header)
		}
	}
	if _, err := call(g.as("Bearer "+theirs).protocol(t, "grpc")); err != nil {
		t.Errorf("another key: %v", err)
	}
}

// TestRateOfItems: a batch and a page cost by their size, before anything is done.
func TestRateOfItems(t *testing.T) {
	t.Parallel()
	g := limited(t, server.Config{AuthRequired: true, RateBurst: 10})
	_, secret := g.key(t, access.Params{Role: "treasurer"})
	f := g.as("Bearer " + secret)
	c := f.protocol(t, "connect+proto")
	list := func(size int32) *connect.Error {
		_, err := c.call(t.Context(), "AccountService/ListAccounts", &transfersv1.ListAccountsRequest{PageSize: size}, &transfersv1.ListAccountsResponse{})
		return err
	}
	if err := list(500); err != nil { // 6
		t.Fatal(err)
	}
	items := slices.Repeat([]*transfersv1.CreateTransferRequest{{FromAccountId: "x"}}, 400)
	_, err := c.call(t.Context(), "TransferService/BatchCreateTransfers", &transfersv1.BatchCreateTransfersRequest{Transfers: items}, &transfersv1.BatchCreateTransfersResponse{})
	if err == nil || err.Code() != connect.CodeResourceExhausted { // 1 of the 4 that are left, and then 4
		t.Errorf("a batch: %v", err)
	}
	for range 3 {
		if err := list(0); err != nil {
			t.Errorf("what is left: %v", err)
		}
	}
	if err := list(0); err == nil {
		t.Error("nothing was left")
	}
}

// TestRateOfAddresses: without a right key calls are counted by address: of IPv6 a /64, and behind
// trusted proxies, and no others, that of whom they name.
func TestRateOfAddresses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trusted []netip.Prefix
		from    []string // X-Forwarded-For of two callers
		same    bool     // they share a bucket
	}{
		"no proxy is trusted":    {nil, []string{"203.0.113.1", "203.0.113.2"}, true},
		"a trusted one":          {[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, []string{"203.0.113.1", "203.0.113.2"}, false},
		"what a caller makes up": {[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, []string{"203.0.113.1, 198.51.100.9", "203.0.113.2, 198.51.100.9"}, true},
		"one /64":                {[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, []string{"2001:db8::1", "2001:db8::ffff:2"}, true},
		"two of them":            {[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, []string{"2001:db8::1", "2001:db8:0:1::1"}, false},
	} {
		g := limited(t, server.Config{AuthRequired: true, RateBurst: 2, TrustedProxies: c.trusted})
		for i, want := range []int{http.StatusUnauthorized, http.StatusUnauthorized, http.StatusTooManyRequests} {
			if res, text := g.send(t, "GET", "/api/v1/accounts", "", "X-Forwarded-For", c.from[0]); res.StatusCode != want {
				t.Errorf("%s: call %d: %d %s", name, i, res.StatusCode, text)
			}
		}
		want := map[bool]int{true: http.StatusTooManyRequests, false: http.StatusUnauthorized}[c.same]
		if res, _ := g.send(t, "POST", "/transfers.v1.AccountService/ListAccounts", "{}", "X-Forwarded-For", c.from[1]); res.StatusCode != want {
			t.Errorf("%s: the other: %d", name, res.StatusCode)
		}
	}
}

// TestRateWithoutKeys: where callers need no key, their address is counted.
func TestRateWithoutKeys(t *testing.T) {
	t.Parallel()
	g := limited(t, server.Config{RateBurst: 1})
	for i, want := range []int{http.StatusOK, http.StatusTooManyRequests} {
		if res, text := g.send(t, "GET", "/api/v1/accounts", ""); res.StatusCode != want {
			t.Errorf("call %d: %d %s", i, res.StatusCode, text)
		}
	}
	if res, _ := g.send(t, "GET", "/readycheck", ""); res.StatusCode != http.StatusOK {
		t.Errorf("a probe: %d", res.StatusCode)
	}
}
