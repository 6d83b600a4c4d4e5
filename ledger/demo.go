package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"internaltransfers/gen/db"
)

// demoSetting names the setting that a demo has; its value is the seed of what was made up.
const demoSetting = "demo"

// ErrNotEmpty: the ledger has accounts or transfers that no demo has made.
var ErrNotEmpty = errors.New("the ledger has data, and is no demo")

// MarkDemo makes the ledger a demo with this seed, if it is empty but for its equity accounts; one that is a demo already
// stays it. It answers the seed of the demo that the ledger is then. A ledger with data is ErrNotEmpty, and nothing has
// changed: whoever opened an account at the same time did so either before, or in a demo.
func (l *Ledger) MarkDemo(ctx context.Context, seed uint64) (uint64, error) {
	value := binary.BigEndian.AppendUint64(nil, seed)
	err := l.change(ctx, readCommitted, func(tx pgx.Tx) error {
		stored, err := l.queries.SettingGet(ctx, tx, demoSetting)
		if !errors.Is(err, pgx.ErrNoRows) {
			value = stored
			return err
		}
		if err := l.queries.DemoLock(ctx, tx); err != nil {
			return err
		}
		if stored, err = l.queries.SettingGet(ctx, tx, demoSetting); !errors.Is(err, pgx.ErrNoRows) {
			value = stored // another server was faster
			return err
		}
		marked, err := l.queries.DemoInsert(ctx, tx, db.DemoInsertParams{Name: demoSetting, Value: value})
		if err == nil && marked == 0 {
			return ErrNotEmpty
		}
		return err
	})
	switch {
	case errors.Is(err, ErrNotEmpty):
		return 0, err
	case err != nil:
		return 0, readError(ctx, "mark the ledger as a demo", err)
	case len(value) != 8:
		return 0, fmt.Errorf("%w: the setting %q has %d bytes", errBroken, demoSetting, len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}
