package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"internaltransfers/internal/localpg"
	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/pgtest"
)

// requireStatus runs the program and fails unless it ends with the status and prints all these
// words.
func requireStatus(t *testing.T, env []string, status int, words []string, args ...string) {
	t.Helper()
	out, err := program(t, env, args...).CombinedOutput()
	got := 0
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if got != status {
		t.Errorf("%s: status %d, want %d:\n%s", args, got, status, out)
	}
	for _, word := range words {
		if !strings.Contains(string(out), word) {
			t.Errorf("%s does not say %q:\n%s", args, word, out)
		}
	}
}

// stateOf differs for any two states of a database: the ledger and everything else in it.
func stateOf(t *testing.T, url string) (state string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.Superuser(url))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	err = conn.QueryRow(t.Context(), `SELECT md5(string_agg(
			query_to_xml(format('SELECT xmin, ctid FROM %s', oid::regclass), true, false, '')::text, '' ORDER BY oid))
		FROM pg_class
		WHERE relkind = 'r' AND (relnamespace = to_regnamespace('ledger')
			OR relname IN ('pg_class', 'pg_attribute', 'pg_proc', 'pg_namespace', 'pg_authid', 'pg_db_role_setting'))`).Scan(&state)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

const unbalance = `UPDATE account SET balance = balance + 1 WHERE account_id = (SELECT equity_account_id FROM currency WHERE code = 'USD')`

// TestCheckStatus: by the exit status a script learns whether the ledger is sound or broken, or
// could not be judged. Whatever check finds, rights to read are enough, and it writes nothing.
func TestCheckStatus(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change string // of a fresh ledger
		status int
		words  []string
	}{
		{"sound", "", 0, []string{"sum_zero", "the ledger is sound, as of"}},
		{"broken", unbalance, 1, []string{"sum_zero", "currency USD: balances sum to 1", "the ledger is broken"}},
		{"older", "DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)", 2,
			[]string{"the ledger was not judged", "has version", "internaltransfers migrate"}},
		{"newer", "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)", 2,
			[]string{"the ledger was not judged", "has version 99999", "newer program"}},
		{"none", "DROP SCHEMA ledger CASCADE", 2, []string{"the ledger was not judged", "holds no ledger"}},
		{"without a key", "ALTER TABLE transfer DROP CONSTRAINT transfer_pkey CASCADE", 2,
			[]string{"the ledger was not judged", "the table transfer lacks the constraint transfer_pkey", "ADD CONSTRAINT transfer_pkey PRIMARY KEY"}},
		{"no right", "REVOKE SELECT ON transfer FROM ledger_reader", 2,
			[]string{"the ledger was not judged", "permission denied for table transfer", "docs/roles.sql"}},
		{"no right at all", "REVOKE USAGE ON SCHEMA ledger FROM ledger_reader", 2, []string{"the ledger was not judged", "docs/roles.sql"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.NewDatabase(t)
			if c.change != "" {
				execute(t, url, c.change)
			}
			before := stateOf(t, url)
			for _, args := range [][]string{{"check"}, {"check", "--incremental"}} {
				requireStatus(t, []string{"DATABASE_URL=" + pgtest.Reader(url)}, c.status, c.words, args...)
			}
			if stateOf(t, url) != before {
				t.Error("check wrote to the database")
			}
		})
	}
}

// TestCheckOfNothing: without a database, or with one that is away, there is nothing to judge, and
// nothing is made.
func TestCheckOfNothing(t *testing.T) {
	t.Parallel()
	data := privateData(t)
	env := []string{"DATA_DIR=" + data, "PG_BIN=" + os.Getenv("PG_BIN")}
	requireStatus(t, env, 2, []string{"the ledger was not judged", "there is no PostgreSQL cluster", data}, "check")
	if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data directory: %v, want that it is not there", err)
	}
	requireStatus(t, []string{"DATABASE_URL=postgres://u:p@127.0.0.1:1/x"}, 2, []string{"the ledger was not judged", "connect"}, "check")
	requireStatus(t, []string{"DATABASE_URL=postgres://u:p@["}, 2, []string{"must be a valid postgres://"}, "check")
}

// TestCheckIncrementally: a proof goes on from the last one of a server. Only a server keeps what
// it found. check prints on standard error how far it is.
func TestCheckIncrementally(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	check := func(told, said string) {
		t.Helper()
		cmd := program(t, []string{"DATABASE_URL=" + pgtest.Reader(url)}, "check", "--incremental")
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("check: %v\n%s%s", err, &stdout, &stderr)
		}
		if !strings.Contains(stdout.String(), said) || !strings.Contains(stderr.String(), told) {
			t.Errorf("the proof does not print %q and log %q:\n%s%s", said, told, &stdout, &stderr)
		}
	}
	for range 2 {
		check("find what changed", "the ledger is sound, as of")
	}
	p := serve(t, "DATABASE_URL="+url)
	if answer := p.post(t, "/transfers.v1.LedgerService/CheckLedger", "{}"); answer["ok"] != true {
		t.Errorf("CheckLedger: %v", answer)
	}
	check("checkpoint_continued", ", given that it was at ")
	p.terminate(t)
}

// TestCheckOnStandby: a role that may read a standby can prove it. When the standby ends the
// session to go on with its replay, check says what to do.
func TestCheckOnStandby(t *testing.T) {
	t.Parallel()
	primary := pgtest.NewServer(t)
	standby := pgtest.NewStandby(t, primary)
	reader := []string{"DATABASE_URL=" + standby.RoleURL(localpg.Reader)}
	for _, args := range [][]string{{"check"}, {"check", "--incremental"}} {
		requireStatus(t, reader, 0, []string{"the ledger is sound"}, args...)
	}
	requireStatus(t, []string{"DATABASE_URL=" + standby.RoleURL(localpg.Writer)}, 1, nil, "serve")

	ctx := t.Context()
	execute(t, standby.URL(), "ALTER SYSTEM SET max_standby_streaming_delay = 0")
	execute(t, standby.URL(), "SELECT pg_reload_conf()")
	database, err := pgdb.Open(ctx, pgdb.Target{URL: standby.RoleURL(localpg.Reader)}, pgdb.Proving)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := database.Connect(ctx, pgdb.Proving)
	if err != nil {
		t.Fatal(err)
	}
	defer pgdb.HangUp(conn)
	ended := make(chan error, 1)
	go func() {
		_, err := conn.Exec(ctx, "SELECT pg_sleep(600) FROM currency")
		ended <- err
	}()
	watcher, err := pgx.Connect(ctx, standby.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = watcher.Close(context.Background()) }()
	for reading := false; !reading; {
		err := watcher.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')").Scan(&reading)
		if err != nil {
			t.Fatal(err)
		}
	}
	execute(t, primary.URL(), "ALTER TABLE currency ADD more int")
	refused, ok := errors.AsType[*pgdb.RefusedError](database.Explain(<-ended))
	if !ok || !strings.Contains(refused.Error(), "hot_standby_feedback") {
		t.Errorf("it says %v", refused)
	}
}

// TestCheckAlone: without DATABASE_URL it checks the private PostgreSQL, as the reader, and keeps
// away from a running one.
func TestCheckAlone(t *testing.T) {
	t.Parallel()
	data := privateData(t)
	env := []string{"DATA_DIR=" + data, "PG_BIN=" + os.Getenv("PG_BIN")}
	requireStatus(t, env, 0, nil, "migrate")
	requireStatus(t, env, 0, []string{"the ledger is sound"}, "check")
	p := serve(t, env...)
	requireStatus(t, env, 2, []string{"the ledger was not judged", "in use by process"}, "check")
	p.terminate(t)
	if _, err := os.Stat(filepath.Join(data, "port")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the private PostgreSQL has a TCP port: %v", err)
	}
}
