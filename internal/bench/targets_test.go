package bench

import (
	"strings"
	"testing"
	"time"
)

// measuredRun returns a suite in which the service makes twice the transfers of each baseline, and
// all latencies are 2 ms.
func measuredRun() *suiteRun {
	r := &suiteRun{
		system: &system{options: &Options{Preload: 1000, Protocol: connectProto}}, report: &Report{}, samples: map[cell]*sample{},
	}
	put := func(row, contenderName string, callers int, items int64) {
		s := &sample{latencies: newHistogram(), items: items, elapsed: time.Second, serverRSS: 300 << 20}
		addLatency(s.latencies, 2*time.Millisecond)
		r.note(row, &contender{name: contenderName, workload: row, batch: 1}, callers, 0, s)
	}
	for _, callers := range []int{1, 64, 1024} {
		for _, workload := range []string{uniform, zipf, hotDebit, hotCredit, pingPong} {
			put(workload, serviceName, callers, 2000)
			put(workload, "baseline-a", callers, 1000)
			put(workload, "baseline-b", callers, 1000)
			put(rowBeside+workload, serviceName, callers, 2000)
		}
	}
	put(rowBatch, serviceName, suiteBatchCallers, 6000)
	put(rowBatch, "sql-direct", suiteBatchCallers, 10_000)
	put(rowBatch, "baseline-a", suiteBatchCallers, 1000)
	put(rowHalfPeak, serviceName, suiteCallers, 1000)
	put(rowFull, serviceName, suiteCallers, 1900)
	put(rowFresh, serviceName, suiteCallers, 2000)
	for _, list := range listings {
		put(rowLists, list.name, 1, 100)
	}
	return r
}

// TestTargets: each line of the table makes the comparison that it names.
func TestTargets(t *testing.T) {
	r := measuredRun()
	r.target("growth", "came before", 1, "", true)
	r.judge()
	var got []string
	for _, target := range r.targets {
		verdict := "missed"
		if target.Met {
			verdict = "met"
		}
		got = append(got, target.Row+": "+target.What+" "+number(target.Value)+" "+target.Want+" "+verdict)
	}
	want := []string{
		"uniform, 64 callers: service / (a) 2 ≥ 2 met",
		"uniform, 64 callers: service / (b) 2 ≥ 1 met",
		"hot-debit, 64 callers: service / (a) 2 ≥ 10 missed",
		"hot-debit, 64 callers: rate / that of uniform 1 ≥ 1 met",
		"hot-credit, 64 callers: service / (a) 2 ≥ 10 missed",
		"hot-credit, 64 callers: rate / that of uniform 1 ≥ 1 met",
		"ping-pong, 64 callers: service / (a) 2 ≥ 10 missed",
		"ping-pong, 64 callers: rate / that of uniform 1 ≥ 1 met",
		"zipf, 64 callers: service / (a) 2 ≥ 2 met",
		"batches of 1,000: service / (a) 6 ≥ 5 met",
		"batches of 1,000: service / the same SQL straight from Go 0.6 ≥ 0.7 missed",
		"64 → 1,024 callers: rate at 1,024 / at 64 1 ≥ 1 met",
		"64 → 1,024 callers: p99 at 1,024 / at 64 1 ≤ 16 met",
		"64 → 1,024 callers: server memory, MiB 300 ≤ 256 missed",
		"1 caller: service / (a) 2 ≥ 0.7 met",
		"open loop at half the peak: p99, ms 2 ≤ 15 met",
		"1000 transfers in the table: rate / that of a fresh table 0.95 ≥ 0.9 met",
		"first page of any list: p99 of the slowest, ListAccounts, ms 2 ≤ 5 met",
		"growth: came before 1  met",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("targets:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var text strings.Builder
	printTargets(&text, r.targets)
	printTable(&text, r.report.Measurements)
	if !strings.Contains(text.String(), "**missed**") {
		t.Errorf("the table hides what was missed:\n%s", &text)
	}
}

// TestPlots: every plot is well-formed, whatever was measured.
func TestPlots(t *testing.T) {
	r := measuredRun()
	for _, workload := range gridWorkloads {
		requireXML(t, plotCallers(workload, r.report.Measurements))
	}
	requireXML(t, plotRun(nil))
	requireXML(t, plotRun([]Measurement{{Contender: "<&>", Workload: "\"x\""}}))
	files := t.TempDir()
	if err := r.report.writeFiles(files); err != nil {
		t.Error(err)
	}
}

// TestNumbers: the numbers of axes are round and readable.
func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.001: "0.001", 999: "999", 1000: "1,000", 12_034: "12,034", 1_234_567: "1,234,567"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %s, want %s", v, got, want)
		}
	}
	for v, want := range map[float64]float64{0.9: 1, 1: 1, 1.1: 2, 3: 5, 7: 10, 1200: 2000, 0.03: 0.05} {
		if got := roundStep(v); got < want*0.999 || got > want*1.001 {
			t.Errorf("roundStep(%v) = %v, want %v", v, got, want)
		}
	}
}

// TestOptions: an option out of range is named.
func TestOptions(t *testing.T) {
	good := Options{
		Workload: uniform, Protocol: connectProto, Batch: 1, Callers: 1, Rounds: 1, Duration: time.Second, Out: "docs",
	}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Options){
		"--batch (BENCH_BATCH) must":     func(o *Options) { o.Batch = 0 },
		"--callers (BENCH_CALLERS) must": func(o *Options) { o.Callers = callersMax + 1 },
		"at least 2":                     func(o *Options) { o.Accounts = 1 },
		"--rate":                         func(o *Options) { o.Rate = -1 },
		"--workload":                     func(o *Options) { o.Workload = "sideways" },
		"--protocol":                     func(o *Options) { o.Protocol = "carrier pigeon" },
		"--duration":                     func(o *Options) { o.Duration = 0 },
		"transfers only":                 func(o *Options) { o.Workload, o.Batch = read, 10 },
		"--database-url":                 func(o *Options) { o.Target, o.Baseline = "http://localhost", true },
		"--target":                       func(o *Options) { o.Target, o.Suite = "http://localhost", true },
		"--out":                          func(o *Options) { o.Out, o.Suite = "", true },
		"--suite-callers":                func(o *Options) { o.SuiteCallers, o.Suite = []int{0}, true },
		"--growth-accounts":              func(o *Options) { o.GrowthAccounts = -1 },
	} {
		options := good
		change(&options)
		if err := options.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}
