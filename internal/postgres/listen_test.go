package postgres_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// rename changes the name of an account by hand.
func rename(t testing.TB, conn *pgx.Conn, id uuid.UUID, name string) {
	t.Helper()
	ledgertest.Execute(t, conn, "UPDATE account SET display_name = $2, version = version + 1 WHERE account_id = $1", id, name)
}

// killListeners ends the connections that listen for profiles, and returns how many there were.
func killListeners(t testing.TB, conn *pgx.Conn) (n int) {
	t.Helper()
	err := conn.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND query LIKE 'LISTEN %' AND pid <> pg_backend_pid()`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// databaseName is the name of a test's database.
func databaseName(database string) string {
	return strings.TrimPrefix(ledgertest.Must(url.Parse(database)).Path, "/")
}

// TestListenerKilled: without its connection the ledger keeps nothing, and has nothing when it
// has one again.
func TestListenerKilled(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	counting := newCounting()
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, ProfileCache: 1000, Logger: slog.New(counting)})
	await(t, "listening", l.ProfilesListen)
	ids := openNamed(t, l, "a", "b")
	admin := ledgertest.Connect(t, database)
	elsewhere := ledgertest.Connect(t, pgtest.NewDatabase(t))
	for _, id := range ids {
		nameOf(t, l, id)
	}
	if n, _ := l.ProfilesKept(); n != 2 {
		t.Fatalf("%d profiles are kept, want 2", n)
	}
	ledgertest.Execute(t, elsewhere, "ALTER DATABASE "+databaseName(database)+" ALLOW_CONNECTIONS false")
	if n := killListeners(t, admin); n != 1 {
		t.Fatalf("%d connections listened, want 1", n)
	}
	await(t, "deaf", func() bool { return !l.ProfilesListen() })
	if n, _ := l.ProfilesKept(); n != 0 {
		t.Errorf("%d profiles are kept by a ledger that is deaf", n)
	}
	for i := range 5 {
		rename(t, admin, ids[0], fmt.Sprint(i))
		if got := nameOf(t, l, ids[0]); got != fmt.Sprint(i) {
			t.Errorf("the name is %q, want %d", got, i)
		}
	}
	if n, _ := l.ProfilesKept(); n != 0 || hits(t, l) != 0 {
		t.Errorf("%d profiles are kept, %d were returned by a ledger that does not listen", n, hits(t, l))
	}
	ledgertest.Execute(t, elsewhere, "ALTER DATABASE "+databaseName(database)+" ALLOW_CONNECTIONS true")
	await(t, "listening again", l.ProfilesListen)
	if got := nameOf(t, l, ids[0]); got != "4" {
		t.Errorf("the name is %q, want 4", got)
	}
	if nameOf(t, l, ids[0]); hits(t, l) != 1 {
		t.Errorf("%d profiles were returned from memory, want 1", hits(t, l))
	}
	rename(t, admin, ids[0], "heard")
	await(t, "heard", func() bool { return nameOf(t, l, ids[0]) == "heard" })
	if said, on := counting.count("profiles are not cached"), counting.count("profiles are cached"); said != 1 || on != 2 {
		t.Errorf("it was said %d times that profiles are not cached, want once, and %d times that they are, want twice", said, on)
	}
}

// TestReadAcrossDeafness: what a read in flight found before the ledger was deaf for a while is not
// kept.
func TestReadAcrossDeafness(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	l := openCaching(t, database)
	id := openNamed(t, l, "old")[0]
	admin := ledgertest.Connect(t, database)
	reading, goOn := make(chan struct{}), make(chan struct{})
	l.AfterProfileReads(func(read map[uuid.UUID]postgres.Profile) {
		if read[id].DisplayName == "old" {
			close(reading)
			<-goOn
		}
	})
	read := make(chan string)
	go func() { read <- nameOf(t, l, id) }()
	<-reading
	ledgertest.Execute(t, admin, "DROP TRIGGER account_profile_is_told ON account") // as if it came too early
	rename(t, admin, id, "new")
	l.ListenAgain(10 * time.Second)
	await(t, "listening again", l.ProfilesListen)
	close(goOn)
	<-read
	if got := nameOf(t, l, id); got != "new" {
		t.Errorf("the name is %q", got)
	}
}

// TestSilentListener: a connection whose other end is gone without a word is given up.
func TestSilentListener(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	proxy := newProxy(t, database)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: proxy.url, ProfileCache: 10, Logger: ledgertest.Silent})
	await(t, "listening", l.ProfilesListen)
	silence, forever := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(forever) })
	proxy.expect(fault{at: "Ping", do: look, then: func() {
		close(silence)
		<-forever
	}})
	l.ListenAgain(time.Second)
	<-silence
	await(t, "deaf", func() bool { return !l.ProfilesListen() })
	await(t, "listening again", l.ProfilesListen)
}

// TestPoolerThatTellsNothing: a pooler in transaction mode takes LISTEN and passes nothing on. Then
// nothing is kept, which is said once, however often it is tried.
func TestPoolerThatTellsNothing(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	admin := ledgertest.Connect(t, database)
	ledgertest.Execute(t, admin, "CREATE SEQUENCE attempt")
	ledgertest.Execute(t, admin, "GRANT USAGE ON SEQUENCE attempt TO PUBLIC")
	ledgertest.Execute(t, admin, "ALTER FUNCTION profile_channel RENAME TO right_channel")
	ledgertest.Execute(t, admin, "CREATE FUNCTION profile_channel(regclass) RETURNS text LANGUAGE sql AS $$ SELECT 'no_' || nextval('ledger.attempt') $$")
	counting := newCounting()
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, ProfileCache: 1000, Logger: slog.New(counting)})
	l.ListenAgain(500 * time.Millisecond) // which says nothing: a ledger that closes is not deaf
	id := openNamed(t, l, "0")[0]
	nameOf(t, l, id)
	var attempts int
	await(t, "tried three times", func() bool {
		if l.ProfilesListen() {
			t.Error("profiles are cached")
		}
		if err := admin.QueryRow(t.Context(), "SELECT last_value FROM attempt").Scan(&attempts); err != nil {
			t.Fatal(err)
		}
		return attempts >= 6 // two each time: one to listen to, one to notify
	})
	rename(t, admin, id, "1")
	if got := nameOf(t, l, id); got != "1" || hits(t, l) != 0 {
		t.Errorf("the name is %q, %d hits", got, hits(t, l))
	}
	if n := counting.count("profiles are not cached"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
	ledgertest.Execute(t, admin, "DROP FUNCTION profile_channel")
	ledgertest.Execute(t, admin, "ALTER FUNCTION right_channel RENAME TO profile_channel")
	await(t, "listening", l.ProfilesListen)
}

// TestListenerInOutage: an outage wedges nothing. While the database is away nothing is returned
// from memory, and when it is back all is well by itself. A ledger can be closed in the middle.
func TestListenerInOutage(t *testing.T) {
	t.Parallel()
	server := pgtest.NewServer(t)
	config := postgres.Config{ProfileCache: 1000, Logger: ledgertest.Silent, ReadConns: 1}
	l, closing := ledgertest.OpenPrivate(t, server.URL(), config), ledgertest.OpenPrivate(t, server.URL(), config)
	await(t, "listening", l.ProfilesListen)
	await(t, "listening", closing.ProfilesListen)
	id := openNamed(t, l, "old")[0]
	nameOf(t, l, id)
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "deaf", func() bool { return !l.ProfilesListen() })
	for range 3 {
		if got, err := l.GetProfiles(t.Context(), []uuid.UUID{id}); !errors.Is(err, ledger.ErrUnavailable) {
			t.Errorf("without a database: %+v, %v", got, err)
		}
	}
	began := time.Now()
	if err := closing.Close(t.Context()); err != nil || time.Since(began) > 5*time.Second {
		t.Errorf("closing took %s, %v", time.Since(began), err)
	}
	pgtest.Restart(t, server)
	await(t, "back", func() bool {
		got, err := l.GetProfiles(t.Context(), []uuid.UUID{id})
		return err == nil && len(got) == 1 && l.ProfilesListen()
	})
	name(t, l, id, "new")
	if got := nameOf(t, l, id); got != "new" {
		t.Errorf("the name is %q", got)
	}
}

// TestListenerNeedsNoPool: the listener begins to listen although the pool is exhausted.
func TestListenerNeedsNoPool(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, ProfileCache: 10, ReadConns: 1})
	await(t, "listening", l.ProfilesListen)
	id := openNamed(t, l, "")[0]
	holder := ledgertest.Connect(t, database)
	ledgertest.Execute(t, holder, "BEGIN")
	ledgertest.Execute(t, holder, "SELECT FROM account WHERE account_id = $1 FOR UPDATE", id)
	updated := make(chan error)
	go func() {
		_, err := l.UpdateAccount(t.Context(), ledger.AccountChange{ID: id, DisplayName: new("x")})
		updated <- err
	}()
	awaitLockWait(t.Context(), t, ledgertest.Connect(t, database))
	if n := killListeners(t, ledgertest.Connect(t, database)); n != 1 {
		t.Errorf("%d connections listened, want 1", n)
	}
	await(t, "deaf", func() bool { return !l.ProfilesListen() })
	await(t, "listening", l.ProfilesListen)
	ledgertest.Execute(t, holder, "COMMIT")
	if err := <-updated; err != nil {
		t.Error(err)
	}
}

// versions are accounts on two ledgers, each with its version for a name.
type versions struct {
	ledgers  [2]*postgres.Ledger
	ids      []uuid.UUID
	answered [2][]atomic.Int64 // the version that each ledger has returned, by account
	writing  atomic.Int64      // the writers that go on
	written  atomic.Int64
}

// read reads profiles on one ledger, each of which must be as new as what it read before and as
// what was returned.
func (v *versions) read(t *testing.T, on int) {
	seen := make([]int64, len(v.ids))
	for v.writing.Load() > 0 {
		for i := range seen {
			seen[i] = max(seen[i], v.answered[on][i].Load())
		}
		got, err := v.ledgers[on].GetProfiles(t.Context(), v.ids)
		if err != nil || len(got) != len(v.ids) {
			t.Errorf("profiles: %+v, %v", got, err)
			return
		}
		for i := range seen {
			version, err := strconv.ParseInt(got[i].DisplayName, 10, 64)
			if err != nil || version < seen[i] {
				t.Errorf("account %d has name %q after version %d was seen", i, got[i].DisplayName, seen[i])
			}
			seen[i] = version
		}
	}
}

// write names accounts on one ledger after the version that they get by that.
func (v *versions) write(t *testing.T, on int, until time.Time) {
	defer v.writing.Add(-1)
	for n := 0; time.Now().Before(until); n++ {
		i := n % len(v.ids)
		a, err := v.ledgers[on].GetAccount(t.Context(), v.ids[i])
		if err == nil {
			a, err = v.ledgers[on].UpdateAccount(t.Context(), ledger.AccountChange{
				ID: a.ID, ExpectedVersion: &a.Version, DisplayName: new(fmt.Sprint(a.Version + 1)),
			})
		}
		if errorText(err) == "version" {
			continue // the other one was faster
		}
		if err != nil {
			t.Error(err)
			return
		}
		v.answered[on][i].Store(a.Version)
		v.written.Add(1)
	}
}

// TestProfilesNeverGoBack: readers on two ledgers see each account's profile only grow newer, and
// never older than what their ledger has returned, while both ledgers change them and their
// listeners are killed now and then.
func TestProfilesNeverGoBack(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	v := &versions{ledgers: [2]*postgres.Ledger{openCaching(t, database), openCaching(t, database)}}
	v.ids = openNamed(t, v.ledgers[0], "1", "1", "1", "1")
	v.answered = [2][]atomic.Int64{make([]atomic.Int64, len(v.ids)), make([]atomic.Int64, len(v.ids))}
	v.writing.Store(2)
	until := time.Now().Add(*soakTime)
	var group sync.WaitGroup
	for on := range v.ledgers {
		group.Go(func() { v.write(t, on, until) })
		group.Go(func() { v.read(t, on) })
		group.Go(func() { v.read(t, on) })
	}
	admin := ledgertest.Connect(t, database)
	for v.writing.Load() > 0 {
		ledgertest.Execute(t, admin, "SELECT pg_sleep(0.5)")
		killListeners(t, admin)
	}
	group.Wait()
	for _, l := range v.ledgers {
		await(t, "listening", l.ProfilesListen)
		for _, id := range v.ids {
			a, err := l.GetAccount(t.Context(), id)
			if err != nil || fmt.Sprint(a.Version) != a.DisplayName {
				t.Errorf("account %+v, %v", a, err)
			}
			await(t, "the last", func() bool { return nameOf(t, l, id) == a.DisplayName })
		}
		t.Logf("%d updates: %d hits, %d misses, %d forgotten", v.written.Load(), hits(t, l), misses(t, l), forgotten(t, l))
	}
}
