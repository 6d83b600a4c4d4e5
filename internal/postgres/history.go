package postgres

import (
	"context"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/ledger"
)

// aboutNow is how far a moment may be from the clock's time for it to mean now, where that matters.
const aboutNow = 10 * time.Second

// A present is the moment that a read of an account's history sees.
type present struct {
	now  time.Time // by the clock
	last time.Time // when the account last changed: after now if the clock was set back since
}

// end is the end of an account's time: now, or its last change if that is later. What is stored is
// past, whatever the clock says.
func (p present) end() time.Time {
	if p.last.After(p.now) {
		return p.last
	}
	return p.now
}

// GetAccountAt reads an account as it was at a moment: balance, held and incoming are of then, all
// else is of now. Changes in that very microsecond are included. The error is an InvalidError of
// as_of for a moment in the future, and a NotFoundError when there is no such account, or there was
// none yet.
//
// When the clock was set back, moments up to the account's last change are not in the future
// either. Now is then the last of them: else the account would be returned as it was when the clock
// showed this time before.
func (l *Ledger) GetAccountAt(ctx context.Context, id uuid.UUID, at time.Time) (ledger.Account, error) {
	if at.Before(ledger.TimeMin) || at.After(ledger.TimeMax) {
		return ledger.Account{}, &ledger.InvalidError{Field: "as_of", Reason: "must be within the years 1 to 9999"}
	}
	at = at.UTC().Truncate(time.Microsecond) // everything until at is included
	var account ledger.Account
	err := l.atOneMoment(ctx, id, func(tx pgx.Tx, r *db.Account, p present) error {
		switch end := p.end(); {
		case end.After(p.now) && at.Sub(p.now).Abs() <= aboutNow:
			at = end
		case at.After(end):
			return &ledger.InvalidError{Field: "as_of", Reason: "must not be in the future"}
		}
		if at.Before(r.CreateTime) {
			return &ledger.NotFoundError{Kind: "account", ID: id}
		}
		var err error
		if account, err = l.currencies.Account(ctx, tx, r, decimal.Zero, decimal.Zero); err != nil {
			return err
		}
		account.Balance, err = l.balanceBefore(ctx, tx, id, math.MaxInt64, at.Add(time.Microsecond))
		if err != nil {
			return err
		}
		holds, err := l.queries.HoldsAt(ctx, tx, db.HoldsAtParams{
			AccountID: uuid.NullUUID{UUID: id, Valid: true}, AsOf: at, Clock: p.now,
		})
		account.Held, account.Incoming = holds.Held, holds.Incoming
		return err
	})
	return account, err
}

// atOneMoment runs a read of an account's history, given the account's row, in a transaction that
// sees one moment. The error is a NotFoundError when there is no such account.
func (l *Ledger) atOneMoment(
	ctx context.Context, id uuid.UUID, read func(tx pgx.Tx, r *db.Account, p present) error,
) error {
	err := l.pool.View(ctx, func(tx pgx.Tx) error {
		rows, err := l.queries.AccountsGet(ctx, tx, []uuid.UUID{id})
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return &ledger.NotFoundError{Kind: "account", ID: id}
		}
		now, err := l.queries.Clock(ctx, tx)
		if err != nil {
			return err
		}
		last, err := l.queries.LastEntryTime(ctx, tx, db.LastEntryTimeParams{
			UpdateTime: rows[0].Account.UpdateTime, AccountID: id,
		})
		if err != nil {
			return err
		}
		return read(tx, &rows[0].Account, present{now: now, last: last})
	})
	if err != nil {
		return durable.ReadError(ctx, "read an account's history", err)
	}
	return nil
}

// balanceBefore is the balance after the newest entry that was made before a moment, among the
// account's first ones.
func (l *Ledger) balanceBefore(ctx context.Context, conn db.DBTX, id uuid.UUID, position int64, before time.Time) (
	decimal.Decimal, error,
) {
	rows, err := l.queries.EntryBefore(ctx, conn, db.EntryBeforeParams{
		AccountID: id, Position: position, BeforeTime: before,
	})
	if err != nil || len(rows) == 0 {
		return decimal.Zero, err
	}
	return rows[0].Balance, nil
}
