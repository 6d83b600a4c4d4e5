package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"internaltransfers/gen/db"
)

// applyBatch decides the commands as if they were executed one after another, writes what was decided in one
// transaction, and answers the outcomes by index. It is the only code that changes a balance, but for openBatch, which
// uses the same statements.
//
// It first assumes that all succeed, which takes one conditional UPDATE and no reading. When the UPDATE does not find
// everything as assumed, nothing has happened: the accounts are locked and read, and the commands are decided again.
//
// With an unansweredError it answers the outcomes too: they hold if the batch was committed.
func (l *Ledger) applyBatch(ctx context.Context, conn *pgx.Conn, commands []command) ([]Outcome, error) {
	tx := pipe{Conn: conn, before: begin}
	if distinct(commands) {
		d, err := l.assume(ctx, tx, commands)
		if err != nil {
			return nil, err
		}
		if d != nil {
			return l.record(ctx, conn, &d.decision, d.at)
		}
		tx.before = beginAgain
	}
	d, err := l.lockAndDecide(ctx, tx, commands)
	if err != nil {
		return nil, err
	}
	decidedAt, err := l.applyDecision(ctx, conn, d)
	if err != nil {
		return nil, err
	}
	return l.record(ctx, conn, d, decidedAt)
}

// A dated decision has its balances changed in the transaction, at that time of the database's clock.
type dated struct {
	decision
	at time.Time
}

// assume takes the money for all commands at once. It answers nil when that cannot be done.
func (l *Ledger) assume(ctx context.Context, tx pipe, commands []command) (*dated, error) {
	folded := foldAll(commands)
	params := folded.params()
	params.KnownIDs = chosenIDs(commands)
	rows, err := l.queries.AccountsApply(ctx, tx, params)
	if err != nil {
		return nil, fmt.Errorf("apply the batch: %w", err)
	}
	if len(rows) != len(params.AccountIDs) {
		return nil, nil
	}
	accounts := make(map[uuid.UUID]*state, len(rows))
	for i := range rows {
		id := rows[i].AccountID
		if accounts[id], err = l.stateBefore(ctx, tx.Conn, &rows[i], folded[id]); err != nil {
			return nil, err
		}
	}
	d := decide(commands, accounts, nil)
	if !d.allMove() {
		return nil, nil
	}
	at, err := l.decidedAt(ctx, tx.Conn, rows)
	return &dated{d, at}, err
}

// stateBefore says how an account was before the batch: as it is now, less what the batch did.
func (l *Ledger) stateBefore(ctx context.Context, conn *pgx.Conn, r *db.AccountsApplyRow, f *fold) (*state, error) {
	currency, err := l.currencies.get(ctx, conn, r.Currency)
	if err != nil {
		return nil, err
	}
	before := r.Balance.Sub(f.delta)
	return &state{
		currency: currency, status: AccountStatus(r.Status), balance: before, start: before, held: r.Held,
		floor: r.MinBalance, entries: r.EntryCount - f.moves,
	}, nil
}

// lockAndDecide reads what is there under locks, and decides.
func (l *Ledger) lockAndDecide(ctx context.Context, tx pipe, commands []command) (*decision, error) {
	locked, err := l.queries.AccountsLock(ctx, tx, foldAll(commands).params().AccountIDs)
	if err != nil {
		return nil, fmt.Errorf("lock the accounts: %w", err)
	}
	accounts := make(map[uuid.UUID]*state, len(locked))
	for i := range locked {
		r := &locked[i]
		currency, err := l.currencies.get(ctx, tx.Conn, r.Currency)
		if err != nil {
			return nil, err
		}
		accounts[r.AccountID] = &state{
			currency: currency, status: AccountStatus(r.Status), balance: r.Balance, start: r.Balance, held: r.Held,
			floor: r.MinBalance, entries: r.EntryCount,
		}
	}
	// Looked for after the locks: whoever wrote one of these with the same accounts has committed by now.
	stored, err := l.storedTransfers(ctx, tx.Conn, chosenIDs(commands))
	if err != nil {
		return nil, err
	}
	d := decide(commands, accounts, stored)
	for i := range d.outcomes {
		// With neither account there, a transfer has the currency that was asked for.
		if t := &d.outcomes[i].Transfer; d.outcomes[i].Err == nil && !t.FromBalance.Valid && !t.ToBalance.Valid {
			if t.Scale, err = l.currencies.scale(ctx, tx.Conn, t.Currency); err != nil {
				return nil, err
			}
		}
	}
	return &d, nil
}

// applyDecision changes the balances, whose rows are locked, as decided.
func (l *Ledger) applyDecision(ctx context.Context, conn *pgx.Conn, d *decision) (time.Time, error) {
	params := d.fold()
	if len(params.AccountIDs) == 0 {
		now, err := l.queries.Clock(ctx, conn)
		if err != nil {
			return time.Time{}, fmt.Errorf("read the clock: %w", err)
		}
		return now, nil
	}
	rows, err := l.queries.AccountsApply(ctx, conn, params)
	if err != nil {
		return time.Time{}, fmt.Errorf("apply the decision: %w", err)
	}
	if len(rows) != len(params.AccountIDs) {
		return time.Time{}, fmt.Errorf("%w: %d of %d locked accounts took their change", errBroken, len(rows),
			len(params.AccountIDs))
	}
	for i := range rows {
		r := &rows[i]
		if s := d.accounts[r.AccountID]; !r.Balance.Equal(s.balance) || r.EntryCount != s.entries {
			return time.Time{}, fmt.Errorf("%w: account %s has balance %s and %d entries, decided were %s and %d",
				errBroken, r.AccountID, r.Balance, r.EntryCount, s.balance, s.entries)
		}
	}
	return l.decidedAt(ctx, conn, rows)
}

// record writes the ledger rows and commits.
func (l *Ledger) record(ctx context.Context, conn *pgx.Conn, d *decision, decidedAt time.Time) ([]Outcome, error) {
	for _, i := range d.recorded {
		t := &d.outcomes[i].Transfer
		t.CreateTime, t.UpdateTime = decidedAt, decidedAt
	}
	for i := range d.outcomes {
		// A repeat of a command of this very batch was copied before the time was known.
		if o := &d.outcomes[i]; o.Replayed && o.Transfer.CreateTime.IsZero() {
			o.Transfer.CreateTime, o.Transfer.UpdateTime = decidedAt, decidedAt
		}
	}
	if len(d.recorded) == 0 {
		if _, err := conn.Exec(ctx, rollback); err != nil {
			return nil, fmt.Errorf("end an empty batch: %w", err)
		}
		return d.outcomes, nil
	}
	d.rows.CreateTime = decidedAt
	err := l.queries.TransfersInsert(ctx, pipe{Conn: conn, after: commit}, d.rows)
	return d.outcomes, commitError("write the ledger rows", err)
}

// happened reports whether the batch with these outcomes, whose COMMIT was not answered, was committed: its rows are
// there all or none, so one tells. Who else wrote the same id did so at another time.
func (l *Ledger) happened(ctx context.Context, conn *pgx.Conn, outcomes []Outcome) (bool, error) {
	for i := range outcomes {
		o := &outcomes[i]
		if o.Err != nil || o.Replayed {
			continue
		}
		rows, err := l.queries.TransfersGet(ctx, conn, []uuid.UUID{o.Transfer.ID})
		if err != nil {
			return false, fmt.Errorf("look whether the batch was committed: %w", err)
		}
		return len(rows) == 1 && rows[0].Transfer.CreateTime.Equal(o.Transfer.CreateTime), nil
	}
	return false, nil
}

func (l *Ledger) storedTransfers(ctx context.Context, conn *pgx.Conn, ids []uuid.UUID) ([]storedTransfer, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := l.queries.TransfersGet(ctx, conn, ids)
	if err != nil {
		return nil, fmt.Errorf("look for earlier transfers: %w", err)
	}
	stored := make([]storedTransfer, 0, len(rows))
	for i := range rows {
		t, err := l.transferOf(ctx, conn, &rows[i].Transfer)
		if err != nil {
			return nil, err
		}
		stored = append(stored, storedTransfer{t, rows[i].Transfer.AskedCurrency})
	}
	return stored, nil
}

// distinct reports whether no id occurs twice, as is assumed when they are applied together.
func distinct(commands []command) bool {
	if len(commands) == 1 {
		return true
	}
	seen := make(map[uuid.UUID]struct{}, len(commands))
	for i := range commands {
		if !commands[i].made {
			seen[commands[i].ID] = struct{}{}
		}
	}
	return len(seen) == len(chosenIDs(commands))
}

// chosenIDs answers the ids that may be known already: those that this server did not just make.
func chosenIDs(commands []command) []uuid.UUID {
	ids := make([]uuid.UUID, 0, len(commands))
	for i := range commands {
		if !commands[i].made {
			ids = append(ids, commands[i].ID)
		}
	}
	return ids
}

// decidedAt is the time of the last change: no movement of a batch is older than one before it on the same account. When
// the clock was set back since one of the accounts moved, the others, and opened ones, are brought to that time: their
// next movement must not be older than this.
func (l *Ledger) decidedAt(ctx context.Context, conn *pgx.Conn, rows []db.AccountsApplyRow, opened ...uuid.UUID) (
	time.Time, error,
) {
	at := rows[0].UpdateTime
	ids := opened
	for i := range rows {
		if rows[i].UpdateTime.After(at) {
			at = rows[i].UpdateTime
		}
		ids = append(ids, rows[i].AccountID)
	}
	if !at.After(rows[len(rows)-1].Now) {
		return at, nil
	}
	err := l.queries.AccountsAdvance(ctx, conn, db.AccountsAdvanceParams{UpdateTime: at, AccountIDs: ids})
	if err != nil {
		return time.Time{}, fmt.Errorf("advance the accounts: %w", err)
	}
	return at, nil
}

// inGroup names the field of an invalid command by its place in the group.
func inGroup(err error, index int) error {
	var invalid *InvalidError
	if errors.As(err, &invalid) {
		return &InvalidError{Field: fmt.Sprintf("transfers[%d].%s", index, invalid.Field), Reason: invalid.Reason}
	}
	return err
}
