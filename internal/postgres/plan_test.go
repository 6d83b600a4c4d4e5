package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// The statements that lock accounts lock them in the order of their ids, whatever the planner's
// statistics: the plans are those of the ledger's own prepared statements, on the connection that
// has used them.
func TestPlansLockInOrder(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	admin := ledgertest.Connect(t, database)
	old := ledgertest.Open(t, postgres.Config{DatabaseURL: database, BatchesInFlight: 1}) // small tables
	ids := ledgertest.OpenAccounts(t, old, 2, 1000)
	for _, size := range []int{2, 50, 10_000} {
		ledgertest.Execute(t, admin, `INSERT INTO account (account_id, currency, min_balance, create_fingerprint)
			SELECT gen_random_uuid(), 'USD', 0, '' FROM generate_series((SELECT count(*) FROM account), $1)`, size)
		for _, analysed := range []bool{false, true} {
			if analysed {
				ledgertest.Execute(t, admin, "VACUUM ANALYZE")
			}
			fresh := ledgertest.Open(t, postgres.Config{DatabaseURL: database, BatchesInFlight: 1})
			for name, l := range map[string]*postgres.Ledger{"old": old, "fresh": fresh} {
				t.Run(fmt.Sprintf("%d accounts, analysed %v, %s", size, analysed, name), func(t *testing.T) {
					requireOrderedPlans(t, l, ids)
				})
			}
		}
	}
}

// They do so too whatever the costs set for all sessions: plans that are not allowed are not even
// dearer.
func TestPlansWhateverCosts(t *testing.T) {
	t.Parallel()
	for _, settings := range []map[string]string{
		{"random_page_cost": "1e13", "cpu_index_tuple_cost": "1e13", "seq_page_cost": "0", "cpu_tuple_cost": "0"},
		{"enable_material": "off", "enable_sort": "off", "enable_indexonlyscan": "off", "enable_memoize": "off", "cpu_operator_cost": "1e13"},
		{"force_parallel_mode": "regress", "parallel_setup_cost": "0", "parallel_tuple_cost": "0", "min_parallel_table_scan_size": "0"},
		{"join_collapse_limit": "1", "from_collapse_limit": "1", "geqo_threshold": "2", "default_statistics_target": "1", "work_mem": "64kB"},
	} {
		database := pgtest.NewDatabase(t)
		admin := ledgertest.Connect(t, database)
		for name, value := range settings {
			ledgertest.Execute(t, admin, "ALTER DATABASE "+databaseName(database)+" SET "+name+" = '"+value+"'")
		}
		ledgertest.Execute(t, admin, `INSERT INTO account (account_id, currency, min_balance, create_fingerprint)
			SELECT gen_random_uuid(), 'USD', 0, '' FROM generate_series(1, 1000)`)
		ledgertest.Execute(t, admin, "VACUUM ANALYZE account")
		l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, BatchesInFlight: 1})
		requireOrderedPlans(t, l, ledgertest.OpenAccounts(t, l, 2, 1000))
	}
}

func requireOrderedPlans(t *testing.T, l *postgres.Ledger, ids []uuid.UUID) {
	ctx := t.Context()
	for _, amount := range []int64{1, 100_000} { // the second is refused, which locks first
		_, _, err := l.Transfer(ctx, ledger.TransferParams{From: ids[0], To: ids[1], Amount: decimal.NewFromInt(amount)})
		if err != nil {
			t.Fatal(err)
		}
	}
	err := l.Writers().AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		apply := usedPlan(t, conn.Conn(), "AccountsApply", 5)
		// The outer side is the batch, in the order in which it is given; the inner one looks each
		// account up.
		requireNodes(t, apply, "Update on account", "Nested Loop", "Subquery Scan on m", "ProjectSet",
			"Index Scan using account_pkey on account")
		lock := usedPlan(t, conn.Conn(), "AccountsLock", 1)
		requireNodes(t, lock, "LockRows", "Sort", "Nested Loop", "Subquery Scan on m", "Index Scan using account_pkey on account")
		for _, plan := range [][]string{apply, lock} {
			for _, line := range plan {
				for _, bad := range []string{"Seq Scan", "Bitmap", "Hash", "Merge", "Gather"} {
					if strings.Contains(line, bad) {
						t.Errorf("the plan has a %s:\n%s", bad, strings.Join(plan, "\n"))
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// usedPlan explains the statement of queries/ that this connection has prepared, and fails the test
// unless it was used with a generic plan, and only so.
func usedPlan(t *testing.T, conn *pgx.Conn, query string, parameters int) []string {
	t.Helper()
	var name string
	var generic, custom int
	err := conn.QueryRow(t.Context(), `SELECT name, generic_plans, custom_plans FROM pg_prepared_statements
		WHERE starts_with(statement, '-- name: ' || $1 || ' ')`, query).Scan(&name, &generic, &custom)
	if err != nil {
		t.Fatalf("the prepared statement of %s: %v", query, err)
	}
	if generic == 0 || custom != 0 {
		t.Errorf("%s was planned %d times for all parameters and %d times for some", query, generic, custom)
	}
	arguments := strings.Join(slices.Repeat([]string{"'{}'"}, parameters), ", ")
	rows, err := conn.Query(t.Context(), "EXPLAIN (COSTS OFF) EXECUTE "+name+"("+arguments+")", pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// requireNodes fails the test unless the plan has these nodes, from the top down.
func requireNodes(t *testing.T, plan []string, nodes ...string) {
	t.Helper()
	rest := nodes
	for _, line := range plan {
		if len(rest) > 0 && strings.Contains(line, rest[0]) {
			rest = rest[1:]
		}
	}
	if len(rest) > 0 {
		t.Errorf("the plan lacks %q, in this order: %q\n%s", rest[0], nodes, strings.Join(plan, "\n"))
	}
}

// A movement touches no index: account rows are updated in place on their page.
func TestUpdatesAreHeapOnly(t *testing.T) {
	t.Parallel()
	database := pgtest.NewServer(t).URL() // transactions of other databases keep old versions
	l := ledgertest.OpenPrivate(t, database, postgres.Config{Logger: ledgertest.Silent})
	ids := ledgertest.OpenAccounts(t, l, 20, 1000)
	const transfers = 400
	for i := range transfers {
		_, _, err := l.Transfer(t.Context(), ledger.TransferParams{
			From: ids[0], To: ids[1+i%19], Amount: decimal.NewFromInt(1),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	ledgertest.RequireSound(t, l)
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn := ledgertest.Connect(t, database)
	awaitAlone(t.Context(), t, conn)
	var updates, hot int
	err := conn.QueryRow(t.Context(), `SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'account'`).
		Scan(&updates, &hot)
	if err != nil {
		t.Fatal(err)
	}
	if updates < 2*transfers || hot*4 < updates*3 {
		t.Errorf("%d of %d updates were heap-only", hot, updates)
	}
}

// awaitAlone returns when no other client is connected to the database: their statistics are
// complete then.
func awaitAlone(ctx context.Context, t testing.TB, conn *pgx.Conn) {
	t.Helper()
	for others := 1; others > 0; {
		err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
			AND backend_type = 'client backend' AND pid <> pg_backend_pid()`).Scan(&others)
		if err != nil {
			t.Fatal(err)
		}
	}
}
