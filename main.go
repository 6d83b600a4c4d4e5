// Command internaltransfers is a ledger for transfers between accounts: one binary on Postgres that speaks Connect,
// gRPC, gRPC-Web, JSON and REST on one port.
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
	_ "time/tzdata" // standing orders have time zones, and a container may have none

	"github.com/alecthomas/kong"

	"internaltransfers/internal/localpg"
	"internaltransfers/internal/pgdb"
	"internaltransfers/ledger"
	"internaltransfers/migrations"
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
	return c.withDatabase(ctx, c.logger(), func(context.Context, pgdb.Target) error { return nil })
}

type checkCommand struct {
	databaseConfig `embed:""`
	logConfig      `embed:""`

	Incremental bool `env:"CHECK_INCREMENTAL" help:"Prove what changed since the last proof that succeeded, and all balances. Default: everything."`
}

// Run proves every invariant and prints each with its figures, and on standard error what it is about to prove.
func (c *checkCommand) Run(ctx context.Context) error {
	logger := c.logger()
	return c.withDatabase(ctx, logger, func(ctx context.Context, target pgdb.Target) error {
		l, err := ledger.Open(ctx, ledger.Config{DatabaseURL: target.URL, Schema: target.Schema, Logger: logger})
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

// withDatabase calls f with a ledger's place, brought to the newest version: the configured one, or that of a private
// PostgreSQL, which is started before and stopped after. f's context also ends when that server dies.
func (c *databaseConfig) withDatabase(ctx context.Context, logger *slog.Logger, f func(context.Context, pgdb.Target) error) error {
	target := pgdb.Target{URL: c.DatabaseURL, Schema: c.DBSchema}
	if target.URL == "" {
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
		target.URL = postgres.URL()
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		go func() {
			<-postgres.Done()
			cancel()
		}()
		err = migrateAnd(ctx, target, logger, f)
		stopCtx, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancelStop()
		return errors.Join(err, postgres.Err(), postgres.Stop(stopCtx))
	}
	return migrateAnd(ctx, target, logger, f)
}

func migrateAnd(ctx context.Context, target pgdb.Target, logger *slog.Logger, f func(context.Context, pgdb.Target) error) error {
	database, err := pgdb.Open(ctx, target, pgdb.Migrating)
	if err != nil {
		return err
	}
	if err := migrate(ctx, database, logger); err != nil {
		return err
	}
	return f(ctx, database.Target())
}

// migrate brings the ledger to the newest version. A ledger that is there already is left alone, so that a role that may
// not change the schema can serve it. One of a newer program is refused: this one does not know its rules.
func migrate(ctx context.Context, database *pgdb.Database, logger *slog.Logger) (err error) {
	db := database.SQL(pgdb.Migrating)
	defer func() { err = errors.Join(err, db.Close()) }()
	newest, err := migrations.Newest()
	if err != nil {
		return err
	}
	if database.HasLedger() {
		version, err := migrations.Version(ctx, db)
		switch {
		case err != nil:
			return err
		case version > newest:
			return &pgdb.RefusedError{
				Found:  fmt.Sprintf("the ledger in schema %s has version %d", database.Schema(), version),
				Wanted: fmt.Sprintf("%d or older", newest),
				Fix:    "Run the newer program that migrated it.",
			}
		case version == newest:
			return nil
		}
	}
	applied, err := migrations.Up(ctx, db, database.Schema(), logger)
	if err != nil {
		return fmt.Errorf("%w (the owner of the schema may run: internaltransfers migrate)", pgdb.Explain(err))
	}
	logger.InfoContext(ctx, "migrated", slog.String("database", database.String()), slog.Any("applied", applied))
	return nil
}
