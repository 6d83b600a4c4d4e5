package e2e

import (
	_ "embed"
	"fmt"
)

//go:embed testdata/axe.min.js
var axeSource string

// axe returns what axe-core finds on the page that is serious or critical.
func axe(p *page) []string {
	p.t.Helper()
	if !evaluate[bool](p, "typeof axe === 'object'") {
		evaluate[bool](p, axeSource+"; true")
	}
	type violation struct {
		ID, Impact, Help string
		Nodes            []string
	}
	// Style sheets are checked as applied: nothing is to be loaded for it again.
	violations := evaluate[[]violation](p, `axe.run(document, { preload: false, resultTypes: ["violations"] }).then((r) => r.violations
		.filter((v) => v.impact === "serious" || v.impact === "critical")
		.map((v) => ({ ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.map((n) => n.html + " " + n.failureSummary) })))`)
	var found []string
	for _, v := range violations {
		found = append(found, fmt.Sprintf("%s (%s): %s: %d times, such as %.500s", v.ID, v.Impact, v.Help, len(v.Nodes), v.Nodes[0]))
	}
	return found
}

// overflow returns by how many pixels the page is wider than the window.
func overflow(p *page) int64 {
	p.t.Helper()
	return evaluate[int64](p, "document.documentElement.scrollWidth") - p.width
}
