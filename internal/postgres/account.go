package postgres

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/stored"
	"internaltransfers/ledger"
)

// CreateAccount opens an account. When an account was opened before under the id with the same
// fields, it returns that one as it is now, replayed; with other fields the error is a
// ConflictError. Unknown currencies, amounts with too many decimals and a floor above the opening
// balance are InvalidErrors. A dry run returns the same, but opens nothing.
func (l *Ledger) CreateAccount(ctx context.Context, p ledger.AccountParams) (a ledger.Account, replayed bool, err error) {
	o, err := l.newOpening(ctx, p)
	if err != nil {
		return ledger.Account{}, false, err
	}
	if p.DryRun {
		err = l.previewOpening(ctx, o)
	} else {
		err = l.batcher.do(&call{ctx: ctx, opening: o})
	}
	if err != nil {
		return ledger.Account{}, false, err
	}
	return o.account, o.replayed, nil
}

// newOpening checks the parameters and gives them their ids.
func (l *Ledger) newOpening(ctx context.Context, p ledger.AccountParams) (*opening, error) {
	if p.ID == uuid.Nil {
		p.ID = uuid.Must(uuid.NewV7())
	}
	if p.Currency == "" {
		p.Currency = defaultCurrency
	}
	for _, t := range [...]struct{ field, text string }{
		{"currency", p.Currency}, {"display_name", p.DisplayName}, {"image_url", p.ImageURL},
	} {
		if err := ledger.CheckText(t.field, t.text); err != nil {
			return nil, err
		}
	}
	if err := ledger.CheckMetadata(p.Metadata); err != nil {
		return nil, err
	}
	currency, err := l.currencies.Get(ctx, l.pool, p.Currency)
	if err != nil {
		return nil, err
	}
	for _, a := range [...]struct {
		field  string
		amount decimal.Decimal
	}{
		{"initial_balance", p.InitialBalance}, {"min_balance", p.MinBalance}, {"max_balance", p.MaxBalance.Decimal},
	} {
		if err := currency.CheckAmount(a.field, a.amount); err != nil {
			return nil, err
		}
	}
	if err := p.Policy.Check("", currency); err != nil {
		return nil, err
	}
	if p.InitialBalance.IsNegative() {
		return nil, &ledger.InvalidError{Field: "initial_balance", Reason: "must not be negative"}
	}
	if p.MinBalance.GreaterThan(p.InitialBalance) {
		return nil, &ledger.InvalidError{Field: "min_balance", Reason: "must not be above initial_balance"}
	}
	if p.MaxBalance.Valid && p.MaxBalance.Decimal.LessThan(p.InitialBalance) {
		return nil, &ledger.InvalidError{Field: "max_balance", Reason: "must not be below initial_balance"}
	}
	return &opening{
		params: p, currency: currency, fingerprint: fingerprint(&p, currency), transferID: uuid.Must(uuid.NewV7()),
	}, nil
}

// GetAccount reads an account; the error is a NotFoundError when there is none.
func (l *Ledger) GetAccount(ctx context.Context, id uuid.UUID) (ledger.Account, error) {
	a, found, err := l.accountReads.get(ctx, id)
	if err == nil && !found {
		err = &ledger.NotFoundError{Kind: "account", ID: id}
	}
	return a, err
}

// ListAccounts lists accounts, newest first, and returns the token of the next page; empty: this is
// the last.
func (l *Ledger) ListAccounts(ctx context.Context, f AccountFilter, page paging.Page) ([]ledger.Account, string, error) {
	limit, err := page.Limit()
	if err != nil {
		return nil, "", err
	}
	if err := ledger.CheckText("currency", f.Currency); err != nil {
		return nil, "", err
	}
	if err := ledger.CheckText("search", f.Search); err != nil {
		return nil, "", err
	}
	before, err := l.tokens.Key("accounts", f, page.Token)
	if err != nil {
		return nil, "", err
	}
	if before == nil {
		before = &paging.Key{Time: ledger.TimeMax}
	}
	rows, err := l.accountRows(ctx, f, before, limit+1)
	if err != nil {
		return nil, "", durable.ReadError(ctx, "list accounts", err)
	}
	accounts := make([]ledger.Account, 0, len(rows))
	for i := range rows {
		r := &rows[i]
		a, err := l.currencies.Account(ctx, l.pool, &r.Account, r.ExpiredHeld, r.ExpiredIncoming)
		if err != nil {
			return nil, "", err
		}
		accounts = append(accounts, a)
	}
	accounts, next := paging.Trim(accounts, limit, page, accountSize, func(last *ledger.Account) string {
		return l.tokens.Token("accounts", f, paging.Key{Time: last.CreateTime, ID: last.ID})
	})
	return accounts, next, nil
}

// UpdateAccount changes the fields that are not money. It returns a NotFoundError, a VersionError
// when the account has another version than expected, a StateError for a change that the account's
// state does not allow, or an InvalidError.
func (l *Ledger) UpdateAccount(ctx context.Context, change ledger.AccountChange) (ledger.Account, error) {
	if err := change.Check(); err != nil {
		return ledger.Account{}, err
	}
	if err := l.endExpiredHolds(ctx, &change); err != nil {
		return ledger.Account{}, err
	}
	var account ledger.Account
	err := l.pool.Change(ctx, durable.ReadCommitted, func(tx pgx.Tx) error {
		row, err := l.queries.AccountGetForUpdate(ctx, tx, change.ID)
		if errors.Is(err, pgx.ErrNoRows) {
			return &ledger.NotFoundError{Kind: "account", ID: change.ID}
		}
		if err != nil {
			return err
		}
		r := &row.Account
		if v := change.ExpectedVersion; v != nil && *v != r.Version {
			return &ledger.VersionError{ID: change.ID, Expected: *v, Actual: r.Version}
		}
		currency, err := l.currencies.Get(ctx, tx, r.Currency)
		if err != nil {
			return err
		}
		if account, err = stored.Account(r, currency.Scale); err != nil {
			return err
		}
		released := func() {
			account.Held = account.Held.Sub(row.ExpiredHeld)
			account.Incoming = account.Incoming.Sub(row.ExpiredIncoming)
		}
		if change.DryRun {
			released() // as endExpiredHolds would have done
		}
		if err := change.Apply(&account, r.IsEquity, currency); err != nil {
			return err
		}
		if change.DryRun {
			account.Version++
			return nil
		}
		if err := l.updateAccount(ctx, tx, &account); err != nil {
			return err
		}
		released() // what endExpiredHolds left
		return nil
	})
	if !change.DryRun {
		// After an error too: the change may have been committed.
		l.profiles.changed(change.ID)
		l.Events.Committed()
	}
	if err != nil {
		return ledger.Account{}, durable.ChangeError(ctx, "update an account", err)
	}
	return account, nil
}

// updateAccount writes the fields that are not money. The account's row lock is held.
func (l *Ledger) updateAccount(ctx context.Context, tx pgx.Tx, a *ledger.Account) error {
	updated, err := l.queries.AccountUpdate(ctx, tx, db.AccountUpdateParams{
		AccountID: a.ID, DisplayName: a.DisplayName, ImageURL: a.ImageURL, Metadata: stored.EncodeMetadata(a.Metadata),
		MinBalance: a.MinBalance, MaxBalance: a.MaxBalance, Policy: a.Policy.Encode(), Status: string(a.Status),
	})
	a.Version, a.UpdateTime = updated.Version, updated.UpdateTime
	return err
}

// endExpiredHolds ends the account's expired holds: a new floor, a new ceiling or closing must not
// count their money as held.
func (l *Ledger) endExpiredHolds(ctx context.Context, change *ledger.AccountChange) error {
	if (change.MinBalance == nil && change.MaxBalance == nil && change.Status == nil) || change.DryRun {
		return nil
	}
	now, err := l.queries.Clock(ctx, l.pool)
	if err != nil {
		return durable.ReadError(ctx, "read the clock", err)
	}
	rows, err := l.queries.HoldsDue(ctx, l.pool, db.HoldsDueParams{AccountIDs: []uuid.UUID{change.ID}, Now: now, RowLimit: 1})
	if err != nil {
		return durable.ReadError(ctx, "look for expired holds", err)
	}
	if len(rows) == 0 {
		return nil
	}
	// Ending one ends all that are due on its accounts.
	_, err = l.one(ctx, ledger.NewExecuteDue(rows[0].TransferID), false)
	return err
}
