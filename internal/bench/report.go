package bench

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// print writes the report as text.
func (r *Report) print(w io.Writer) error {
	var b strings.Builder
	r.Machine.print(&b)
	fmt.Fprintf(&b, "accounts          %d, opened at %.0f/s; %d transfers preloaded\n", r.Accounts, r.OpenedPerSec, r.Preloaded)
	if r.Targets != nil {
		printTable(&b, r.Measurements)
	} else {
		for i := range r.Measurements {
			r.Measurements[i].print(&b)
		}
	}
	for _, ratio := range r.Ratios {
		fmt.Fprintf(&b, "\nservice / %-12s %.2f (by turn: %.2f to %.2f)", ratio.Of, ratio.Value, ratio.Least, ratio.Most)
	}
	if len(r.Ratios) > 0 {
		b.WriteString("\n")
	}
	printTargets(&b, r.Targets)
	r.Proof.print(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (m *Machine) print(b *strings.Builder) {
	fmt.Fprintf(b, "machine           %s, %d cores, %s, %s\n", m.CPU, m.Cores, m.OS, m.Go)
	fmt.Fprintf(b, "layout            %s\n", m.Layout)
	if m.Postgres == nil {
		b.WriteString("PostgreSQL        not known: give its --database-url for its settings, WAL and commits\n")
	} else {
		fmt.Fprintf(b, "PostgreSQL        %s\n", m.Postgres["server_version"])
		var settings []string
		for _, name := range settingNames[1:] {
			settings = append(settings, name+"="+m.Postgres[name])
		}
		fmt.Fprintf(b, "settings          %s\n", strings.Join(settings, " "))
	}
	if m.FileSystem != "" {
		fmt.Fprintf(b, "storage           %s, %.0f µs to write and sync a page\n", m.FileSystem, m.SyncMicros)
	}
	if m.FileSystem == "tmpfs" {
		b.WriteString("WARNING           this storage is memory: nothing here is durable, and figures of writes mean little\n")
	}
}

func (m *Measurement) print(b *strings.Builder) {
	loop := "closed loop"
	if m.Rate > 0 {
		loop = fmt.Sprintf("open loop at %.0f calls/s, latency from when calls were due", m.Rate)
	}
	fmt.Fprintf(b, "\n%s: %s", m.Contender, m.Workload)
	if m.Protocol != "" {
		fmt.Fprintf(b, " over %s", m.Protocol)
	}
	fmt.Fprintf(b, ", %d a call, %d callers, %s, %.1f s\n", m.Batch, m.Callers, loop, m.Seconds)
	fmt.Fprintf(b, "  throughput      %.0f/s", m.PerSecond)
	if len(m.LegRates) > 1 {
		fmt.Fprintf(b, " (by turn: %.0f to %.0f)", slices.Min(m.LegRates), slices.Max(m.LegRates))
	}
	fmt.Fprintf(b, "\n  latency         p50 %.2f, p90 %.2f, p99 %.2f, p99.9 %.2f, max %.2f ms\n",
		m.Latency.P50, m.Latency.P90, m.Latency.P99, m.Latency.P999, m.Latency.Max)
	if m.Unmade > 0 {
		fmt.Fprintf(b, "  not made        %d calls were due and found no free caller; their latency is in the above as far as it went\n", m.Unmade)
	}
	if m.WALBytes > 0 {
		fmt.Fprintf(b, "  database        %.0f bytes of WAL (%.3f whole pages), %.4f commits each; %.1f a commit\n",
			m.WALBytes, m.PageImages, m.Commits, m.Grouped)
	}
	if m.Batches != nil {
		fmt.Fprintf(b, "  group commit    %s\n", m.Batches)
	}
	fmt.Fprintf(b, "  CPU             load generator %.2f s", m.CPU.Generator)
	if m.CPU.Server > 0 {
		fmt.Fprintf(b, ", server %.2f s", m.CPU.Server)
	}
	if m.CPU.Postgres > 0 {
		fmt.Fprintf(b, ", PostgreSQL %.2f s", m.CPU.Postgres)
	}
	if each := float64(m.Items) / 1e6; each > 0 {
		fmt.Fprintf(b, " (µs each: %.0f, %.0f, %.0f)", m.CPU.Generator/each, m.CPU.Server/each, m.CPU.Postgres/each)
	}
	if m.CPU.Others > 0 {
		fmt.Fprintf(b, "; the rest of the machine %.2f s", m.CPU.Others)
	}
	b.WriteString("\n")
	if m.ServerRSS > 0 {
		fmt.Fprintf(b, "  server memory   %.0f MiB at its peak\n", float64(m.ServerRSS)/(1<<20))
	}
	codes := slices.Sorted(maps.Keys(m.Errors))
	for _, code := range codes {
		fmt.Fprintf(b, "  errors          %d × %s\n", m.Errors[code], code)
	}
	if len(codes) == 0 {
		b.WriteString("  errors          none\n")
	}
}

// printTable writes a line for each measurement of a suite, as Markdown.
func printTable(b *strings.Builder, measurements []Measurement) {
	b.WriteString("\n| row | contender | callers | per second | p50 ms | p99 ms | p99.9 ms | WAL bytes | a commit | CPU µs: generator, server, PostgreSQL | errors |\n")
	b.WriteString("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for i := range measurements {
		m := &measurements[i]
		var failed int64
		for _, n := range m.Errors {
			failed += n
		}
		grouped := m.Grouped
		if m.Batches != nil {
			grouped = m.Batches.Mean // by the server's own count, which does not lag
		}
		each := max(float64(m.Items), 1) / 1e6
		fmt.Fprintf(b, "| %s | %s | %d | %s | %.2f | %.2f | %.2f | %.0f | %.1f | %.0f, %.0f, %.0f | %d |\n",
			m.Row, m.Contender, m.Callers, number(math.Round(m.PerSecond)), m.Latency.P50, m.Latency.P99, m.Latency.P999,
			m.WALBytes, grouped, m.CPU.Generator/each, m.CPU.Server/each, m.CPU.Postgres/each, failed)
	}
}

func (p *Proof) print(b *strings.Builder) {
	if p == nil {
		return
	}
	verdict := "every invariant holds"
	if !p.OK {
		verdict = "BROKEN: " + strings.Join(p.Violations, "; ")
	}
	fmt.Fprintf(b, "\nCheckLedger       %s; %d rows examined\n", verdict, p.Examined)
	verdict = "conserved"
	if !p.Conserved {
		verdict = "NOT CONSERVED"
	}
	fmt.Fprintf(b, "money             %s: %d accounts were opened with %s and have %s (proved in %.1f s)\n",
		verdict, p.Accounts, p.Opened, p.Balance, p.Seconds)
}
