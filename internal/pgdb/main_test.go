package pgdb_test

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/pgtest"
	"internaltransfers/migrations"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// migrate makes or finds the ledger of that target, as the command does, and returns its location.
func migrate(t *testing.T, target pgdb.Target) *pgdb.Database {
	t.Helper()
	d, err := pgdb.Open(t.Context(), target, pgdb.Migrating)
	if err != nil {
		t.Fatal(err)
	}
	db := d.SQL(pgdb.Migrating)
	_, err = migrations.Up(t.Context(), db, d.Schema(), slog.New(slog.DiscardHandler))
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return d
}

// connect makes a session of that use, which ends with the test.
func connect(t *testing.T, target pgdb.Target, use pgdb.Use) *pgx.Conn {
	t.Helper()
	d, err := pgdb.Open(t.Context(), target, use)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := d.Connect(t.Context(), use)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pgdb.HangUp(conn) })
	return conn
}

// admin is a superuser's session with no settings of ours.
func admin(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.Superuser(url))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func show(t *testing.T, conn *pgx.Conn, query string) (value string) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), query).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

// newRole makes a role that may log in, owns the database if owner is set, and is dropped with what
// it has.
func newRole(t *testing.T, database string, owner bool) (role, as string) {
	t.Helper()
	role = "role_" + databaseName(t, database)
	conn := admin(t, database)
	execute(t, conn, "CREATE ROLE "+role+" LOGIN PASSWORD 'secret'")
	if owner {
		execute(t, conn, "ALTER DATABASE "+databaseName(t, database)+" OWNER TO "+role)
	}
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), pgtest.Superuser(database))
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close(context.Background()) }()
		for _, s := range []string{"REASSIGN OWNED BY " + role + " TO CURRENT_USER", "DROP OWNED BY " + role, "DROP ROLE " + role} {
			if _, err := conn.Exec(context.Background(), s); err != nil {
				t.Errorf("%s: %v", s, err)
			}
		}
	})
	return role, withUser(t, database, role, "secret")
}

func databaseName(t *testing.T, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}

func withUser(t *testing.T, database, user, password string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

// withParameter adds a parameter to the URL.
func withParameter(t *testing.T, database, name, value string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery += "&" + name + "=" + url.PathEscape(value)
	return u.String()
}

// requireRefused fails unless the error is a refusal with all these words.
func requireRefused(t *testing.T, err error, words ...string) {
	t.Helper()
	refused, ok := errors.AsType[*pgdb.RefusedError](err)
	if !ok {
		t.Fatalf("not refused: %v", err)
	}
	for _, w := range words {
		if !strings.Contains(refused.Error(), w) {
			t.Errorf("the refusal does not say %q: %v", w, refused)
		}
	}
}
