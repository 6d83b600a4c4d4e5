package e2e

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	transfersv1 "internaltransfers/gen/transfers/v1"
)

// pay moves money from Ada to Grace beside the page, with a reference to be found by.
func (c *pair) pay(s *server, amount, reference string) *transfersv1.Transfer {
	c.t.Helper()
	return s.transfer(c.t, &transfersv1.CreateTransferRequest{
		TransferId: uuid.NewString(), FromAccountId: c.ada, ToAccountId: c.grace, Amount: amount, Reference: reference,
	})
}

// remember marks the document, which a reload would forget.
func (p *page) remember() {
	p.t.Helper()
	evaluate[bool](p, "window.remembered = true")
}

// remembers checks that the page was never loaded anew.
func (p *page) remembers() {
	p.t.Helper()
	if !evaluate[bool](p, "window.remembered === true") {
		p.fail("the page was loaded anew")
	}
}

// TestLiveTail: what happens elsewhere appears by itself, in the list of transfers and on an
// account's page.
func TestLiveTail(t *testing.T) {
	c := newPair(t)
	c.open("/transfers")
	c.says("Live")
	c.remember()
	c.pay(c.server, "1.25", "first")
	c.has(row("first"))
	c.pay(c.server, "2.50", "second")
	c.has(row("second"), row("first"))
	c.remembers()

	c.open("/accounts/" + c.ada)
	c.sees("96.25 USD")
	c.settled()
	c.remember()
	c.pay(c.server, "6.25", "third")
	c.sees("90.00 USD", "third")
	c.remembers()
}

// TestRestart: a page shows that the server is away, goes on by itself when it is back, and shows
// what happened meanwhile.
func TestRestart(t *testing.T) {
	c := newPair(t)
	// While the server starts, it has its port and refuses calls.
	c.expect("network: Failed to load resource: net::ERR_")
	c.expect("responded with a status of 503")
	c.open("/transfers")
	c.says("Live")
	c.pay(c.server, "1", "before")
	c.has(row("before"))
	c.remember()

	// Another server on the same database goes on while this one is away.
	other := &server{address: freeAddress(t), env: c.env}
	other.start(t)
	t.Cleanup(func() { other.stop(t) })
	c.stop(t)
	c.says("Reconnecting")
	for i := range 3 {
		c.pay(other, "1", fmt.Sprintf("meanwhile %d", i))
	}
	c.start(t)
	c.says("Live")
	c.has(row("meanwhile 0"), row("meanwhile 1"), row("meanwhile 2"), row("before"))
	c.pay(other, "1", "after")
	c.has(row("after"))
	c.says("Connected")
	c.remembers()
	c.expectBalances("95.00", "5.00")
}

// TestAddress: the address holds what a page shows, so it can be shared, and the back button leads
// back.
func TestAddress(t *testing.T) {
	c := newPair(t)
	c.pay(c.server, "1", "rent")
	c.pay(c.server, "2", "books")
	if _, err := c.transfers.CreateTransfer(t.Context(), &transfersv1.CreateTransferRequest{
		FromAccountId: c.ada, ToAccountId: c.grace, Amount: "1000", Reference: "yacht",
	}); err == nil {
		t.Fatal("Ada pays more than she has")
	}
	c.open("/transfers?status=FAILED")
	c.has(row("yacht"))
	c.hasNo(row("rent"))
	c.choose(combobox("Status"), "Succeeded")
	c.has(row("rent"), row("books"))
	c.hasNo(row("yacht"))
	c.waitFor("the status in the address", `new URLSearchParams(location.search).get("status") === "SUCCESS"`)
	c.back()
	c.has(row("yacht"))
	c.hasNo(row("rent"))
	c.click(pageLink("Accounts"))
	c.has(heading("Accounts"))
	c.click(link("Ada Lovelace"))
	c.has(heading("Ada Lovelace"))
	c.back()
	c.has(heading("Accounts"))
	c.back()
	c.has(row("yacht"))
	c.open("/transfers?reference=books&account=" + c.grace)
	c.has(row("books"))
	c.hasNo(row("rent"))
}
