package databases

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"internaltransfers/internal/paging"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// TestPgBouncerSessionMode: behind a pooler in session mode everything works, for eight callers, a
// reader of events, workers and the cache of profiles, while the pooler is killed and started
// again, and while it closes its sessions with the server.
func TestPgBouncerSessionMode(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	pooler := pgtest.NewPgBouncer(t, nil, database)
	l := open(t, configure(pooler.URL(t, database), ""))
	r := follow(t, l)
	want := liveBeside(t, l, "before", func() {})
	maps.Copy(want, liveBeside(t, l, "killed", func() {
		pooler.Kill()
		pooler.Start(t)
	}))
	maps.Copy(want, liveBeside(t, l, "reconnected", func() {
		pooler.Command(t, "KILL "+databaseName(t, database))
		pooler.Command(t, "RESUME "+databaseName(t, database))
	}))
	r.require(t, want)
}

// TestPgBouncerSharedByLedgers: two ledgers of one database, with the same ids, share a pooler,
// which goes over to transaction mode. Every backend has the statements of both prepared, and the
// search_path of one. Nothing gets into the other ledger, and nothing is read from it.
func TestPgBouncerSharedByLedgers(t *testing.T) {
	t.Parallel()
	database := pgtest.NewEmptyDatabase(t, "")
	pooler := pgtest.NewPgBouncer(t, nil, database)
	s := &sharing{t: t, made: make(chan string, 1), away: make(chan string, 1)}
	t.Cleanup(s.stop)
	for _, schema := range []string{"first", "second"} {
		migrate(t, database, schema)
		s.begin(open(t, configure(pooler.URL(t, database), schema)), schema)
	}
	s.hear(s.made)
	pooler.Set(t, "pool_mode", "transaction")
	s.hear(s.away)
	pooler.Set(t, "pool_mode", "session")
	s.hear(s.made)
	s.stop()
	var strays int
	err := connect(t, database).QueryRow(t.Context(), `SELECT (SELECT count(*) FROM first.transfer WHERE reference = 'second')
		+ (SELECT count(*) FROM second.transfer WHERE reference = 'first')
		+ (SELECT count(*) FROM first.account_change WHERE image_url LIKE '%second')
		+ (SELECT count(*) FROM second.account_change WHERE image_url LIKE '%first')`).Scan(&strays)
	if err != nil || strays != 0 {
		t.Errorf("%d rows got into the other ledger, %v", strays, err)
	}
}

// sharing is the load of the callers of two ledgers, until they are stopped.
type sharing struct {
	t          *testing.T
	done       atomic.Bool
	running    sync.WaitGroup
	made, away chan string // the schema of a ledger whose call succeeded, or found the database away
}

// begin opens accounts, the same for each ledger, and begins to pay, to change and to read.
func (s *sharing) begin(l *postgres.Ledger, schema string) {
	n := newLife(s.t, l, "shared")
	n.openAccounts()
	n.do("name", func() error {
		_, err := l.UpdateAccount(n.ctx, ledger.AccountChange{ID: n.ids[0], DisplayName: &schema})
		return err
	})
	url := "https://example.com/" + schema
	for _, call := range []func() error{
		func() error {
			_, _, err := l.Transfer(n.ctx, ledger.TransferParams{From: n.ids[0], To: n.ids[1], Amount: penny, Reference: schema})
			return err
		},
		func() error {
			_, err := l.UpdateAccount(n.ctx, ledger.AccountChange{ID: n.ids[0], ImageURL: &url})
			return err
		},
		func() error {
			found, _, err := l.ListAccounts(n.ctx, postgres.AccountFilter{Search: n.ids[0].String()[:8]}, paging.Page{})
			if err == nil && (len(found) != 1 || found[0].DisplayName != schema) {
				s.t.Errorf("the ledger %s reads %+v", schema, found)
			}
			return err
		},
	} {
		for range 2 {
			s.running.Go(func() { s.repeat(call, schema) })
		}
	}
}

func (s *sharing) repeat(call func() error, schema string) {
	for !s.done.Load() {
		err := call()
		told := s.made
		if errors.Is(err, ledger.ErrUnavailable) {
			told = s.away
		} else if err != nil {
			s.t.Errorf("%s: %v", schema, err)
		}
		select {
		case told <- schema:
		default:
		}
	}
}

// hear waits until each ledger's schema was reported often enough.
func (s *sharing) hear(told <-chan string) {
	heard := make(map[string]int)
	for heard["first"] < 20 || heard["second"] < 20 {
		heard[<-told]++
	}
}

func (s *sharing) stop() {
	s.done.Store(true)
	s.running.Wait()
}

// liveBeside has eight callers live while something happens.
func liveBeside(t *testing.T, l *postgres.Ledger, seed string, happens func()) map[uuid.UUID]int {
	t.Helper()
	var mu sync.Mutex
	told := make(map[uuid.UUID]int)
	var living sync.WaitGroup
	for i := range 8 {
		living.Go(func() {
			one := newLife(t, l, fmt.Sprint(seed, i)).live()
			mu.Lock()
			maps.Copy(told, one)
			mu.Unlock()
		})
	}
	happens()
	living.Wait()
	return told
}

// TestPgBouncerCancel: a call whose caller gives up while it waits for a lock leaves no session
// behind that goes on waiting: the pooler passes the cancellation on.
func TestPgBouncerCancel(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	pooler := pgtest.NewPgBouncer(t, nil, database)
	config := configure(pooler.URL(t, database), "")
	config.BatchTimeout = 500 * time.Millisecond
	l := open(t, config)
	n := newLife(t, l, "cancel")
	n.openAccounts()
	admin := connect(t, database)
	tx, err := admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	execute(t, admin, "SELECT FROM account WHERE account_id = '"+n.ids[0].String()+"' FOR UPDATE")
	_, _, err = l.Transfer(t.Context(), ledger.TransferParams{From: n.ids[0], To: n.ids[1], Amount: one})
	if !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("a transfer that waits for a lock: %v", err)
	}
	await(t, database, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.pay()
}

// await waits until a query returns true.
func await(t *testing.T, database, query string) {
	t.Helper()
	conn := connect(t, database)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for yes := false; !yes; <-ticker.C {
		if err := conn.QueryRow(t.Context(), query).Scan(&yes); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
}

// connect opens a superuser's session without added settings, which ends with the test.
func connect(t *testing.T, database string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.Superuser(database))
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

func databaseName(t *testing.T, database string) string {
	t.Helper()
	config, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	return config.Database
}
