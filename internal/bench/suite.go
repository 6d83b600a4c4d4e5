package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// gridWorkloads are measured with every number of callers; those of transfers beside the baselines.
var gridWorkloads = []string{uniform, zipf, hotDebit, hotCredit, pingPong, read, mixed}

const (
	suiteBatch        = 1000 // transfers a call, in the row of batches
	suiteBatchCallers = 16   // so that all batches fit into the server's queue
	suiteCallers      = 64   // of the rows that have one number of callers
)

// A cell is one figure's place in the suite.
type cell struct {
	row       string // which part of the suite; the grid's is its workload
	contender string
	callers   int
}

// A suiteRun collects the measurements of the suite's parts.
type suiteRun struct {
	*system
	control *api
	report  *Report
	samples map[cell]*sample
	groups  [][]account // of everything that was opened, for the proof
	targets []Target
}

// suite runs every row of the table of targets on one server, one after the other. What is compared
// takes turns.
func (s *system) suite(ctx context.Context, report *Report) error {
	control, closeControl := newControl(s.base, openersMax)
	defer closeControl()
	r := &suiteRun{system: s, control: control, report: report, samples: map[cell]*sample{}}
	for _, workload := range gridWorkloads {
		if err := r.grid(ctx, workload); err != nil {
			return fmt.Errorf("%s: %w", workload, err)
		}
	}
	accounts, err := r.open(ctx, r.accountsOf(uniform))
	if err != nil {
		return err
	}
	p := &population{accounts: accounts}
	for _, part := range []func(context.Context, *population) error{r.hotBesideUniform, r.batches, r.halfPeak, r.fullTable, r.lists, r.growth} {
		if err := part(ctx, p); err != nil {
			return err
		}
	}
	r.judge()
	report.Targets = r.targets
	s.say("proving the ledger")
	report.Proof, err = prove(ctx, control, r.groups...)
	return err
}

func (r *suiteRun) accountsOf(workload string) int {
	if r.options.Accounts != 0 && workload != pingPong {
		return r.options.Accounts
	}
	return defaultAccounts(workload)
}

func (r *suiteRun) open(ctx context.Context, n int) ([]account, error) {
	began := time.Now()
	accounts, _, _, err := openAccounts(ctx, r.control, n, nil)
	if err != nil {
		return nil, err
	}
	r.groups = append(r.groups, accounts)
	r.report.Accounts += n
	r.report.OpenedPerSec = float64(n) / time.Since(began).Seconds()
	return accounts, nil
}

// note keeps a sample under its cell and in the report.
func (r *suiteRun) note(row string, c *contender, callers int, rate float64, s *sample) {
	r.samples[cell{row, c.name, callers}] = s
	m := s.measured(c, r.options.Protocol, callers, rate)
	m.Row = row
	r.report.Measurements = append(r.report.Measurements, m)
}

// grid measures one workload with each number of callers. In each round all of them come once, so
// that the curve does not follow the machine's load over time.
func (r *suiteRun) grid(ctx context.Context, workload string) error {
	accounts, err := r.open(ctx, r.accountsOf(workload))
	if err != nil {
		return err
	}
	p := &population{accounts: accounts}
	transfers := workload != read && workload != mixed
	if !transfers {
		if err := preload(ctx, r.control, p, min(readableTransfers, 10*len(accounts)), nil); err != nil {
			return err
		}
	}
	var hand []*contender
	if transfers {
		b, err := openBaseline(ctx, r.databaseURL, slices.Max(r.options.SuiteCallers), p)
		if err != nil {
			return err
		}
		defer b.close()
		hand = b.contenders(workload)
	}
	sums := map[cell]*sample{}
	byCallers := map[int][]*contender{}
	for _, callers := range r.options.SuiteCallers {
		service, err := r.service(workload, r.options.Protocol, 1, callers, p)
		if err != nil {
			return err
		}
		byCallers[callers] = append([]*contender{service}, hand...)
		for _, c := range byCallers[callers] {
			sums[cell{workload, c.name, callers}] = &sample{}
		}
	}
	rounds := r.options.Rounds
	for round := range rounds {
		for _, callers := range r.options.SuiteCallers {
			for _, c := range byCallers[callers] {
				t := turns{callers: callers, warmUp: r.options.WarmUp}
				one, err := r.leg(ctx, c, t, r.options.Duration/time.Duration(rounds), fmt.Sprintf("%d/%d ", round+1, rounds))
				if err != nil {
					return err
				}
				sums[cell{workload, c.name, callers}].add(one)
			}
		}
	}
	for _, callers := range r.options.SuiteCallers {
		for _, c := range byCallers[callers] {
			r.note(workload, c, callers, 0, sums[cell{workload, c.name, callers}])
		}
	}
	return nil
}

// compare lets contenders take turns with one number of callers, and notes them under a row.
func (r *suiteRun) compare(ctx context.Context, row string, contenders []*contender, callers int, rate float64) error {
	samples, err := r.takeTurns(ctx, contenders, turns{
		callers: callers, rate: rate,
		warmUp: r.options.WarmUp, duration: r.options.Duration, rounds: r.options.Rounds,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", row, err)
	}
	for i, c := range contenders {
		r.note(row, c, callers, rate, samples[i])
	}
	return nil
}

const (
	rowBeside   = "side by side: "
	rowBatch    = "batch"
	rowHalfPeak = "half the peak"
	rowFull     = "full table"
	rowFresh    = "fresh table"
	rowLists    = "lists"
	rowFew      = "few accounts"
	rowMany     = "many accounts"
)

// hotBesideUniform lets the hot workloads take turns with uniform, on the same accounts: in the
// grid they are minutes apart, and a machine is not the same minutes later.
func (r *suiteRun) hotBesideUniform(ctx context.Context, p *population) error {
	var contenders []*contender
	workloads := []string{uniform, hotDebit, hotCredit, pingPong}
	for _, workload := range workloads {
		c, err := r.service(workload, r.options.Protocol, 1, suiteCallers, p)
		if err != nil {
			return err
		}
		contenders = append(contenders, c)
	}
	samples, err := r.takeTurns(ctx, contenders, turns{
		callers: suiteCallers,
		warmUp:  r.options.WarmUp, duration: r.options.Duration, rounds: r.options.Rounds,
	})
	if err != nil {
		return err
	}
	for i, workload := range workloads {
		r.note(rowBeside+workload, contenders[i], suiteCallers, 0, samples[i])
	}
	return nil
}

// batches: calls of many transfers, beside the same SQL without the service, and beside (a) one by
// one.
func (r *suiteRun) batches(ctx context.Context, p *population) error {
	service, err := r.service(uniform, r.options.Protocol, suiteBatch, suiteBatchCallers, p)
	if err != nil {
		return err
	}
	direct, closeLedger, err := openDirect(ctx, r.serverURL, uniform, suiteBatch, p)
	if err != nil {
		return err
	}
	defer closeLedger()
	b, err := openBaseline(ctx, r.databaseURL, suiteBatchCallers, p)
	if err != nil {
		return err
	}
	defer b.close()
	hand := b.contenders(uniform)[:1]
	return r.compare(ctx, rowBatch, append([]*contender{service, direct}, hand...), suiteBatchCallers, 0)
}

// halfPeak measures an open loop at half of the closed loop's rate with as many callers.
func (r *suiteRun) halfPeak(ctx context.Context, p *population) error {
	peak := r.samples[cell{uniform, serviceName, suiteCallers}]
	if peak == nil || peak.rate() == 0 {
		return nil // it was not among --suite-callers
	}
	service, err := r.service(uniform, r.options.Protocol, 1, suiteCallers, p)
	if err != nil {
		return err
	}
	return r.compare(ctx, rowHalfPeak, []*contender{service}, suiteCallers, peak.rate()/2)
}

// fullTable fills the ledger, then compares it with a fresh one beside it: another database of the
// same PostgreSQL, behind another server.
func (r *suiteRun) fullTable(ctx context.Context, p *population) error {
	if r.options.Preload == 0 {
		return nil
	}
	r.say("preloading %d transfers", r.options.Preload)
	if err := preload(ctx, r.control, p, r.options.Preload, func(done int) { r.say("preloaded %d", done) }); err != nil {
		return err
	}
	r.report.Preloaded = r.options.Preload
	other, err := r.freshSystem(ctx)
	if err != nil {
		return fmt.Errorf("a fresh ledger to compare with: %w", err)
	}
	err = r.fullAndFresh(ctx, p, other)
	return errors.Join(err, other.stop())
}

func (r *suiteRun) fullAndFresh(ctx context.Context, p *population, other *system) error {
	control, closeControl := newControl(other.base, openersMax)
	defer closeControl()
	accounts, _, _, err := openAccounts(ctx, control, len(p.accounts), nil)
	if err != nil {
		return err
	}
	full, err := r.service(uniform, r.options.Protocol, 1, suiteCallers, p)
	if err != nil {
		return err
	}
	fresh, err := other.service(uniform, r.options.Protocol, 1, suiteCallers, &population{accounts: accounts})
	if err != nil {
		return err
	}
	if err := r.compareServices(ctx, rowFull, full, rowFresh, fresh); err != nil {
		return err
	}
	proof, err := prove(ctx, control, accounts)
	if err == nil && !proof.Sound() {
		err = errors.New("the fresh ledger is not sound")
	}
	return err
}

// compareServices is compare for two contenders that are both the service.
func (r *suiteRun) compareServices(ctx context.Context, rowA string, a *contender, rowB string, b *contender) error {
	samples, err := r.takeTurns(ctx, []*contender{a, b}, turns{
		callers: suiteCallers,
		warmUp:  r.options.WarmUp, duration: r.options.Duration, rounds: r.options.Rounds,
	})
	if err != nil {
		return err
	}
	r.note(rowA, a, suiteCallers, 0, samples[0])
	r.note(rowB, b, suiteCallers, 0, samples[1])
	return nil
}

// growth opens accounts until there are as many as wanted, and compares the rates of the first and
// the last tenth of them; then transfers among these accounts with transfers among the few earlier
// ones.
func (r *suiteRun) growth(ctx context.Context, p *population) error {
	n := r.options.GrowthAccounts - len(p.accounts)
	if n <= 0 {
		return nil
	}
	r.say("opening %d accounts more", n)
	accounts, first, last, err := openAccounts(ctx, r.control, n, func(done int) { r.say("opened %d", done) })
	if err != nil {
		return err
	}
	r.groups = append(r.groups, accounts)
	r.report.Accounts += n
	few, err := r.service(uniform, r.options.Protocol, 1, suiteCallers, p)
	if err != nil {
		return err
	}
	many, err := r.service(uniform, r.options.Protocol, 1, suiteCallers, &population{accounts: accounts})
	if err != nil {
		return err
	}
	if err := r.compareServices(ctx, rowMany, many, rowFew, few); err != nil {
		return err
	}
	row := fmt.Sprintf("%d to %d accounts", len(p.accounts)+1, r.options.GrowthAccounts)
	r.atLeast(row, "rate of opening, last tenth / first tenth", quotient(last, first), 0.8)
	ratio := r.between(cell{rowMany, serviceName, suiteCallers}, cell{rowFew, serviceName, suiteCallers})
	r.atLeast(row, fmt.Sprintf("transfers/s among all / among %d", len(p.accounts)), ratio, 0.8)
	return nil
}

// writeFiles writes the suite's JSON and plots.
func (r *Report) writeFiles(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := r.json()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "bench.json"), text, 0o644); err != nil {
		return err
	}
	for _, workload := range gridWorkloads {
		plot := plotCallers(workload, r.Measurements)
		if err := os.WriteFile(filepath.Join(dir, "bench-"+workload+".svg"), plot, 0o644); err != nil {
			return err
		}
	}
	return nil
}
