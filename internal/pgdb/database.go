package pgdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"internaltransfers/gen/db"
)

const (
	// connectTimeout bounds one attempt to connect, unless the URL says otherwise.
	connectTimeout = 5 * time.Second

	// hangUpTimeout bounds the end of a session whose other end may be gone.
	hangUpTimeout = time.Second

	// serverVersionMin is PostgreSQL 15, as server_version_num.
	serverVersionMin = 150_000

	// statementsMax is how many prepared statements a session keeps. There are fewer.
	statementsMax = 512

	// identifierMax is the length of a name in PostgreSQL, in bytes.
	identifierMax = 63
)

// A Target names a ledger's database and schema.
type Target struct {
	URL    string // a postgres:// URL or a keyword=value string
	Schema string // of the ledger; empty: where a ledger is, else the session's current schema
}

// A Database is one ledger's location: a schema of a PostgreSQL database.
type Database struct {
	config *pgxpool.Config
	use    Use
	facts  db.SessionFactsRow
	schema string
	ledger bool   // the schema holds one
	excess string // what the role may do and a server need not
	place  string // of the server that was found, for people
	pooled bool   // a pooler stood between
	needed int    // sessions at a time, where there is one
	pooler pooler
	told   told

	identity atomic.Pointer[[]byte] // of the ledger that sessions serve; nil: none was made yet
	begun    atomic.Int64           // how many sessions have found it
}

// Open connects once, verifies the server, finds the ledger's schema, and verifies that the role
// has the rights to serve it where that is the use. It writes nothing. What cannot be used is a
// RefusedError; other errors are the driver's and may be transient.
func Open(ctx context.Context, target Target, use Use) (*Database, error) {
	config, err := parse(target, use)
	if err != nil {
		return nil, err
	}
	d := &Database{config: config, use: use, needed: sessionsSpare}
	config.ConnConfig.OnPgError = d.keeps
	conn, err := d.look(ctx)
	if err != nil {
		return nil, err
	}
	defer HangUp(conn)
	queries := db.New()
	if d.facts, err = queries.SessionFacts(ctx, conn); err != nil {
		return nil, fmt.Errorf("look at the server: %w", err)
	}
	d.place = placeOf(conn)
	if err := d.verifyServer(); err != nil {
		return nil, err
	}
	if d.pooled = d.facts.BackendPid != pid(conn); d.pooled {
		if err := d.requireBackends(ctx, conn); err != nil {
			return nil, err
		}
	}
	schemas, err := queries.LedgerSchemas(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("look for the ledger: %w", err)
	}
	if err := d.chooseSchema(target.Schema, schemas); err != nil {
		return nil, err
	}
	if d.ledger {
		if err := d.verifyRights(ctx, conn); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// parse reads the URL and sets what no URL may change.
func parse(target Target, use Use) (*pgxpool.Config, error) {
	if err := CheckURL(target.URL); err != nil {
		return nil, fmt.Errorf("the database URL %w", err)
	}
	if err := CheckSchemaName(target.Schema); err != nil {
		return nil, fmt.Errorf("the schema's name %w", err)
	}
	config, err := pgxpool.ParseConfig(target.URL)
	if err != nil {
		return nil, errURLForm // the driver's error may repeat the URL, password and all
	}
	c := config.ConnConfig
	if err := dropClientParameters(c); err != nil {
		return nil, fmt.Errorf("the database URL %w", err)
	}
	if use.needsPrimary() {
		// Whatever target_session_attrs is: with several hosts the primary is looked for.
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	// Names and texts are UTF-8 from the first statement on, whatever the role or the database has.
	c.RuntimeParams["client_encoding"] = "UTF8"
	// The other modes cannot encode all of our arguments, or plan anew at each call.
	c.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	c.StatementCacheCapacity, c.DescriptionCacheCapacity = statementsMax, statementsMax
	return config, nil
}

// CheckSchemaName returns an error for a name that no schema of ours can have. Empty is valid. The
// error's text follows the name of a setting.
func CheckSchemaName(name string) error {
	switch {
	case len(name) > identifierMax, !utf8.ValidString(name), strings.ContainsRune(name, 0):
		return fmt.Errorf("must have at most %d bytes of UTF-8, without NUL", identifierMax)
	case strings.HasPrefix(name, "pg_"), name == "information_schema":
		return fmt.Errorf("must not be %q: names that begin with pg_, and information_schema, are PostgreSQL's own", name)
	case name == "$user":
		// PostgreSQL reads it so in a search_path, in quotes too.
		return errors.New(`must not be "$user": PostgreSQL takes that for a schema of the role's name`)
	}
	return nil
}

// verifyServer refuses a server on which the ledger would be incorrect.
func (d *Database) verifyServer() error {
	switch {
	case d.facts.ServerVersionNum < serverVersionMin:
		return &RefusedError{
			Found:  "the server is PostgreSQL " + d.facts.ServerVersion,
			Wanted: "15 or newer",
			Fix:    "Upgrade the server.",
		}
	case d.facts.ServerEncoding != "UTF8":
		return &RefusedError{
			Found:  "server_encoding of database " + d.facts.Database + " is " + d.facts.ServerEncoding,
			Wanted: "UTF8",
			Fix:    "Create another one: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
		}
	}
	return nil
}

// chooseSchema finds the ledger's schema. A named one is used. Else it is the one that has a ledger
// already, for a schema that appears later must not hide it; else the current schema. A part of a
// ledger is refused: another one beside it would go on without its accounts.
func (d *Database) chooseSchema(named string, ledgers []db.LedgerSchemasRow) error {
	for _, l := range ledgers {
		if l.Lacks != "" && (named == "" || named == l.Schema) {
			return &RefusedError{
				Found:  fmt.Sprintf("schema %q of database %s holds a part of a ledger: %s", l.Schema, d.facts.Database, l.Lacks),
				Wanted: "a whole ledger",
				Fix:    "Restore what is missing there, or set --db-schema (DB_SCHEMA) to another schema if that is meant.",
			}
		}
	}
	switch {
	case named != "":
		d.schema = named
	case len(ledgers) == 1:
		d.schema = ledgers[0].Schema
	case len(ledgers) > 1:
		var names []string
		for _, l := range ledgers {
			names = append(names, l.Schema)
		}
		return &RefusedError{
			Found:  "database " + d.facts.Database + " holds several ledgers, in the schemas " + strings.Join(names, ", "),
			Wanted: "the name of one",
			Fix:    "Set --db-schema (DB_SCHEMA).",
		}
	case d.facts.CurrentSchema == "":
		return &RefusedError{
			Found:  "no schema of the search_path of role " + d.facts.Role + " exists",
			Wanted: "a schema for the ledger",
			Fix:    "Set --db-schema (DB_SCHEMA), or create the schema.",
		}
	default:
		d.schema = d.facts.CurrentSchema
	}
	d.ledger = holdsLedger(ledgers, d.schema)
	if !d.ledger && d.use.needsLedger() {
		return &RefusedError{
			Found:  fmt.Sprintf("schema %q of database %s holds no ledger", d.schema, d.facts.Database),
			Wanted: "one",
			Fix:    "Make it: internaltransfers migrate",
		}
	}
	return nil
}

// holdsLedger reports whether a schema is among those with a whole ledger.
func holdsLedger(ledgers []db.LedgerSchemasRow, schema string) bool {
	return slices.Contains(ledgers, db.LedgerSchemasRow{Schema: schema})
}

// Schema is the name of the ledger's schema. It may not exist yet where HasLedger is false.
func (d *Database) Schema() string { return d.schema }

// HasLedger reports whether the schema held a ledger when the database was opened.
func (d *Database) HasLedger() bool { return d.ledger }

// IsStandby reports whether the server was a standby when the database was opened.
func (d *Database) IsStandby() bool { return d.facts.IsStandby }

// String names the database, the server that was found, and the schema, for people. It holds no
// password.
func (d *Database) String() string {
	return fmt.Sprintf("%s at %s, schema %s", d.facts.Database, d.place, d.schema)
}

// Target is where the ledger is, with the schema that was found.
func (d *Database) Target() Target {
	return Target{URL: d.config.ConnString(), Schema: d.schema}
}

// searchPath pins the ledger's schema. PostgreSQL's own schema comes before it, and temporary
// tables come after it, so no object of others is seen in place of the ledger's.
func (d *Database) searchPath() string {
	return pgx.Identifier{d.schema}.Sanitize() + ", pg_temp"
}

// Hooks are called for each session of a pool. A zero field is not called.
type Hooks struct {
	Before func(context.Context, *pgx.ConnConfig) error // it is connected
	After  func(context.Context, *pgx.Conn) error       // it has what it must have
}

// Pool opens a pool of at most size sessions for that use. It connects when sessions are needed.
func (d *Database) Pool(ctx context.Context, use Use, size int32, hooks Hooks) (*Pool, error) {
	config := d.config.Copy()
	config.MaxConns = size
	config.MinConns, config.MinIdleConns = min(config.MinConns, size), min(config.MinIdleConns, size)
	config.BeforeConnect = hooks.Before
	config.ConnConfig.ValidateConnect = d.validate(config.ConnConfig.ValidateConnect)
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		if err := d.told.once(ctx, d.prepare(ctx, conn, use)); err != nil || hooks.After == nil {
			return err
		}
		return hooks.After(ctx, conn)
	}
	config.PrepareConn = func(_ context.Context, conn *pgx.Conn) (bool, error) {
		// The state of a session from before another one strayed is unknown.
		return sessionOf(conn).signs == d.pooler.signs.Load(), nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open a pool: %w", err)
	}
	return &Pool{Pool: pool, database: d}, nil
}

// Connect makes one session of no pool for that use. The caller closes it.
func (d *Database) Connect(ctx context.Context, use Use) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, d.config.ConnConfig.Copy())
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if err := d.told.once(ctx, d.prepare(ctx, conn, use)); err != nil {
		HangUp(conn)
		return nil, err
	}
	return conn, nil
}

// SQL gives sessions for that use to a library that wants database/sql. The caller closes it.
func (d *Database) SQL(use Use) *sql.DB {
	return stdlib.OpenDB(*d.config.ConnConfig.Copy(), stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		return d.prepare(ctx, conn, use)
	}))
}

// placeOf returns the address of the server that a session reached, which with several hosts is one
// of them.
func placeOf(conn *pgx.Conn) string {
	address := conn.PgConn().Conn().RemoteAddr()
	if address.Network() == "unix" {
		c := conn.Config()
		return fmt.Sprintf("%s:%d", c.Host, c.Port)
	}
	return address.String()
}

// HangUp closes a session without waiting for long. Its error has no use: the session is not used
// again.
func HangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), hangUpTimeout)
	defer cancel()
	_ = conn.Close(ctx)
}
