package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"internaltransfers/internal/archive"
	"internaltransfers/internal/localpg"
	"internaltransfers/internal/pgdb"
)

type importCommand struct {
	databaseConfig `embed:""`
	logConfig      `embed:""`

	Input    string `env:"IMPORT_INPUT" default:"-" placeholder:"FILE" help:"The file that export made; - is standard input. Default: ${default}."`
	Webhooks bool   `env:"IMPORT_WEBHOOKS" help:"Take the webhook endpoints that the file has, and go on delivering to them: the other ledger must not do so any more. Default: they are left out."`
}

// Run makes the ledger of a file that of the database, and prints the result of its proof.
func (c *importCommand) Run(ctx context.Context) error {
	input := io.Reader(os.Stdin)
	switch {
	case c.Input != "-":
		file, err := os.Open(c.Input)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }() // it was only read
		input = file
	case isTerminal(os.Stdin):
		return errors.New("name a file with --input, or redirect standard input")
	}
	logger := c.logger()
	return c.withServer(ctx, logger, false, func(ctx context.Context, private *localpg.Server) error {
		load := func(ctx context.Context, target pgdb.Target) error { return c.load(ctx, input, target, logger) }
		if private == nil {
			return load(ctx, c.target(nil, ""))
		}
		_, err := pgdb.AsOwner(ctx, c.target(private, localpg.Superuser), private.RoleURL(localpg.Owner), load)
		return err
	})
}

func (c *importCommand) load(ctx context.Context, input io.Reader, target pgdb.Target, logger *slog.Logger) error {
	imported, err := archive.Import(ctx, input, archive.Options{
		DatabaseURL: target.URL, Schema: target.Schema, Webhooks: c.Webhooks, Progress: newProgress(),
	}, logger)
	for i := range imported.Report.Invariants {
		fmt.Println(&imported.Report.Invariants[i])
	}
	if err != nil {
		return err
	}
	if imported.Webhooks && !c.Webhooks {
		fmt.Println("the file's webhook endpoints were left out")
	}
	fmt.Printf("imported the ledger as of %s: %s\n", imported.Manifest.ExportTime.Format(time.RFC3339Nano), counted(imported.Checksums))
	fmt.Println("the ledger is sound")
	return nil
}
