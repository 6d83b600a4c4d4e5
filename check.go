package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"internaltransfers/internal/localpg"
	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/proof"
)

type checkCommand struct {
	databaseConfig `embed:""`
	logConfig      `embed:""`

	Incremental bool `env:"CHECK_INCREMENTAL" help:"Prove what changed since the last proof of a server that succeeded, and all balances. Default: everything."`
}

// errBroken is why check ends with the status 1.
var errBroken = errors.New("the ledger is broken")

// An unjudgedError is why check can report the ledger neither as sound nor as broken.
type unjudgedError struct{ error }

func (e unjudgedError) Unwrap() error { return e.error }

// ExitCode returns what kong ends the process with.
func (e unjudgedError) ExitCode() int { return 2 }

// Run proves every invariant and prints each with its figures, and on standard error what it is
// about to prove. It makes and changes nothing.
func (c *checkCommand) Run(ctx context.Context) error {
	err := c.withServer(ctx, c.logger(), true, func(ctx context.Context, private *localpg.Server) error {
		return c.check(ctx, c.target(private, localpg.Reader))
	})
	if err == nil || errors.Is(err, errBroken) {
		return err
	}
	return unjudgedError{fmt.Errorf("the ledger was not judged: %w", err)}
}

func (c *checkCommand) check(ctx context.Context, target pgdb.Target) error {
	database, err := pgdb.Open(ctx, target, pgdb.Proving)
	if err != nil {
		return err
	}
	if err := database.RequireCurrent(ctx); err != nil {
		return err
	}
	report, err := proof.Check(ctx, database, proof.Options{Incremental: c.Incremental, Progress: func(p proof.Progress) {
		fmt.Fprintf(os.Stderr, "%6.1fs  %2d/%d  %s\n", p.Elapsed.Seconds(), p.Step, p.Steps, p.Name)
	}})
	if err != nil {
		return err
	}
	for i := range report.Invariants {
		fmt.Println(&report.Invariants[i])
	}
	if !report.OK() {
		return errBroken
	}
	since := ""
	if !report.CheckpointTime.IsZero() {
		since = ", given that it was at " + report.CheckpointTime.Format(time.RFC3339Nano)
	}
	fmt.Printf("the ledger is sound, as of %s%s\n", report.Time.Format(time.RFC3339Nano), since)
	return nil
}
