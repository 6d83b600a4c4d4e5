package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// A thing is what a screen reader finds on a page: by role, by name, maybe within another thing. A
// name finds what contains it, whatever the case; if things have exactly that name, only those.
// Rows have no names: they are found by a text that can be read in them.
type thing struct {
	role, name, text string
	within           *thing
}

func (w thing) String() string {
	text := w.role + " " + strconv.Quote(w.name+w.text)
	if w.within != nil {
		text += " in " + w.within.String()
	}
	return text
}

// in limits the search to another thing.
func (w thing) in(outer thing) thing {
	w.within = &outer
	return w
}

func button(name string) thing  { return thing{role: "button", name: name} }
func link(name string) thing    { return thing{role: "link", name: name} }
func heading(name string) thing { return thing{role: "heading", name: name} }
func row(text string) thing     { return thing{role: "row", text: text} }
func textbox(name string) thing { return thing{role: "textbox", name: name} }
func dialog(name string) thing  { return thing{role: "dialog", name: name} }
func radio(name string) thing   { return thing{role: "radio", name: name} }

// pageLink returns a link to a page in the navigation.
func pageLink(name string) thing { return link(name).in(thing{role: "navigation", name: "Pages"}) }

// combobox returns a field with a list to choose from.
func combobox(name string) thing { return thing{role: "combobox", name: name} }

// find returns the nodes that a thing is now.
func find(ctx context.Context, w thing) ([]*accessibility.Node, error) {
	var root accessibility.QueryAXTreeParams
	if w.within == nil {
		document, err := chromedp.Run(ctx, chromedp.Evaluate[*runtime.RemoteObject]("document"))
		if err != nil {
			return nil, err
		}
		root.ObjectID = document.ObjectID
	} else {
		outer, err := find(ctx, *w.within)
		if err != nil || len(outer) == 0 {
			return nil, err
		}
		if len(outer) > 1 {
			return nil, fmt.Errorf("%d times %s", len(outer), w.within)
		}
		root.BackendNodeID = outer[0].BackendDOMNodeID
	}
	root.Role = w.role
	result, err := chromedp.Call(ctx, accessibility.QueryAXTree, root)
	if err != nil {
		return nil, err
	}
	var found, exact []*accessibility.Node
	for _, node := range result.Nodes {
		name := text(node.Name)
		if node.Ignored || !strings.Contains(strings.ToLower(name), strings.ToLower(w.name)) {
			continue
		}
		if w.text != "" {
			if has, err := callOnNode[bool](ctx, node, `function (text) { return `+reading("this")+`.includes(text) }`, readable(w.text)); err != nil {
				return nil, err
			} else if !has {
				continue
			}
		}
		found = append(found, node)
		if name == w.name {
			exact = append(exact, node)
		}
	}
	if len(exact) > 0 && w.name != "" {
		return exact, nil
	}
	return found, nil
}

// findOne returns the only node that a thing is. Two are an error, since a person could not tell
// which is meant.
func findOne(ctx context.Context, w thing) (*accessibility.Node, error) {
	nodes, err := find(ctx, w)
	if err != nil {
		return nil, err
	}
	if len(nodes) != 1 {
		var names []string
		for _, node := range nodes {
			names = append(names, strconv.Quote(text(node.Name)))
		}
		return nil, fmt.Errorf("%d times %s: %s", len(nodes), w, strings.Join(names, ", "))
	}
	return nodes[0], nil
}

// text returns a value of the accessibility tree, as plain text.
func text(v *accessibility.Value) string {
	var s string
	if v == nil || json.Unmarshal(v.Value, &s) != nil {
		return ""
	}
	return strings.Join(strings.Fields(s), " ")
}

// has waits until each thing is there, once.
func (p *page) has(things ...thing) {
	p.t.Helper()
	for _, w := range things {
		p.wait(w.String(), func(ctx context.Context) (bool, error) {
			node, err := findOne(ctx, w)
			return node != nil, err
		})
	}
}

// hasNo waits until a thing is not there.
func (p *page) hasNo(w thing) {
	p.t.Helper()
	p.wait("no "+w.String(), func(ctx context.Context) (bool, error) {
		nodes, err := find(ctx, w)
		return len(nodes) == 0, err
	})
}

// sees waits until all the texts can be read on the page, whatever their case and spaces.
func (p *page) sees(texts ...string) {
	p.t.Helper()
	for _, want := range texts {
		p.waitFor(strconv.Quote(want), reading("document.body")+".includes("+quote(want)+")")
	}
}

// seesNo waits until a text can not be read on the page.
func (p *page) seesNo(text string) {
	p.t.Helper()
	p.waitFor("no "+strconv.Quote(text), "!"+reading("document.body")+".includes("+quote(text)+")")
}

// says waits until the page announces the text, as a status or an alert: a screen reader reads it
// out.
func (p *page) says(text string) {
	p.t.Helper()
	p.waitFor("it to say "+strconv.Quote(text), `[...document.querySelectorAll("[role=status], [role=alert]")].some((e) => `+
		reading("e")+`.includes(`+quote(text)+`))`)
}

// reading returns the readable text of an element, as a JavaScript expression: in lower case and
// with single spaces.
func reading(element string) string {
	return `(` + element + `.innerText.toLowerCase().replace(/\s+/g, " "))`
}

// readable returns a text in the form of reading.
func readable(text string) string { return strings.Join(strings.Fields(strings.ToLower(text)), " ") }

// quote returns a JavaScript string of a text in the form of reading.
func quote(text string) string {
	quoted, err := json.Marshal(readable(text))
	if err != nil {
		panic(err) // a string can always be encoded
	}
	return string(quoted)
}

// point returns where to click an element, once it can be clicked there: enabled, in the window,
// covered by nothing.
const point = `function () {
	this.scrollIntoView({ block: "center", inline: "nearest", behavior: "instant" });
	const box = this.getBoundingClientRect();
	const x = box.left + box.width / 2, y = box.top + box.height / 2;
	const hit = document.elementFromPoint(x, y);
	if (this.matches(":disabled, [aria-disabled=true]") || !hit) return [];
	return this.contains(hit) || hit.closest("label")?.control === this ? [x, y] : [];
}`

// locate waits until a thing can be clicked and returns where.
func (p *page) locate(w thing) (x, y float64) {
	p.t.Helper()
	p.wait(w.String()+" that can be clicked", func(ctx context.Context) (bool, error) {
		at, err := callOn[[]float64](ctx, w, point)
		if err != nil || len(at) != 2 {
			return false, err
		}
		x, y = at[0], at[1]
		return true, nil
	})
	return x, y
}

// callOn calls a JavaScript function on a thing's element.
func callOn[T any](ctx context.Context, w thing, function string, args ...any) (T, error) {
	var zero T
	node, err := findOne(ctx, w)
	if err != nil {
		return zero, err
	}
	return callOnNode[T](ctx, node, function, args...)
}

func callOnNode[T any](ctx context.Context, node *accessibility.Node, function string, args ...any) (T, error) {
	var zero T
	element, err := chromedp.Call(ctx, dom.ResolveNode, dom.ResolveNodeParams{BackendNodeID: node.BackendDOMNodeID})
	if err != nil {
		return zero, err
	}
	return chromedp.Run(ctx, chromedp.CallFunctionOn[T](function, func(params *runtime.CallFunctionOnParams) {
		params.ObjectID = element.Object.ObjectID
	}, args...))
}

// click clicks a thing once.
func (p *page) click(w thing) {
	p.t.Helper()
	x, y := p.locate(w)
	p.do("click "+w.String(), chromedp.MouseClickXY(x, y))
}

// doubleClick clicks a thing twice, as fast as it goes: the page has no time to respond between.
func (p *page) doubleClick(w thing) {
	p.t.Helper()
	x, y := p.locate(w)
	p.do("double click "+w.String(), chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		for _, typ := range []input.DispatchMouseEventType{chromedp.MousePressed, chromedp.MouseReleased, chromedp.MousePressed, chromedp.MouseReleased} {
			if _, err := chromedp.MouseEvent(typ, x, y, chromedp.ButtonLeft, chromedp.ClickCount(1))(ctx, tab); err != nil {
				return err
			}
		}
		return nil
	}))
}

// fill replaces the text of a field.
func (p *page) fill(w thing, text string) {
	p.t.Helper()
	p.click(w)
	p.do("fill "+w.String(),
		chromedp.Evaluate[chromedp.Void]("document.activeElement.select?.()"),
		chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
			_, err := cdp.Call(ctx, tab, input.InsertText, input.InsertTextParams{Text: text})
			return err
		}))
	if text == "" {
		p.press("Backspace")
	}
}

// press presses a key, such as "\r" or kb.ArrowDown.
func (p *page) press(key string) {
	p.t.Helper()
	p.do("press "+strconv.Quote(key), chromedp.KeyEvent(key))
}

// search types into a combobox and takes the offer of that name.
func (p *page) search(w thing, text, option string) {
	p.t.Helper()
	p.fill(w, text)
	offer := thing{role: "option"}.in(thing{role: "listbox", name: w.name})
	p.wait("only "+option+" to choose", func(ctx context.Context) (bool, error) {
		offers, err := find(ctx, offer) // other offers go away during the search
		return len(offers) == 1, err
	})
	offer.name = option
	p.click(offer)
	p.wait(w.String()+" to have "+option, func(ctx context.Context) (bool, error) {
		return callOn[bool](ctx, w, `function (value) { return this.value === value }`, option)
	})
}

// choose chooses an option of a select.
func (p *page) choose(w thing, option string) {
	p.t.Helper()
	p.wait(option+" in "+w.String(), func(ctx context.Context) (bool, error) {
		return callOn[bool](ctx, w, `function (label) {
			const option = [...(this.options ?? [])].find((o) => o.label.trim() === label);
			if (!option) return false;
			Object.getOwnPropertyDescriptor(HTMLSelectElement.prototype, "value").set.call(this, option.value);
			this.dispatchEvent(new Event("change", { bubbles: true }));
			return true;
		}`, option)
	})
}
