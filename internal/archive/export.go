package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/jackc/pgx/v5"

	"internaltransfers/gen/db"
	"internaltransfers/internal/pgdb"
	"internaltransfers/migrations"
)

// Export writes the ledger as it is at one moment to w, while others work on it. It changes
// nothing, needs no right but SELECT, and runs on a standby. With an error, what was written is no
// export.
func Export(ctx context.Context, w io.Writer, o Options) (Manifest, Checksums, error) {
	e := exporter{options: o, out: newWriter(w)}
	database, conn, err := o.open(ctx, pgdb.Proving)
	if err != nil {
		return Manifest{}, Checksums{}, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = requireNewest(ctx, conn)
	if err == nil {
		err = database.Transaction(ctx, conn, snapshot, func(tx pgx.Tx) error { return e.export(ctx, tx) })
	}
	if err == nil {
		err = e.out.close()
	}
	if err != nil {
		return Manifest{}, Checksums{}, fmt.Errorf("export: %w", err)
	}
	return e.manifest, e.out.checksums, nil
}

// requireNewest fails unless the database has a ledger with the schema of this program.
func requireNewest(ctx context.Context, conn db.DBTX) error {
	version, err := versionOf(ctx, conn)
	if err != nil {
		return err
	}
	switch newest := migrations.Newest(); {
	case version == 0:
		return errors.New("there is no ledger in this database")
	case version < newest:
		return fmt.Errorf("the ledger has schema version %d, and this program exports version %d: migrate it first", version, newest)
	case version > newest:
		return fmt.Errorf("the ledger has schema version %d, and this program knows none after %d: use a newer program",
			version, newest)
	}
	return nil
}

// versionOf returns the version of the schema; 0: there is none.
func versionOf(ctx context.Context, conn db.DBTX) (version int64, err error) {
	var there bool
	if err := conn.QueryRow(ctx, tableExists, versionTable).Scan(&there); err != nil || !there {
		return 0, err
	}
	return version, conn.QueryRow(ctx, schemaVersion).Scan(&version)
}

type exporter struct {
	options  Options
	out      *writer
	manifest Manifest
}

func (e *exporter) export(ctx context.Context, tx pgx.Tx) error {
	included := slices.DeleteFunc(slices.Clone(tables), func(t table) bool { return t.webhook && !e.options.Webhooks })
	for _, statement := range []string{setLockTimeout, lockShared(namesOf(included))} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("lock the tables: %w", err)
		}
	}
	q := db.New()
	if err := q.ArchiveSettings(ctx, tx); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	// Another program may have migrated before the lock was taken.
	if err := requireNewest(ctx, tx); err != nil {
		return err
	}
	if e.options.Progress != nil {
		e.options.Progress("the snapshot is taken")
	}
	snapshot, err := q.ArchiveSnapshot(ctx, tx)
	if err != nil {
		return fmt.Errorf("read the time of the snapshot: %w", err)
	}
	columns, err := columnsOf(ctx, tx)
	if err != nil {
		return err
	}
	e.manifest = Manifest{
		Format: formatName, FormatVersion: formatVersion, SchemaVersion: migrations.Newest(),
		ServerVersion: snapshot.ServerVersion, ExportTime: snapshot.Now.UTC(),
	}
	for i := range included {
		name := included[i].name
		e.manifest.Tables = append(e.manifest.Tables, manifestTable{Name: name, Columns: columns[name]})
	}
	if err := e.out.manifest(&e.manifest); err != nil {
		return err
	}
	for i := range included {
		if err := e.table(ctx, tx, &included[i], columns[included[i].name]); err != nil {
			return err
		}
	}
	return nil
}

func (e *exporter) table(ctx context.Context, tx pgx.Tx, t *table, columns []column) error {
	e.out.begin(newTally(t, e.options.Progress))
	tag, err := tx.Conn().PgConn().CopyTo(ctx, e.out, copyOut(t, columns))
	if err != nil {
		return fmt.Errorf("table %s: %w", t.name, err)
	}
	return e.out.end(tag.RowsAffected())
}

// columnsOf returns the columns of the ledger's tables by their names. A table that is not there
// has none.
func columnsOf(ctx context.Context, conn db.DBTX) (map[string][]column, error) {
	rows, err := db.New().ArchiveColumns(ctx, conn, namesOf(tables))
	if err != nil {
		return nil, fmt.Errorf("read the columns: %w", err)
	}
	columns := make(map[string][]column, len(tables))
	for _, r := range rows {
		columns[r.TableName] = append(columns[r.TableName], column{Name: r.ColumnName, Type: r.ColumnType})
	}
	return columns, nil
}
