package pgdb_test

import (
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/pgtest"
)

// TestPgBouncerModes: session mode is good, with all other settings that PgBouncer may have. All
// else is refused, with what changes it.
func TestPgBouncerModes(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	for _, c := range []struct {
		name     string
		settings map[string]string
		refused  []string // words of the refusal; none: it is good
	}{
		{"session", map[string]string{"server_round_robin": "1"}, nil},
		{"session, nothing discarded", map[string]string{"server_reset_query": ""}, nil},
		{"transaction", map[string]string{"pool_mode": "transaction"}, []string{"transaction", "session mode", "pool_mode=session"}},
		{"transaction in turn", map[string]string{"pool_mode": "transaction", "server_round_robin": "1"}, []string{"pool_mode=session"}},
		{"transaction, all discarded", map[string]string{"pool_mode": "transaction", "server_reset_query_always": "1"}, []string{"pool_mode=session"}},
		{"transaction, one backend", map[string]string{"pool_mode": "transaction", "default_pool_size": "1"}, []string{"pool_mode=session"}},
		{"statement", map[string]string{"pool_mode": "statement"}, []string{"statement mode", "pool_mode=session"}},
		{"session, one backend", map[string]string{"default_pool_size": "1"}, []string{"no more than 1 sessions", "at least 2", "default_pool_size"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.NewPgBouncer(t, c.settings, database).URL(t, database) + "&connect_timeout=3"
			d, err := pgdb.Open(t.Context(), pgdb.Target{URL: url}, pgdb.Reading)
			if c.refused != nil {
				requireRefused(t, err, c.refused...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			// Sessions come to backends that others have used.
			for range 3 {
				pool := newPool(t, d, 3)
				requireOwnBackends(t, pool)
				pool.Close()
			}
		})
	}
}

// TestPgBouncerPoolSize: as many sessions as a server has must be had at a time, and some to spare.
func TestPgBouncerPoolSize(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	url := pgtest.NewPgBouncer(t, map[string]string{"default_pool_size": "5"}, database).URL(t, database) + "&connect_timeout=3"
	d, err := pgdb.Open(t.Context(), pgdb.Target{URL: url}, pgdb.Reading)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.RequireSessions(t.Context(), 3); err != nil {
		t.Errorf("five sessions are not enough for three and two to spare: %v", err)
	}
	requireRefused(t, d.RequireSessions(t.Context(), 8), "no more than 5 sessions", "at least 10", "default_pool_size", "DB_READ_CONNS")
	pool := newPool(t, d, 10)
	requireRefused(t, errors.Join(acquire(t, pool, 6)...), "no more than 0 sessions", "default_pool_size")
}

// TestPgBouncerParameters: a parameter that the pooler does not take is named, and those that it
// does take change nothing.
func TestPgBouncerParameters(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	pooler := pgtest.NewPgBouncer(t, nil, database)
	known := withParameter(t, withParameter(t, pooler.URL(t, database), "application_name", "ledger"), "client_encoding", "LATIN1")
	connect(t, pgdb.Target{URL: known}, pgdb.Writing)
	unknown := withParameter(t, known, "lock_timeout", "1")
	_, err := pgdb.Open(t.Context(), pgdb.Target{URL: unknown}, pgdb.Writing)
	requireRefused(t, err, "the parameter lock_timeout of the database URL", "ignore_startup_parameters")
	pooler.Set(t, "ignore_startup_parameters", "lock_timeout")
	connect(t, pgdb.Target{URL: unknown}, pgdb.Writing)
}

// TestPgBouncerTurns: when a pooler goes over to transaction mode, a transaction in another
// session's backend is noticed before it can commit, even when that has all its statements, as
// newer poolers see to. From then on no session is given out.
func TestPgBouncerTurns(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	pooler := pgtest.NewPgBouncer(t, nil, database)
	d, err := pgdb.Open(t.Context(), pgdb.Target{URL: pooler.URL(t, database)}, pgdb.Writing)
	if err != nil {
		t.Fatal(err)
	}
	pool := newPool(t, d, 3)
	conns := acquireAll(t, pool, 2)
	for _, conn := range conns { // both backends know the statement
		if err := d.RequireOwn(t.Context(), conn.Conn()); err != nil {
			t.Errorf("in its own backend: %v", err)
		}
	}
	pooler.Set(t, "pool_mode", "transaction")
	// Each gives its backend back at the end of its statement, and the first transaction takes the
	// last of them.
	for _, conn := range conns {
		show(t, conn.Conn(), "SELECT 'done'")
	}
	tx, err := conns[0].Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	requireRefused(t, d.RequireOwn(t.Context(), conns[0].Conn()), "pool_mode=session")
	conns[0].Release()
	conns[1].Release()
	_, err = pool.Acquire(t.Context())
	requireRefused(t, err, "pool_mode=session")

	pooler.Set(t, "pool_mode", "session")
	for err := errors.New("never tried"); err != nil; {
		err = pool.Ping(t.Context())
	}
	requireOwnBackends(t, pool)
}

// TestFailoverToPooler: a pooler that was not there at the start is noticed as well. In transaction
// mode it is refused, in session mode it is used.
func TestFailoverToPooler(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	r := newRelay(t, database)
	d, err := pgdb.Open(t.Context(), pgdb.Target{URL: withHost(t, database, r.dir)}, pgdb.Reading)
	if err != nil {
		t.Fatal(err)
	}
	pool := newPool(t, d, 2)
	requireOwnBackends(t, pool)
	pooler := pgtest.NewPgBouncer(t, map[string]string{"pool_mode": "transaction"}, database)
	r.lead(pooler.URL(t, database))
	pool.Reset()
	_, err = pool.Acquire(t.Context())
	requireRefused(t, err, "pool_mode=session")
	pooler.Set(t, "pool_mode", "session")
	for err := errors.New("never tried"); err != nil; {
		err = pool.Ping(t.Context())
	}
	requireOwnBackends(t, pool)
}

// A relay is a Unix socket that leads to one server, and later to another.
type relay struct {
	dir    string
	target atomic.Pointer[string] // the socket or address of the server
}

func newRelay(t *testing.T, database string) *relay {
	t.Helper()
	dir, err := os.MkdirTemp("", "relay") // a short path: it is a socket's
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{dir: dir}
	r.lead(database)
	listener, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", *r.target.Load())
			if err != nil {
				_ = client.Close()
				continue
			}
			running.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() })
			running.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
		_ = os.RemoveAll(dir)
	})
	return r
}

// lead has new connections go to the server with that URL, which has a Unix socket.
func (r *relay) lead(database string) {
	config, err := pgx.ParseConfig(database)
	if err != nil {
		panic(err) // it is one of pgtest's
	}
	_, address := pgconn.NetworkAddress(config.Host, config.Port)
	r.target.Store(&address)
}

// withHost is the same database at the socket in that directory.
func withHost(t *testing.T, database, dir string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("host", dir)
	query.Set("port", "5432")
	u.RawQuery = query.Encode()
	return u.String()
}

func newPool(t *testing.T, d *pgdb.Database, size int32) *pgdb.Pool {
	t.Helper()
	pool, err := d.Pool(t.Context(), pgdb.Reading, size, pgdb.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// acquire takes n sessions at once, which end with the test, and returns the errors.
func acquire(t *testing.T, pool *pgdb.Pool, n int) (errs []error) {
	t.Helper()
	for range n {
		conn, err := pool.Acquire(t.Context())
		errs = append(errs, err)
		if err == nil {
			t.Cleanup(conn.Release)
		}
	}
	return errs
}

func acquireAll(t *testing.T, pool *pgdb.Pool, n int) (conns []*pgxpool.Conn) {
	t.Helper()
	for range n {
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Release)
		conns = append(conns, conn)
	}
	return conns
}

// requireOwnBackends fails unless sessions of the pool have a backend each, with what was set.
func requireOwnBackends(t *testing.T, pool *pgdb.Pool) {
	t.Helper()
	seen := make(map[string]bool)
	for _, conn := range acquireAll(t, pool, 2) {
		for range 2 {
			seen[show(t, conn.Conn(), "SELECT pg_backend_pid()::text")] = true
		}
		if got := show(t, conn.Conn(), "SHOW plan_cache_mode"); got != "force_custom_plan" {
			t.Errorf("plan_cache_mode is %s", got)
		}
		conn.Release()
	}
	if len(seen) > 2 {
		t.Errorf("two sessions were in %d backends", len(seen))
	}
}
