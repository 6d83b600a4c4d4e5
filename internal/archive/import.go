package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"internaltransfers/gen/db"
	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/proof"
	"internaltransfers/migrations"
)

var (
	// ErrNotEmpty: the database has a ledger with data.
	ErrNotEmpty = errors.New("the ledger is not empty, and an import replaces nothing")
	// ErrBroken: the ledger of the file breaks an invariant. The report says which.
	ErrBroken = errors.New("the ledger of the file is broken")
)

// Imported is what an import did.
type Imported struct {
	Manifest  Manifest
	Checksums Checksums    // of what the file had
	Report    proof.Report // of the proof of the copy
	Webhooks  bool         // the file had endpoints; left out without Options.Webhooks
}

// Import loads the ledger of a file into the database, which has none or an empty one. It migrates
// the database first, as its owner. Then it loads and proves everything in one transaction: with an
// error nothing was loaded.
//
// A file of an older schema is loaded into that, and migrated and proved after the commit.
func Import(ctx context.Context, r io.Reader, o Options, logger *slog.Logger) (Imported, error) {
	in, err := open(r)
	if err != nil {
		return Imported{}, fmt.Errorf("import: %w", err)
	}
	i := importer{options: o, in: in, queries: db.New()}
	i.result.Manifest, i.result.Webhooks = in.manifest, in.manifest.hasWebhooks()
	if err := i.run(ctx, logger); err != nil {
		return i.result, fmt.Errorf("import: %w", err)
	}
	return i.result, nil
}

type importer struct {
	options  Options
	database *pgdb.Database
	in       *reader
	queries  *db.Queries
	result   Imported
}

func (i *importer) run(ctx context.Context, logger *slog.Logger) error {
	if i.options.Webhooks && !i.result.Webhooks {
		return errors.New("the file has no webhook endpoints: they must be asked for when it is exported")
	}
	database, conn, err := i.options.open(ctx, pgdb.Migrating)
	if err != nil {
		return err
	}
	i.database = database
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := database.RequireOwnVersions(ctx); err != nil {
		return err
	}
	version := i.in.manifest.SchemaVersion
	// Before anything is written, by a migration for example.
	there, err := versionOf(ctx, conn)
	if err != nil {
		return fmt.Errorf("read the version of the schema: %w", err)
	}
	sessions := database.SQL(pgdb.Migrating)
	defer func() { _ = sessions.Close() }()
	if there > 0 {
		if err := requireEmpty(ctx, conn); err != nil {
			return err
		}
	}
	if there > version {
		return fmt.Errorf("the database has schema version %d already, and the file %d: "+
			"give a new database, which is migrated after the import", there, version)
	}
	if there < version {
		if _, err := migrations.UpTo(ctx, sessions, database.Schema(), logger, version); err != nil {
			return err
		}
	}
	proveNow := version == migrations.Newest()
	err = i.transaction(ctx, conn, func(tx pgx.Tx) error {
		if err := i.load(ctx, tx); err != nil || !proveNow {
			return err
		}
		return i.prove(ctx, tx)
	})
	if err != nil || proveNow {
		return err
	}
	if _, err := migrations.Up(ctx, sessions, database.Schema(), logger); err != nil {
		return fmt.Errorf("the file of schema version %d was loaded, but not migrated: %w", version, err)
	}
	err = i.transaction(ctx, conn, func(tx pgx.Tx) error { return i.prove(ctx, tx) })
	if err != nil {
		return fmt.Errorf("%w; it was loaded and migrated: drop this database", err)
	}
	return nil
}

func (i *importer) transaction(ctx context.Context, conn *pgx.Conn, f func(pgx.Tx) error) error {
	options := pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}
	return i.database.Transaction(ctx, conn, options, f)
}

// requireEmpty fails when the ledger has more than a new one has.
func requireEmpty(ctx context.Context, conn db.DBTX) error {
	columns, err := columnsOf(ctx, conn)
	if err != nil {
		return err
	}
	var full string
	if err := conn.QueryRow(ctx, firstWithMore(columns)).Scan(&full); err != nil {
		return fmt.Errorf("look whether the ledger is empty: %w", err)
	}
	if full != "" {
		return fmt.Errorf("%w: there is something in table %s; give a new database", ErrNotEmpty, full)
	}
	return nil
}

// load replaces the rows of the empty ledger by those of the file.
func (i *importer) load(ctx context.Context, tx pgx.Tx) error {
	if err := i.queries.ArchiveSettings(ctx, tx); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	columns, err := columnsOf(ctx, tx)
	if err != nil {
		return err
	}
	if err := i.in.manifest.matches(columns); err != nil {
		return err
	}
	var there, emptied []string
	for _, t := range tables {
		if len(columns[t.name]) == 0 {
			continue // the file's schema does not have it yet
		}
		there = append(there, t.name)
		if t.copied == "" {
			emptied = append(emptied, t.name)
		}
	}
	const locks = "lock the tables (stop the servers that work on this database)"
	if err := execute(ctx, tx, locks, setLockTimeout, lockExclusive(there)); err != nil {
		return err
	}
	// From here on no other session can add rows.
	if err := requireEmpty(ctx, tx); err != nil {
		return err
	}
	restore, err := i.strip(ctx, tx, there)
	if err != nil {
		return err
	}
	if err := execute(ctx, tx, "empty the tables", empty(emptied)); err != nil {
		return err
	}
	for _, m := range i.in.manifest.Tables {
		if err := i.table(ctx, tx, &tables[placeOf(m.Name)], m.Columns); err != nil {
			return err
		}
	}
	if err := i.in.end(); err != nil {
		return err
	}
	i.result.Checksums = i.in.checksums
	i.tell("make indexes, check foreign keys")
	if err := execute(ctx, tx, "complete the tables", restore...); err != nil {
		return err
	}
	return i.finish(ctx, tx, there, columns)
}

// strip takes from the tables what loads slowly or goes wrong, and returns the statements that give
// it back. The triggers write history, which the file has, and refuse to take rows away. An index
// that is made of all rows at once takes a fraction of the time. Foreign keys are checked by one
// join instead of row by row, of which the server would keep a list in memory.
func (i *importer) strip(ctx context.Context, tx pgx.Tx, there []string) (restore []string, err error) {
	keys, err := i.queries.ArchiveForeignKeys(ctx, tx, there)
	if err != nil {
		return nil, fmt.Errorf("read the foreign keys: %w", err)
	}
	indexes, err := i.queries.ArchiveIndexes(ctx, tx, there)
	if err != nil {
		return nil, fmt.Errorf("read the indexes: %w", err)
	}
	triggers, err := i.queries.ArchiveTriggers(ctx, tx, there)
	if err != nil {
		return nil, fmt.Errorf("read the triggers: %w", err)
	}
	var before []string
	for _, x := range indexes {
		before = append(before, dropIndex(x.IndexName))
		restore = append(restore, x.Definition)
	}
	for _, k := range keys {
		before = append(before, dropConstraint(k.TableName, k.ConstraintName))
		restore = append(restore, addConstraint(k.TableName, k.ConstraintName, k.Definition))
	}
	for _, t := range triggers {
		before = append(before, disableTrigger(t.TableName, t.TriggerName))
		restore = append(restore, enableTrigger(t.TableName, t.TriggerName))
	}
	return restore, execute(ctx, tx, "prepare the tables", before...)
}

// table loads a table, or passes over it.
func (i *importer) table(ctx context.Context, tx pgx.Tx, t *table, columns []column) error {
	rows := i.in.table(newTally(t, i.options.Progress))
	if t.webhook && !i.options.Webhooks {
		if _, err := io.Copy(io.Discard, rows); err != nil {
			return err
		}
		return rows.end()
	}
	tag, err := tx.Conn().PgConn().CopyFrom(ctx, rows, copyIn(t, columns))
	if failed := rows.err(); failed != nil {
		return failed
	}
	if err != nil {
		return refusedRow(t, err)
	}
	if err := rows.end(); err != nil {
		return err
	}
	if tag.RowsAffected() != rows.tally.rows {
		return fmt.Errorf("table %s: the file has %d rows, and the database took %d", t.name, rows.tally.rows, tag.RowsAffected())
	}
	return nil
}

// copyPlace finds the position in the context of an error of COPY. What comes after it are values.
var copyPlace = regexp.MustCompile(`COPY \w+(, line \d+(?:, column \w+)?)`)

// refusedRow names the row that the database refused. Rows of webhooks have secrets, which no error
// may show.
func refusedRow(t *table, err error) error {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return fmt.Errorf("table %s: %w", t.name, err)
	}
	place := ""
	if found := copyPlace.FindStringSubmatch(refused.Where); found != nil {
		place = found[1]
	}
	if t.webhook {
		return fmt.Errorf("table %s%s: the database refused it (SQLSTATE %s)", t.name, place, refused.Code)
	}
	return fmt.Errorf("table %s%s: %w", t.name, place, err)
}

// finish makes the loaded rows a working ledger.
func (i *importer) finish(ctx context.Context, tx pgx.Tx, there []string, columns map[string][]column) error {
	for k := range tables {
		t := &tables[k]
		condition := readable(t, columns[t.name])
		if len(columns[t.name]) == 0 || condition == "" {
			continue
		}
		var bad bool
		if err := tx.QueryRow(ctx, anyBut(t, condition)).Scan(&bad); err != nil {
			return fmt.Errorf("look whether table %s can be read: %w", t.name, err)
		}
		if bad {
			return fmt.Errorf("table %s has a row that the service cannot read: times must be in the years 1 to 9999, "+
				"metadata must be texts, and positions must be positive and leave room for more", t.name)
		}
	}
	last, err := i.queries.EventsEnd(ctx, tx)
	if err != nil {
		return fmt.Errorf("read the last position: %w", err)
	}
	return execute(ctx, tx, "finish", continueAfter(last), analyze(there))
}

// prove proves the loaded rows, before the commit.
func (i *importer) prove(ctx context.Context, tx pgx.Tx) (err error) {
	i.result.Report, err = proof.Prove(ctx, tx, func(p proof.Progress) { i.tell("prove " + p.Name) })
	if err != nil {
		return fmt.Errorf("prove the ledger: %w", err)
	}
	if !i.result.Report.OK() {
		return ErrBroken
	}
	return nil
}

func (i *importer) tell(text string) {
	if i.options.Progress != nil {
		i.options.Progress(text)
	}
}

// execute runs statements in order. Its error names the key of a row that a unique index or a
// foreign key refuses; no key is a secret.
func execute(ctx context.Context, conn db.DBTX, what string, statements ...string) error {
	for _, statement := range statements {
		_, err := conn.Exec(ctx, statement)
		var refused *pgconn.PgError
		switch {
		case err == nil:
		case errors.As(err, &refused) && (refused.Code == "23503" || refused.Code == "23505"):
			return fmt.Errorf("%s: %w: %s", what, err, refused.Detail)
		default:
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}
