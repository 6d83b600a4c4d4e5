package bench

import (
	"fmt"
	"strings"
)

// A Target is one line of the table of targets.
type Target struct {
	Row   string  `json:"row"`
	What  string  `json:"what"`
	Value float64 `json:"value"`
	Want  string  `json:"want"`
	Met   bool    `json:"met"`
}

func (r *suiteRun) target(row, what string, value float64, want string, met bool) {
	r.targets = append(r.targets, Target{row, what, value, want, met})
}

func (r *suiteRun) atLeast(row, what string, value, least float64) {
	r.target(row, what, value, fmt.Sprintf("≥ %g", least), value >= least)
}

func (r *suiteRun) atMost(row, what string, value, most float64) {
	r.target(row, what, value, fmt.Sprintf("≤ %g", most), value <= most)
}

// between returns the ratio of two cells' rates; 0 when one was not measured.
func (r *suiteRun) between(a, b cell) float64 {
	x, y := r.samples[a], r.samples[b]
	if x == nil || y == nil {
		return 0
	}
	return quotient(x.rate(), y.rate())
}

func (r *suiteRun) p99(c cell) float64 {
	s := r.samples[c]
	if s == nil {
		return 0
	}
	return float64(s.latencies.ValueAtQuantile(99)) / 1e3
}

// judge compares what was measured with the targets. Rows whose numbers of callers were not
// measured are left out.
func (r *suiteRun) judge() {
	grown := r.targets // growth has judged itself, and comes last
	r.targets = nil
	at := func(workload, contender string, callers int) cell { return cell{workload, contender, callers} }
	has := func(callers int) bool { return r.samples[at(uniform, serviceName, callers)] != nil }
	if has(suiteCallers) {
		r.judgeGrid(at)
	}
	r.atLeast("batches of 1,000", "service / (a)",
		r.between(at(rowBatch, serviceName, suiteBatchCallers), at(rowBatch, "baseline-a", suiteBatchCallers)), 5)
	r.atLeast("batches of 1,000", "service / the same SQL straight from Go",
		r.between(at(rowBatch, serviceName, suiteBatchCallers), at(rowBatch, "sql-direct", suiteBatchCallers)), 0.7)
	if has(suiteCallers) && has(1024) {
		few, many := at(uniform, serviceName, suiteCallers), at(uniform, serviceName, 1024)
		r.atLeast("64 → 1,024 callers", "rate at 1,024 / at 64", r.between(many, few), 1)
		r.atMost("64 → 1,024 callers", "p99 at 1,024 / at 64", quotient(r.p99(many), r.p99(few)), 16)
		r.atMost("64 → 1,024 callers", "server memory, MiB", float64(r.samples[many].serverRSS)/(1<<20), 256)
	}
	if has(1) {
		r.atLeast("1 caller", "service / (a)", r.between(at(uniform, serviceName, 1), at(uniform, "baseline-a", 1)), 0.7)
	}
	if half := at(rowHalfPeak, serviceName, suiteCallers); r.samples[half] != nil {
		r.atMost("open loop at half the peak", "p99, ms", r.p99(half), 15)
	}
	if full := at(rowFull, serviceName, suiteCallers); r.samples[full] != nil {
		r.atLeast(fmt.Sprintf("%d transfers in the table", r.options.Preload), "rate / that of a fresh table",
			r.between(full, at(rowFresh, serviceName, suiteCallers)), 0.9)
	}
	slowest := listings[0].name
	for _, list := range listings {
		if r.p99(at(rowLists, list.name, 1)) > r.p99(at(rowLists, slowest, 1)) {
			slowest = list.name
		}
	}
	r.atMost("first page of any list", "p99 of the slowest, "+slowest+", ms", r.p99(at(rowLists, slowest, 1)), 5)
	r.targets = append(r.targets, grown...)
}

// judgeGrid compares each workload with its baselines at 64 callers.
func (r *suiteRun) judgeGrid(at func(workload, contender string, callers int) cell) {
	ours := at(uniform, serviceName, suiteCallers)
	r.atLeast("uniform, 64 callers", "service / (a)", r.between(ours, at(uniform, "baseline-a", suiteCallers)), 2)
	r.atLeast("uniform, 64 callers", "service / (b)", r.between(ours, at(uniform, "baseline-b", suiteCallers)), 1)
	for _, workload := range []string{hotDebit, hotCredit, pingPong} {
		hot := at(workload, serviceName, suiteCallers)
		r.atLeast(workload+", 64 callers", "service / (a)", r.between(hot, at(workload, "baseline-a", suiteCallers)), 10)
		r.atLeast(workload+", 64 callers", "rate / that of uniform", r.between(
			at(rowBeside+workload, serviceName, suiteCallers), at(rowBeside+uniform, serviceName, suiteCallers)), 1)
	}
	r.atLeast("zipf, 64 callers", "service / (a)",
		r.between(at(zipf, serviceName, suiteCallers), at(zipf, "baseline-a", suiteCallers)), 2)
}

// printTargets writes the table as Markdown, ready for docs/performance.md.
func printTargets(b *strings.Builder, targets []Target) {
	if len(targets) == 0 {
		return
	}
	b.WriteString("\n| row | what | target | measured | |\n|---|---|---|---|---|\n")
	for _, t := range targets {
		met := "met"
		if !t.Met {
			met = "**missed**"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %.2f | %s |\n", t.Row, t.What, t.Want, t.Value, met)
	}
}
