package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// openCaching opens a ledger that keeps up to 1,000 profiles, and waits until it does.
func openCaching(t testing.TB, database string) *postgres.Ledger {
	t.Helper()
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, ProfileCache: 1000, Logger: ledgertest.Silent})
	await(t, "listening", l.ProfilesListen)
	return l
}

// await looks every millisecond whether it is so.
func await(t testing.TB, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for !so() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("still not %s", what)
		}
	}
}

// count reads a counter.
func count(t testing.TB, c prometheus.Counter) int {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return int(families[0].GetMetric()[0].GetCounter().GetValue())
}

func hits(t testing.TB, l *postgres.Ledger) int   { t.Helper(); return count(t, l.ProfileMetrics()[0]) }
func misses(t testing.TB, l *postgres.Ledger) int { t.Helper(); return count(t, l.ProfileMetrics()[1]) }
func forgotten(t testing.TB, l *postgres.Ledger) int {
	t.Helper()
	return count(t, l.ProfileMetrics()[2])
}

// nameOf reads the name in the profile of one account.
func nameOf(t testing.TB, l *postgres.Ledger, id uuid.UUID) string {
	t.Helper()
	profiles, err := l.GetProfiles(t.Context(), []uuid.UUID{id})
	if err != nil || len(profiles) != 1 || profiles[0].AccountID != id {
		t.Fatalf("the profile of %s: %+v, %v", id, profiles, err)
	}
	return profiles[0].DisplayName
}

// name changes the name of an account.
func name(t testing.TB, l *postgres.Ledger, id uuid.UUID, name string) {
	t.Helper()
	if _, err := l.UpdateAccount(t.Context(), ledger.AccountChange{ID: id, DisplayName: &name}); err != nil {
		t.Fatalf("name %s: %v", id, err)
	}
}

// openNamed opens accounts with a name each.
func openNamed(t testing.TB, l *postgres.Ledger, names ...string) []uuid.UUID {
	t.Helper()
	ids := make([]uuid.UUID, len(names))
	for i, name := range names {
		ids[i] = ledgertest.OpenAccount(t, l, ledger.AccountParams{DisplayName: name}).ID
	}
	return ids
}

// TestGetProfiles: the same results with a cache, full or empty, and without.
func TestGetProfiles(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	without := ledgertest.Open(t, postgres.Config{DatabaseURL: database})
	with := openCaching(t, database)
	a := ledgertest.OpenAccount(t, without, ledger.AccountParams{
		Currency: "JPY", InitialBalance: ledgertest.Amount("5"), DisplayName: "Zoë 🐟", ImageURL: "https://example.com/z.png",
		Metadata: map[string]string{"a": "1", "b": ""},
	})
	b := ledgertest.OpenAccount(t, without, ledger.AccountParams{})
	want := []postgres.Profile{
		{AccountID: b.ID, Currency: "USD"},
		{AccountID: a.ID, Currency: "JPY", DisplayName: "Zoë 🐟", ImageURL: "https://example.com/z.png", Metadata: a.Metadata},
		{AccountID: b.ID, Currency: "USD"},
	}
	for what, l := range map[string]*postgres.Ledger{"without": without, "empty": with, "full": with} {
		got, err := l.GetProfiles(t.Context(), []uuid.UUID{b.ID, uuid.New(), a.ID, b.ID, uuid.Nil})
		if err != nil || len(got) != len(want) {
			t.Fatalf("%s: %+v, %v", what, got, err)
		}
		for i := range want {
			if !sameProfile(&got[i], &want[i]) {
				t.Errorf("%s: profile %d is %+v, want %+v", what, i, got[i], want[i])
			}
		}
		if got, err := l.GetProfiles(t.Context(), []uuid.UUID{uuid.New()}); err != nil || len(got) != 0 {
			t.Errorf("%s: of an account that does not exist: %+v, %v", what, got, err)
		}
		for _, n := range []int{0, 1001} {
			if _, err := l.GetProfiles(t.Context(), make([]uuid.UUID, n)); errorText(err) != "invalid account_ids" {
				t.Errorf("%s: of %d accounts: %v", what, n, err)
			}
		}
		given, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := l.GetProfiles(given, []uuid.UUID{uuid.New()}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: a caller who gave up: %v", what, err)
		}
	}
}

func sameProfile(a, b *postgres.Profile) bool {
	return a.AccountID == b.AccountID && a.Currency == b.Currency && a.DisplayName == b.DisplayName &&
		a.ImageURL == b.ImageURL && maps.Equal(a.Metadata, b.Metadata)
}

// TestGetProfilesInOneRead: what a call misses is read at once.
func TestGetProfilesInOneRead(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	ids := ledgertest.OpenAccounts(t, l, 1000, 0)
	reads := 0
	l.AfterProfileReads(func(map[uuid.UUID]postgres.Profile) { reads++ })
	if got, err := l.GetProfiles(t.Context(), ids); err != nil || len(got) != len(ids) || reads != 1 {
		t.Errorf("%d profiles in %d reads, %v", len(got), reads, err)
	}
}

// TestProfilesWithoutDatabase: what is kept is returned although the table cannot be read.
func TestProfilesWithoutDatabase(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	l := openCaching(t, database)
	ids := openNamed(t, l, "kept", "unknown")
	nameOf(t, l, ids[0])
	holder := ledgertest.Connect(t, database)
	ledgertest.Execute(t, holder, "BEGIN")
	ledgertest.Execute(t, holder, "LOCK TABLE account IN ACCESS EXCLUSIVE MODE")
	if got := nameOf(t, l, ids[0]); got != "kept" {
		t.Errorf("the name is %q", got)
	}
	both := make(chan error)
	go func() {
		got, err := l.GetProfiles(t.Context(), ids)
		if err == nil && (len(got) != 2 || got[0].DisplayName != "kept" || got[1].DisplayName != "unknown") {
			err = fmt.Errorf("got %+v", got)
		}
		both <- err
	}()
	awaitLockWait(t.Context(), t, ledgertest.Connect(t, database))
	ledgertest.Execute(t, holder, "COMMIT")
	if err := <-both; err != nil {
		t.Error(err)
	}
	if hits(t, l) != 2 || misses(t, l) != 2 {
		t.Errorf("%d hits and %d misses, want 2 of each", hits(t, l), misses(t, l))
	}
}

// TestProfilesSeeOwnUpdates: an update that this ledger has returned is seen at once, notified or
// not; and so is one that it only tried.
func TestProfilesSeeOwnUpdates(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	l := openCaching(t, database)
	ledgertest.Execute(t, ledgertest.Connect(t, database), "DROP TRIGGER account_profile_is_told ON account")
	id := openNamed(t, l, "0")[0]
	for i := range 20 {
		if got := nameOf(t, l, id); got != fmt.Sprint(i) {
			t.Fatalf("the name is %q after %d", got, i)
		}
		nameOf(t, l, id) // from memory
		name(t, l, id, fmt.Sprint(i+1))
	}
	if hits(t, l) != 20 || misses(t, l) != 20 || forgotten(t, l) != 20 {
		t.Errorf("%d hits, %d misses, %d forgotten, want 20 of each", hits(t, l), misses(t, l), forgotten(t, l))
	}
	nameOf(t, l, id)
	dry := ledger.AccountChange{ID: id, DisplayName: new("dry"), DryRun: true}
	if a, err := l.UpdateAccount(t.Context(), dry); err != nil || a.DisplayName != "dry" {
		t.Errorf("a dry run: %+v, %v", a, err)
	}
	if got := nameOf(t, l, id); got != "20" || hits(t, l) != 21 {
		t.Errorf("after a dry run the name is %q, after %d hits", got, hits(t, l))
	}
}

// TestProfilesSeeUpdatesOfOthers: of another ledger, and by typed SQL.
func TestProfilesSeeUpdatesOfOthers(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	l, other := openCaching(t, database), openCaching(t, database)
	id := openNamed(t, l, "first")[0]
	nameOf(t, l, id)
	nameOf(t, other, id)
	name(t, other, id, "second")
	if got := nameOf(t, other, id); got != "second" {
		t.Errorf("the name is %q where it was changed", got)
	}
	await(t, "second", func() bool { return nameOf(t, l, id) == "second" })
	ledgertest.Execute(t, ledgertest.Connect(t, database), "UPDATE account SET display_name = 'third' WHERE account_id = $1", id)
	await(t, "third", func() bool { return nameOf(t, l, id) == "third" && nameOf(t, other, id) == "third" })
	for _, c := range []struct {
		change string
		seen   func(*postgres.Profile) bool
	}{
		{"image_url = 'u'", func(p *postgres.Profile) bool { return p.ImageURL == "u" }},
		{`metadata = '{"k": "v"}'`, func(p *postgres.Profile) bool { return p.Metadata["k"] == "v" }},
	} {
		ledgertest.Execute(t, ledgertest.Connect(t, database), "UPDATE account SET "+c.change+" WHERE account_id = $1", id)
		await(t, c.change, func() bool {
			got, err := l.GetProfiles(t.Context(), []uuid.UUID{id})
			return err == nil && c.seen(&got[0])
		})
	}
}

// TestOnlyProfilesAreTold: no listener gets movements, or changes of anything that is in no
// profile.
func TestOnlyProfilesAreTold(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database})
	listener := ledgertest.Connect(t, database)
	var channel string
	if err := listener.QueryRow(t.Context(), "SELECT profile_channel('account'::regclass)").Scan(&channel); err != nil {
		t.Fatal(err)
	}
	ledgertest.Execute(t, listener, "LISTEN "+channel)
	ids := ledgertest.OpenAccounts(t, l, 2, 100)
	for _, sum := range []string{"1", "1000"} {
		if _, _, err := l.Transfer(t.Context(), ledger.TransferParams{From: ids[0], To: ids[1], Amount: ledgertest.Amount(sum)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, change := range []ledger.AccountChange{
		{Status: new(ledger.AccountFrozen)}, {MinBalance: new(ledgertest.Amount("-5"))}, {DisplayName: new("")},
	} {
		change.ID = ids[0]
		if _, err := l.UpdateAccount(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	name(t, l, ids[1], "told")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if n, err := listener.WaitForNotification(ctx); err != nil || n.Payload != ids[1].String() {
		t.Errorf("the first notification is %+v, %v; want %s", n, err, ids[1])
	}
}

// TestProfileReadOvertaken steps through the race of a read and an update: the read sees the old
// profile, the update is made and heard of, then the read ends. What it read must not be kept.
func TestProfileReadOvertaken(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"itself", "another"} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			database := pgtest.NewDatabase(t)
			l, other := openCaching(t, database), openCaching(t, database)
			ids := openNamed(t, l, "old", "sentinel")
			nameOf(t, l, ids[1])
			reading, goOn := make(chan struct{}), make(chan struct{})
			l.AfterProfileReads(func(read map[uuid.UUID]postgres.Profile) {
				if read[ids[0]].DisplayName == "old" {
					close(reading)
					<-goOn
				}
			})
			read := make(chan string)
			go func() { read <- nameOf(t, l, ids[0]) }()
			<-reading
			if by == "itself" {
				name(t, l, ids[0], "new")
			} else {
				name(t, other, ids[0], "new")
				name(t, other, ids[1], "told after that")
				await(t, "told", func() bool { return forgotten(t, l) == 1 })
			}
			close(goOn)
			if got := <-read; got != "old" {
				t.Errorf("the read that began before the update says %q", got)
			}
			if got := nameOf(t, l, ids[0]); got != "new" {
				t.Errorf("after the update the name is %q", got)
			}
		})
	}
}

// TestProfileReadsOverlap: of two reads at a time, what the one finds that began after an update is
// kept, whichever ends last, and is counted once.
func TestProfileReadsOverlap(t *testing.T) {
	t.Parallel()
	for _, last := range []string{"old", "new"} {
		t.Run(last, func(t *testing.T) {
			t.Parallel()
			database := pgtest.NewDatabase(t)
			l := openCaching(t, database)
			id := openNamed(t, l, "old")[0]
			admin := ledgertest.Connect(t, database)
			ledgertest.Execute(t, admin, "DROP TRIGGER account_profile_is_told ON account") // the news is late
			reading := make(chan string)
			goOn := map[string]chan struct{}{"old": make(chan struct{}), "new": make(chan struct{})}
			l.AfterProfileReads(func(read map[uuid.UUID]postgres.Profile) {
				reading <- read[id].DisplayName
				<-goOn[read[id].DisplayName]
			})
			ended := make(chan string)
			read := func() { ended <- nameOf(t, l, id) }
			go read()
			<-reading
			rename(t, admin, id, "new")
			go read()
			<-reading
			first := map[string]string{"old": "new", "new": "old"}[last]
			for _, name := range []string{first, last} {
				close(goOn[name])
				if got := <-ended; got != name {
					t.Errorf("a read says %q, want %q", got, name)
				}
			}
			if got := nameOf(t, l, id); got != "new" || hits(t, l) != 1 {
				t.Errorf("what is kept says %q; %d hits", got, hits(t, l))
			}
			name(t, l, id, "forgotten")
			if n, bytes := l.ProfilesKept(); n != 0 || bytes != 0 {
				t.Errorf("%d profiles of %d bytes are kept", n, bytes)
			}
		})
	}
}

// TestProfileReadsDoNotGoBack: a read that must not keep what it finds, because of a change while
// it was in flight, returns it all the same. What was read before, and is kept, must not be
// returned after it.
func TestProfileReadsDoNotGoBack(t *testing.T) {
	t.Parallel()
	for _, last := range []string{"second", "third"} {
		t.Run(last, func(t *testing.T) {
			t.Parallel()
			database := pgtest.NewDatabase(t)
			l := openCaching(t, database)
			id := openNamed(t, l, "first")[0]
			admin := ledgertest.Connect(t, database)
			ledgertest.Execute(t, admin, "DROP TRIGGER account_profile_is_told ON account") // as if late
			begun, reading := make(chan chan struct{}), make(chan string)
			goOn := map[string]chan struct{}{"second": make(chan struct{}), "third": make(chan struct{})}
			l.AroundProfileReads(func() {
				begin := make(chan struct{})
				begun <- begin
				<-begin
			}, func(read map[uuid.UUID]postgres.Profile) {
				reading <- read[id].DisplayName
				<-goOn[read[id].DisplayName]
			})
			ended := make(chan string)
			read := func() { ended <- nameOf(t, l, id) }
			go read() // this one keeps nothing, and will find the third name
			slow := <-begun
			name(t, l, id, "second")
			go read() // this one finds the second name, and would keep it
			close(<-begun)
			<-reading
			rename(t, admin, id, "third")
			close(slow)
			<-reading
			first := map[string]string{"second": "third", "third": "second"}[last]
			for _, name := range []string{first, last} {
				close(goOn[name])
				if got := <-ended; got != name {
					t.Errorf("a read says %q, want %q", got, name)
				}
			}
			go read()
			select {
			case got := <-ended:
				if got != "third" {
					t.Errorf("after the third name was returned, %q is", got)
				}
			case begin := <-begun:
				close(begin)
				<-reading
				<-ended
			}
		})
	}
}

// TestProfileCacheIsBounded: in profiles, and in what they take.
func TestProfileCacheIsBounded(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	const size = 10
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, ProfileCache: size})
	await(t, "listening", l.ProfilesListen)
	ids := ledgertest.OpenAccounts(t, l, 3*size, 0)
	for _, id := range ids {
		nameOf(t, l, id)
		if n, bytes := l.ProfilesKept(); n > size || bytes > size<<10 {
			t.Fatalf("%d profiles of %d bytes are kept", n, bytes)
		}
	}
	if n, _ := l.ProfilesKept(); n != size {
		t.Errorf("%d profiles are kept, want %d", n, size)
	}
	nameOf(t, l, ids[2*size]) // the oldest of those that are kept is the youngest now
	nameOf(t, l, ids[0])
	nameOf(t, l, ids[2*size])
	if hits(t, l) != 2 {
		t.Errorf("%d hits, want 2", hits(t, l))
	}
	for i, id := range ids {
		many := map[string]string{}
		for k := range i % 40 {
			many[fmt.Sprint(k)] = strings.Repeat("x", 500)
		}
		if _, err := l.UpdateAccount(t.Context(), ledger.AccountChange{ID: id, Metadata: many}); err != nil {
			t.Fatal(err)
		}
		nameOf(t, l, id)
		if n, bytes := l.ProfilesKept(); n > size || bytes < 0 || bytes > size<<10 {
			t.Fatalf("%d profiles of %d bytes are kept", n, bytes)
		}
	}
	for _, id := range ids {
		name(t, l, id, "forgotten")
	}
	if n, bytes := l.ProfilesKept(); n != 0 || bytes != 0 {
		t.Errorf("%d profiles of %d bytes are kept after all were changed", n, bytes)
	}
}

// TestProfileMetrics: operators see the cache.
func TestProfileMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	l := ledgertest.Open(t, postgres.Config{ProfileCache: 1, Metrics: registry})
	await(t, "listening", l.ProfilesListen)
	id := openNamed(t, l, "")[0]
	nameOf(t, l, id)
	nameOf(t, l, id)
	name(t, l, id, "x")
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "ledger_profile_cache_") {
			m := f.GetMetric()[0]
			got[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for _, name := range []string{"hits_total", "misses_total", "invalidations_total", "listening"} {
		if got["ledger_profile_cache_"+name] != 1 {
			t.Errorf("%s is not 1 in %v", name, got)
		}
	}
}
