package pgdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"internaltransfers/docs"
	"internaltransfers/gen/db"
	"internaltransfers/migrations"
)

// defaultSchema is the schema of docs/roles.sql.
const defaultSchema = "ledger"

// rolesSchema finds its name there.
var rolesSchema = regexp.MustCompile(`\b` + defaultSchema + `\b`)

// Migrate opens a database and brings the ledger to the newest version. It returns its location.
func Migrate(ctx context.Context, target Target, logger *slog.Logger) (Target, error) {
	d, err := Open(ctx, target, Migrating)
	if err != nil {
		return Target{}, err
	}
	return d.Target(), d.Migrate(ctx, logger)
}

// Migrate brings the ledger to the newest version. A ledger that has it is left alone, so that a
// role that may not change the schema can serve it. An older one is refused to such a role before
// anything is written. One of a newer program is refused: this one does not have its rules.
func (d *Database) Migrate(ctx context.Context, logger *slog.Logger) (err error) {
	sessions := d.SQL(Migrating)
	defer func() { err = errors.Join(err, sessions.Close()) }()
	version, newest, err := d.version(ctx, sessions)
	if err != nil {
		return err
	}
	if d.ledger && version == newest {
		return d.requireWhole(ctx)
	}
	if err := d.RequireOwnVersions(ctx); err != nil {
		return err
	}
	if err := d.mayMigrate(ctx, version, newest); err != nil {
		return err
	}
	applied, err := migrations.Up(ctx, sessions, d.schema, logger)
	if err != nil {
		return explainMigration(err)
	}
	if err := d.requireWhole(ctx); err != nil {
		return err
	}
	d.ledger = true
	logger.InfoContext(ctx, "migrated", slog.String("database", d.String()), slog.Any("applied", applied))
	return nil
}

// RequireOwnVersions refuses a schema without a ledger in which another program keeps the versions
// of its own tables under the name that ours have. Our migrations would be taken for done.
func (d *Database) RequireOwnVersions(ctx context.Context) error {
	if d.ledger {
		return nil
	}
	conn, err := d.Connect(ctx, Migrating)
	if err != nil {
		return err
	}
	defer HangUp(conn)
	version, err := migrations.VersionIn(ctx, conn, d.schema)
	var pg *pgconn.PgError
	switch {
	case err == nil && version == 0:
		return nil // it was made, and the first migration failed
	case errors.As(err, &pg) && pg.Code == stateUndefinedTable:
		return nil
	case err != nil && pg == nil:
		return err
	case err == nil:
		// Another process may have migrated since the database was opened.
		ledgers, err := db.New().LedgerSchemas(ctx, conn)
		if err != nil || holdsLedger(ledgers, d.schema) {
			return err
		}
	}
	return &RefusedError{
		Found:  fmt.Sprintf("schema %q has a goose_db_version that is not the ledger's", d.schema),
		Wanted: "a schema in which no other program keeps its versions in a table of that name",
		Fix:    "Set --db-schema (DB_SCHEMA) to a schema of the ledger's own. It is made if it is missing.",
	}
}

// requireWhole refuses to be done when the ledger is not there, or not all of it. A ledger that was
// made just now has what the migrations make, and is not compared with the list of that.
func (d *Database) requireWhole(ctx context.Context) error {
	conn, err := d.Connect(ctx, Migrating)
	if err != nil {
		return err
	}
	defer HangUp(conn)
	ledgers, err := db.New().LedgerSchemas(ctx, conn)
	if err != nil {
		return fmt.Errorf("look for the ledger: %w", err)
	}
	if !holdsLedger(ledgers, d.schema) {
		return &RefusedError{
			Found:  fmt.Sprintf("schema %q holds no whole ledger after its migration", d.schema),
			Wanted: "one",
			Fix:    "Restore what is missing there, or set --db-schema (DB_SCHEMA) to another schema.",
		}
	}
	if !d.ledger {
		return nil
	}
	return d.RequireParts(ctx, conn)
}

// explainMigration makes what others have put into the database, and what the database is, a
// refusal.
func explainMigration(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Routine != routineRaise || strings.Contains(pg.Where, "inline_code_block") {
		return Explain(err)
	}
	return &RefusedError{
		Found:  fmt.Sprintf("an event trigger keeps the schema from being changed (%s)", pg.Message),
		Wanted: "that the owner of the schema may change it",
		Fix:    "Disable it for the migration: SELECT evtname, evtfoid::regproc FROM pg_event_trigger shows which there are.",
	}
}

// RequireCurrent refuses a ledger that has another version than this program's. It writes nothing.
func (d *Database) RequireCurrent(ctx context.Context) (err error) {
	db := d.SQL(d.use)
	defer func() { err = errors.Join(err, db.Close()) }()
	version, newest, err := d.version(ctx, db)
	if err != nil || version == newest {
		return err
	}
	return &RefusedError{
		Found:  fmt.Sprintf("the ledger in schema %s has version %d", d.schema, version),
		Wanted: fmt.Sprintf("version %d", newest),
		Fix:    "Run as the owner of the schema: internaltransfers migrate",
	}
}

// version returns the version of the ledger, 0 where there is none, and that of this program. A
// newer ledger is refused.
func (d *Database) version(ctx context.Context, db *sql.DB) (version, newest int64, err error) {
	newest = migrations.Newest()
	if !d.ledger {
		return 0, newest, nil
	}
	version, err = migrations.Version(ctx, db)
	switch {
	case err != nil:
		return 0, 0, d.Explain(err)
	case version > newest:
		return 0, 0, &RefusedError{
			Found:  fmt.Sprintf("the ledger in schema %s has version %d", d.schema, version),
			Wanted: fmt.Sprintf("version %d or older", newest),
			Fix:    "Run the newer program that migrated it.",
		}
	}
	return version, newest, nil
}

// mayMigrate refuses a role that may not bring the ledger from one version to another.
func (d *Database) mayMigrate(ctx context.Context, version, newest int64) error {
	conn, err := d.Connect(ctx, Migrating)
	if err != nil {
		return err
	}
	defer HangUp(conn)
	may, err := db.New().RoleMayMigrate(ctx, conn, d.schema)
	switch {
	case err != nil:
		return fmt.Errorf("look at the rights of the role: %w", err)
	case may:
		return nil
	}
	found := fmt.Sprintf("the ledger in schema %s has version %d", d.schema, version)
	if !d.ledger {
		found = fmt.Sprintf("schema %s holds no ledger", d.schema)
	}
	return &RefusedError{
		Found:  fmt.Sprintf("%s, and role %s may not migrate it", found, d.facts.Role),
		Wanted: fmt.Sprintf("version %d", newest),
		Fix:    "Run as the owner of the schema: internaltransfers migrate",
	}
}

// ApplyRoles applies docs/roles.sql to the ledger's schema. The role of the database is a
// superuser, or the owner.
func (d *Database) ApplyRoles(ctx context.Context) error {
	conn, err := d.Connect(ctx, Migrating)
	if err != nil {
		return err
	}
	defer HangUp(conn)
	text := rolesSchema.ReplaceAllLiteralString(docs.Roles, pgx.Identifier{d.schema}.Sanitize())
	if _, err := conn.Exec(ctx, text); err != nil {
		return fmt.Errorf("apply docs/roles.sql: %w", err)
	}
	return nil
}

// AsOwner calls f with the location of a ledger for the owner, in a database of our own whose
// superuser and owner these are. The roles and the schema are made before, and get their rights
// after. Where no schema is named and there is no ledger yet, it is that of docs/roles.sql. AsOwner
// returns the schema.
func AsOwner(
	ctx context.Context, superuser Target, owner string, f func(context.Context, Target) error,
) (schema string, err error) {
	d, err := Open(ctx, superuser, Migrating)
	if err != nil {
		return "", err
	}
	if superuser.Schema == "" && !d.ledger {
		d.schema = defaultSchema
	}
	if err := d.ApplyRoles(ctx); err != nil {
		return "", err
	}
	if err := f(ctx, Target{URL: owner, Schema: d.schema}); err != nil {
		return "", err
	}
	return d.schema, d.ApplyRoles(ctx)
}

// Prepare brings the ledger in a database of our own to the newest version, by AsOwner.
func Prepare(ctx context.Context, superuser Target, owner string, logger *slog.Logger) (schema string, err error) {
	return AsOwner(ctx, superuser, owner, func(ctx context.Context, t Target) error {
		_, err := Migrate(ctx, t, logger)
		return err
	})
}
