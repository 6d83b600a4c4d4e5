package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/ledger"
)

// currencies remembers currencies for ever: they never change.
type currencies struct {
	queries *db.Queries
	known   sync.Map // of Currency, by code
}

// get returns a currency, or an InvalidError of the field currency when there is none. One that is
// not known yet is read from conn, the caller's own: a caller that holds locks on one connection
// must not wait for another.
func (c *currencies) get(ctx context.Context, conn db.DBTX, code string) (ledger.Currency, error) {
	if v, ok := c.known.Load(code); ok {
		return v.(ledger.Currency), nil
	}
	row, err := c.queries.CurrencyGet(ctx, conn, code)
	if errors.Is(err, pgx.ErrNoRows) {
		return ledger.Currency{}, &ledger.InvalidError{Field: "currency", Reason: fmt.Sprintf("there is no currency %q", code)}
	}
	if err != nil {
		return ledger.Currency{}, durable.ReadError(ctx, "read a currency", err)
	}
	currency := currencyOf(&row.Currency)
	c.known.Store(code, currency)
	return currency, nil
}

// scale returns the decimals of a stored row's currency; 0 for the empty code of some refused
// transfers, whose amounts are printed as they are.
func (c *currencies) scale(ctx context.Context, conn db.DBTX, code string) (int32, error) {
	if code == "" {
		return 0, nil
	}
	currency, err := c.get(ctx, conn, code)
	var invalid *ledger.InvalidError
	if errors.As(err, &invalid) {
		// A refused transfer keeps the requested code, whether or not it exists.
		return 0, nil
	}
	return currency.Scale, err
}

func currencyOf(r *db.Currency) ledger.Currency {
	return ledger.Currency{
		Code: r.Code, Scale: int32(r.Scale), EquityAccountID: r.EquityAccountID, CreateTime: r.CreateTime,
	}
}

// transfer converts a row.
func (c *currencies) transfer(ctx context.Context, conn db.DBTX, r *db.TransferFull) (ledger.Transfer, error) {
	scale, err := c.scale(ctx, conn, r.Currency)
	if err != nil {
		return ledger.Transfer{}, err
	}
	return transferOf(r, scale)
}

// account converts a row. expiredHeld and expiredIncoming are the parts of held and incoming that
// are of expired holds.
func (c *currencies) account(ctx context.Context, conn db.DBTX, r *db.Account, expiredHeld, expiredIncoming decimal.Decimal) (
	ledger.Account, error,
) {
	scale, err := c.scale(ctx, conn, r.Currency)
	if err != nil {
		return ledger.Account{}, err
	}
	a, err := accountOf(r, scale)
	a.Held, a.Incoming = a.Held.Sub(expiredHeld), a.Incoming.Sub(expiredIncoming)
	return a, err
}
