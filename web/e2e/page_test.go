package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Widths and heights of common screens, in CSS pixels.
var (
	desktop = [2]int64{1280, 800}
	phone   = [2]int64{390, 844}
)

// A page is a tab in a profile of its own.
type page struct {
	t       *testing.T
	ctx     context.Context
	address string // host:port of the only host that it may talk to
	width   int64  // of the window, in CSS pixels

	mu       sync.Mutex
	problems []string                      // what no page may do
	expected []string                      // parts of the problems that the test causes
	said     []string                      // the console's other lines
	loader   cdp.LoaderID                  // of the document that is shown
	inFlight map[network.RequestID]request // those without a response that are not streams
}

// A request is one that a document makes.
type request struct {
	loader cdp.LoaderID
	url    string
}

// newPage opens a tab that may talk to address only. When the test ends, the page must have had no
// problem.
func newPage(t *testing.T, address string) *page {
	t.Helper()
	p := &page{t: t, address: address, inFlight: make(map[network.RequestID]request)}
	var cancel context.CancelFunc
	p.ctx, cancel = chromedp.NewContext(startChromium(t), chromedp.WithNewBrowserContext(), chromedp.WithListener(p.listen))
	t.Cleanup(cancel)
	t.Cleanup(func() {
		for _, problem := range p.unexpected() {
			t.Errorf("the page: %s", problem)
		}
	})
	p.do("open a tab", chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, accessibility.Enable, cdp.Empty{})
		return err
	}))
	p.emulate(desktop, "light")
	return p
}

// listen is called with each event of the tab, in order. It must not call the tab.
func (p *page) listen(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		p.problems = append(p.problems, "exception: "+text)
	case *runtime.EventConsoleAPICalled:
		var words []string
		for _, arg := range e.Args {
			var word string
			if json.Unmarshal(arg.Value, &word) != nil {
				word = string(arg.Value) + arg.Description
			}
			words = append(words, word)
		}
		text := strings.Join(words, " ")
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeAssert {
			p.problems = append(p.problems, "console: "+text)
		} else {
			p.said = append(p.said, text)
		}
	case *log.EventEntryAdded: // of the browser: failed requests, refusals by policy
		if e.Entry.Level == log.EntryLevelError || e.Entry.Source == log.EntrySourceSecurity {
			p.problems = append(p.problems, fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	case *network.EventRequestWillBeSent:
		address, err := url.Parse(e.Request.URL)
		if err != nil {
			p.problems = append(p.problems, "request: "+err.Error())
			break
		}
		if address.Host != "" && address.Host != p.address {
			p.problems = append(p.problems, "request to another host: "+e.Request.URL)
		}
		if !strings.Contains(address.Path, "/Watch") && address.Scheme != "data" { // streams never end
			p.inFlight[e.RequestID] = request{e.LoaderID, e.Request.URL}
		}
	case *cdppage.EventFrameNavigated:
		if e.Frame.ParentID == "" {
			p.loader = e.Frame.LoaderID
		}
	case *network.EventLoadingFinished:
		delete(p.inFlight, e.RequestID)
	case *network.EventLoadingFailed:
		delete(p.inFlight, e.RequestID)
	}
}

// expect makes problems that contain text acceptable.
func (p *page) expect(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = append(p.expected, text)
}

// expectRefusal makes a refused call of method acceptable, which the browser reports by itself as a
// failed request.
func (p *page) expectRefusal(method string) {
	p.expect("status of 400 (Bad Request) " + "http://" + p.address + "/transfers.v1." + method)
}

// hasSaid reports whether the page wrote a text to the console.
func (p *page) hasSaid(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Contains(strings.Join(p.said, "\n")+"\n", text)
}

// unexpected returns the problems that the test did not bring about.
func (p *page) unexpected() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var left []string
next:
	for _, problem := range p.problems {
		for _, text := range p.expected {
			if strings.Contains(problem, text) {
				continue next
			}
		}
		left = append(left, problem)
	}
	return left
}

// emulate sets the size of the window and the system's preferences: a theme, "light" or "dark", and
// no motion, so that elements do not move.
func (p *page) emulate(size [2]int64, theme string) {
	p.t.Helper()
	p.width = size[0]
	var options []chromedp.EmulateViewportOption
	if *screenshots != "" {
		options = append(options, chromedp.EmulateScale(2)) // as on high-density screens
	}
	if size == phone {
		options = append(options, chromedp.EmulateMobile, chromedp.EmulatePortrait)
	}
	p.do("emulate", chromedp.EmulateViewport(size[0], size[1], options...),
		chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
			_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{
					{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"},
				},
			})
			return err
		}))
}

// do runs actions, which must succeed.
func (p *page) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, *waitMax)
	defer cancel()
	// The first call opens the tab, which then lives as long as its context.
	if chromedp.FromContext(p.ctx).Target == nil {
		ctx = p.ctx
	}
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.fail("%s: %v", what, err)
	}
}

// open goes to a path as if it were typed.
func (p *page) open(path string) {
	p.t.Helper()
	p.do("open "+path, chromedp.Navigate("http://"+p.address+path))
}

// reload does what the browser's button does.
func (p *page) reload() {
	p.t.Helper()
	p.do("reload", chromedp.Reload())
}

// back does what the browser's button does. It does not wait: within one document nothing is
// loaded.
func (p *page) back() {
	p.t.Helper()
	p.do("back", chromedp.Evaluate[chromedp.Void]("history.back()"))
}

// evaluate returns the value of a JavaScript expression, which may be a promise.
func evaluate[T any](p *page, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, *waitMax)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.fail("%.200s: %v", expression, err)
	}
	return value
}

// wait calls done until it returns true; an error means not yet, since a page may change during the
// check.
//
// chromedp's own Poll would not do: it makes functions of strings, which the
// Content-Security-Policy forbids.
func (p *page) wait(what string, done func(ctx context.Context) (bool, error)) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, *waitMax)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		ok, err := done(ctx)
		if ok && err == nil {
			return
		}
		if ctx.Err() == nil && err != nil {
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.fail("waited for %s; last: %v", what, last)
		}
	}
}

// waitFor waits until a JavaScript expression is true.
func (p *page) waitFor(what, expression string) {
	p.t.Helper()
	p.wait(what, func(ctx context.Context) (bool, error) {
		return chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
	})
}

// waitUntil waits for a condition outside the page.
func (p *page) waitUntil(what string, done func() bool) {
	p.t.Helper()
	p.wait(what, func(context.Context) (bool, error) { return done(), nil })
}

// settled waits until the page shows all that it will: no request and no drawing is under way, and
// nothing is marked as busy.
func (p *page) settled() {
	p.t.Helper()
	p.wait("the page to settle", func(ctx context.Context) (bool, error) {
		for range 2 { // drawing a response may send further requests
			idle, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`new Promise((resolve) =>
				requestAnimationFrame(() => requestAnimationFrame(() => resolve(
					document.readyState === "complete" && document.querySelector("h1") !== null &&
					document.querySelector('[aria-busy="true"]') === null))))`, chromedp.EvalAwaitPromise))
			if loading := p.loading(); err != nil || !idle || len(loading) > 0 {
				return false, cmp.Or(err, fmt.Errorf("idle: %t, loading: %v", idle, loading))
			}
		}
		return true, nil
	})
}

// loading returns the addresses of the document's requests that have no response yet. For requests
// of a document before it the browser does not report the end.
func (p *page) loading() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var urls []string
	for _, r := range p.inFlight {
		if r.loader == p.loader {
			urls = append(urls, r.url)
		}
	}
	return urls
}

// fail ends the test with the page's content. With -artifacts a picture of it is kept.
func (p *page) fail(format string, args ...any) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, *waitMax)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	if err != nil {
		text = err.Error()
	}
	if png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot()); err == nil {
		if err := os.WriteFile(filepath.Join(p.t.ArtifactDir(), "page.png"), png, 0o600); err != nil {
			p.t.Error(err)
		}
	}
	p.t.Fatalf(format+"\n--- the page\n%s\n--- its problems\n%s", append(args, text, strings.Join(p.unexpected(), "\n"))...)
}
