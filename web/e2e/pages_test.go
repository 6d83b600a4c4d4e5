package e2e

import (
	"bytes"
	"context"
	"fmt"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	transfersv1 "internaltransfers/gen/transfers/v1"
)

// TestEveryPage: every page of a ledger in use is free of errors, is no wider than its window, and
// has nothing that axe-core calls serious or critical, in both themes on desktop and phone. With
// -screenshots it writes what they look like.
func TestEveryPage(t *testing.T) {
	s := serve(t, "--demo")
	if *screenshots != "" {
		waitForCalm(t, s)
	}
	for _, c := range demoPages(t, s) {
		t.Run(c.name, func(t *testing.T) {
			p := newPage(t, s.address)
			if c.name == "new-transfer" {
				p.expectRefusal("TransferService/CreateTransfer") // the demo may lack the money
			}
			for _, size := range [][2]int64{desktop, phone} {
				p.emulate(size, "light")
				p.open(c.path)
				for _, theme := range []string{"light", "dark"} {
					p.emulate(size, theme)
					p.settled()
					if n := overflow(p); n > 0 {
						t.Errorf("%d wide, %s: the page is %d pixels wider than the window", size[0], theme, n)
					}
					if size == desktop || theme == "light" { // on a phone the colours are the same
						for _, found := range axe(p) {
							t.Errorf("%d wide, %s: %s", size[0], theme, found)
						}
					}
					p.picture(fmt.Sprintf("%s-%d-%s.png", c.name, size[0], theme))
				}
			}
		})
	}
}

// TestEmptyPages: as TestEveryPage, of a ledger with nothing in it.
func TestEmptyPages(t *testing.T) {
	s := serve(t)
	p := newPage(t, s.address)
	p.emulate(phone, "light")
	for _, path := range []string{"/", "/accounts", "/transfers", "/schedules", "/webhooks", "/keys", "/new-transfer"} {
		p.open(path)
		p.settled()
		if n := overflow(p); n > 0 {
			t.Errorf("%s: the page is %d pixels wider than the window", path, n)
		}
		for _, found := range axe(p) {
			t.Errorf("%s: %s", path, found)
		}
	}
}

// TestDark: the page follows the system's theme until the user chooses one, which then is
// remembered.
func TestDark(t *testing.T) {
	s := serve(t)
	p := newPage(t, s.address)
	p.open("/developers")
	p.settled()
	p.waitUntil("the light theme", func() bool { return p.brightness() > 0.7 })
	p.emulate(desktop, "dark")
	p.waitUntil("the dark theme", func() bool { return p.brightness() < 0.3 })
	p.click(button("Theme: as the system"))
	p.has(button("Theme: light"))
	p.reload()
	p.settled()
	p.waitUntil("the light theme again", func() bool { return p.brightness() > 0.7 })
}

// brightness returns how bright the page is, 0 to 1, on average.
func (p *page) brightness() float64 {
	p.t.Helper()
	picture, err := png.Decode(bytes.NewReader(p.screenshot()))
	if err != nil {
		p.t.Fatal(err)
	}
	bounds := picture.Bounds()
	var sum, count float64
	for y := bounds.Min.Y; y < bounds.Max.Y; y += 4 {
		for x := bounds.Min.X; x < bounds.Max.X; x += 4 {
			sum += float64(color.Gray16Model.Convert(picture.At(x, y)).(color.Gray16).Y) / math.MaxUint16
			count++
		}
	}
	return sum / count
}

// screenshot returns what the window shows, as PNG.
func (p *page) screenshot() []byte {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, *waitMax)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.fail("screenshot: %v", err)
	}
	return picture
}

// picture writes a screenshot of the page, if the flag -screenshots is set.
func (p *page) picture(name string) {
	p.t.Helper()
	if *screenshots == "" {
		return
	}
	if err := os.MkdirAll(*screenshots, 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, name), p.screenshot(), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// waitForCalm proves the ledger, so that the overview has a proof to show, and waits until it shows
// more than what was made to fill the demo.
func waitForCalm(t *testing.T, s *server) {
	t.Helper()
	if _, err := s.ledger.CheckLedger(t.Context(), &transfersv1.CheckLedgerRequest{}); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for range tick.C {
		activity, err := s.ledger.GetActivity(t.Context(), &transfersv1.GetActivityRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(activity.GetSteps(), func(step *transfersv1.ActivityStep) bool { return step.GetSuccessCount() > 50 }) {
			return
		}
	}
}

type namedPath struct{ name, path string }

// demoPages returns every page, with the demo's busiest account and, if there is one, a hold.
func demoPages(t *testing.T, s *server) []namedPath {
	t.Helper()
	currencies, err := s.ledger.ListCurrencies(t.Context(), &transfersv1.ListCurrenciesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int)
	for _, currency := range currencies.GetCurrencies() {
		count[currency.GetEquityAccountId()] = math.MinInt // the equity account is not typical
	}
	transfers, err := s.transfers.ListTransfers(t.Context(), &transfersv1.ListTransfersRequest{PageSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var busiest, payee, shown string
	for _, transfer := range transfers.GetTransfers() {
		from := transfer.GetFromAccountId()
		if count[from]++; count[from] > count[busiest] {
			busiest, payee = from, transfer.GetToAccountId()
		}
		if transfer.GetKind() == transfersv1.Transfer_HOLD || shown == "" {
			shown = transfer.GetTransferId()
		}
	}
	if busiest == "" {
		t.Fatal("no account pays in the demo")
	}
	return []namedPath{
		{"overview", "/"}, {"accounts", "/accounts"}, {"account", "/accounts/" + busiest}, {"transfers", "/transfers"},
		{"transfer", "/transfers/" + shown}, {"new-transfer", "/new-transfer?amount=12.50&from=" + busiest + "&to=" + payee}, {"schedules", "/schedules"},
		{"webhooks", "/webhooks"}, {"keys", "/keys"}, {"developers", "/developers"}, {"not-found", "/nowhere"},
	}
}
