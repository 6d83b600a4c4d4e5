package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"internaltransfers/internal/archive"
	"internaltransfers/internal/localpg"
)

type exportCommand struct {
	databaseConfig `embed:""`
	logConfig      `embed:""`

	Output   string `env:"EXPORT_OUTPUT" default:"-" placeholder:"FILE" help:"The file to make, which must not be there; - is standard output. Default: ${default}."`
	Webhooks bool   `env:"EXPORT_WEBHOOKS" help:"Include webhook endpoints, with their secrets, and what is still to be delivered. Default: they are left out."`
}

// Run writes the ledger into a file, and its progress on standard error.
func (c *exportCommand) Run(ctx context.Context) error {
	if c.Output == "-" && isTerminal(os.Stdout) {
		return errors.New("an export is no text for a terminal: name a file with --output, or redirect standard output")
	}
	return c.withServer(ctx, c.logger(), true, func(ctx context.Context, private *localpg.Server) error {
		target := c.target(private, localpg.Reader)
		var manifest archive.Manifest
		var checksums archive.Checksums
		write := func(w io.Writer) (err error) {
			manifest, checksums, err = archive.Export(ctx, w, archive.Options{
				DatabaseURL: target.URL, Schema: target.Schema, Webhooks: c.Webhooks, Progress: newProgress(),
			})
			return err
		}
		var err error
		if c.Output == "-" {
			err = write(os.Stdout)
		} else {
			err = archive.CreateFile(c.Output, write)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "exported the ledger as of %s: %s\n", manifest.ExportTime.Format(time.RFC3339Nano), counted(checksums))
		return nil
	})
}

// newProgress returns a function that prints the progress of an export or import, with the time
// since now.
func newProgress() func(string) {
	began := time.Now()
	return func(text string) { fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(began).Seconds(), text) }
}

// counted describes how much there is in a file.
func counted(c archive.Checksums) string {
	rows := make(map[string]int64, len(c.Tables))
	for _, t := range c.Tables {
		rows[t.Name] = t.Rows
	}
	return fmt.Sprintf("%d accounts, %d transfers", rows["account"], rows["transfer"])
}

// isTerminal reports whether the file may be a terminal. The null device looks like one.
func isTerminal(file *os.File) bool {
	is, err := file.Stat()
	if err != nil || is.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(is, null)
}
