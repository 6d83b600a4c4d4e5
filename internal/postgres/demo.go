package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"internaltransfers/internal/durable"
)

// ErrNotEmpty: the ledger has accounts or transfers that no demo has made.
var ErrNotEmpty = errors.New("the ledger has data, and is no demo")

// MarkDemo makes the ledger a demo with this seed, if it is empty but for its equity accounts; a
// demo stays one. It returns the seed of the demo that the ledger is then. For a ledger with data
// it changes nothing and returns ErrNotEmpty: an account that is opened at the same time is either
// opened before, or in a demo.
func (l *Ledger) MarkDemo(ctx context.Context, seed uint64) (uint64, error) {
	var kept []byte
	err := l.pool.Change(ctx, durable.ReadCommitted, func(tx pgx.Tx) (err error) {
		kept, err = l.queries.DemoMark(ctx, tx, binary.BigEndian.AppendUint64(nil, seed))
		return err
	})
	switch {
	case err != nil:
		return 0, durable.ReadError(ctx, "mark the ledger as a demo", err)
	case kept == nil:
		return 0, ErrNotEmpty
	case len(kept) != 8:
		return 0, fmt.Errorf("%w: the seed of the demo has %d bytes", durable.ErrInvariant, len(kept))
	}
	return binary.BigEndian.Uint64(kept), nil
}
