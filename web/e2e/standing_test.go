package e2e

import (
	"strings"
	"testing"
)

// TestSchedule: a schedule is made by a form in a dialog, and stopped.
func TestSchedule(t *testing.T) {
	c := newPair(t)
	c.open("/schedules")
	c.settled()
	c.click(button("New schedule"))
	form := dialog("New schedule")
	c.search(combobox("From").in(form), "ada", "Ada Lovelace")
	c.search(combobox("To").in(form), "hopp", "Grace Hopper")
	c.fill(textbox("Amount").in(form), "5")
	c.choose(combobox("Repeats").in(form), "At an interval")
	c.fill(textbox("Reference").in(form), "pocket money")
	c.click(button("Make schedule").in(form))
	c.hasNo(form)
	c.click(button("Close").in(thing{role: "dialog"}))
	c.has(row("Ada Lovelace"))
}

// TestWebhook: an endpoint's secret is shown once.
func TestWebhook(t *testing.T) {
	s := serve(t)
	p := newPage(t, s.address)
	p.open("/webhooks")
	p.settled()
	p.click(button("New endpoint"))
	form := dialog("New endpoint")
	p.fill(textbox("Address").in(form), "https://hooks.example/events")
	p.fill(textbox("Description").in(form), "Warehouse")
	p.click(button("Make endpoint").in(form))
	p.has(dialog("Keep the secret"))
	secret := evaluate[string](p, `document.querySelector("dialog code").innerText`)
	if !strings.HasPrefix(secret, "whsec_") {
		p.fail("the secret is %q", secret)
	}
	p.click(button("I have kept it"))
	p.has(heading("Warehouse"))
	p.reload()
	p.has(heading("Warehouse"))
	p.settled()
	p.seesNo(secret)
	p.click(pageLink("Webhooks"))
	p.has(row("Warehouse"))
}

// TestFreeze: an account is frozen and opened again.
func TestFreeze(t *testing.T) {
	c := newPair(t)
	c.open("/accounts/" + c.ada)
	c.click(button("Freeze"))
	c.click(button("Freeze").in(dialog("Freeze the account")))
	c.sees("This account is frozen")
	c.click(button("Unfreeze"))
	c.click(button("Unfreeze").in(dialog("Unfreeze the account")))
	c.has(button("Freeze"))
	c.seesNo("This account is frozen")
}
