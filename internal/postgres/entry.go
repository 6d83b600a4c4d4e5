package postgres

import (
	"context"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/stored"
	"internaltransfers/ledger"
)

// ListEntries lists the movements of an account with the balance after each, and returns the token
// of the next page; empty: this is the last. The error is a NotFoundError when there is no such
// account.
func (l *Ledger) ListEntries(ctx context.Context, f EntryFilter, page paging.Page) ([]ledger.Entry, string, error) {
	limit, err := page.Limit()
	if err != nil {
		return nil, "", err
	}
	if f.Start, f.End, err = bounds(f.Start, f.End); err != nil {
		return nil, "", err
	}
	at, err := l.tokens.Key("entries", f, page.Token)
	if err != nil {
		return nil, "", err
	}
	account, err := l.GetAccount(ctx, f.AccountID)
	if err != nil {
		return nil, "", err
	}
	rows, err := l.listEntries(ctx, f, at, limit+1)
	if err != nil {
		return nil, "", durable.ReadError(ctx, "list entries", err)
	}
	size := func(r *db.TransferFull) int { return entryBytes + len(r.Reference) }
	rows, next := paging.Trim(rows, limit, page, size, func(last *db.TransferFull) string {
		return l.tokens.Token("entries", f, paging.Key{Time: last.CreateTime, Position: last.Position})
	})
	entries := make([]ledger.Entry, 0, len(rows))
	for i := range rows {
		entries = append(entries, stored.Entry(&rows[i], f.AccountID, account.Scale))
	}
	return entries, next, nil
}

// listEntries reads the rows of entries in the filter's order, from a page key on, or from the
// beginning when none is given.
func (l *Ledger) listEntries(ctx context.Context, f EntryFilter, at *paging.Key, limit int32) ([]db.TransferFull, error) {
	if f.OldestFirst {
		if at == nil {
			at = &paging.Key{Time: f.Start} // position 0 is before every row of that moment
		}
		return unwrap(l.queries.EntryListOldest(ctx, l.pool, db.EntryListOldestParams{
			AccountID: f.AccountID, AfterTime: at.Time, AfterPosition: at.Position, EndTime: f.End, RowLimit: limit,
		}))
	}
	if at == nil {
		at = &paging.Key{Time: f.End} // and so is after every row before that moment
	}
	return unwrap(l.queries.EntryListNewest(ctx, l.pool, db.EntryListNewestParams{
		AccountID: f.AccountID, BeforeTime: at.Time, BeforePosition: at.Position, StartTime: f.Start, RowLimit: limit,
	}))
}
