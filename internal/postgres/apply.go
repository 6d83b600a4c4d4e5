package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/ledger"
)

// applyBatch decides the commands as if they were executed one after another, writes the decision
// in one transaction, and returns the outcomes by index. It is the only code that changes a
// balance, but for openBatch, which uses the same statements.
//
// It first assumes that all are plain and succeed, which takes one conditional UPDATE and no
// reading (the fast path). When the UPDATE does not find everything as assumed, it has changed
// nothing: the accounts are locked and read, and the commands are decided again (the slow path).
//
// With a durable.AmbiguousCommitError it returns the outcomes too: they hold if the batch was
// committed.
func (l *Ledger) applyBatch(ctx context.Context, conn *pgx.Conn, commands []ledger.Command) ([]ledger.Outcome, error) {
	tx := durable.Pipe{Conn: conn, Before: durable.Begin}
	if allPlain(commands) && distinct(commands) {
		d, err := l.applyOptimistic(ctx, tx, commands)
		if err != nil {
			return nil, err
		}
		if d != nil {
			return l.record(ctx, conn, d.commands, &d.Decision, nil, d.at)
		}
		tx.Before = durable.BeginAgain
	}
	k, err := l.lockSnapshot(ctx, tx, commands)
	for err == nil && k.MoreDue {
		if err = l.endDue(ctx, conn, k); err == nil {
			tx.Before = durable.Begin
			k, err = l.lockSnapshot(ctx, tx, commands)
		}
	}
	if err != nil {
		return nil, err
	}
	d := ledger.Decide(commands, k)
	if err := l.scale(ctx, conn, &d); err != nil {
		return nil, err
	}
	positions, err := l.applyDecision(ctx, conn, &d, k.Now)
	if err != nil {
		return nil, err
	}
	return l.record(ctx, conn, commands, &d, positions, k.Now)
}

// endDue ends the expired holds that are known, and nothing else, in a commit of its own.
func (l *Ledger) endDue(ctx context.Context, conn *pgx.Conn, k *ledger.Snapshot) error {
	d := ledger.Decide(nil, k)
	positions, err := l.applyDecision(ctx, conn, &d, k.Now)
	if err != nil {
		return err
	}
	_, err = l.record(ctx, conn, nil, &d, positions, k.Now)
	return err
}

// allPlain reports whether AccountsApply is enough to decide the commands.
func allPlain(commands []ledger.Command) bool {
	for i := range commands {
		if !commands[i].Plain() || commands[i].GroupNamed() != uuid.Nil {
			return false
		}
	}
	return true
}

// An optimisticResult is a decision whose balances are changed in the transaction, at that time of
// the database's clock.
type optimisticResult struct {
	ledger.Decision
	at       time.Time
	advanced bool // all accounts have that time as their last change
	commands []ledger.Command
}

// applyOptimistic applies all commands at once. It returns nil when that cannot be done.
func (l *Ledger) applyOptimistic(ctx context.Context, tx durable.Pipe, commands []ledger.Command) (*optimisticResult, error) {
	folded := ledger.NetOf(commands)
	params := applyParams(folded)
	params.KnownIDs = chosenIDs(commands)
	rows, err := l.queries.AccountsApply(ctx, tx, params)
	if err != nil {
		return nil, fmt.Errorf("apply the batch: %w", err)
	}
	if len(rows) != len(params.AccountIDs) {
		return nil, nil
	}
	accounts := make(map[uuid.UUID]*ledger.AccountState, len(rows))
	for i := range rows {
		id := rows[i].AccountID
		if accounts[id], err = l.stateBefore(ctx, tx.Conn, &rows[i], folded[id]); err != nil {
			return nil, err
		}
	}
	d := ledger.Decide(commands, &ledger.Snapshot{Accounts: accounts})
	if !d.AllMove() {
		return nil, nil
	}
	at, advanced, err := l.decidedAt(ctx, tx.Conn, rows)
	return &optimisticResult{d, at, advanced, commands}, err
}

// stateBefore returns an account as it was before the batch: as it is now, less what the batch did.
func (l *Ledger) stateBefore(ctx context.Context, conn *pgx.Conn, r *db.AccountsApplyRow, f *ledger.NetChange) (*ledger.AccountState, error) {
	currency, err := l.currencies.Get(ctx, conn, r.Currency)
	if err != nil {
		return nil, err
	}
	before := r.Balance.Sub(f.Delta)
	return &ledger.AccountState{
		Currency: currency, Status: ledger.AccountStatus(r.Status), Balance: before, Held: r.Held, Floor: r.MinBalance,
		Entries: r.EntryCount - f.Moves,
	}, nil
}

// scale gives the transfers that were refused for want of both accounts the scale of the requested
// currency.
func (l *Ledger) scale(ctx context.Context, conn db.DBTX, d *ledger.Decision) error {
	for i := range d.Outcomes {
		t := &d.Outcomes[i].Transfer
		if d.Outcomes[i].Err != nil || t.FromBalance.Valid || t.ToBalance.Valid {
			continue
		}
		var err error
		if t.Scale, err = l.currencies.Scale(ctx, conn, t.Currency); err != nil {
			return err
		}
	}
	return nil
}

// applyDecision writes the decided changes to the accounts, whose rows are locked, and to the
// commands' targets. positions are those of the rows to be written, among these changes; nil: the
// next ones.
func (l *Ledger) applyDecision(ctx context.Context, conn *pgx.Conn, d *ledger.Decision, at time.Time) (
	positions []int64, err error,
) {
	settlement := lockedParams(d)
	if settlement.DecidedAt = at; len(settlement.AccountIDs) > 0 {
		rows, err := l.queries.AccountsSettle(ctx, conn, settlement)
		if err != nil {
			return nil, fmt.Errorf("apply the decision: %w", err)
		}
		if len(rows) != len(settlement.AccountIDs) {
			return nil, fmt.Errorf("%w: %d of %d locked accounts took their change", durable.ErrNotWritten, len(rows),
				len(settlement.AccountIDs))
		}
		for i := range rows {
			r := &rows[i]
			if s := d.Accounts[r.AccountID]; !r.Balance.Equal(s.Balance) || !r.Held.Equal(s.Held) ||
				!r.Incoming.Equal(s.Incoming) || r.EntryCount != s.Entries {
				return nil, fmt.Errorf("%w: account %s has %s, %s held, %s incoming and %d entries, decided were %s, %s, %s and %d",
					durable.ErrInvariant, r.AccountID, r.Balance, r.Held, r.Incoming, r.EntryCount, s.Balance, s.Held, s.Incoming,
					s.Entries)
			}
		}
	}
	return l.changeTransfers(ctx, conn, d, at)
}

// changeTransfers writes the decided changes to the commands' targets, whose accounts' rows are
// locked.
func (l *Ledger) changeTransfers(ctx context.Context, conn *pgx.Conn, d *ledger.Decision, at time.Time) (
	positions []int64, err error,
) {
	if len(d.Changes) == 0 {
		return nil, nil
	}
	events := changeParams(d, at)
	if err := l.queries.TransferChangesBegin(ctx, conn, events.TransferIDs); err != nil {
		return nil, fmt.Errorf("keep transfers as they were: %w", err)
	}
	c := transferUpdates(d)
	if c.rows.DecidedAt = at; len(c.rows.TransferIDs) > 0 {
		ids, err := l.queries.TransfersAdvance(ctx, conn, c.rows)
		if err != nil {
			return nil, fmt.Errorf("advance the transfers: %w", err)
		}
		if len(ids) != len(c.rows.TransferIDs) {
			return nil, fmt.Errorf("%w: %d of %d pending transfers took their change", durable.ErrNotWritten, len(ids), len(c.rows.TransferIDs))
		}
	}
	if len(c.details.TransferIDs) > 0 {
		rows, err := l.queries.TransferDetailsAdvance(ctx, conn, c.details)
		if err := allWritten("changed details of transfers", rows, len(c.details.TransferIDs), err); err != nil {
			return nil, err
		}
	}
	if len(c.reversed.TransferIDs) > 0 {
		rows, err := l.queries.TransfersReversed(ctx, conn, c.reversed)
		if err := allWritten("reversed amounts", rows, len(c.reversed.TransferIDs), err); err != nil {
			return nil, err
		}
	}
	drawn, err := l.queries.PositionsDraw(ctx, conn, make([]int32, len(d.Changes)+len(d.Recorded)))
	if err != nil {
		return nil, fmt.Errorf("draw positions: %w", err)
	}
	positions, events.Positions = dividePositions(d, drawn)
	written, err := l.queries.TransferChangesInsert(ctx, conn, events)
	if err := allWritten("changes of transfers", written, len(events.TransferIDs), err); err != nil {
		return nil, err
	}
	return positions, nil
}

// record writes the ledger rows and commits, unless a pooler has put the transaction into another
// client's session. positions are those of the rows that applyDecision has placed; nil: none were.
func (l *Ledger) record(
	ctx context.Context, conn *pgx.Conn, commands []ledger.Command, d *ledger.Decision, positions []int64, decidedAt time.Time,
) ([]ledger.Outcome, error) {
	for _, r := range d.Recorded {
		t := &d.Outcomes[r.Command].Transfer
		t.CreateTime, t.UpdateTime = decidedAt, decidedAt
	}
	for i := range d.Outcomes {
		// A repeat of a command of this very batch was copied before the time was known.
		if o := &d.Outcomes[i]; o.Replayed && o.Transfer.CreateTime.IsZero() {
			o.Transfer.CreateTime, o.Transfer.UpdateTime = decidedAt, decidedAt
		}
	}
	if err := l.database.RequireOwn(ctx, conn); err != nil {
		return nil, err
	}
	if len(d.Recorded) == 0 {
		return d.Outcomes, l.recordNothing(ctx, conn, d)
	}
	if len(d.Groups) > 0 {
		rows, err := l.queries.GroupsInsert(ctx, conn, groupParams(d))
		if err := allWritten("groups", rows, len(d.Groups), err); err != nil {
			return nil, err
		}
	}
	if details := detailParams(d, commands); len(details.TransferIDs) > 0 {
		rows, err := l.queries.TransferDetailsInsert(ctx, conn, details)
		if err := allWritten("details of transfers", rows, len(details.TransferIDs), err); err != nil {
			return nil, err
		}
	}
	rows := rowParams(d, commands, positions, decidedAt)
	err := l.queries.TransfersInsert(ctx, durable.Pipe{Conn: conn, After: durable.Commit}, rows)
	return d.Outcomes, durable.CommitError("write the ledger rows", err)
}

// allWritten fails unless an INSERT has written as many rows as it was given.
func allWritten(what string, rows int64, want int, err error) error {
	if err != nil {
		return fmt.Errorf("write the %s: %w", what, err)
	}
	if rows != int64(want) {
		return fmt.Errorf("%w: %d of %d %s", durable.ErrNotWritten, rows, want, what)
	}
	return nil
}

// recordNothing ends a batch that has no new transfers. What it says of earlier ones, above all
// that they are done, is behind a barrier: their own callers may not have got an outcome yet,
// because no standby had them.
func (l *Ledger) recordNothing(ctx context.Context, conn *pgx.Conn, d *ledger.Decision) error {
	if len(d.Targets) > 0 {
		return durable.CommitError("end a batch of changes", l.queries.Barrier(ctx, durable.Pipe{Conn: conn, After: durable.Commit}))
	}
	return l.pool.Barrier(ctx, conn, durable.Rollback)
}

// committed reports whether the batch with these outcomes, whose COMMIT got no response, was
// committed: all of its rows are there or none, so one is enough to see. Another writer of the same
// id did so at another time. A commit is behind a barrier before it is reported. A batch without
// new transfers is decided again: voids and due work that were committed become replays.
func (l *Ledger) committed(ctx context.Context, conn *pgx.Conn, outcomes []ledger.Outcome) (bool, error) {
	made := make(map[uuid.UUID]time.Time, len(outcomes))
	for i := range outcomes {
		if o := &outcomes[i]; o.IsNew() {
			made[o.Transfer.ID] = o.Transfer.CreateTime
		}
	}
	if len(made) == 0 {
		return false, nil
	}
	rows, err := l.queries.TransfersGet(ctx, conn, slices.Collect(maps.Keys(made)))
	if err != nil {
		return false, fmt.Errorf("look whether the batch was committed: %w", err)
	}
	for i := range rows {
		if r := &rows[i].TransferFull; !r.CreateTime.Equal(made[r.TransferID]) {
			return false, nil
		}
	}
	if len(rows) != len(made) {
		return false, nil
	}
	return true, l.pool.Barrier(ctx, conn, "")
}

func (l *Ledger) storedTransfers(ctx context.Context, conn db.DBTX, ids []uuid.UUID) ([]ledger.StoredTransfer, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := l.queries.TransfersGet(ctx, conn, ids)
	if err != nil {
		return nil, fmt.Errorf("look for earlier transfers: %w", err)
	}
	stored := make([]ledger.StoredTransfer, 0, len(rows))
	for i := range rows {
		r := &rows[i].TransferFull
		t, err := l.currencies.Transfer(ctx, conn, r)
		if err != nil {
			return nil, err
		}
		stored = append(stored, ledger.StoredTransfer{
			Transfer: t, RequestedCurrency: r.AskedCurrency, Fingerprint: r.RequestFingerprint,
		})
	}
	return stored, nil
}

// distinct reports whether no id occurs twice, as is assumed when they are applied together.
func distinct(commands []ledger.Command) bool {
	if len(commands) == 1 {
		return true
	}
	seen := make(map[uuid.UUID]struct{}, len(commands))
	for i := range commands {
		if !commands[i].Made {
			seen[commands[i].ID] = struct{}{}
		}
	}
	return len(seen) == len(chosenIDs(commands))
}

// chosenIDs returns the ids that may be stored already: those that this server did not just make.
func chosenIDs(commands []ledger.Command) []uuid.UUID {
	ids := make([]uuid.UUID, 0, len(commands))
	for i := range commands {
		if !commands[i].Made {
			ids = append(ids, commands[i].ID)
		}
	}
	return ids
}

// decidedAt is the time of the last change: no movement of a batch is older than one before it on
// the same account. When the clock was set back since one of the accounts moved, the others, and
// opened ones, are brought to that time: their next movement must not be older than this.
func (l *Ledger) decidedAt(ctx context.Context, conn *pgx.Conn, rows []db.AccountsApplyRow, opened ...uuid.UUID) (
	at time.Time, advanced bool, err error,
) {
	at = rows[0].UpdateTime
	ids := opened
	for i := range rows {
		if rows[i].UpdateTime.After(at) {
			at = rows[i].UpdateTime
		}
		ids = append(ids, rows[i].AccountID)
	}
	if !at.After(rows[len(rows)-1].Now) {
		return at, false, nil
	}
	err = l.queries.AccountsAdvance(ctx, conn, db.AccountsAdvanceParams{UpdateTime: at, AccountIDs: ids})
	if err != nil {
		return time.Time{}, false, fmt.Errorf("advance the accounts: %w", err)
	}
	return at, true, nil
}
