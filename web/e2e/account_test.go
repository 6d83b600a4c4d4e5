package e2e

import "testing"

// TestOpenAccounts: accounts are opened by a form, found by search, and the filters are in the
// address.
func TestOpenAccounts(t *testing.T) {
	s := serve(t)
	p := newPage(t, s.address)
	p.open("/accounts")
	p.click(button("New account"))
	form := dialog("New account")
	p.fill(textbox("Name").in(form), "Ada Lovelace")
	p.fill(textbox("Opening balance").in(form), "100.001")
	p.sees("decimals")
	p.fill(textbox("Opening balance").in(form), "1250.5")
	p.click(button("Open account").in(form))
	p.has(heading("Ada Lovelace"))
	p.sees("1,250.50")
	s.account(t, "Grace Hopper", "7")

	p.click(pageLink("Accounts"))
	p.has(row("Ada Lovelace"), row("Grace Hopper"))
	p.fill(thing{role: "searchbox", name: "Search"}, "grac")
	p.has(row("Grace Hopper"))
	p.hasNo(row("Ada Lovelace"))
	p.waitFor("the search in the address", `location.search.includes("grac")`)
}
