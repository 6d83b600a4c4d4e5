package bench

import (
	"fmt"
	"math"
	"slices"
)

// plotCallers draws a workload of the suite's grid: throughput and 99th percentile against the
// number of callers.
func plotCallers(workload string, measurements []Measurement) []byte {
	throughput := chart{title: "Throughput", xLabel: "callers, log scale", yLabel: "transfers per second"}
	latency := chart{title: "99th percentile of latency", xLabel: "callers, log scale", yLabel: "milliseconds, log scale", yLog: true}
	switch workload {
	case read:
		throughput.yLabel = "reads per second"
	case mixed:
		throughput.yLabel = "calls per second"
	}
	var callers []int
	for i := range measurements {
		m := &measurements[i]
		if m.Row != workload {
			continue
		}
		if !slices.Contains(callers, m.Callers) {
			callers = append(callers, m.Callers)
		}
		x := math.Log2(float64(m.Callers))
		throughput.addPoint(m.Contender, x, m.PerSecond)
		latency.addPoint(m.Contender, x, m.Latency.P99)
	}
	slices.Sort(callers)
	for _, n := range callers {
		t := axisTick{math.Log2(float64(n)), number(float64(n))}
		throughput.xTicks, latency.xTicks = append(throughput.xTicks, t), append(latency.xTicks, t)
	}
	if len(callers) == 0 {
		return drawSVG(workload, nil)
	}
	for _, c := range []*chart{&throughput, &latency} {
		for _, l := range c.lines {
			slices.SortFunc(l.points, func(a, b [2]float64) int { return int(a[0]*1000 - b[0]*1000) })
		}
	}
	return drawSVG(workload, []chart{throughput, latency})
}

func (c *chart) addPoint(name string, x, y float64) {
	for i := range c.lines {
		if c.lines[i].name == name {
			c.lines[i].points = append(c.lines[i].points, [2]float64{x, y})
			return
		}
	}
	c.lines = append(c.lines, line{name, [][2]float64{{x, y}}})
}

// plotRun draws one run: the latency at each percentile, and the rate over time.
func plotRun(measurements []Measurement) []byte {
	latency := chart{title: "Latency by percentile", xLabel: "percentile", yLabel: "milliseconds, log scale", yLog: true}
	rate := chart{title: "Rate over time", xLabel: "seconds of load", yLabel: "per second"}
	if len(measurements) == 0 {
		return drawSVG("nothing was measured", nil)
	}
	for _, percent := range []float64{0, 90, 99, 99.9, 99.99} {
		latency.xTicks = append(latency.xTicks, axisTick{nines(percent), fmt.Sprintf("%g %%", percent)})
	}
	end := 0.0
	for i := range measurements {
		m := &measurements[i]
		for _, p := range m.Percentiles {
			if p.Percent <= 99.99 {
				latency.addPoint(m.Contender, nines(p.Percent), p.Millis)
			}
		}
		for k, r := range m.TickRates {
			at := float64(k+1) * m.Tick
			rate.addPoint(m.Contender, at, r)
			end = max(end, at)
		}
	}
	step := roundStep(max(end, 0.001) / 8)
	for at := 0.0; ; at += step {
		rate.xTicks = append(rate.xTicks, axisTick{at, number(at)})
		if at >= end {
			break
		}
	}
	first := &measurements[0]
	return drawSVG(fmt.Sprintf("%s, %d callers", first.Workload, first.Callers), []chart{latency, rate})
}

// nines returns the place of a percentile on an axis that gives each nine the same room.
func nines(percent float64) float64 { return -math.Log10(1 - percent/100) }
