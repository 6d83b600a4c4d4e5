package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// focus returns the name and the text of what has the focus.
func (p *page) focus() string {
	p.t.Helper()
	return evaluate[string](p, `(document.activeElement.ariaLabel ?? document.activeElement.labels?.[0]?.innerText ?? document.activeElement.innerText ?? "").trim().replace(/\s+/g, " ")`)
}

// focuses waits until something has the focus, by its label or text.
func (p *page) focuses(name string) {
	p.t.Helper()
	p.wait("the focus on "+name, func(context.Context) (bool, error) {
		if focus := p.focus(); focus != name {
			return false, fmt.Errorf("it is on %q", focus)
		}
		return true, nil
	})
}

// TestKeyboard: the keyboard alone is enough, and the focus is where users expect it.
func TestKeyboard(t *testing.T) {
	s := serve(t)
	p := newPage(t, s.address)
	p.open("/accounts")
	p.has(heading("Accounts"), button("New account"))
	p.press(kb.Tab)
	p.focuses("Skip to content")
	p.press(kb.Enter)
	p.press(kb.Tab)
	p.focuses("New account")
	p.press(kb.Enter)
	p.has(dialog("New account"))
	p.focuses("Name optional")
	p.press(kb.Escape)
	p.hasNo(dialog("New account"))
	p.focuses("New account")
	p.press(kb.Enter)
	p.focuses("Name optional")
	p.press("Ada Lovelace" + kb.Enter)
	p.has(heading("Ada Lovelace"))
	p.focuses("AL Ada Lovelace Open")
}

// TestPhone: on a phone the pages are behind a menu.
func TestPhone(t *testing.T) {
	s := serve(t)
	p := newPage(t, s.address)
	p.emulate(phone, "light")
	p.open("/accounts")
	p.has(row("USD equity"))
	p.hasNo(pageLink("Transfers"))
	p.click(button("Open menu"))
	p.click(pageLink("Transfers"))
	p.has(heading("Transfers"))
	p.hasNo(pageLink("Transfers"))
}
