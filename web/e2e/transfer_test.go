package e2e

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	transfersv1 "internaltransfers/gen/transfers/v1"
)

// A pair is a ledger with two accounts, Ada Lovelace with 100.00 and Grace Hopper with nothing, and
// a page to use it with.
type pair struct {
	*server
	*page
	ada, grace string
}

func newPair(t *testing.T) *pair {
	t.Helper()
	s := serve(t)
	c := &pair{server: s, page: newPage(t, s.address)}
	c.ada, c.grace = s.account(t, "Ada Lovelace", "100"), s.account(t, "Grace Hopper", "")
	return c
}

// expectBalances checks what the two accounts have, beside the page.
func (c *pair) expectBalances(ada, grace string) {
	c.t.Helper()
	if a, g := c.balance(c.t, c.ada), c.balance(c.t, c.grace); a != ada || g != grace {
		c.fail("Ada has %s and Grace %s, want %s and %s", a, g, ada, grace)
	}
}

// fillTransfer fills in the form for a new transfer from Ada to Grace.
func (c *pair) fillTransfer(amount string) {
	c.t.Helper()
	c.open("/")
	c.click(link("New transfer"))
	c.search(combobox("From"), "ada", "Ada Lovelace")
	c.search(combobox("To"), "hopp", "Grace Hopper")
	c.fill(textbox("Amount"), amount)
}

// TestTransfer: money moves by a form that finds accounts by name and checks the amount as it is
// typed.
func TestTransfer(t *testing.T) {
	c := newPair(t)
	c.fillTransfer("12.345")
	c.sees("decimals")
	c.fill(textbox("Amount"), "12.5")
	c.sees("The money would move", "87.50 USD")
	c.expectBalances("100.00", "0.00")
	c.click(button("Transfer"))
	c.sees("12.50 USD moved")
	c.expectBalances("87.50", "12.50")
	c.click(link("See the transfer"))
	c.has(heading("Transfer of 12.50 USD"))
	c.sees("Succeeded", "Ada Lovelace", "Grace Hopper")
}

// TestRefusal: what the ledger refuses is explained in words, before and after, and is on record.
func TestRefusal(t *testing.T) {
	c := newPair(t)
	c.expectRefusal("TransferService/CreateTransfer")
	c.fillTransfer("100.01")
	c.sees("Would be refused: insufficient funds")
	c.click(button("Transfer"))
	c.has(thing{role: "alert"})
	c.sees("Refused: insufficient funds", "had 100.00 USD available", "100.01 USD was asked for", "No money moved")
	c.expectBalances("100.00", "0.00")
	c.click(link("See the record"))
	c.has(heading("Transfer of 100.01 USD"))
	c.sees("Insufficient funds")
}

// TestHold: money is held, some of it is captured, and the rest is released.
func TestHold(t *testing.T) {
	c := newPair(t)
	c.fillTransfer("30")
	c.click(radio("Hold"))
	c.sees("The money would be held")
	c.click(button("Hold the money"))
	c.sees("30.00 USD is held")
	c.expectBalances("100.00", "0.00")
	c.click(link("See the transfer"))
	c.has(heading("Hold of 30.00 USD"))

	c.click(button("Capture"))
	form := dialog("Capture the hold")
	c.fill(textbox("Amount").in(form), "12.5")
	c.click(thing{role: "checkbox", name: "Release"}.in(form))
	c.click(button("Capture").in(form))
	c.hasNo(form)
	c.sees("12.50 USD captured")
	c.expectBalances("87.50", "12.50")

	c.click(button("Void"))
	question := dialog("Void the hold?")
	c.sees("17.50 USD is released")
	c.click(button("Void hold").in(question))
	c.hasNo(question)
	c.hasNo(button("Capture"))
	c.expectBalances("87.50", "12.50")
	account, err := c.accounts.GetAccount(t.Context(), &transfersv1.GetAccountRequest{AccountId: c.ada})
	if err != nil || account.GetAccount().GetHeld() != "0.00" {
		t.Errorf("held: %v %v", account, err)
	}
}

// TestDoubleClick: two clicks move the money once, and so does a reload.
func TestDoubleClick(t *testing.T) {
	c := newPair(t)
	c.fillTransfer("10")
	c.sees("The money would move")
	c.doubleClick(button("Transfer"))
	c.sees("10.00 USD moved")
	c.expectBalances("90.00", "10.00")
	c.reload()
	c.sees("10.00 USD moved")
	c.settled()
	c.expectBalances("90.00", "10.00")
	c.click(button("Make another"))
	c.hasNo(button("Make another"))
	c.expectBalances("90.00", "10.00")
}

// TestLostAnswer: when the response is lost on its way, the page claims nothing; another try finds
// that the money moved, once.
func TestLostAnswer(t *testing.T) {
	for _, how := range []string{"try again", "reload"} {
		t.Run(how, func(t *testing.T) {
			c := newPair(t)
			c.expect("net::ERR_FAILED")
			c.fillTransfer("10")
			c.sees("The money would move")
			c.loseAnswer("TransferService/CreateTransfer")
			c.click(button("Transfer"))
			c.sees("may or may not have been made")
			c.expectBalances("90.00", "10.00")
			if how == "reload" {
				c.reload()
			} else {
				c.click(button("Try again"))
			}
			c.sees("10.00 USD moved")
			c.expectBalances("90.00", "10.00")
		})
	}
}

// loseAnswer lets the next call of method reach the server and loses its response.
func (p *page) loseAnswer(method string) {
	p.t.Helper()
	var lost atomic.Bool
	err := chromedp.Listen(p.ctx, func(event any) {
		e, ok := event.(*fetch.EventRequestPaused)
		if !ok {
			return
		}
		go func() { // a listener must not call the tab
			var err error
			if lost.Swap(true) {
				_, err = chromedp.Call(p.ctx, fetch.ContinueRequest, fetch.ContinueRequestParams{RequestID: e.RequestID})
			} else {
				_, err = chromedp.Call(p.ctx, fetch.FailRequest, fetch.FailRequestParams{RequestID: e.RequestID, ErrorReason: network.ErrorReasonFailed})
			}
			if err != nil && p.ctx.Err() == nil {
				p.t.Error(err)
			}
		}()
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.do("intercept "+method, chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, fetch.Enable, fetch.EnableParams{Patterns: []*fetch.RequestPattern{
			{URLPattern: "*" + method, RequestStage: fetch.RequestStageResponse},
		}})
		return err
	}))
}
