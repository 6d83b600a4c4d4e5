package pgtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) { Main(m) }

// connect opens a session that ends with the test.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// mustExec runs a statement.
func mustExec(t testing.TB, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// number runs a query for one number.
func number(t testing.TB, conn *pgx.Conn, query string) (n int) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

const countMigrations = "SELECT count(*) FROM pg_class WHERE relname = 'goose_db_version'"

// Each test sees a migrated database and nothing of its neighbours.
func TestNewDatabaseIsMigratedAndAlone(t *testing.T) {
	for _, name := range []string{"one", "two", "three"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t, Superuser(NewDatabase(t)))
			if n := number(t, conn, countMigrations); n != 1 {
				t.Errorf("the migrations' own table: found %d times, want once", n)
			}
			mustExec(t, conn, "CREATE TABLE mine (n int)") // Fails if a neighbour's table is here.
		})
	}
}

// A database goes with its test, even if the test left a session open.
func TestNewDatabaseIsDropped(t *testing.T) {
	var name string
	t.Run("user", func(t *testing.T) {
		conn := connect(t, NewDatabase(t))
		name = conn.Config().Database
		mustExec(t, conn, "SELECT 1")
	})
	conn := connect(t, NewDatabase(t))
	if n := number(t, conn, "SELECT count(*) FROM pg_database WHERE datname = '"+name+"'"); n != 0 {
		t.Errorf("database %s is still there", name)
	}
}

// A killed server comes back with its rows, at the same address.
func TestRestartKeepsRowsAndURL(t *testing.T) {
	server := NewServer(t)
	conn := connect(t, server.URL())
	if n := number(t, conn, countMigrations); n != 1 {
		t.Errorf("the migrations' own table: found %d times, want once", n)
	}
	mustExec(t, conn, "CREATE TABLE kept (n int)")
	mustExec(t, conn, "INSERT INTO kept VALUES (7)")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	again := Restart(t, server)
	if again.URL() != server.URL() {
		t.Errorf("the URL changed from %s to %s", server.URL(), again.URL())
	}
	if n := number(t, connect(t, again.URL()), "SELECT n FROM kept"); n != 7 {
		t.Errorf("kept %d, want 7", n)
	}
}

// What a killed test process left is deleted, and what a living one uses is not.
func TestRemoveAbandoned(t *testing.T) {
	ended := exec.Command(os.Args[0], "-test.run=^$")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	abandoned, err := os.MkdirTemp(tempDir(), fmt.Sprintf("%s%d-", dirPrefix, ended.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	used, err := newDir()
	if err != nil {
		t.Fatal(err)
	}
	removeAbandoned()
	if _, err := os.Stat(abandoned); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the abandoned directory: %v, want that it is gone", err)
	}
	if err := os.Remove(used); err != nil {
		t.Errorf("the used directory: %v", err)
	}
}

// BenchmarkNewDatabase measures what a database costs a test, at its beginning and at its end.
func BenchmarkNewDatabase(b *testing.B) {
	NewDatabase(b) // The server's start is not what is measured.
	var creating time.Duration
	for b.Loop() {
		began := time.Now()
		if err := execute(b.Context(), "CREATE DATABASE bench TEMPLATE "+shared.template); err != nil {
			b.Fatal(err)
		}
		creating += time.Since(began)
		if err := execute(b.Context(), "DROP DATABASE bench WITH (FORCE)"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(creating.Milliseconds())/float64(b.N), "create-ms/op")
}
