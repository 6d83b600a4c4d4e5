package bench

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strings"
)

// A chart is one panel of a plot: lines over two axes.
type chart struct {
	title, xLabel, yLabel string
	xTicks                []axisTick // positions on the x axis; what they are at is up to the chart
	yLog                  bool       // else from zero
	lines                 []line
}

// An axisTick labels a place on an axis.
type axisTick struct {
	at    float64
	label string
}

// A line is a contender's points, from left to right.
type line struct {
	name   string
	points [][2]float64
}

const (
	panelWidth, panelHeight = 520.0, 380.0
	plotLeft, plotRight     = 72.0, 28.0
	plotTop, plotBottom     = 44.0, 56.0
	headHeight              = 62.0 // above the panels: the title and the names of the lines
)

// A lineStyle makes a contender look the same in every plot, and different from others without
// colours too. The colours are those of Okabe and Ito, which people with any kind of colour vision
// can distinguish.
type lineStyle struct {
	colour, dash, marker string
	width                float64
}

var lineStyles = map[string]lineStyle{
	serviceName:  {"#0072B2", "", "circle", 2.6},
	"baseline-a": {"#D55E00", "7 3", "square", 1.6},
	"baseline-b": {"#009E73", "2 3", "triangle", 1.6},
	"baseline-c": {"#CC79A7", "9 3 2 3", "diamond", 1.6},
	"sql-direct": {"#8A6D00", "4 2", "square", 1.6},
}

// lineNames are the contenders' names in plots.
var lineNames = map[string]string{
	serviceName:  "service",
	"baseline-a": "(a) five statements",
	"baseline-b": "(b) one statement",
	"baseline-c": "(c) lock first",
	"sql-direct": "its SQL straight from Go",
}

func styleOf(name string) lineStyle {
	if style, ok := lineStyles[name]; ok {
		return style
	}
	return lineStyle{"#444444", "", "circle", 1.6}
}

// drawSVG draws charts side by side, with one set of names above them. It is text through and
// through: a plot in the repository can be compared line by line.
func drawSVG(title string, charts []chart) []byte {
	var b bytes.Buffer
	width, height := panelWidth*float64(len(charts)), headHeight+panelHeight
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g" font-family="system-ui, sans-serif" font-size="13">`+"\n",
		width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%g" height="%g" fill="#ffffff"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="%g" y="26" font-size="17" font-weight="600" fill="#111111">%s</text>`+"\n", plotLeft, html.EscapeString(title))
	drawNames(&b, charts)
	for i := range charts {
		fmt.Fprintf(&b, `<g transform="translate(%g %g)">`+"\n", panelWidth*float64(i), headHeight)
		charts[i].draw(&b)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// drawNames writes the lines' names, each beside a piece of its line.
func drawNames(b *bytes.Buffer, charts []chart) {
	x, seen := plotLeft, map[string]bool{}
	for _, c := range charts {
		for _, l := range c.lines {
			if seen[l.name] {
				continue
			}
			seen[l.name] = true
			style, name := styleOf(l.name), l.name
			if long, ok := lineNames[name]; ok {
				name = long
			}
			drawPath(b, style, [][2]float64{{x, 46}, {x + 30, 46}})
			drawMarker(b, style, x+15, 46)
			fmt.Fprintf(b, `<text x="%g" y="50.5" fill="#333333">%s</text>`+"\n", x+36, html.EscapeString(name))
			x += 36 + 7.2*float64(len(name)) + 18
		}
	}
}

func (c *chart) draw(b *bytes.Buffer) {
	left, right, top, bottom := plotLeft, panelWidth-plotRight, plotTop, panelHeight-plotBottom
	yTicks := c.yTicks()
	xLow, xHigh := c.xTicks[0].at, c.xTicks[len(c.xTicks)-1].at
	yLow, yHigh := yTicks[0].at, yTicks[len(yTicks)-1].at
	x := func(v float64) float64 { return left + (right-left)*fraction(v, xLow, xHigh) }
	y := func(v float64) float64 { return bottom - (bottom-top)*fraction(c.scale(v), yLow, yHigh) }
	fmt.Fprintf(b, `<text x="%g" y="%g" font-weight="600" fill="#111111">%s</text>`+"\n", left, top-16, html.EscapeString(c.title))
	for _, t := range yTicks {
		at := bottom - (bottom-top)*fraction(t.at, yLow, yHigh)
		fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#dddddd"/>`+"\n", left, at, right, at)
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="end" fill="#444444">%s</text>`+"\n", left-8, at+4.5, html.EscapeString(t.label))
	}
	for _, t := range c.xTicks {
		fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#888888"/>`+"\n", x(t.at), bottom, x(t.at), bottom+5)
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle" fill="#444444">%s</text>`+"\n", x(t.at), bottom+20, html.EscapeString(t.label))
	}
	fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#888888"/>`+"\n", left, bottom, right, bottom)
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle" fill="#444444">%s</text>`+"\n", (left+right)/2, bottom+42, html.EscapeString(c.xLabel))
	fmt.Fprintf(b, `<text transform="translate(16 %.1f) rotate(-90)" text-anchor="middle" fill="#444444">%s</text>`+"\n", (top+bottom)/2, html.EscapeString(c.yLabel))
	// The first line is the service's; drawn last, it lies on top.
	for i := len(c.lines) - 1; i >= 0; i-- {
		style := styleOf(c.lines[i].name)
		var places [][2]float64
		for _, p := range c.lines[i].points {
			places = append(places, [2]float64{x(p[0]), y(p[1])})
		}
		drawPath(b, style, places)
		for _, p := range places {
			drawMarker(b, style, p[0], p[1])
		}
	}
}

func fraction(v, low, high float64) float64 {
	if high == low {
		return 0.5
	}
	return (v - low) / (high - low)
}

// scale returns the place of a value on the y axis, in the units of yTicks.
func (c *chart) scale(v float64) float64 {
	if c.yLog {
		return math.Log10(max(v, 1e-3))
	}
	return v
}

// yTicks spans all points: from zero in round steps, or in powers of ten.
func (c *chart) yTicks() []axisTick {
	low, high := math.Inf(1), 0.0
	for _, l := range c.lines {
		for _, p := range l.points {
			low, high = min(low, p[1]), max(high, p[1])
		}
	}
	if high <= 0 {
		low, high = 1, 1
	}
	var ticks []axisTick
	if c.yLog {
		from, to := math.Floor(c.scale(low)), math.Ceil(c.scale(high))
		for power := from; power <= max(to, from+1); power++ {
			ticks = append(ticks, axisTick{power, number(math.Pow(10, power))})
		}
		return ticks
	}
	step := roundStep(high / 5)
	for v := 0.0; ; v += step {
		ticks = append(ticks, axisTick{v, number(v)})
		if v >= high {
			return ticks
		}
	}
}

// roundStep returns the least of 1, 2 and 5 times a power of ten that is not below v.
func roundStep(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, factor := range []float64{1, 2, 5} {
		if factor*power >= v*(1-1e-9) {
			return factor * power
		}
	}
	return 10 * power
}

// number formats a number for reading: 12,000.
func number(v float64) string {
	if v < 1000 {
		return fmt.Sprintf("%.4g", v)
	}
	return fmt.Sprintf("%s,%03d", number(math.Floor(v/1000)), int64(v)%1000)
}

func drawPath(b *bytes.Buffer, style lineStyle, places [][2]float64) {
	if len(places) == 0 {
		return
	}
	var path strings.Builder
	for i, p := range places {
		fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(i, 1)], p[0], p[1])
	}
	dash := ""
	if style.dash != "" {
		dash = fmt.Sprintf(` stroke-dasharray="%s"`, style.dash)
	}
	fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="%g"%s/>`+"\n", path.String(), style.colour, style.width, dash)
}

func drawMarker(b *bytes.Buffer, style lineStyle, x, y float64) {
	switch style.marker {
	case "square":
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="7" height="7" fill="%s"/>`+"\n", x-3.5, y-3.5, style.colour)
	case "triangle":
		fmt.Fprintf(b, `<path d="M%.1f %.1fl4.5 8h-9z" fill="%s"/>`+"\n", x, y-5, style.colour)
	case "diamond":
		fmt.Fprintf(b, `<path d="M%.1f %.1fl4.5 4.5l-4.5 4.5l-4.5 -4.5z" fill="%s"/>`+"\n", x, y-4.5, style.colour)
	default:
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="4" fill="%s"/>`+"\n", x, y, style.colour)
	}
}
