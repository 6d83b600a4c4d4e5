package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// Workloads are the names that Options.Workload may have.
var Workloads = []string{uniform, zipf, hotDebit, hotCredit, pingPong, read, mixed}

// Protocols are the names that Options.Protocol may have.
var Protocols = []string{connectProto, connectJSON, grpcProto, grpcWeb, rest}

// Options are what to measure, and on what.
type Options struct {
	// Target is the base URL of a running server, such as http://localhost:9091. Empty: a server is
	// started as a process of its own, so that its use of the machine can be told from the load
	// generator's.
	Target string
	// Executable is the program whose "serve" is started. ServerEnv is added to the environment
	// that it inherits.
	Executable string
	ServerEnv  []string
	// DatabaseURL is the server's database: statistics are read from it, and baselines work in it.
	// Empty: with a Target there are none, and without one a private PostgreSQL is started on
	// DataDir with PgBin's programs.
	DatabaseURL string
	DataDir     string // Empty: a temporary directory, deleted at the end.
	PgBin       string
	Metrics     string // URL of the Target's Prometheus metrics, for the sizes of its batches; empty: not known

	Workload string
	Protocol string
	Batch    int     // transfers a call; 1: CreateTransfer, more: BatchCreateTransfers
	Callers  int     // calls at once
	Rate     float64 // calls a second, open loop; 0: closed loop
	Accounts int     // 0: as many as the workload has by default
	Preload  int     // transfers made before anything is measured
	Gzip     bool    // accept compressed responses, as the generated client does by default
	Conns    int     // HTTP/2 connections; 0: one per 32 callers

	WarmUp   time.Duration // before each leg's window
	Duration time.Duration // of the windows of one contender, together
	Rounds   int           // into which Duration is cut when contenders take turns

	Baseline  bool // run the hand-written SQL beside the service
	SQLDirect bool // run the service's own SQL without the service beside it

	JSON bool   // print the report as JSON
	Plot string // write an SVG plot to this file; empty: none

	Suite          bool   // run all rows of the table of targets, instead of one workload
	Out            string // the directory that the suite writes its JSON and plots to
	SuiteCallers   []int
	GrowthAccounts int // accounts opened by the suite's last row

	Stdout, Stderr io.Writer
}

const (
	callersMax  = 16_384
	batchMax    = 10_000
	accountsMax = 10_000_000
)

// Validate names the option that is out of range.
func (o *Options) Validate() error {
	for _, limit := range []struct {
		option   string
		value    int
		from, to int
	}{
		{"batch", o.Batch, 1, batchMax},
		{"callers", o.Callers, 1, callersMax},
		{"accounts", o.Accounts, 0, accountsMax},
		{"growth-accounts", o.GrowthAccounts, 0, accountsMax},
		{"preload", o.Preload, 0, math.MaxInt},
		{"rounds", o.Rounds, 1, 1000},
		{"conns", o.Conns, 0, 1024},
	} {
		if limit.value < limit.from || limit.value > limit.to {
			return fmt.Errorf("%s must be %d to %d, not %d", names(limit.option), limit.from, limit.to, limit.value)
		}
	}
	switch {
	case o.Duration < time.Millisecond:
		return fmt.Errorf("%s must be at least 1ms, not %s", names("duration"), o.Duration)
	case o.WarmUp < 0:
		return fmt.Errorf("%s must not be negative, as %s is", names("warm-up"), o.WarmUp)
	case o.Accounts == 1:
		return fmt.Errorf("%s must be at least 2: a transfer has two sides", names("accounts"))
	case !slices.Contains(Workloads, o.Workload):
		return fmt.Errorf("%s must be one of %v, not %q", names("workload"), Workloads, o.Workload)
	case !slices.Contains(Protocols, o.Protocol):
		return fmt.Errorf("%s must be one of %v, not %q", names("protocol"), Protocols, o.Protocol)
	case o.Rate < 0 || math.IsNaN(o.Rate) || o.Rate > 1e7:
		return fmt.Errorf("%s must be 0 to 10,000,000, not %v", names("rate"), o.Rate)
	}
	return o.validateTogether()
}

// names returns the names of an option: its flag and its variable.
func names(option string) string {
	return "--" + option + " (BENCH_" + strings.ToUpper(strings.ReplaceAll(option, "-", "_")) + ")"
}

func (o *Options) validateTogether() error {
	if o.Suite {
		if o.Target != "" {
			return fmt.Errorf("%s starts its own server: it cannot have a %s", names("suite"), names("target"))
		}
		if o.Out == "" {
			return fmt.Errorf("%s needs %s, a directory to write to", names("suite"), names("out"))
		}
		for _, callers := range o.SuiteCallers {
			if callers < 1 || callers > callersMax {
				return fmt.Errorf("%s must be 1 to %d, not %d", names("suite-callers"), callersMax, callers)
			}
		}
		return nil
	}
	reads := o.Workload == read || o.Workload == mixed
	if reads && (o.Batch > 1 || o.Baseline || o.SQLDirect) {
		return fmt.Errorf("%s, %s and %s are for workloads of transfers only", names("batch"), names("baseline"), names("sql-direct"))
	}
	if (o.Baseline || o.SQLDirect) && o.Target != "" && o.DatabaseURL == "" {
		return fmt.Errorf("%s and %s need the %s of the target", names("baseline"), names("sql-direct"), names("database-url"))
	}
	return nil
}
