package pgdb

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"internaltransfers/gen/db"
)

// A Use is the purpose of a session. It decides the settings and rights of the session.
type Use int

// The uses of a session.
const (
	// Writing is for batches: a primary, and plans that take row locks in one global order.
	Writing Use = iota
	// Reading is for everything else that a server does: a primary, and a plan for each call.
	Reading
	// Migrating is for the owner of the schema: a primary.
	Migrating
	// Proving is for proofs and reports, also at a standby: it cannot write.
	Proving
	// Measuring is for the benchmarks' own tables and statistics: it plans as any foreign session
	// does.
	Measuring
)

// needsPrimary reports whether a standby will not do. It cannot write, and it does not know which
// transactions are writing events (see event_writers in the migrations).
func (u Use) needsPrimary() bool { return u != Proving }

// needsLedger reports whether there must be a ledger already.
func (u Use) needsLedger() bool { return u != Migrating && u != Measuring }

// A setting is a setting of PostgreSQL and the value that pg_settings shows for it.
type setting struct{ name, value string }

// everySession is what each session must have, whatever a role, a database or a URL sets.
var everySession = []setting{
	// Texts travel as UTF-8, and are read and written in one form whatever the locale is.
	{"client_encoding", "UTF8"},
	{"DateStyle", "ISO, MDY"},
	{"IntervalStyle", "postgres"},
	{"TimeZone", "UTC"},
	{"extra_float_digits", "1"},
	{"bytea_output", "hex"},
	{"standard_conforming_strings", "on"},
	// These change what statements mean: x = NULL, the word NULL in an array, how much a search
	// finds.
	{"transform_null_equals", "off"},
	{"array_nulls", "on"},
	{"gin_fuzzy_search_limit", "0"},
	{"restrict_nonsystem_relation_kind", ""},
	// An error ends a statement or a transaction, not the session.
	{"exit_on_error", "off"},
	// Calls have deadlines of their own, and a COMMIT must never be cancelled half way (see the
	// ledger's retries).
	{"statement_timeout", "0"},
	{"lock_timeout", "0"},
	{"transaction_timeout", "0"}, // PostgreSQL 17 and newer
	{"idle_session_timeout", "0"},
	// A transaction is idle between its statements for an instant only. A host that loses its power
	// just then must not keep its row locks until TCP notices, after hours.
	{"idle_in_transaction_session_timeout", "5000"},
	// Warnings report that a commit was not replicated as it should have been.
	{"client_min_messages", "notice"},
	// With "replica" no trigger fires: no row would be protected, and no account would become an
	// event.
	{"session_replication_role", "origin"},
	// A policy that hides rows makes a statement fail instead: nothing is reported as not found
	// that is there.
	{"row_security", "off"},
	// Read committed is what the conditional UPDATE is made for.
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_deferrable", "off"},
	// Compiling takes longer than any of our statements.
	{"jit", "off"},
	// A commit is acknowledged when it is on the disk. SessionSet only raises this one.
	{"synchronous_commit", "on"},
}

// ownSettings is what sessions of one use have besides.
var ownSettings = map[Use][]setting{
	// Plans may only be nested loops over index scans: these visit accounts in the order of
	// account_id, whichever side of the join is the outer one, and so row locks are taken in one
	// global order. The plans are generic, so that planning costs nothing after the first batches.
	Writing: {
		{"enable_nestloop", "on"},
		{"enable_indexscan", "on"},
		{"enable_sort", "on"},
		{"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"},
		{"enable_seqscan", "off"},
		{"enable_bitmapscan", "off"},
		{"plan_cache_mode", "force_generic_plan"},
		// A plan node that is off costs 10^10 more before PostgreSQL 18, which other costs must not
		// exceed.
		{"seq_page_cost", "1"},
		{"random_page_cost", "4"},
		{"cpu_tuple_cost", "0.01"},
		{"cpu_index_tuple_cost", "0.005"},
		{"cpu_operator_cost", "0.0025"},
	},
	// Each list is planned with its own filters, so that a filter that is not given costs nothing
	// and one that is given finds its index.
	Reading: {
		{"plan_cache_mode", "force_custom_plan"},
	},
	// Building an index takes long while its transaction is not idle. Tables are heaps, whatever
	// the default is.
	Migrating: {
		{"default_table_access_method", "heap"},
	},
	Proving: {
		{"default_transaction_read_only", "on"},
		{"plan_cache_mode", "force_custom_plan"},
	},
}

// prepare gives a new session what it must have, and verifies that it has it.
func (d *Database) prepare(ctx context.Context, conn *pgx.Conn, use Use) error {
	ctx, cancel := context.WithTimeout(ctx, d.config.ConnConfig.ConnectTimeout)
	defer cancel()
	registerTypes(conn.TypeMap())
	s := &session{backend: pid(conn), signs: d.pooler.signs.Load()}
	conn.PgConn().CustomData()[sessionKey] = s
	set := db.SessionSetParams{Names: []string{"search_path"}, Wanted: []string{d.searchPath()}, BackendPid: s.backend}
	for _, group := range [][]setting{everySession, ownSettings[use]} {
		for _, s := range group {
			set.Names = append(set.Names, s.name)
			set.Wanted = append(set.Wanted, s.value)
		}
	}
	queries := db.New()
	row, err := queries.SessionSet(ctx, unprepared{conn}, set)
	if err == nil && row.BackendPid != s.backend {
		s.pooled, s.backend, set.BackendPid = true, row.BackendPid, row.BackendPid
		d.pooler.met.Store(true)
		if err := d.requireBackends(ctx, conn); err != nil {
			return err
		}
		// A pooler may hand on what an earlier session left, its prepared statements too.
		if err = queries.SessionDiscard(ctx, unprepared{conn}); err == nil {
			_, err = queries.SessionSet(ctx, unprepared{conn}, set)
		}
	}
	switch {
	case d.late(err):
		return d.tooFew(0, d.needed)
	case err != nil:
		return fmt.Errorf("prepare a session: %w", err)
	}
	mismatches, err := queries.SessionMismatches(ctx, unprepared{conn}, db.SessionMismatchesParams{
		Names: set.Names, Wanted: set.Wanted, Schema: d.schema,
	})
	if err != nil {
		return fmt.Errorf("verify a session: %w", err)
	}
	if len(mismatches) > 0 {
		return refusedSetting(&mismatches[0], conn.Config().User)
	}
	if use.guardsLedger() {
		return d.identify(ctx, conn)
	}
	return nil
}

// refusedSetting is the refusal of a session with a wrong setting, with what changes it.
func refusedSetting(m *db.SessionMismatchesRow, user string) *RefusedError {
	refused := &RefusedError{
		Found:  fmt.Sprintf("the session's %s is %q", m.Name, m.Found),
		Wanted: fmt.Sprintf("%q", m.Wanted),
		Fix: fmt.Sprintf("Remove the setting where it was made: ALTER ROLE %s RESET %s, or ALTER DATABASE … RESET %s, "+
			"or the options of the database URL, or the environment variable PGOPTIONS",
			pgx.Identifier{user}.Sanitize(), m.Name, m.Name),
	}
	if m.Name == "current_schema" {
		refused.Fix = "Give the ledger's schema a name that PostgreSQL reads as it is."
	}
	return refused
}
