// Package archive copies a whole ledger to another database, through one file.
//
// Export writes one snapshot of all tables, in constant memory. Import loads it into an empty
// ledger in one transaction, and commits only if all checksums and every invariant hold. The copy
// is the same row by row, so the service returns the same from it.
//
// The file is a gzip'd tar archive, which common tools read. Its members, in this order:
//
//	manifest.json         versions, the time of the snapshot, and the tables with their columns
//	currency/000001.tsv   the rows of a table, in parts of at most 4 MiB; a table without rows
//	account/000001.tsv    has no part
//	account/000002.tsv
//	…
//	checksums.json        the rows, the bytes and the SHA-256 of each table, and of the manifest
//
// The parts of a table, put together, are PostgreSQL's own text format of COPY: a row a line,
// columns separated by tabs, \N for NULL. Times are in UTC, to the microsecond; bytes are
// hexadecimal. An archive without checksums.json is not complete.
package archive

import (
	"context"

	"github.com/jackc/pgx/v5"

	"internaltransfers/internal/pgdb"
)

// Options name the database of an export or import, and what to copy.
type Options struct {
	DatabaseURL string
	Schema      string // of the ledger; empty: see pgdb.Target
	// Webhooks includes webhook endpoints, with their secrets, and what is to be delivered to them.
	// Two ledgers with the same endpoints deliver everything twice.
	Webhooks bool
	// Progress gets a line for each table that is done, and every few seconds how far the present
	// one is. nil: no progress.
	Progress func(text string)
}

// open finds the database and makes the session of an export or import.
func (o *Options) open(ctx context.Context, use pgdb.Use) (*pgdb.Database, *pgx.Conn, error) {
	database, err := pgdb.Open(ctx, pgdb.Target{URL: o.DatabaseURL, Schema: o.Schema}, use)
	if err != nil {
		return nil, nil, err
	}
	conn, err := database.Connect(ctx, use)
	return database, conn, err
}
