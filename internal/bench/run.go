package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"
)

// A Report is everything that a run found.
type Report struct {
	Began        time.Time     `json:"began"`
	Machine      Machine       `json:"machine"`
	Accounts     int           `json:"accounts"`
	OpenedPerSec float64       `json:"accounts_opened_per_second"`
	Preloaded    int           `json:"transfers_preloaded"`
	Measurements []Measurement `json:"measurements"`
	Ratios       []Ratio       `json:"ratios,omitempty"`
	Targets      []Target      `json:"targets,omitempty"` // of the suite
	Proof        *Proof        `json:"proof"`
}

// A Ratio compares the service with another contender that took turns with it.
type Ratio struct {
	Of    string  `json:"of"` // the other contender
	Value float64 `json:"value"`
	// Least and Most are the ratios of the single turns: how far apart they are is how much the
	// machine's noise matters.
	Least float64 `json:"least"`
	Most  float64 `json:"most"`
}

// garbagePercent lets the load generator collect less often: what it allocates is small and
// short-lived, and it shares the cores with what it measures.
const garbagePercent = 400

// Run measures what options say. It prints the report, and returns an error when the ledger was not
// sound at the end or when there were errors that no run should see.
func Run(ctx context.Context, options Options) error {
	if err := options.Validate(); err != nil {
		return err
	}
	defer debug.SetGCPercent(debug.SetGCPercent(garbagePercent))
	s, err := startSystem(ctx, &options)
	if err != nil {
		return err
	}
	report, err := s.measure(ctx)
	if err = errors.Join(err, s.stop()); err != nil {
		return err
	}
	if err := report.write(&options); err != nil {
		return err
	}
	return report.verdict()
}

// measure does the work between the system's start and end.
func (s *system) measure(ctx context.Context) (*Report, error) {
	report := &Report{Began: time.Now().UTC()}
	var err error
	if report.Machine, err = s.machine(ctx); err != nil {
		return nil, err
	}
	s.say("%s, %d cores, %s", report.Machine.CPU, report.Machine.Cores, report.Machine.Layout)
	if s.options.Suite {
		err = s.suite(ctx, report)
	} else {
		err = s.single(ctx, report)
	}
	return report, err
}

// say prints a line of progress.
func (s *system) say(format string, args ...any) {
	fmt.Fprintf(s.options.Stderr, format+"\n", args...)
}

// single runs one workload, and what it is compared with.
func (s *system) single(ctx context.Context, report *Report) error {
	o := s.options
	n := o.Accounts
	if n == 0 {
		n = defaultAccounts(o.Workload)
	}
	control, closeControl := newControl(s.base, openersMax)
	defer closeControl()
	p, err := s.populate(ctx, control, n, o.Workload, o.Preload, report)
	if err != nil {
		return err
	}
	contenders, stop, err := s.contenders(ctx, o.Workload, o.Protocol, o.Batch, o.Callers, p, o.Baseline, o.SQLDirect)
	if err != nil {
		return err
	}
	defer stop()
	samples, err := s.takeTurns(ctx, contenders, turns{
		callers: o.Callers, rate: o.Rate, warmUp: o.WarmUp, duration: o.Duration, rounds: o.Rounds,
	})
	if err != nil {
		return err
	}
	for i, c := range contenders {
		report.Measurements = append(report.Measurements, samples[i].measured(c, o.Protocol, o.Callers, o.Rate))
		if i > 0 {
			report.Ratios = append(report.Ratios, ratio(samples[0], samples[i], c.name))
		}
	}
	s.say("proving the ledger")
	report.Proof, err = prove(ctx, control, p.accounts)
	return err
}

// populate opens accounts and makes the transfers that are there before anything is measured.
func (s *system) populate(ctx context.Context, control *api, n int, workload string, transfers int, report *Report) (*population, error) {
	s.say("opening %d accounts", n)
	p := &population{}
	began := time.Now()
	var err error
	if p.accounts, _, _, err = openAccounts(ctx, control, n, nil); err != nil {
		return nil, err
	}
	report.Accounts, report.OpenedPerSec = n, float64(n)/time.Since(began).Seconds()
	if workload == read || workload == mixed {
		transfers = max(transfers, min(10*n, readableTransfers))
	}
	if transfers > 0 {
		s.say("preloading %d transfers", transfers)
		if err := preload(ctx, control, p, transfers, func(done int) { s.say("preloaded %d", done) }); err != nil {
			return nil, err
		}
	}
	report.Preloaded = transfers
	return p, nil
}

// readableTransfers is how many transfers are made for the workloads that read, unless 10 an
// account are fewer.
const readableTransfers = 10_000

// contenders returns the service, and those that it is compared with. stop must be called when they
// are not needed any more.
func (s *system) contenders(
	ctx context.Context, workload, protocol string, batch, callers int, p *population, baselines, direct bool,
) (list []*contender, stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, f := range stops {
			f()
		}
	}
	service, err := s.service(workload, protocol, batch, callers, p)
	if err != nil {
		return nil, nil, err
	}
	list = append(list, service)
	if direct {
		c, closeLedger, err := openDirect(ctx, s.serverURL, workload, batch, p)
		if err != nil {
			return nil, nil, err
		}
		list, stops = append(list, c), append(stops, closeLedger)
	}
	if baselines {
		b, err := openBaseline(ctx, s.databaseURL, callers, p)
		if err != nil {
			stop()
			return nil, nil, err
		}
		stops = append(stops, b.close)
		list = append(list, b.contenders(workload)...)
	}
	return list, stop, nil
}

// turns is how contenders take turns.
type turns struct {
	callers          int
	rate             float64
	warmUp, duration time.Duration // duration: of one contender's windows, together
	rounds           int
}

// takeTurns lets each contender run for a part of the time, again and again, so that the machine's
// other load affects all of them. A contender without competitors runs once.
func (s *system) takeTurns(ctx context.Context, contenders []*contender, t turns) ([]*sample, error) {
	rounds := t.rounds
	if len(contenders) == 1 {
		rounds = 1
	}
	samples := make([]*sample, len(contenders))
	for i := range samples {
		samples[i] = &sample{}
	}
	for round := range rounds {
		for i, c := range contenders {
			one, err := s.leg(ctx, c, t, t.duration/time.Duration(rounds), fmt.Sprintf("%d/%d ", round+1, rounds))
			if err != nil {
				return nil, err
			}
			samples[i].add(one)
		}
	}
	return samples, nil
}

// leg runs one contender once, with a rate line a second.
func (s *system) leg(ctx context.Context, c *contender, t turns, window time.Duration, label string) (*sample, error) {
	probe := c.probe
	if probe == nil {
		probe = &s.probe
	}
	resetPeakRSS(probe.serverPID)
	l := &leg{
		contender: c, callers: t.callers, rate: t.rate, warmUp: t.warmUp, window: window, observe: probe.observe,
		tick: min(time.Second, max(window/5, time.Millisecond)),
	}
	label = fmt.Sprintf("%s%s %s, %d callers", label, c.name, c.workload, t.callers)
	said := time.Now()
	l.progress = func(k tick) {
		if time.Since(said) >= time.Second-l.tick/2 {
			said = time.Now()
			s.say("%s: %4.0f s %9.0f/s %d errors", label, k.elapsed.Seconds(), k.rate, k.failed)
		}
	}
	one, err := l.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", label, err)
	}
	if c.check != nil {
		if err := c.check(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", label, err)
		}
	}
	one.serverRSS = peakRSS(probe.serverPID)
	s.say("%s: %.0f/s, p99 %.2f ms, %d errors", label, one.rate(), float64(one.latencies.ValueAtQuantile(99))/1e3, l.failed())
	return one, nil
}

// measured returns the sample's measurement under the contender's name.
func (s *sample) measured(c *contender, protocol string, callers int, rate float64) Measurement {
	if c.name != serviceName {
		protocol = ""
	}
	m := s.measurement(c.name, c.workload, protocol, callers, c.batch, rate)
	if c.name == serviceName {
		m.ServerRSS = s.serverRSS
	}
	return m
}

// ratio compares the rates of two contenders that took turns.
func ratio(ours, other *sample, name string) Ratio {
	r := Ratio{Of: name, Value: quotient(ours.rate(), other.rate())}
	for i := range min(len(ours.legRates), len(other.legRates)) {
		turn := quotient(ours.legRates[i], other.legRates[i])
		if i == 0 || turn < r.Least {
			r.Least = turn
		}
		r.Most = max(r.Most, turn)
	}
	return r
}

// quotient returns a/b, or 0 if b is 0: JSON has no infinity.
func quotient(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// write prints the report and writes the requested files.
func (r *Report) write(o *Options) error {
	if o.JSON {
		text, err := r.json()
		if err != nil {
			return err
		}
		if _, err := o.Stdout.Write(text); err != nil {
			return err
		}
	} else if err := r.print(o.Stdout); err != nil {
		return err
	}
	if o.Suite {
		return r.writeFiles(o.Out)
	}
	if o.Plot != "" {
		return os.WriteFile(o.Plot, plotRun(r.Measurements), 0o644)
	}
	return nil
}

// json returns the report, indented.
func (r *Report) json() ([]byte, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	return append(text, '\n'), err
}

// verdict fails when the figures must not be believed.
func (r *Report) verdict() error {
	var errs []error
	if !r.Proof.Sound() {
		errs = append(errs, errors.New("the ledger is not sound"))
	}
	for i := range r.Measurements {
		if m := &r.Measurements[i]; m.Unexpected() > 0 {
			errs = append(errs, fmt.Errorf("%s, %s, %d callers: unexpected errors: %v", m.Contender, m.Workload, m.Callers, m.Errors))
		}
	}
	return errors.Join(errs...)
}
