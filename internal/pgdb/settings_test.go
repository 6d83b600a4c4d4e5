package pgdb_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"internaltransfers/gen/db"
	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/pgtest"
)

// hostile are settings that a database, a role or a URL may bring, and that would change what the
// ledger does.
var hostile = map[string]string{
	"client_encoding":                     "LATIN1",
	"DateStyle":                           "SQL, DMY",
	"IntervalStyle":                       "iso_8601",
	"TimeZone":                            "Asia/Kathmandu",
	"extra_float_digits":                  "-15",
	"bytea_output":                        "escape",
	"standard_conforming_strings":         "off",
	"transform_null_equals":               "on",
	"array_nulls":                         "off",
	"gin_fuzzy_search_limit":              "1",
	"statement_timeout":                   "60000",
	"lock_timeout":                        "1",
	"idle_session_timeout":                "1000",
	"idle_in_transaction_session_timeout": "0",
	"client_min_messages":                 "error",
	"default_transaction_isolation":       "serializable",
	"default_transaction_deferrable":      "on",
	"synchronous_commit":                  "off",
	"search_path":                         "pg_temp",
	"enable_nestloop":                     "off",
	"enable_indexscan":                    "off",
	"enable_sort":                         "off",
	"random_page_cost":                    "1e13",
	"exit_on_error":                       "on",
	"plan_cache_mode":                     "force_custom_plan",
	"jit":                                 "on",
	"jit_above_cost":                      "0",
	"default_tablespace":                  "pg_default",
	"row_security":                        "off",
	"check_function_bodies":               "off",
	"xmloption":                           "document",
	"lc_messages":                         "C",
	"max_parallel_workers_per_gather":     "0",
	"work_mem":                            "64kB",
}

// TestForeignSettings: whatever a database sets, each session has what it must have.
func TestForeignSettings(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	name := databaseName(t, database)
	conn := admin(t, database)
	for setting, value := range hostile {
		if setting == "search_path" {
			continue // the ledger is in the schema that it names
		}
		execute(t, conn, "ALTER DATABASE "+name+" SET "+setting+" = '"+value+"'")
	}
	requireSettings(t, database)
}

// TestForeignSettingsInURL: the same for what a URL sets.
func TestForeignSettingsInURL(t *testing.T) {
	t.Parallel()
	database := pgtest.Superuser(pgtest.NewDatabase(t)) // only a superuser may set all of them
	all := withParameter(t, database, "default_query_exec_mode", "simple_protocol")
	for setting, value := range hostile {
		all = withParameter(t, all, setting, value)
	}
	requireSettings(t, all)
	requireSettings(t, withParameter(t, database, "statement_cache_capacity", "0"))
}

func requireSettings(t *testing.T, database string) {
	t.Helper()
	for _, use := range []pgdb.Use{pgdb.Writing, pgdb.Reading, pgdb.Migrating, pgdb.Proving} {
		conn := connect(t, pgdb.Target{URL: database}, use)
		want := map[string]string{
			"client_encoding": "UTF8", "TimeZone": "UTC", "DateStyle": "ISO, MDY", "search_path": `"ledger", pg_temp`,
			"statement_timeout": "0", "default_transaction_isolation": "read committed", "array_nulls": "on",
			"synchronous_commit": "on", "idle_in_transaction_session_timeout": "5s", "session_replication_role": "origin",
			"client_min_messages": "notice", "gin_fuzzy_search_limit": "0", "transform_null_equals": "off",
			"exit_on_error": "off", "jit": "off",
		}
		if use == pgdb.Writing {
			want["enable_nestloop"], want["enable_hashjoin"], want["plan_cache_mode"] = "on", "off", "force_generic_plan"
			want["enable_sort"], want["random_page_cost"] = "on", "4"
		}
		if use == pgdb.Proving {
			want["default_transaction_read_only"] = "on"
		}
		for setting, value := range want {
			if got := show(t, conn, "SELECT current_setting('"+setting+"')"); got != value {
				t.Errorf("%d: %s is %q, not %q", use, setting, got, value)
			}
		}
		if got := show(t, conn, "SELECT array_to_string($$Zürich €$$::text || ARRAY['ﬁ']::text[], ' ')"); got != "Zürich € ﬁ" {
			t.Errorf("a text comes back as %q", got)
		}
		if mode := conn.Config().DefaultQueryExecMode; mode != pgx.QueryExecModeCacheStatement {
			t.Errorf("the mode is %v", mode)
		}
	}
}

// TestTriggersOff: a session in which no trigger fires is refused, with the command that changes
// it. Only a superuser can make one.
func TestTriggersOff(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	name := databaseName(t, database)
	execute(t, admin(t, database), "ALTER DATABASE "+name+" SET session_replication_role = 'replica'")
	d, err := pgdb.Open(t.Context(), pgdb.Target{URL: database}, pgdb.Writing)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Connect(t.Context(), pgdb.Writing)
	requireRefused(t, err, "session_replication_role", "replica", "origin", "RESET session_replication_role")
	pool, err := d.Pool(t.Context(), pgdb.Writing, 1, pgdb.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	requireRefused(t, pool.Ping(t.Context()), "session_replication_role")
}

// TestServerEncoding: a database that cannot hold every text is refused.
func TestServerEncoding(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"LATIN1", "SQL_ASCII"} {
		database := pgtest.NewEmptyDatabase(t, "ENCODING '"+encoding+"' TEMPLATE template0")
		_, err := pgdb.Open(t.Context(), pgdb.Target{URL: database}, pgdb.Migrating)
		requireRefused(t, err, encoding, "UTF8", "CREATE DATABASE")
	}
}

// TestServerVersion: an older server is refused, and each newer one is taken.
func TestServerVersion(t *testing.T) {
	t.Parallel()
	for number, version := range map[int32]string{90600: "9.6.0", 140_000: "14.0", 149_999: "14.99"} {
		err := pgdb.VerifyServer(db.SessionFactsRow{ServerVersionNum: number, ServerVersion: version, ServerEncoding: "UTF8"})
		requireRefused(t, err, "PostgreSQL "+version, "15 or newer", "Upgrade")
	}
	for _, number := range []int32{150_000, 180_004, 1_000_000} {
		if err := pgdb.VerifyServer(db.SessionFactsRow{ServerVersionNum: number, ServerEncoding: "UTF8"}); err != nil {
			t.Errorf("%d: %v", number, err)
		}
	}
}

// TestMalformedURL: the error shows the form that is wanted, and nothing of what was given.
func TestMalformedURL(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"foo", "postgres://u:hunter2@h:port/d", "mysql://u:hunter2@h/d", "host=h password='hunter2", "host=h sslmode=maybe password=hunter2"} {
		_, err := pgdb.Open(t.Context(), pgdb.Target{URL: bad}, pgdb.Reading)
		if err == nil || !strings.Contains(err.Error(), "postgres://user:password@host:port/database") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
