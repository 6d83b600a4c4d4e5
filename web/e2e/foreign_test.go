package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	transfersv1 "internaltransfers/gen/transfers/v1"
)

// TestPicturesAreNotFetched: to look at an account tells nobody so, whatever its picture is. The
// page fails the test when it talks to another host.
func TestPicturesAreNotFetched(t *testing.T) {
	t.Parallel()
	s := serve(t)
	r, err := s.accounts.CreateAccount(t.Context(), &transfersv1.CreateAccountRequest{
		DisplayName: "Mallory", ImageUrl: "http://127.0.0.1:1/tracker.png",
	})
	if err != nil {
		t.Fatal(err)
	}
	p := newPage(t, s.address)
	p.open("/accounts")
	p.has(row("Mallory"))
	p.settled()
	p.open("/accounts/" + r.GetAccount().GetAccountId())
	p.has(heading("Mallory"))
	p.sees("tracker.png") // it is a link
	p.settled()
}

// TestForeignPagesInABrowser: neither a page of another origin nor one whose name leads to the
// server (every name below localhost does in a browser) can do anything.
func TestForeignPagesInABrowser(t *testing.T) {
	t.Parallel()
	s := serve(t)
	_, port, err := net.SplitHostPort(s.address)
	if err != nil {
		t.Fatal(err)
	}
	rebound := newPage(t, "evil.localhost:"+port)
	rebound.expect("421")
	rebound.open("/")
	if text := evaluate[string](rebound, "document.body.innerText"); !strings.Contains(text, "HOST_REFUSED") {
		t.Errorf("a name of another site shows %q", text)
	}

	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>foreign</title>")
	}))
	defer foreign.Close()
	count := func() int {
		list, err := s.accounts.ListAccounts(t.Context(), &transfersv1.ListAccountsRequest{PageSize: 100})
		if err != nil {
			t.Fatal(err)
		}
		return len(list.GetAccounts())
	}
	before := count()
	p := newPage(t, strings.TrimPrefix(foreign.URL, "http://"))
	p.expect(s.address) // each attempt is a request to another host, which fails
	p.expect("favicon")
	p.open("/")
	evaluate[bool](p, fmt.Sprintf(`(async () => {
		const create = (type) => fetch("http://%[1]s/transfers.v1.AccountService/CreateAccount",
			{ method: "POST", mode: "no-cors", body: "{}", headers: { "Content-Type": type } });
		await Promise.allSettled([create("text/plain"), create("application/json"), fetch("http://%[1]s/api/v1/check", { mode: "no-cors" })]);
		await new Promise((done) => {
			const image = new Image();
			image.onload = image.onerror = done;
			image.src = "http://%[1]s/api/v1/check";
		});
		return true;
	})()`, s.address))
	status, err := s.ledger.GetStatus(t.Context(), &transfersv1.GetStatusRequest{})
	if err != nil || status.GetCheckTime() != nil {
		t.Errorf("a foreign page has run a proof: %v, %v", status, err)
	}
	if after := count(); after != before {
		t.Errorf("a foreign page has opened %d accounts", after-before)
	}
}
