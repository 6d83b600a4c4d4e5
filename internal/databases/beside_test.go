package databases

import (
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/google/uuid"

	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
)

// TestSideBySide: two ledgers in the schemas of one database, with the same ids, do not affect each
// other: neither by the locks of a transaction that does not end, nor by workers, migrations and
// notifications.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	database := pgtest.NewEmptyDatabase(t, "")
	schemas := []string{"first", "second"}
	var ledgers []*postgres.Ledger
	var readers []*reader
	for _, schema := range schemas {
		migrate(t, database, schema)
		for range 2 { // servers
			ledgers = append(ledgers, open(t, configure(database, schema)))
		}
		readers = append(readers, follow(t, ledgers[len(ledgers)-1]))
	}
	first, second := ledgers[:2], ledgers[2:]
	told := [2]map[uuid.UUID]int{make(map[uuid.UUID]int), make(map[uuid.UUID]int)}
	var mu sync.Mutex
	var living sync.WaitGroup
	for i := range 4 {
		for of, servers := range [][]*postgres.Ledger{first, second} {
			living.Go(func() {
				one := newLife(t, servers[i%2], fmt.Sprint("beside ", i)).live()
				mu.Lock()
				maps.Copy(told[of], one)
				mu.Unlock()
			})
		}
	}
	living.Wait()
	for of, r := range readers {
		r.require(t, told[of])
	}
	conn := connect(t, database)
	var same bool
	err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM first.transfer) = (SELECT count(*) FROM second.transfer)
		AND (SELECT sum(balance) FILTER (WHERE balance > 0) FROM first.account) = (SELECT sum(balance) FILTER (WHERE balance > 0) FROM second.account)
		AND NOT EXISTS (SELECT FROM first.account AS a LEFT JOIN second.account AS b USING (account_id, version, balance, display_name)
			WHERE b.account_id IS NULL AND a.account_id IN (SELECT from_account_id FROM first.transfer))`).Scan(&same)
	if err != nil || !same {
		t.Errorf("two ledgers in which the same has happened are not the same: %v", err)
	}
}

// TestBesideStandstill: while one ledger stands still, because a manual transaction on its tables
// does not end, the other one goes on.
func TestBesideStandstill(t *testing.T) {
	t.Parallel()
	database := pgtest.NewEmptyDatabase(t, "")
	migrate(t, database, "first")
	migrate(t, database, "second")
	first, second := open(t, configure(database, "first")), open(t, configure(database, "second"))
	r := follow(t, second)
	a, b := newLife(t, first, "same"), newLife(t, second, "same")
	a.openAccounts()
	conn := connect(t, database)
	execute(t, conn, "BEGIN",
		// An account is locked, positions of events are drawn, a worker is at a transfer, and
		// migrations wait.
		"UPDATE first.account SET display_name = 'by hand' WHERE account_id = '"+a.ids[0].String()+"'",
		"SELECT pg_advisory_xact_lock(hashtextextended('"+a.id("expires").String()+"', 'first.transfer'::regclass::oid::bigint))",
		"LOCK TABLE first.goose_db_version IN ACCESS EXCLUSIVE MODE")
	migrating := make(chan error, 1)
	go func() { migrating <- up(t, database, "first") }()
	await(t, database, "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'first.goose_db_version'::regclass AND NOT granted)")
	if err := up(t, database, "second"); err != nil {
		t.Errorf("migrate the other ledger: %v", err)
	}
	r.require(t, b.live())
	b.expire()
	profiles, err := second.GetProfiles(t.Context(), b.ids[:1])
	if err != nil || profiles[0].DisplayName != "Søren "+b.reference {
		t.Errorf("the other ledger's profile: %v, %v", profiles, err)
	}
	execute(t, conn, "COMMIT")
	if err := <-migrating; err != nil {
		t.Errorf("migrate: %v", err)
	}
	a.expire()
	await(t, database, "SELECT (SELECT display_name FROM first.account WHERE account_id = '"+a.ids[0].String()+"') = 'by hand'")
}
