package e2e

import (
	_ "embed"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// exampleSource is the example of web/client/README.md with all that it imports, made by `make
// web`.
//
//go:embed testdata/example.js
var exampleSource string

// exampleAddress is where the example expects the server.
const exampleAddress = "http://localhost:9091"

// TestClientPackage: the example of the TypeScript client runs in a page of another origin.
func TestClientPackage(t *testing.T) {
	if n := strings.Count(exampleSource, exampleAddress); n != 1 {
		t.Fatalf("the example has the address %s %d times, want once", exampleAddress, n)
	}
	var s *server
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, `<!doctype html><html lang="en"><title>Example</title><link rel="icon" href="data:,"><h1>Example</h1><script type="module" src="/example.js"></script></html>`)
		case "/example.js":
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprint(w, strings.Replace(exampleSource, exampleAddress, s.url(""), 1))
		default:
			http.NotFound(w, r)
		}
	}))
	defer site.Close()
	s = serve(t, "--allowed-origins="+site.URL)
	p := newPage(t, strings.TrimPrefix(site.URL, "http://"))
	p.expect("request to another host: " + s.url("/transfers.v1."))
	p.expect("status of 400 (Bad Request) " + s.url("/transfers.v1.TransferService/CreateTransfer"))
	p.open("/")
	for _, want := range []string{
		"attempt 1: Alice has 70.00 USD\n", "attempt 2: Alice has 70.00 USD\n", "cannot pay 500.00 USD\n",
		"event: a new account done\nevent: 30.00 done\nevent: 500.00 refused\n",
	} {
		p.waitUntil("the line "+want, func() bool { return p.hasSaid(want) })
	}
	// With a login and OpenTelemetry, the browser sends a preflight for the added headers, and then
	// lets the page see the response's headers.
	seen := evaluate[[]string](p, fmt.Sprintf(`fetch(%q, {method: "POST", body: "{}", headers: {
		"Content-Type": "application/json", "Connect-Protocol-Version": "1", "Connect-Timeout-Ms": "5000", "Authorization": "Bearer x",
		"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Tracestate": "a=b", "Baggage": "c=d",
		"X-Request-Id": "mine", "Idempotency-Key": "e",
	}}).then((r) => [String(r.status), r.headers.get("x-request-id")])`, s.url("/transfers.v1.LedgerService/ListCurrencies")))
	if strings.Join(seen, " ") != "200 mine" {
		t.Errorf("the page sees %q", seen)
	}
}
