package postgres

import (
	"context"
	"errors"
	"regexp"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/stored"
	"internaltransfers/ledger"
)

// defaultCurrency is that of an account for which none is named.
const defaultCurrency = "USD"

var currencyCode = regexp.MustCompile(`^[A-Z][A-Z0-9]{2,11}$`)

// CreateCurrency adds a currency of scale decimals, 0 to 18, with its equity account. For a code
// that exists already, the same scale returns that currency, replayed, and another a ConflictError.
// With dryRun it returns the same, but adds nothing.
func (l *Ledger) CreateCurrency(ctx context.Context, code string, scale int32, dryRun bool) (
	c ledger.Currency, replayed bool, err error,
) {
	if !currencyCode.MatchString(code) {
		return c, false, &ledger.InvalidError{Field: "code", Reason: "must match " + currencyCode.String()}
	}
	if scale < 0 || scale > 18 {
		return c, false, &ledger.InvalidError{Field: "scale", Reason: "must be 0 to 18"}
	}
	add := l.addCurrency
	if dryRun {
		add = l.previewCurrency
	}
	if c, err = add(ctx, code, scale); err != nil {
		return ledger.Currency{}, false, err
	}
	if c != (ledger.Currency{}) {
		return c, false, nil
	}
	if c, err = l.currencies.Get(ctx, l.pool, code); err != nil {
		return ledger.Currency{}, false, err
	}
	if c.Scale != scale {
		return ledger.Currency{}, false, &ledger.ConflictError{Kind: "currency", ID: code}
	}
	if err := l.pool.Confirm(ctx); err != nil {
		return ledger.Currency{}, false, durable.ReadError(ctx, "confirm that there is the currency", err)
	}
	return c, true, nil
}

// addCurrency adds a currency, or returns none when it exists already.
func (l *Ledger) addCurrency(ctx context.Context, code string, scale int32) (c ledger.Currency, err error) {
	// No caller can have guessed this id and taken it for an account of its own.
	equity := uuid.Must(uuid.NewV7())
	err = l.pool.Change(ctx, durable.ReadCommitted, func(tx pgx.Tx) error {
		rows, err := l.queries.CurrencyInsert(ctx, tx, db.CurrencyInsertParams{
			Code: code, Scale: int16(scale), EquityAccountID: equity,
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		c = stored.Currency(&rows[0])
		return l.queries.EquityInsert(ctx, tx, db.EquityInsertParams{
			AccountID: equity, Currency: code, DisplayName: code + " equity",
		})
	})
	if err != nil {
		return ledger.Currency{}, durable.ReadError(ctx, "add a currency", err)
	}
	l.Events.Committed()
	return c, nil
}

// previewCurrency returns the currency that addCurrency would add, or none when it exists already.
func (l *Ledger) previewCurrency(ctx context.Context, code string, scale int32) (ledger.Currency, error) {
	_, err := l.currencies.Get(ctx, l.pool, code)
	if _, unknown := errors.AsType[*ledger.InvalidError](err); !unknown {
		return ledger.Currency{}, err
	}
	now, err := l.queries.Clock(ctx, l.pool)
	if err != nil {
		return ledger.Currency{}, durable.ReadError(ctx, "read the clock", err)
	}
	return ledger.Currency{Code: code, Scale: scale, EquityAccountID: uuid.Must(uuid.NewV7()), CreateTime: now}, nil
}

// ListCurrencies lists currencies by code.
func (l *Ledger) ListCurrencies(ctx context.Context, page paging.Page) ([]ledger.Currency, string, error) {
	limit, err := page.Limit()
	if err != nil {
		return nil, "", err
	}
	after, err := l.tokens.Key("currencies", nil, page.Token)
	if err != nil {
		return nil, "", err
	}
	if after == nil {
		after = &paging.Key{}
	}
	rows, err := l.queries.CurrencyList(ctx, l.pool, db.CurrencyListParams{AfterCode: after.Code, RowLimit: limit + 1})
	if err != nil {
		return nil, "", durable.ReadError(ctx, "list currencies", err)
	}
	list := make([]ledger.Currency, 0, len(rows))
	for i := range rows {
		list = append(list, stored.Currency(&rows[i].Currency))
	}
	size := func(*ledger.Currency) int { return currencyBytes }
	list, next := paging.Trim(list, limit, page, size, func(last *ledger.Currency) string {
		return l.tokens.Token("currencies", nil, paging.Key{Code: last.Code})
	})
	return list, next, nil
}
