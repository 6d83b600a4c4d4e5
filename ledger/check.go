package ledger

import (
	"context"

	"github.com/jackc/pgx/v5"

	"internaltransfers/gen/db"
)

// Check proves every invariant anew, in one snapshot, while transfers go on. It reads the whole ledger: its time grows
// with the number of transfers. A broken invariant is in the report, not in the error.
func (l *Ledger) Check(ctx context.Context) (Report, error) {
	var report Report
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, l.readers, snapshot, func(tx pgx.Tx) error {
		var err error
		if report.Time, err = l.queries.Clock(ctx, tx); err != nil {
			return err
		}
		for _, c := range checks {
			examined, broken, violations, err := c.run(ctx, l.queries, tx)
			if err != nil {
				return err
			}
			report.Invariants = append(report.Invariants, Invariant{
				Name: c.name, Description: c.description, Examined: examined, ViolationCount: broken,
				Violations: violations,
			})
		}
		return nil
	})
	if err != nil {
		return Report{}, readError(ctx, "check the ledger", err)
	}
	return report, nil
}

// checks are the invariants of the ledger, each with its query.
var checks = []struct {
	name, description string
	run               func(context.Context, *db.Queries, db.DBTX) (examined, broken int64, violations []string, err error)
}{
	{
		"sum_zero", "the balances of each currency sum to zero",
		func(ctx context.Context, q *db.Queries, tx db.DBTX) (int64, int64, []string, error) {
			r, err := q.CheckSumZero(ctx, tx)
			return r.Examined, r.ViolationCount, r.Violations, err
		},
	},
	{
		"balance_is_sum_of_entries", "each balance is the sum of its account's entries, each entry count their number",
		func(ctx context.Context, q *db.Queries, tx db.DBTX) (int64, int64, []string, error) {
			r, err := q.CheckBalances(ctx, tx)
			return r.Examined, r.ViolationCount, r.Violations, err
		},
	},
	{
		"running_balances_continuous", "along each account, entries are numbered without gaps and each balance follows from the one before",
		func(ctx context.Context, q *db.Queries, tx db.DBTX) (int64, int64, []string, error) {
			r, err := q.CheckRunningBalances(ctx, tx)
			return r.Examined, r.ViolationCount, r.Violations, err
		},
	},
	{
		"above_floor", "no account holds less than its floor, and only equity accounts have none",
		func(ctx context.Context, q *db.Queries, tx db.DBTX) (int64, int64, []string, error) {
			r, err := q.CheckFloors(ctx, tx)
			return r.Examined, r.ViolationCount, r.Violations, err
		},
	},
	{
		"held_is_sum_of_holds", "what each account holds and awaits is the sum of its open holds",
		func(ctx context.Context, q *db.Queries, tx db.DBTX) (int64, int64, []string, error) {
			r, err := q.CheckHolds(ctx, tx)
			return r.Examined, r.ViolationCount, r.Violations, err
		},
	},
	{
		"currencies_match", "money moves only between accounts of the transfer's currency, in amounts that it has",
		func(ctx context.Context, q *db.Queries, tx db.DBTX) (int64, int64, []string, error) {
			r, err := q.CheckCurrencies(ctx, tx)
			return r.Examined, r.ViolationCount, r.Violations, err
		},
	},
}
