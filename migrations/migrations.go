// Package migrations owns the schema: goose files, embedded, applied in order.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// FS holds the migration files.
//
//go:embed *.sql
var FS embed.FS

// Up brings the ledger in that schema to the newest version and returns the names of the files that
// it applied, in order. Sessions of db have the schema first in their search_path. A schema that is
// missing is made. Several processes may call it at once: an advisory lock of the schema's lets one
// of them work and the others wait, for up to five minutes.
func Up(ctx context.Context, db *sql.DB, schema string, logger *slog.Logger) (applied []string, err error) {
	return UpTo(ctx, db, schema, logger, Newest())
}

// UpTo brings the ledger to a version, as Up does to the newest. It never goes back.
func UpTo(ctx context.Context, db *sql.DB, schema string, logger *slog.Logger, version int64) (applied []string, err error) {
	if err := makeSchema(ctx, db, schema); err != nil {
		return nil, fmt.Errorf("make the schema %s: %w", schema, err)
	}
	provider, err := newProvider(db, schema, logger)
	if err != nil {
		return nil, err
	}
	results, err := provider.UpTo(ctx, version)
	for _, r := range results {
		applied = append(applied, r.Source.Path)
	}
	if err != nil {
		return applied, fmt.Errorf("migrate to version %d: %w", version, err)
	}
	return applied, nil
}

// Version returns the version of the ledger that the sessions of db look at, and writes nothing.
func Version(ctx context.Context, db *sql.DB) (version int64, err error) {
	err = db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied").Scan(&version)
	if err != nil {
		return 0, fmt.Errorf("read the version of the schema: %w", err)
	}
	return version, nil
}

// VersionIn returns the version of the ledger in a schema, and writes nothing.
func VersionIn(ctx context.Context, conn interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, schema string) (version int64, err error) {
	table := pgx.Identifier{schema, "goose_db_version"}.Sanitize()
	err = conn.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM "+table+" WHERE is_applied").Scan(&version)
	if err != nil {
		return 0, fmt.Errorf("read the version of the schema: %w", err)
	}
	return version, nil
}

// Newest returns the version of the newest schema.
func Newest() (newest int64) {
	names, err := fs.Glob(FS, "*.sql")
	if err != nil {
		panic(err) // the pattern is a constant, and right
	}
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			panic(err) // no migration can run then, and every test fails
		}
		newest = max(newest, version)
	}
	return newest
}

// makeSchema creates the schema unless it exists. Whoever may not create one can still use one.
func makeSchema(ctx context.Context, db *sql.DB, schema string) error {
	const exists = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)"
	var found bool
	if err := db.QueryRowContext(ctx, exists, schema).Scan(&found); err != nil || found {
		return err
	}
	_, err := db.ExecContext(ctx, "CREATE SCHEMA "+pgx.Identifier{schema}.Sanitize())
	if err == nil {
		return nil
	}
	// Another process may have been faster.
	if lookErr := db.QueryRowContext(ctx, exists, schema).Scan(&found); lookErr == nil && found {
		return nil
	}
	return err
}

// lockID is the schema's advisory lock. Such locks are the whole database's, so that ledgers side
// by side must have different ones.
func lockID(schema string) int64 {
	h := fnv.New64a()
	h.Write([]byte("internaltransfers migrate " + schema))
	return int64(h.Sum64())
}

func newProvider(db *sql.DB, schema string, logger *slog.Logger) (*goose.Provider, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300), lock.WithLockID(lockID(schema)))
	if err != nil {
		return nil, fmt.Errorf("make the session locker: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, FS,
		goose.WithSessionLocker(locker), goose.WithSlog(logger))
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return provider, nil
}
