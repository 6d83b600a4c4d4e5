package ledger

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"internaltransfers/gen/db"
)

// defaultCurrency is that of an account for which none is named.
const defaultCurrency = "USD"

// currencies remembers currencies for ever: they never change.
type currencies struct {
	queries *db.Queries
	known   sync.Map // of Currency, by code
}

// get answers a currency, or an InvalidError of the field currency when there is none. One that is not known yet is
// read from conn, the caller's own: a caller that holds locks on one connection must not wait for another.
func (c *currencies) get(ctx context.Context, conn db.DBTX, code string) (Currency, error) {
	if v, ok := c.known.Load(code); ok {
		return v.(Currency), nil
	}
	row, err := c.queries.CurrencyGet(ctx, conn, code)
	if errors.Is(err, pgx.ErrNoRows) {
		return Currency{}, &InvalidError{Field: "currency", Reason: fmt.Sprintf("there is no currency %q", code)}
	}
	if err != nil {
		return Currency{}, readError(ctx, "read a currency", err)
	}
	currency := currencyOf(&row.Currency)
	c.known.Store(code, currency)
	return currency, nil
}

// scale answers the decimals of a stored row's currency; 0 for the empty code of some refused transfers, whose amounts
// are printed as they are.
func (c *currencies) scale(ctx context.Context, conn db.DBTX, code string) (int32, error) {
	if code == "" {
		return 0, nil
	}
	currency, err := c.get(ctx, conn, code)
	var invalid *InvalidError
	if errors.As(err, &invalid) {
		// A refused transfer keeps the code that was asked for, known or not.
		return 0, nil
	}
	return currency.Scale, err
}

func currencyOf(r *db.Currency) Currency {
	return Currency{
		Code: r.Code, Scale: int32(r.Scale), EquityAccountID: r.EquityAccountID, CreateTime: r.CreateTime,
	}
}

var currencyCode = regexp.MustCompile(`^[A-Z][A-Z0-9]{2,11}$`)

// CreateCurrency adds a currency of scale decimals, 0 to 18, with its equity account. For a code that is there already,
// the same scale answers that currency, replayed, and another a ConflictError. With dryRun it answers the same, but adds
// nothing.
func (l *Ledger) CreateCurrency(ctx context.Context, code string, scale int32, dryRun bool) (
	c Currency, replayed bool, err error,
) {
	if !currencyCode.MatchString(code) {
		return c, false, &InvalidError{Field: "code", Reason: "must match " + currencyCode.String()}
	}
	if scale < 0 || scale > 18 {
		return c, false, &InvalidError{Field: "scale", Reason: "must be 0 to 18"}
	}
	add := l.addCurrency
	if dryRun {
		add = l.previewCurrency
	}
	if c, err = add(ctx, code, scale); err != nil {
		return Currency{}, false, err
	}
	if c != (Currency{}) {
		return c, false, nil
	}
	if c, err = l.currencies.get(ctx, l.readers, code); err != nil {
		return Currency{}, false, err
	}
	if c.Scale != scale {
		return Currency{}, false, &ConflictError{Kind: "currency", ID: code}
	}
	if err := l.confirm(ctx); err != nil {
		return Currency{}, false, readError(ctx, "confirm that there is the currency", err)
	}
	return c, true, nil
}

// addCurrency adds a currency, or answers none when it is there already.
func (l *Ledger) addCurrency(ctx context.Context, code string, scale int32) (c Currency, err error) {
	// Nobody can have guessed this id and taken it for an account of their own.
	equity := uuid.Must(uuid.NewV7())
	err = l.change(ctx, readCommitted, func(tx pgx.Tx) error {
		rows, err := l.queries.CurrencyInsert(ctx, tx, db.CurrencyInsertParams{
			Code: code, Scale: int16(scale), EquityAccountID: equity,
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		c = currencyOf(&rows[0])
		return l.queries.EquityInsert(ctx, tx, db.EquityInsertParams{
			AccountID: equity, Currency: code, DisplayName: code + " equity",
		})
	})
	if err != nil {
		return Currency{}, readError(ctx, "add a currency", err)
	}
	l.feed.committed()
	return c, nil
}

// previewCurrency answers the currency that addCurrency would add, or none when it is there already.
func (l *Ledger) previewCurrency(ctx context.Context, code string, scale int32) (Currency, error) {
	_, err := l.currencies.get(ctx, l.readers, code)
	if _, unknown := errors.AsType[*InvalidError](err); !unknown {
		return Currency{}, err
	}
	now, err := l.queries.Clock(ctx, l.readers)
	if err != nil {
		return Currency{}, readError(ctx, "read the clock", err)
	}
	return Currency{Code: code, Scale: scale, EquityAccountID: uuid.Must(uuid.NewV7()), CreateTime: now}, nil
}

// ListCurrencies lists currencies by code.
func (l *Ledger) ListCurrencies(ctx context.Context, page Page) ([]Currency, string, error) {
	limit, err := page.limit()
	if err != nil {
		return nil, "", err
	}
	after, err := l.tokens.place("currencies", nil, page.Token)
	if err != nil {
		return nil, "", err
	}
	if after == nil {
		after = &place{}
	}
	rows, err := l.queries.CurrencyList(ctx, l.readers, db.CurrencyListParams{AfterCode: after.Code, RowLimit: limit + 1})
	if err != nil {
		return nil, "", readError(ctx, "list currencies", err)
	}
	list := make([]Currency, 0, len(rows))
	for i := range rows {
		list = append(list, currencyOf(&rows[i].Currency))
	}
	size := func(*Currency) int { return currencyBytes }
	list, next := cut(list, limit, page, size, func(last *Currency) string {
		return l.tokens.token("currencies", nil, place{Code: last.Code})
	})
	return list, next, nil
}
