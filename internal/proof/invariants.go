package proof

import (
	"context"

	"internaltransfers/gen/db"
)

// An invariant is a sentence that is true of every ledger, and its check.
type invariant struct {
	name, description string
	incremental       bool // only said of a ledger that has a checkpoint
	check             func(context.Context, *db.Queries, db.DBTX, scope) (finding, error)
}

// invariants are all that must hold. Those about accounts alone look at all accounts, whatever the
// scope.
var invariants = []invariant{
	{
		name: "sum_zero", description: "the balances of each currency sum to zero",
		check: func(ctx context.Context, q *db.Queries, tx db.DBTX, _ scope) (finding, error) {
			r, err := q.CheckSumZero(ctx, tx)
			return finding(r), err
		},
	},
	{
		name: "above_floor", description: "no account holds less than its floor, and only equity accounts have none",
		check: func(ctx context.Context, q *db.Queries, tx db.DBTX, _ scope) (finding, error) {
			r, err := q.CheckFloors(ctx, tx)
			return finding(r), err
		},
	},
	{
		name: "below_ceiling", description: "no account has or awaits more than its ceiling, and closed accounts are empty",
		check: func(ctx context.Context, q *db.Queries, tx db.DBTX, _ scope) (finding, error) {
			r, err := q.CheckCeilings(ctx, tx)
			return finding(r), err
		},
	},
	{
		name: "held_is_sum_of_holds", description: "what each account holds and awaits is the sum of its open holds",
		check: func(ctx context.Context, q *db.Queries, tx db.DBTX, _ scope) (finding, error) {
			r, err := q.CheckHeld(ctx, tx)
			return finding(r), err
		},
	},
	{
		name: "checkpoint_continued", description: "no entry that was made after the checkpoint is before its account's checkpointed one",
		incremental: true,
		check: func(ctx context.Context, q *db.Queries, tx db.DBTX, s scope) (finding, error) {
			r, err := q.CheckContinued(ctx, tx, s.TransferIDs)
			return finding(r), err
		},
	},
	{
		name:        "balance_is_sum_of_entries",
		description: "each balance is the sum of its account's entries, each entry count their number and the last one's",
		check: func(ctx context.Context, q *db.Queries, tx db.DBTX, s scope) (finding, error) {
			r, err := q.CheckBalances(ctx, tx, db.CheckBalancesParams(s))
			return finding(r), err
		},
	},
	{
		name:        "running_balances_continuous",
		description: "each entry has a predecessor, whose number is one less, and follows from its balance at a later position",
		check: func(ctx context.Context, q *db.Queries, tx db.DBTX, s scope) (finding, error) {
			r, err := q.CheckRunningBalances(ctx, tx, db.CheckRunningBalancesParams(s))
			return finding(r), err
		},
	},
	{
		name:        "entries_are_successes",
		description: "just the transfers that succeeded are entries of both accounts, and none that was deferred",
		check: func(ctx context.Context, q *db.Queries, tx db.DBTX, s scope) (finding, error) {
			r, err := q.CheckEntries(ctx, tx, db.CheckEntriesParams(s))
			return finding(r), err
		},
	},
	{
		name:        "currencies_match",
		description: "money moves only between accounts of the transfer's currency, in amounts that it has",
		check: func(ctx context.Context, q *db.Queries, tx db.DBTX, s scope) (finding, error) {
			r, err := q.CheckCurrencies(ctx, tx, db.CheckCurrenciesParams(s))
			return finding(r), err
		},
	},
	{
		name: "versions_count_changes", description: "each account and each transfer has the version that its changes make",
		check: func(ctx context.Context, q *db.Queries, tx db.DBTX, s scope) (finding, error) {
			r, err := q.CheckVersions(ctx, tx, db.CheckVersionsParams(s))
			return finding(r), err
		},
	},
	{
		name:        "details_match",
		description: "each detail has its transfer, and what is made of another transfer goes with that",
		check: func(ctx context.Context, q *db.Queries, tx db.DBTX, s scope) (finding, error) {
			r, err := q.CheckDetails(ctx, tx, db.CheckDetailsParams(s))
			return finding(r), err
		},
	},
	{
		name:        "captured_within_hold",
		description: "what was captured of each hold is the sum of its captures and, with what is open, no more than its amount",
		check: func(ctx context.Context, q *db.Queries, tx db.DBTX, s scope) (finding, error) {
			r, err := q.CheckCaptures(ctx, tx, db.CheckCapturesParams(s))
			return finding(r), err
		},
	},
	{
		name: "executed_once", description: "each scheduled transfer that succeeded was executed once, and no other",
		check: func(ctx context.Context, q *db.Queries, tx db.DBTX, s scope) (finding, error) {
			r, err := q.CheckExecutions(ctx, tx, db.CheckExecutionsParams(s))
			return finding(r), err
		},
	},
	{
		name:        "reversed_within_amount",
		description: "what was reversed of each transfer is the sum of its reversals and no more than its amount",
		check: func(ctx context.Context, q *db.Queries, tx db.DBTX, s scope) (finding, error) {
			r, err := q.CheckReversals(ctx, tx, db.CheckReversalsParams(s))
			return finding(r), err
		},
	},
	{
		name: "opened_once", description: "the history of each account has its opening, once",
		check: func(ctx context.Context, q *db.Queries, tx db.DBTX, _ scope) (finding, error) {
			r, err := q.CheckOpenings(ctx, tx)
			return finding(r), err
		},
	},
	{
		name: "groups_are_atomic", description: "of each group all transfers are there, and all were refused or none",
		check: func(ctx context.Context, q *db.Queries, tx db.DBTX, s scope) (finding, error) {
			r, err := q.CheckGroups(ctx, tx, db.CheckGroupsParams(s))
			return finding(r), err
		},
	},
}
