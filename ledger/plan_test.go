package ledger_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"internaltransfers/gen/db"
	"internaltransfers/internal/pgtest"
)

func TestExperiment(t *testing.T) {
	for _, n := range []int{0, 2, 50, 10000} {
		for _, analyse := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d/%v", n, analyse), func(t *testing.T) {
				ctx := t.Context()
				conn, err := pgx.Connect(ctx, pgtest.NewDatabase(t))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close(ctx)
				q := db.New()
				exec := func(sql string, args ...any) {
					t.Helper()
					if _, err := conn.Exec(ctx, sql, args...); err != nil {
						t.Fatal(err)
					}
				}
				if err := q.WriterSettings(ctx, conn); err != nil {
					t.Fatal(err)
				}
				exec("INSERT INTO account (account_id, currency, min_balance, create_fingerprint) SELECT gen_random_uuid(), 'USD', 0, '' FROM generate_series(1,$1::int)", n)
				if analyse {
					exec("VACUUM ANALYZE account")
				}
				for _, m := range []int{2, 100, 2000} {
					p := db.AccountsApplyParams{KnownIDs: []uuid.UUID{uuid.New()}}
					rows, _ := conn.Query(ctx, "SELECT account_id FROM account ORDER BY 1 LIMIT $1", m)
					p.AccountIDs, _ = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
					for range p.AccountIDs {
						p.Deltas = append(p.Deltas, decimal.Zero)
						p.Debits = append(p.Debits, decimal.Zero)
						p.Moves = append(p.Moves, 1)
					}
					exec("BEGIN")
					began := time.Now()
					got, err := q.AccountsApply(ctx, conn, p)
					t.Log(len(p.AccountIDs), len(got), err, time.Since(began))
					began = time.Now()
					locked, err := q.AccountsLock(ctx, conn, p.AccountIDs)
					t.Log("lock", len(locked), err, time.Since(began))
					exec("ROLLBACK")
				}
				rows, _ := conn.Query(ctx, "SELECT name, generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%AccountsApply%' AND NOT statement LIKE '%prepared%'")
				for rows.Next() {
					v, _ := rows.Values()
					t.Log(v...)
					defer func() {
						for _, args := range []string{"('{}','{}','{}','{}','{}')"} {
							r, err := conn.Query(ctx, "EXPLAIN EXECUTE "+v[0].(string)+args, pgx.QueryExecModeSimpleProtocol)
							if err != nil {
								t.Fatal(err)
							}
							s, err := pgx.CollectRows(r, pgx.RowTo[string])
							t.Log(err, "\n"+strings.Join(s, "\n"))
						}
					}()
				}
			})
		}
	}
	_ = context.Background
}
