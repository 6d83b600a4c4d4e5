package migrations

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

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

// UpTo brings the database to the schema of a version, as Up does to the newest. It never goes
// back.
func UpTo(ctx context.Context, databaseURL string, logger *slog.Logger, version int64) (applied []string, err error) {
	if version == Newest() {
		return Up(ctx, databaseURL, logger)
	}
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("parse the database URL: %w", err)
	}
	db := stdlib.OpenDB(*config)
	defer func() { _ = db.Close() }()
	provider, err := newProvider(db, logger)
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
