package e2e

import (
	"context"
	"testing"

	transfersv1 "internaltransfers/gen/transfers/v1"
)

// TestDocs: the API reference shows the REST routes, and a route that is tried out there is called,
// in both themes. Like every page it makes no request to another host, and breaks no rule of its
// policy. Its viewer is third-party: it is found by its classes, and axe-core does not check it.
func TestDocs(t *testing.T) {
	s := serve(t)
	p := newPage(t, s.address)
	p.open("/docs")
	const operation = "document.querySelector('#operations-AccountService-AccountService_CreateAccount2')"
	p.waitFor("the routes", operation)
	p.picture("docs-light.png")
	evaluate[bool](p, operation+".querySelector('.opblock-summary-control').click(), true")
	p.waitFor("the body", operation+".querySelector('textarea')")
	evaluate[bool](p, operation+".querySelector('button.execute').click(), true")
	p.waitFor("an answer", operation+".querySelector('.live-responses-table')")
	if status := evaluate[string](p, operation+".querySelector('.live-responses-table tbody .response-col_status').innerText"); status != "200" {
		t.Errorf("it got %s", status)
	}
	list, err := s.accounts.ListAccounts(context.Background(), &transfersv1.ListAccountsRequest{Search: "ada"})
	if err != nil || len(list.GetAccounts()) != 1 || list.GetAccounts()[0].GetBalance() != "100.00" {
		t.Errorf("the account of the example is not there: %v, %v", list, err)
	}
	p.picture("docs-tried.png")
	light := p.brightness()
	p.emulate(desktop, "dark")
	p.waitFor("the dark theme", "document.documentElement.classList.contains('dark-mode')")
	p.waitUntil("the picture to darken", func() bool { return p.brightness() < light/2 })
	p.picture("docs-dark.png")
}
