package stored

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/ledger"
)

// Currencies remembers currencies: they never change. Only a backup that is restored under a
// running server may lack some, or have others of their names.
type Currencies struct {
	sessions func() int64 // how many have begun; all end when a backup is restored
	seen     atomic.Int64 // the value of it that known goes with
	known    sync.Map     // of Currency, by code
}

// NewCurrencies remembers currencies until another session begins: sessions returns how many have.
func NewCurrencies(sessions func() int64) *Currencies { return &Currencies{sessions: sessions} }

// Get returns a currency, or an InvalidError of the field currency when there is none. One that is
// not known yet is read from conn, the caller's own: a caller that holds locks on one connection
// must not wait for another.
func (c *Currencies) Get(ctx context.Context, conn db.DBTX, code string) (ledger.Currency, error) {
	sessions := c.sessions()
	if c.seen.Load() != sessions {
		c.known.Clear()
		c.seen.Store(sessions)
	}
	if v, ok := c.known.Load(code); ok {
		return v.(ledger.Currency), nil
	}
	row, err := db.New().CurrencyGet(ctx, conn, code)
	if errors.Is(err, pgx.ErrNoRows) {
		return ledger.Currency{}, &ledger.InvalidError{Field: "currency", Reason: fmt.Sprintf("there is no currency %q", code)}
	}
	if err != nil {
		return ledger.Currency{}, durable.ReadError(ctx, "read a currency", err)
	}
	currency := Currency(&row.Currency)
	if c.sessions() == sessions {
		c.known.Store(code, currency)
	}
	return currency, nil
}

// Scale returns the decimals of a stored row's currency; 0 for the empty code of some refused
// transfers, whose amounts are printed as they are.
func (c *Currencies) Scale(ctx context.Context, conn db.DBTX, code string) (int32, error) {
	if code == "" {
		return 0, nil
	}
	currency, err := c.Get(ctx, conn, code)
	var invalid *ledger.InvalidError
	if errors.As(err, &invalid) {
		// A refused transfer keeps the requested code, whether or not it exists.
		return 0, nil
	}
	return currency.Scale, err
}

func Currency(r *db.Currency) ledger.Currency {
	return ledger.Currency{
		Code: r.Code, Scale: int32(r.Scale), EquityAccountID: r.EquityAccountID, CreateTime: r.CreateTime,
	}
}

// Transfer converts a row.
func (c *Currencies) Transfer(ctx context.Context, conn db.DBTX, r *db.TransferFull) (ledger.Transfer, error) {
	scale, err := c.Scale(ctx, conn, r.Currency)
	if err != nil {
		return ledger.Transfer{}, err
	}
	return transferOf(r, scale)
}

// Account converts a row. expiredHeld and expiredIncoming are the parts of held and incoming that
// are of expired holds.
func (c *Currencies) Account(ctx context.Context, conn db.DBTX, r *db.Account, expiredHeld, expiredIncoming decimal.Decimal) (
	ledger.Account, error,
) {
	scale, err := c.Scale(ctx, conn, r.Currency)
	if err != nil {
		return ledger.Account{}, err
	}
	a, err := Account(r, scale)
	a.Held, a.Incoming = a.Held.Sub(expiredHeld), a.Incoming.Sub(expiredIncoming)
	return a, err
}
