package pgdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"internaltransfers/gen/db"
)

// A pooler may stand between the program and the server, such as PgBouncer. In session mode it
// gives each session a backend (a server process) for as long as the session lasts, and nothing is
// different. In transaction mode, or statement mode, the next statement may come to any backend.
// Its settings and prepared statements are those of others then: the order of locks is gone, and
// with another search_path so is the ledger. Notifications are lost.
//
// A pooler is noticed because the process that the server names at the beginning of a session is
// not the one that executes its statements. Then keepBackends tests whether sessions keep their
// backends. A pooler may change its mode while the program runs, so each later session is tested
// when there was a sign of that since.

const (
	// keepRounds is how often two sessions try to get each other's backend. A pooler gives away the
	// backend that came back last, or the one that was idle for longest. Once is enough for either,
	// unless others are faster.
	keepRounds = 4

	// refusedFor is how long a refusal holds before it is tried again.
	refusedFor = 500 * time.Millisecond

	// keepPatience is how long a statement may take that waits for no other session, in a backend
	// of its own.
	keepPatience = 2 * time.Second

	// sessionsSpare are the sessions that come and go beside the pools': they try, notify, migrate.
	sessionsSpare = 2

	// sessionKey is under which a connection keeps its session.
	sessionKey = "internaltransfers/pgdb"
)

// SQLSTATE codes. The first four are those of a session in a backend which is not its own, or in
// which it does not find its ledger.
const (
	stateNoPreparedStatement        = "26000"
	stateDuplicatePreparedStatement = "42P05"
	stateUndefinedTable             = "42P01"
	stateUndefinedFunction          = "42883"
	stateUndefinedColumn            = "42703"
	stateNotSupported               = "0A000"
	stateProtocolViolation          = "08P01" // of poolers
	stateUndefinedObject            = "42704" // an unknown parameter
	stateInvalidParameterValue      = "22023"
	stateCantChangeParameter        = "55P02" // only the server's configuration has it
	stateDivisionByZero             = "22012" // what SessionGuard fails with
	stateReadOnly                   = "25006"
)

// A session is the state of one connection.
type session struct {
	backend int32  // the process that the server says it is, or in which it was found to be
	pooled  bool   // a pooler stands between
	signs   uint64 // as many as there had been when it began
	tables  int64  // account and transfer, in one number; 0: not of a use that guards the ledger
}

// pid is the process that the server named for the session.
func pid(conn *pgx.Conn) int32 { return int32(conn.PgConn().PID()) }

// sessionOf returns the session of a connection that prepare has made.
func sessionOf(conn *pgx.Conn) *session {
	s, _ := conn.PgConn().CustomData()[sessionKey].(*session)
	return s
}

// A pooler is what a Database has found out about the pooler in between.
type pooler struct {
	met   atomic.Bool   // there is or was one
	signs atomic.Uint64 // that a session was in a backend which is not its own

	mu      sync.Mutex
	tried   bool      // sessions were found to keep their backends; guarded by mu
	at      uint64    // signs there had been then; guarded by mu
	refused time.Time // until when they are known not to; guarded by mu
}

// keeps reports whether a connection outlives an error of the server; else it is closed. One that
// got into another session's backend is not used again, and neither is any that was made before.
func (d *Database) keeps(conn *pgconn.PgConn, err *pgconn.PgError) bool {
	s, _ := conn.CustomData()[sessionKey].(*session)
	if s != nil && s.pooled && IsStray(err) {
		d.pooler.signs.Add(1)
		return false
	}
	// A session keeps the role and the default_transaction_read_only that it began with, and one
	// with a standby stays there. A statement is prepared for columns that it was first planned
	// with.
	return err.Code != stateReadOnly && err.Code != insufficientPrivilege && !isOutdated(err) && !slices.Contains([]string{"FATAL", "PANIC"}, severity(err))
}

// IsStray reports whether a session gets such an error only when it is not in the backend that it
// was prepared in, or no longer finds its ledger there.
func IsStray(err *pgconn.PgError) bool {
	switch err.Code {
	case stateNoPreparedStatement, stateDuplicatePreparedStatement, stateUndefinedTable, stateUndefinedFunction,
		stateUndefinedColumn:
		return !IsElsewhere(err)
	default:
		return isOutdated(err)
	}
}

// isOutdated reports whether a prepared statement has columns of other types by now. PostgreSQL has
// no code of its own for that.
func isOutdated(err *pgconn.PgError) bool {
	return err.Code == stateNotSupported && err.Routine == "RevalidateCachedQuery"
}

// severity is the same in every language, as far as the server sends it.
func severity(err *pgconn.PgError) string {
	if err.SeverityUnlocalized != "" {
		return err.SeverityUnlocalized
	}
	return err.Severity
}

// RequireOwn fails when a session is not in its own backend. A transaction stays in one until its
// end, whatever a pooler does. It costs a round trip only where there is a pooler.
func (d *Database) RequireOwn(ctx context.Context, conn *pgx.Conn) error {
	s := sessionOf(conn)
	if !s.pooled {
		return nil
	}
	return d.strayed(ctx, conn, db.New().SessionGuard(ctx, conn, s.backend))
}

// Transaction runs f in a transaction of a session that is in its own backend, and commits unless f
// fails.
func (d *Database) Transaction(
	ctx context.Context, conn *pgx.Conn, options pgx.TxOptions, f func(pgx.Tx) error,
) error {
	return pgx.BeginTxFunc(ctx, conn, options, func(tx pgx.Tx) error {
		if err := d.RequireOwn(ctx, conn); err != nil {
			return err
		}
		return f(tx)
	})
}

// strayed translates the error of SessionGuard. That session is not used again, nor are those that
// began before.
func (d *Database) strayed(ctx context.Context, conn *pgx.Conn, err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != stateDivisionByZero {
		return err
	}
	d.pooler.signs.Add(1)
	HangUp(conn)
	return d.told.once(ctx, d.poolerRefusal())
}

// requireBackends fails unless sessions keep their backends, of which conn has one. It was tried
// already unless there was a sign since. A refusal is not tried again at once, lest every call that
// waits for a session does so.
func (d *Database) requireBackends(ctx context.Context, conn *pgx.Conn) error {
	p := &d.pooler
	p.mu.Lock()
	defer p.mu.Unlock()
	signs := p.signs.Load()
	switch {
	case p.tried && p.at == signs:
		return nil
	case time.Now().Before(p.refused):
		return d.poolerRefusal()
	}
	p.tried = false
	kept, err := d.keepBackends(ctx, conn)
	switch {
	case err != nil:
		return err
	case !kept:
		p.refused = time.Now().Add(refusedFor)
		return d.poolerRefusal()
	}
	p.tried, p.at = true, signs
	return nil
}

// Try fails when the server is not there, or where there is a pooler that does not let sessions
// keep their backends any more. It is for a session that waits for long.
func (d *Database) Try(ctx context.Context, conn *pgx.Conn) error {
	if !sessionOf(conn).pooled {
		_, err := db.New().Ping(ctx, conn)
		return err
	}
	if err := d.RequireOwn(ctx, conn); err != nil {
		return err
	}
	kept, err := d.keepBackends(ctx, conn)
	if _, ok := errors.AsType[*RefusedError](err); ok {
		return nil // there is no second session to try it with
	}
	if err != nil {
		return err
	}
	if !kept {
		d.pooler.signs.Add(1)
		return d.told.once(ctx, d.poolerRefusal())
	}
	return nil
}

// keepBackends tests whether two sessions keep their own backends when each begins a transaction in
// turn.
func (d *Database) keepBackends(ctx context.Context, conn *pgx.Conn) (bool, error) {
	second, err := d.look(ctx)
	switch {
	case d.late(err):
		return false, d.tooFew(1, 2)
	case err != nil:
		return false, err
	}
	defer HangUp(second)
	ones := marked{conn: conn, mark: uuid.NewString()}
	other := marked{conn: second, mark: uuid.NewString()}
	if err := ones.set(ctx); err != nil {
		return kept(false, err)
	}
	switch err := other.set(ctx); {
	case d.late(err):
		return false, d.tooFew(1, 2)
	case err != nil:
		return kept(false, err)
	}
	for range keepRounds {
		for _, turn := range [][2]*marked{{&ones, &other}, {&other, &ones}} {
			if ok, err := keepBoth(ctx, turn[0], turn[1]); !ok || err != nil {
				return kept(ok, err)
			}
		}
	}
	return true, nil
}

// keepBoth has one session begin a transaction, which takes a backend, just after the other one was
// in its own.
func keepBoth(ctx context.Context, idle, busy *marked) (bool, error) {
	if ok, err := idle.isKept(ctx); !ok || err != nil {
		return ok, err
	}
	tx, err := busy.conn.Begin(ctx)
	if err != nil {
		return false, err
	}
	// With a single backend for both, this waits for the other's.
	waiting, cancel := context.WithTimeout(ctx, keepPatience)
	defer cancel()
	if ok, err := idle.isKept(waiting); !ok || err != nil {
		if err != nil && waiting.Err() != nil {
			_, err = busy.isKept(ctx) // or the server hangs
		}
		return false, err
	}
	if err := tx.Rollback(ctx); err != nil {
		return false, err
	}
	return busy.isKept(ctx)
}

// kept returns false in place of the errors of a session in another's backend.
func kept(ok bool, err error) (bool, error) {
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return ok, nil
	case errors.As(err, &pg) && (pg.Code == stateProtocolViolation || IsStray(pg)):
		return false, nil // "transaction blocks not allowed in statement pooling mode"
	default:
		return false, fmt.Errorf("look for a pooler: %w", err)
	}
}

// marked is a session with a mark in its backend.
type marked struct {
	conn    *pgx.Conn
	mark    string
	backend int32
}

// set marks the session's backend, whichever that is.
func (m *marked) set(ctx context.Context) (err error) {
	queries, conn := db.New(), unprepared{m.conn}
	if err := queries.SessionMark(ctx, conn, m.mark); err != nil {
		return err
	}
	m.backend, err = queries.SessionBackend(ctx, conn)
	return err
}

// isKept reports whether the session is still where it was.
func (m *marked) isKept(ctx context.Context) (bool, error) {
	row, err := db.New().SessionMarked(ctx, unprepared{m.conn})
	return row.Mark == m.mark && row.BackendPid == m.backend, err
}

// RequireSessions fails when the server does not give as many sessions at a time as are needed, and
// some to spare. It tests that only where there is a pooler: a server says so itself, while a
// pooler lets further sessions wait.
func (d *Database) RequireSessions(ctx context.Context, needed int) error {
	if !d.pooled {
		return nil
	}
	needed += sessionsSpare
	d.needed = needed
	ctx, cancel := context.WithTimeout(ctx, d.config.ConnConfig.ConnectTimeout)
	defer cancel()
	errs := make([]error, needed)
	var opening sync.WaitGroup
	conns := make([]*pgx.Conn, needed)
	for i := range needed {
		opening.Go(func() {
			if conns[i], errs[i] = d.look(ctx); errs[i] == nil {
				_, errs[i] = db.New().SessionBackend(ctx, unprepared{conns[i]})
			}
		})
	}
	opening.Wait()
	had := 0
	var err error
	for i, conn := range conns {
		if conn != nil {
			HangUp(conn)
		}
		if errs[i] == nil {
			had++
		} else {
			err = errs[i]
		}
	}
	if d.late(err) {
		return d.tooFew(had, needed)
	}
	return err
}

// validate checks a connection of a pool before it is used; its error says why it comes too late.
func (d *Database) validate(validate pgconn.ValidateConnectFunc) pgconn.ValidateConnectFunc {
	if validate == nil {
		return nil
	}
	return func(ctx context.Context, conn *pgconn.PgConn) error {
		err := validate(ctx, conn)
		if d.late(err) {
			return d.told.once(ctx, d.tooFew(0, d.needed))
		}
		return err
	}
}

// late reports whether a session did not come in time from a pooler.
func (d *Database) late(err error) bool { return d.pooled && pgconn.Timeout(err) }

// tooFew is the refusal for want of sessions.
func (d *Database) tooFew(had, needed int) *RefusedError {
	return &RefusedError{
		Found: fmt.Sprintf("a pooler stands between, and has no more than %d sessions of database %s to give now, or the server hangs",
			had, d.facts.Database),
		Wanted: fmt.Sprintf("at least %d for each of our servers", needed),
		Fix: "Let the pooler have more (PgBouncer: default_pool_size, or pool_size of this database, and max_db_connections), " +
			"or ask for fewer: DB_READ_CONNS, BATCHES_IN_FLIGHT.",
	}
}

// poolerRefusal is the refusal of a pooler whose sessions do not keep their backends.
func (d *Database) poolerRefusal() *RefusedError {
	return &RefusedError{
		Found: "a pooler stands between, and gives statements of one session of database " + d.facts.Database +
			" to several server processes (transaction or statement mode)",
		Wanted: "session mode, or a direct connection",
		Fix:    "Set the mode for this database (PgBouncer: pool_mode=session in its line of pgbouncer.ini), or connect to the server itself.",
	}
}

// look makes a session that prepares no statements: which backend it reaches is unknown.
func (d *Database) look(ctx context.Context) (*pgx.Conn, error) {
	config := d.config.ConnConfig.Copy()
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, d.connectError(err)
	}
	return conn, nil
}

// connectError names the parameter of the URL that a pooler or the server does not take.
func (d *Database) connectError(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return fmt.Errorf("connect: %w", err)
	}
	name := d.parameterIn(pg.Message)
	switch {
	case name == "":
		return fmt.Errorf("connect: %w", err)
	case pg.Code == stateProtocolViolation:
		return &RefusedError{
			Found: fmt.Sprintf("a pooler stands between, and does not take the parameter %s of the database URL%s (%s)",
				name, orVariable(name), pg.Message),
			Wanted: "a URL without it",
			Fix:    "Remove it, or have the pooler pass over it (PgBouncer: ignore_startup_parameters).",
		}
	case slices.Contains([]string{stateUndefinedObject, stateInvalidParameterValue, stateCantChangeParameter}, pg.Code):
		return &RefusedError{
			Found:  fmt.Sprintf("the server does not take the parameter %s of the database URL%s (%s)", name, orVariable(name), pg.Message),
			Wanted: "a URL without it",
			Fix:    "Remove it: what the driver does not know itself must be a setting that PostgreSQL lets a session have.",
		}
	default:
		return fmt.Errorf("connect: %w", err)
	}
}

// orVariable names the environment variable that sets a parameter which the URL does not have.
func orVariable(parameter string) string {
	variable := map[string]string{"timezone": "PGTZ", "options": "PGOPTIONS", "application_name": "PGAPPNAME"}[parameter]
	if variable == "" {
		return ""
	}
	return ", or of the environment variable " + variable
}

// parameterIn returns the parameter of the URL that a message of the server's names, the longest
// that may be meant. Empty: none.
func (d *Database) parameterIn(message string) (found string) {
	message = strings.ToLower(message)
	for name := range d.config.ConnConfig.RuntimeParams {
		if len(name) > len(found) && strings.Contains(message, strings.ToLower(name)) {
			found = name
		}
	}
	return found
}

// unprepared is a connection whose statements are not prepared. They take one round trip each, and
// leave nothing in a backend that may be another session's.
type unprepared struct{ *pgx.Conn }

func (u unprepared) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return u.Conn.Exec(ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...)
}

func (u unprepared) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return u.Conn.Query(ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...) //nolint:rowserrcheck // the caller's
}

func (u unprepared) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return u.Conn.QueryRow(ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...)
}
