// Command internaltransfers is a ledger for transfers between accounts: one binary on Postgres that speaks Connect,
// gRPC, gRPC-Web, JSON and REST on one port.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
	_ "time/tzdata" // standing orders have time zones, and a container may have none

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"internaltransfers/internal/demo"
	"internaltransfers/internal/localpg"
	"internaltransfers/internal/webhook"
	"internaltransfers/ledger"
	"internaltransfers/migrations"
	"internaltransfers/server"
)

// stopTimeout bounds each step of the end: the batches that are queued, then the private PostgreSQL.
const stopTimeout = 30 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if os.Getenv("GOGC") == "" {
		// Little lives long here: with the default of 100 a seventh of the processor goes into collecting it again and again.
		debug.SetGCPercent(400)
	}
	// The first signal drains; a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	command := kong.Parse(&cli{},
		kong.Name("internaltransfers"),
		kong.Description("A ledger for transfers between accounts, on Postgres."),
		kong.UsageOnError(),
		kong.Resolvers(kong.ResolverFunc(secretFiles)),
		kong.BindTo(ctx, (*context.Context)(nil)))
	command.FatalIfErrorf(command.Run())
}

type migrateCommand struct {
	databaseConfig `embed:""`
	logConfig      `embed:""`
}

// Run brings the database to the newest schema.
func (c *migrateCommand) Run(ctx context.Context) error {
	return c.withDatabase(ctx, c.logger(), func(context.Context, string) error { return nil })
}

type checkCommand struct {
	databaseConfig `embed:""`
	logConfig      `embed:""`

	Incremental bool `env:"CHECK_INCREMENTAL" help:"Prove what changed since the last proof that succeeded, and all balances. Default: everything."`
}

// Run proves every invariant and prints each with its figures, and on standard error what it is about to prove.
func (c *checkCommand) Run(ctx context.Context) error {
	logger := c.logger()
	return c.withDatabase(ctx, logger, func(ctx context.Context, url string) error {
		l, err := ledger.Open(ctx, ledger.Config{DatabaseURL: url, Logger: logger})
		if err != nil {
			return err
		}
		report, err := l.Check(ctx, ledger.CheckOptions{Incremental: c.Incremental, Progress: func(p ledger.Progress) {
			fmt.Fprintf(os.Stderr, "%6.1fs  %2d/%d  %s\n", p.Elapsed.Seconds(), p.Step, p.Steps, p.Name)
		}})
		if err = errors.Join(err, l.Close(ctx)); err != nil {
			return err
		}
		for i := range report.Invariants {
			fmt.Println(&report.Invariants[i])
		}
		if !report.OK() {
			return errors.New("the ledger is broken")
		}
		since := ""
		if !report.CheckpointTime.IsZero() {
			since = ", given that it was at " + report.CheckpointTime.Format(time.RFC3339Nano)
		}
		fmt.Printf("the ledger is sound, as of %s%s\n", report.Time.Format(time.RFC3339Nano), since)
		return nil
	})
}

type serveCommand struct {
	serveConfig `embed:""`
}

// Run serves until a signal comes, then drains: calls in flight are answered, queued batches are applied.
func (c *serveCommand) Run(ctx context.Context) error {
	logger := c.logger()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return c.withDatabase(ctx, logger, func(ctx context.Context, url string) error {
		if c.Demo {
			if err := fillDemo(ctx, url, logger); err != nil {
				return err
			}
		}
		l, err := ledger.Open(ctx, ledger.Config{
			DatabaseURL: url, ReadConns: c.ReadConns, BatchesInFlight: c.BatchesInFlight, BatchMax: c.BatchMax,
			QueueMax: c.QueueMax, BatchTimeout: c.BatchTimeout, Workers: c.Workers, WorkerBatch: c.WorkerBatch,
			WorkerInterval: c.WorkerInterval, ProfileCache: c.ProfileCache, Logger: logger, Metrics: registry,
		})
		if err != nil {
			return err
		}
		hooks, err := webhook.Start(webhook.Config{
			Ledger: l, Encode: server.EventJSON, AllowPrivate: c.PrivateWebhooks, Logger: logger, Metrics: registry,
		})
		stopDemo := func() {}
		if err == nil && c.Demo {
			stopDemo, err = moveDemo(ctx, l, logger)
		}
		if err == nil {
			err = c.serve(ctx, l, logger, registry)
		}
		stopDemo()
		closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if hooks != nil {
			err = errors.Join(err, hooks.Close(closeCtx))
		}
		return errors.Join(err, l.Close(closeCtx))
	})
}

// fillDemo makes the database a demo, or refuses one that has other data, before there are workers that would change it.
func fillDemo(ctx context.Context, url string, logger *slog.Logger) error {
	logger.WarnContext(ctx, "this is a DEMO: its accounts and transfers are made up")
	l, err := ledger.Open(ctx, ledger.Config{DatabaseURL: url, Logger: logger})
	if err != nil {
		return err
	}
	_, err = demo.Open(ctx, demo.Config{Ledger: l, Logger: logger})
	return errors.Join(err, l.Close(ctx))
}

// moveDemo keeps a demo moving until stop is called.
func moveDemo(ctx context.Context, l *ledger.Ledger, logger *slog.Logger) (stop func(), err error) {
	economy, err := demo.Open(ctx, demo.Config{Ledger: l, Logger: logger})
	if err != nil {
		return func() {}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		economy.Run(ctx)
	}()
	return func() {
		cancel()
		<-stopped
	}, nil
}

func (c *serveCommand) serve(ctx context.Context, l *ledger.Ledger, logger *slog.Logger, registry *prometheus.Registry) error {
	s, err := server.New(server.Config{
		Ledger: l, Logger: logger, RequestTimeout: c.RequestTimeout, CheckTimeout: c.CheckTimeout, DrainTimeout: c.DrainTimeout,
		MaxRequestBytes: c.MaxRequestBytes, MaxConnections: c.MaxConnections, AllowedOrigins: c.AllowedOrigins,
		PrivateWebhooks: c.PrivateWebhooks,
		Metrics:         registry,
	})
	if err != nil {
		return err
	}
	if c.AdminAddr != "" {
		adminListener, err := net.Listen("tcp", c.AdminAddr)
		if err != nil {
			return fmt.Errorf("ADMIN_ADDR: %w", err)
		}
		admin := server.NewAdmin(registry)
		defer func() { _ = admin.Close() }() // nobody is owed an answer there
		go func() { _ = admin.Serve(adminListener) }()
		logger.InfoContext(ctx, "metrics and profiles", slog.String("admin_address", adminListener.Addr().String()))
	}
	listener, err := net.Listen("tcp", c.ListenAddr)
	if err != nil {
		return fmt.Errorf("LISTEN_ADDR: %w", err)
	}
	address := listener.Addr().String()
	logger.InfoContext(ctx, "listening", slog.String("address", address), slog.String("database", l.Database()))
	if c.LogFormat == "text" {
		fmt.Fprintf(os.Stderr, "\nTry it:\n  curl -X POST http://%s/api/v1/account/create -H 'Content-Type: application/json' "+
			"-d '{\"initial_balance\": 100.0}'\n\n", address)
	}
	err = s.Serve(ctx, listener)
	logger.InfoContext(ctx, "drained")
	return err
}

// withDatabase calls f with the URL of a database that has the newest schema: the configured one, or that of a private
// PostgreSQL, which is started before and stopped after. f's context also ends when that server dies.
func (c *databaseConfig) withDatabase(ctx context.Context, logger *slog.Logger, f func(context.Context, string) error) error {
	url := c.DatabaseURL
	if url == "" {
		dir := c.DataDir
		if dir == "" {
			var err error
			if dir, err = localpg.DefaultDataDir(os.Getenv("XDG_DATA_HOME")); err != nil {
				return err
			}
		}
		postgres, err := localpg.Start(ctx, localpg.Config{DataDir: dir, BinDir: c.PgBin, Logger: logger})
		if err != nil {
			return err
		}
		url = postgres.URL()
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		go func() {
			<-postgres.Done()
			cancel()
		}()
		err = migrateAnd(ctx, url, logger, f)
		stopCtx, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancelStop()
		return errors.Join(err, postgres.Err(), postgres.Stop(stopCtx))
	}
	return migrateAnd(ctx, url, logger, f)
}

func migrateAnd(ctx context.Context, url string, logger *slog.Logger, f func(context.Context, string) error) error {
	applied, err := migrations.Up(ctx, url, logger)
	if err != nil {
		return err
	}
	if len(applied) > 0 {
		logger.InfoContext(ctx, "migrated", slog.Any("applied", applied))
	}
	return f(ctx, url)
}
