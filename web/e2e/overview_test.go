package e2e

import (
	"testing"

	transfersv1 "internaltransfers/gen/transfers/v1"
)

// TestOverview: the first page shows what happens as it happens, what was refused and why, and
// proves the ledger.
func TestOverview(t *testing.T) {
	c := newPair(t)
	c.open("/")
	c.sees("Not proved yet")
	c.says("Live")
	c.remember()
	c.pay(c.server, "12.25", "")
	c.has(row("12.25").in(thing{role: "table", name: "Latest transfers"}))
	if _, err := c.transfers.CreateTransfer(t.Context(), &transfersv1.CreateTransferRequest{
		FromAccountId: c.ada, ToAccountId: c.grace, Amount: "1000",
	}); err == nil {
		t.Fatal("Ada pays more than she has")
	}
	c.has(thing{role: "listitem", text: "Insufficient funds"}.in(thing{role: "region", name: "Refusals by reason"}))
	c.click(button("Prove now"))
	c.says("invariants hold")
	c.click(button("Close").in(dialog("Proof of the ledger")))
	c.hasNo(dialog("Proof of the ledger"))
	c.sees("All invariants hold")
	c.remembers()
}

// TestDevelopers: a call is shown as it would be made here and now, ready to be copied.
func TestDevelopers(t *testing.T) {
	c := newPair(t)
	c.open("/developers")
	c.settled()
	c.search(combobox("From"), "ada", "Ada Lovelace")
	c.search(combobox("To"), "hopp", "Grace Hopper")
	c.fill(textbox("Amount"), "4.75")
	for _, title := range []string{"curl, REST", "curl, Connect", "buf curl", "TypeScript"} {
		sample := thing{role: "region", name: title}
		for _, part := range []string{"http://" + c.page.address, c.ada, c.grace, "4.75"} {
			c.has(thing{role: "region", name: title, text: part})
		}
		c.click(button("Copy " + title).in(sample))
		c.has(button("Copied").in(sample))
	}
}
