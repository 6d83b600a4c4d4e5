package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"internaltransfers/docs"
	"internaltransfers/internal/localpg"
	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/pgtest"
	"internaltransfers/migrations"
)

// TestServeAsWriter: on a ledger that is current a server writes nothing when it starts, and logs
// nothing about its role. One with more rights than needed logs that, once.
func TestServeAsWriter(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	const excess = "may do more than a server needs"
	before := stateOf(t, url)
	p := serve(t, "DATABASE_URL="+url)
	p.terminate(t)
	if stateOf(t, url) != before {
		t.Error("a server wrote when it started")
	}
	if strings.Contains(p.logs.String(), excess) {
		t.Errorf("the writer may do more than a server needs?\n%s", p.logs)
	}
	for _, c := range []struct{ url, excess string }{
		{pgtest.Owner(url), "owns the table account"}, {pgtest.Superuser(url), "is a superuser"},
	} {
		p := serve(t, "DATABASE_URL="+c.url, "DEMO=true")
		p.terminate(t)
		if said := p.logs.String(); strings.Count(said, excess) != 1 || !strings.Contains(said, c.excess) {
			t.Errorf("it does not say once that the role %s:\n%s", c.excess, said)
		}
	}
}

// TestServeIsRefused: a server that may not bring the ledger to its version, or lacks a right, says
// what to do and changes nothing.
func TestServeIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, change string
		words        []string
	}{
		{"older", "DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)",
			[]string{"role ledger_writer may not migrate it", "internaltransfers migrate"}},
		{"newer", "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)", []string{"version 99999", "newer program"}},
		{"none", "DROP SCHEMA ledger CASCADE", []string{"holds no ledger", "internaltransfers migrate"}},
		{"no right", "REVOKE UPDATE (held) ON account FROM ledger_writer",
			[]string{"lacks UPDATE of account.held", `GRANT UPDATE (held) ON "ledger"."account" TO "ledger_writer"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.NewDatabase(t)
			execute(t, url, c.change)
			before := stateOf(t, url)
			requireStatus(t, []string{"DATABASE_URL=" + url}, 1, c.words, "serve", "--listen-addr=127.0.0.1:0")
			if stateOf(t, url) != before {
				t.Error("it changed something all the same")
			}
		})
	}
}

// TestMigrateTogether: several owners may migrate an empty database at once, where docs/roles.sql
// has made the schema; applied again it lets the others in.
func TestMigrateTogether(t *testing.T) {
	t.Parallel()
	url := pgtest.NewEmptyDatabase(t, "")
	execute(t, url, docs.Roles)
	owner := []string{"DATABASE_URL=" + pgtest.Owner(url), "DB_SCHEMA=ledger"}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { requireStatus(t, owner, 0, nil, "migrate") })
	}
	wg.Wait()
	execute(t, url, docs.Roles)
	serve(t, "DATABASE_URL="+pgtest.Writer(url)).terminate(t)
	requireStatus(t, []string{"DATABASE_URL=" + pgtest.Reader(url)}, 0, []string{"the ledger is sound"}, "check")
}

// users returns the roles that have sessions on a private PostgreSQL, but for the superuser of the
// query.
func users(t *testing.T, data string) (names string) {
	t.Helper()
	password, err := os.ReadFile(filepath.Join(data, "password"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), "host='"+data+"' port=5432 dbname=transfers sslmode=disable user=transfers password="+string(password))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	err = conn.QueryRow(t.Context(), `SELECT string_agg(DISTINCT usename::text, ' ') FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`).Scan(&names)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestServeAloneAsWriter: on the private PostgreSQL too a server has the writer's rights alone,
// also where an earlier version has made everything as the superuser.
func TestServeAloneAsWriter(t *testing.T) {
	t.Parallel()
	data := privateData(t)
	env := []string{"DATA_DIR=" + data, "PG_BIN=" + os.Getenv("PG_BIN")}
	old, err := localpg.Start(t.Context(), localpg.Config{DataDir: data, BinDir: os.Getenv("PG_BIN")})
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"REVOKE ALL ON DATABASE transfers FROM ledger_owner, ledger_writer, ledger_reader",
		"DROP ROLE ledger_owner, ledger_writer, ledger_reader",
		"ALTER ROLE transfers RESET search_path", "GRANT ALL ON DATABASE transfers TO PUBLIC",
	} {
		execute(t, old.URL(), statement)
	}
	database, err := pgdb.Open(t.Context(), pgdb.Target{URL: old.URL()}, pgdb.Migrating)
	if err != nil {
		t.Fatal(err)
	}
	sessions := database.SQL(pgdb.Migrating)
	if _, err := migrations.UpTo(t.Context(), sessions, "public", slog.New(slog.DiscardHandler), migrations.Newest()-1); err != nil {
		t.Fatal(err)
	}
	if err := sessions.Close(); err != nil {
		t.Fatal(err)
	}
	if err := old.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	requireStatus(t, env, 2, []string{"earlier version", "serve or migrate"}, "check")
	for range 2 {
		p := serve(t, env...)
		p.post(t, "/api/v1/account/create", `{"initial_balance": 100.0}`)
		if got := users(t, data); got != localpg.Writer {
			t.Errorf("the server has sessions as %s", got)
		}
		p.terminate(t)
		if strings.Contains(p.logs.String(), "more than a server needs") {
			t.Errorf("its role may do more than it needs:\n%s", p.logs)
		}
		requireStatus(t, env, 0, []string{"the ledger is sound"}, "check")
	}
}
