package server_test

import (
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/server"
)

// forHost makes a request for another host at the same address, as a browser does whose name
// server was changed meanwhile.
func (f *fixture) forHost(t *testing.T, method, path, host string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, f.url+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	res, err := f.http1.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	_ = res.Body.Close() // the status is enough
	return reply{res.StatusCode, res.Header}
}

// An elsewhere sends every request for another host, to the same address.
type elsewhere struct {
	http.RoundTripper

	host string
}

// RoundTrip implements http.RoundTripper.
func (e elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host = e.host
	return e.RoundTripper.RoundTrip(r)
}

// TestHosts: requests for names that are not the server's are refused with status 421.
func TestHosts(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{AllowedHosts: []string{"Ledger.example", "*.svc.test"}})
	for host, want := range map[string]int{
		"localhost": 200, "localhost:1": 200, "LOCALHOST.": 200, "127.0.0.1": 200, "[::1]:80": 200, "[::1]": 200, "10.1.2.3:9091": 200, "8.8.8.8": 200,
		"ledger.example": 200, "ledger.example:443": 200, "LEDGER.EXAMPLE.": 200, "a.svc.test": 200, "a.b.svc.test:9091": 200,
		"evil.example": 421, "ledger.example.evil.test": 421, "notledger.example": 421, "svc.test": 421, "asvc.test": 421, "localhost.evil.test": 421,
		"127.0.0.1.evil.test": 421, "127.1": 421, "2130706433": 421, "evil.example:9091": 421,
	} {
		for _, path := range []string{"/api/v1/currencies", "/", "/docs", "/transfers.v1.LedgerService/ListCurrencies?connect=v1&encoding=json&message=%7B%7D"} {
			if res := f.forHost(t, http.MethodGet, path, host); res.StatusCode != want {
				t.Errorf("%s of %s: %d, want %d", path, host, res.StatusCode, want)
			}
		}
	}
	for _, path := range []string{"/healthcheck", "/readycheck"} {
		if res := f.forHost(t, http.MethodGet, path, "probe.example"); res.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	f.http1.Transport = elsewhere{f.http1.Transport, "evil.example"}
	f.http2.Transport = elsewhere{f.http2.Transport, "evil.example"}
	eachProtocol(t, f, func(t *testing.T, c client) {
		_, err := c.call(t.Context(), "AccountService/CreateAccount", &transfersv1.CreateAccountRequest{}, &transfersv1.CreateAccountResponse{})
		requireInfo(t, err, connect.CodePermissionDenied, "HOST_REFUSED")
	})
}

func TestAnyHost(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{AllowedHosts: []string{"*"}})
	if res := f.forHost(t, http.MethodGet, "/api/v1/currencies", "whatever.example"); res.StatusCode != http.StatusOK {
		t.Errorf("%d", res.StatusCode)
	}
}

func TestHostsMustBeNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "a:80", "https://a.test", "a.test/", "*.", "a.*.test", "a b", ".a.test", strings.Repeat("a", 254)} {
		if server.CheckHosts([]string{name}) == nil {
			t.Errorf("%q is taken for the name of a host", name)
		}
	}
	if err := server.CheckHosts([]string{"a", "a.test", "*.a.test", "*", "::1", "[::1]", "10.0.0.1", "a_b.test"}); err != nil {
		t.Error(err)
	}
}

// TestForeignPages: what a browser sends for a page of another origin is refused, unless the origin
// is allowed. A read is refused too: it may be a proof.
func TestForeignPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{AllowedOrigins: []string{"https://app.test", "https://*.apps.test"}})
	const create = "/transfers.v1.AccountService/CreateAccount"
	for _, c := range []struct {
		method, path, site, origin string
		want                       int
	}{
		{http.MethodPost, create, "cross-site", "https://evil.test", 403},
		{http.MethodPost, create, "same-site", "http://127.0.0.1:1", 403},
		{http.MethodPost, create, "", "https://evil.test", 403},
		{http.MethodPost, create, "", "null", 403},
		{http.MethodPost, create, "same-origin", f.url, 200},
		{http.MethodPost, create, "none", "", 200},
		{http.MethodPost, create, "", f.url, 200},
		{http.MethodPost, create, "", "", 200},
		{http.MethodPost, create, "cross-site", "https://app.test", 200},
		{http.MethodPost, create, "cross-site", "https://a.apps.test", 200},
		{http.MethodPost, "/api/v1/accounts", "cross-site", "https://evil.test", 403},
		{http.MethodPost, "/api/v1/accounts", "cross-site", "https://app.test", 200},
		{http.MethodGet, "/api/v1/check", "cross-site", "", 403},
		{http.MethodGet, "/api/v1/check", "", "https://evil.test", 403},
		{http.MethodGet, "/api/v1/check", "same-origin", "", 200},
		{http.MethodGet, "/api/v1/check", "none", "", 200},
		{http.MethodHead, "/api/v1/check", "cross-site", "", 403},
		{http.MethodGet, "/transfers.v1.LedgerService/CheckLedger?connect=v1&encoding=json&message=%7B%7D", "cross-site", "", 403},
		{http.MethodGet, "/", "cross-site", "", 200},
		{http.MethodGet, "/docs", "cross-site", "", 200},
	} {
		body := ""
		if c.method == http.MethodPost {
			body = "{}"
		}
		var header []string
		if c.site != "" {
			header = append(header, "Sec-Fetch-Site", c.site)
		}
		if c.origin != "" {
			header = append(header, "Origin", c.origin)
		}
		res, text := f.send(t, c.method, c.path, body, header...)
		if res.StatusCode != c.want || (c.want == http.StatusForbidden && c.method != http.MethodHead && !strings.Contains(text, "ORIGIN_REFUSED")) {
			t.Errorf("%s %s from %q, %q: %d %s, want %d", c.method, c.path, c.site, c.origin, res.StatusCode, text, c.want)
		}
		policy := "same-origin"
		if strings.HasSuffix(c.origin, "app.test") || strings.HasSuffix(c.origin, "apps.test") {
			policy = ""
		}
		if got := res.Header.Get("Cross-Origin-Resource-Policy"); got != policy || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s from %q: headers %v", c.method, c.path, c.origin, res.Header)
		}
	}
}

// foreign adds the headers of a page of another origin to every request.
type foreign struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (f foreign) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Origin", "https://evil.test")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	return f.RoundTripper.RoundTrip(r)
}

// TestForeignPagesInEachProtocol: the refusal has the form of its protocol, and nothing happens.
func TestForeignPagesInEachProtocol(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	before := f.counts(t)
	ours1, ours2 := f.http1.Transport, f.http2.Transport
	f.http1.Transport, f.http2.Transport = foreign{ours1}, foreign{ours2}
	eachProtocol(t, f, func(t *testing.T, c client) {
		for method, messages := range map[string][2]proto.Message{
			"AccountService/CreateAccount": {&transfersv1.CreateAccountRequest{}, &transfersv1.CreateAccountResponse{}},
			"LedgerService/CheckLedger":    {&transfersv1.CheckLedgerRequest{}, &transfersv1.CheckLedgerResponse{}},
		} {
			_, err := c.call(t.Context(), method, messages[0], messages[1])
			requireInfo(t, err, connect.CodePermissionDenied, "ORIGIN_REFUSED")
		}
	})
	f.http1.Transport, f.http2.Transport = ours1, ours2
	if after := f.counts(t); after != before {
		t.Errorf("refused requests left something: %v, before %v", after, before)
	}
}
