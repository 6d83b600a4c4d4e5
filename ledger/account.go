package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"internaltransfers/gen/db"
)

// CreateAccount opens an account. An account that was opened before under the id with the same fields is answered as it
// is now, replayed; with other fields the error is a ConflictError. Unknown currencies, amounts with too many decimals
// and a floor above the opening balance are InvalidErrors.
func (l *Ledger) CreateAccount(ctx context.Context, p AccountParams) (a Account, replayed bool, err error) {
	o, err := l.newOpening(ctx, p)
	if err != nil {
		return Account{}, false, err
	}
	if err := l.batcher.do(&call{ctx: ctx, opening: o}); err != nil {
		return Account{}, false, err
	}
	return o.account, o.replayed, nil
}

// newOpening checks the parameters and gives them their ids.
func (l *Ledger) newOpening(ctx context.Context, p AccountParams) (*opening, error) {
	if p.ID == uuid.Nil {
		p.ID = uuid.Must(uuid.NewV7())
	}
	if p.Currency == "" {
		p.Currency = defaultCurrency
	}
	for _, t := range [...]struct{ field, text string }{
		{"currency", p.Currency}, {"display_name", p.DisplayName}, {"image_url", p.ImageURL},
	} {
		if err := checkText(t.field, t.text); err != nil {
			return nil, err
		}
	}
	if err := checkMetadata(p.Metadata); err != nil {
		return nil, err
	}
	currency, err := l.currencies.get(ctx, l.readers, p.Currency)
	if err != nil {
		return nil, err
	}
	for _, a := range [...]struct {
		field  string
		amount decimal.Decimal
	}{{"initial_balance", p.InitialBalance}, {"min_balance", p.MinBalance}} {
		if err := checkSize(a.field, a.amount); err != nil {
			return nil, err
		}
		if err := currency.checkPrecision(a.field, a.amount); err != nil {
			return nil, err
		}
	}
	if p.InitialBalance.IsNegative() {
		return nil, &InvalidError{Field: "initial_balance", Reason: "must not be negative"}
	}
	if p.MinBalance.GreaterThan(p.InitialBalance) {
		return nil, &InvalidError{Field: "min_balance", Reason: "must not be above initial_balance"}
	}
	return &opening{
		params: p, currency: currency, fingerprint: fingerprint(&p, currency), transferID: uuid.Must(uuid.NewV7()),
	}, nil
}

// GetAccount reads an account; the error is a NotFoundError when there is none.
func (l *Ledger) GetAccount(ctx context.Context, id uuid.UUID) (Account, error) {
	a, found, err := l.accountReads.get(ctx, id)
	if err == nil && !found {
		err = &NotFoundError{Kind: "account", ID: id}
	}
	return a, err
}

func (l *Ledger) accountOf(ctx context.Context, conn db.DBTX, r *db.Account) (Account, error) {
	scale, err := l.currencies.scale(ctx, conn, r.Currency)
	if err != nil {
		return Account{}, err
	}
	return accountOf(r, scale)
}

// ListAccounts lists accounts, newest first, and answers the token of the next page; empty: this is the last.
func (l *Ledger) ListAccounts(ctx context.Context, f AccountFilter, page Page) ([]Account, string, error) {
	limit, err := page.limit()
	if err != nil {
		return nil, "", err
	}
	if err := checkText("currency", f.Currency); err != nil {
		return nil, "", err
	}
	before, err := l.tokens.place("accounts", f, page.Token)
	if err != nil {
		return nil, "", err
	}
	if before == nil {
		before = &place{Time: timeMax}
	}
	rows, err := l.queries.AccountList(ctx, l.readers, db.AccountListParams{
		BeforeTime: before.Time, BeforeID: before.ID, Currency: f.Currency, Status: string(f.Status), RowLimit: limit + 1,
	})
	if err != nil {
		return nil, "", readError(ctx, "list accounts", err)
	}
	accounts := make([]Account, 0, len(rows))
	for i := range rows {
		a, err := l.accountOf(ctx, l.readers, &rows[i].Account)
		if err != nil {
			return nil, "", err
		}
		accounts = append(accounts, a)
	}
	accounts, next := cut(accounts, limit, func(last *Account) string {
		return l.tokens.token("accounts", f, place{Time: last.CreateTime, ID: last.ID})
	})
	return accounts, next, nil
}

// UpdateAccount changes what is not money. It answers a NotFoundError, a VersionError when the account has another
// version than expected, a StateError for a change that the account's state does not allow, or an InvalidError.
func (l *Ledger) UpdateAccount(ctx context.Context, change AccountChange) (Account, error) {
	if err := change.check(); err != nil {
		return Account{}, err
	}
	var account Account
	err := pgx.BeginTxFunc(ctx, l.readers, readCommitted, func(tx pgx.Tx) error {
		row, err := l.queries.AccountGetForUpdate(ctx, tx, change.ID)
		if errors.Is(err, pgx.ErrNoRows) {
			return &NotFoundError{Kind: "account", ID: change.ID}
		}
		if err != nil {
			return err
		}
		r := &row.Account
		if v := change.ExpectedVersion; v != nil && *v != r.Version {
			return &VersionError{ID: change.ID, Expected: *v, Actual: r.Version}
		}
		currency, err := l.currencies.get(ctx, tx, r.Currency)
		if err != nil {
			return err
		}
		if err := change.apply(r, currency); err != nil {
			return err
		}
		updated, err := l.queries.AccountUpdate(ctx, tx, db.AccountUpdateParams{
			AccountID: r.AccountID, DisplayName: r.DisplayName, ImageURL: r.ImageURL, Metadata: r.Metadata,
			MinBalance: r.MinBalance, Status: r.Status,
		})
		if err != nil {
			return err
		}
		r.Version, r.UpdateTime = updated.Version, updated.UpdateTime
		account, err = accountOf(r, currency.Scale)
		return err
	})
	if err != nil {
		return Account{}, updateError(ctx, err)
	}
	return account, nil
}

// updateError keeps this package's own errors and translates the driver's.
func updateError(ctx context.Context, err error) error {
	var invalid *InvalidError
	var notFound *NotFoundError
	var version *VersionError
	var state *StateError
	if errors.As(err, &invalid) || errors.As(err, &notFound) || errors.As(err, &version) || errors.As(err, &state) {
		return err
	}
	return readError(ctx, "update an account", err)
}

// check answers an InvalidError for values that no account can have.
func (c *AccountChange) check() error {
	if c.DisplayName != nil {
		if err := checkText("account.display_name", *c.DisplayName); err != nil {
			return err
		}
	}
	if c.ImageURL != nil {
		if err := checkText("account.image_url", *c.ImageURL); err != nil {
			return err
		}
	}
	if c.MinBalance != nil {
		if err := checkSize("account.min_balance", *c.MinBalance); err != nil {
			return err
		}
	}
	if c.Status != nil {
		switch *c.Status {
		case AccountOpen, AccountFrozen, AccountClosed:
		default:
			return &InvalidError{Field: "account.status", Reason: "must be OPEN, FROZEN or CLOSED"}
		}
	}
	return checkMetadata(c.Metadata)
}

// apply makes the change on a row whose lock is held.
func (c *AccountChange) apply(r *db.Account, currency Currency) error {
	if AccountStatus(r.Status) == AccountClosed {
		return &StateError{ID: c.ID, Reason: "ACCOUNT_CLOSED", Detail: "it is closed, for ever"}
	}
	if c.DisplayName != nil {
		r.DisplayName = *c.DisplayName
	}
	if c.ImageURL != nil {
		r.ImageURL = *c.ImageURL
	}
	if c.Metadata != nil {
		r.Metadata = encodeMetadata(c.Metadata)
	}
	if (c.MinBalance != nil || c.Status != nil) && r.IsEquity {
		return &StateError{
			ID: c.ID, Reason: "EQUITY_ACCOUNT", Detail: "an equity account keeps its status and has no floor",
		}
	}
	available := r.Balance.Sub(r.Held)
	if c.MinBalance != nil {
		if err := currency.checkPrecision("account.min_balance", *c.MinBalance); err != nil {
			return err
		}
		if available.LessThan(*c.MinBalance) {
			return &StateError{ID: c.ID, Reason: "INSUFFICIENT_FUNDS", Detail: fmt.Sprintf(
				"%s is available, less than the new floor %s", available.StringFixed(currency.Scale),
				c.MinBalance.StringFixed(currency.Scale))}
		}
		r.MinBalance = decimal.NewNullDecimal(*c.MinBalance)
	}
	if c.Status != nil {
		if *c.Status == AccountClosed && (!r.Balance.IsZero() || !r.Held.IsZero() || !r.Incoming.IsZero()) {
			return &StateError{ID: c.ID, Reason: "ACCOUNT_NOT_EMPTY", Detail: fmt.Sprintf(
				"only an empty account can be closed; balance %s, held %s, incoming %s",
				r.Balance.StringFixed(currency.Scale), r.Held.StringFixed(currency.Scale),
				r.Incoming.StringFixed(currency.Scale))}
		}
		r.Status = string(*c.Status)
	}
	return nil
}
