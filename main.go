// Command internaltransfers is a ledger for transfers between accounts: one binary on Postgres that
// speaks Connect, gRPC, gRPC-Web, JSON and REST on one port.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
	_ "time/tzdata" // schedules have time zones, and a container may have none

	"internaltransfers/internal/localpg"
	"internaltransfers/internal/pgdb"
)

// stopTimeout bounds each step of the end: the batches that are queued, then the private
// PostgreSQL.
const stopTimeout = 30 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if os.Getenv("GOGC") == "" {
		// Most allocations are short-lived: with the default of 100 a seventh of the processor time
		// goes into collecting them.
		debug.SetGCPercent(400)
	}
	// The first signal drains; a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	command, err := parse(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "internaltransfers: error:", err)
		os.Exit(exitUsage)
	}
	command.FatalIfErrorf(command.Run())
}

type migrateCommand struct {
	databaseConfig `embed:""`
	logConfig      `embed:""`
}

// Run brings the database to the newest schema.
func (c *migrateCommand) Run(ctx context.Context) error {
	return c.withDatabase(ctx, c.logger(), func(context.Context, pgdb.Target) error { return nil })
}

// withDatabase calls f with the target of a ledger that was brought to the newest version, as the
// server connects to it.
func (c *databaseConfig) withDatabase(ctx context.Context, logger *slog.Logger, f func(context.Context, pgdb.Target) error) error {
	return c.withServer(ctx, logger, false, func(ctx context.Context, private *localpg.Server) error {
		target, err := c.migrate(ctx, logger, private)
		if err != nil {
			return err
		}
		return f(ctx, target)
	})
}

// withServer calls f with a private PostgreSQL, which is started before and stopped after, or with
// nil where another one is configured. f's context also ends when that server dies. With existing,
// nothing is made.
func (c *databaseConfig) withServer(
	ctx context.Context, logger *slog.Logger, existing bool, f func(context.Context, *localpg.Server) error,
) error {
	if c.DatabaseURL != "" {
		return f(ctx, nil)
	}
	unsetLibpq()
	dir := c.DataDir
	if dir == "" {
		var err error
		if dir, err = localpg.DefaultDataDir(os.Getenv("XDG_DATA_HOME")); err != nil {
			return err
		}
	}
	private, err := localpg.Start(ctx, localpg.Config{DataDir: dir, BinDir: c.PgBin, Existing: existing, Logger: logger})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		<-private.Done()
		cancel()
	}()
	err = f(ctx, private)
	stopCtx, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancelStop()
	return errors.Join(err, private.Err(), private.Stop(stopCtx))
}

// migrate brings the ledger to the newest version and returns its target, in a private PostgreSQL
// the writer's.
func (c *databaseConfig) migrate(ctx context.Context, logger *slog.Logger, private *localpg.Server) (pgdb.Target, error) {
	target := c.target(private, localpg.Writer)
	if private == nil {
		return pgdb.Migrate(ctx, target, logger)
	}
	var err error
	target.Schema, err = pgdb.Prepare(ctx, c.target(private, localpg.Superuser), private.RoleURL(localpg.Owner), logger)
	return target, err
}

// target returns where the ledger is for a role of a private PostgreSQL, else what is configured.
func (c *databaseConfig) target(private *localpg.Server, role string) pgdb.Target {
	if private == nil {
		return pgdb.Target{URL: c.DatabaseURL, Schema: c.DBSchema}
	}
	return pgdb.Target{URL: private.RoleURL(role), Schema: c.DBSchema}
}
