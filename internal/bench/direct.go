package bench

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/shopspring/decimal"

	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// amounts are amountTexts as decimals.
var amounts = func() (values [centsMax]decimal.Decimal) {
	for i := range values {
		values[i] = decimal.New(int64(i+1), -2)
	}
	return values
}()

// openDirect returns the contender that runs the service's own SQL straight from Go: the ledger in
// this process, with its defaults, and no HTTP. Its distance to the service is what the network API
// costs.
func openDirect(ctx context.Context, databaseURL, workload string, batch int, p *population) (*contender, func(), error) {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	l, err := postgres.Open(ctx, postgres.Config{DatabaseURL: databaseURL, Logger: logger})
	if err != nil {
		return nil, nil, fmt.Errorf("sql-direct: %w", err)
	}
	pick := newPicker(workload, len(p.accounts))
	c := &contender{name: "sql-direct", workload: workload, batch: batch}
	c.newCaller = func(context.Context, int, int) (call, func(), error) {
		source := newSource()
		params := make([]ledger.TransferParams, batch)
		return func(ctx context.Context) (int, error) {
			for i := range params {
				from, to := pick(source)
				params[i] = ledger.TransferParams{
					ID: source.id(), From: p.accounts[from].id, To: p.accounts[to].id, Amount: amounts[source.IntN(centsMax)],
				}
			}
			return directBatch(ctx, l, params)
		}, func() {}, nil
	}
	return c, func() { _ = l.Close(context.Background()) }, nil // nothing waits any more
}

func directBatch(ctx context.Context, l *postgres.Ledger, params []ledger.TransferParams) (int, error) {
	outcomes, err := l.TransferBatch(ctx, params, ledger.BatchOptions{})
	if err != nil {
		return 0, err
	}
	made := 0
	failed := itemErrors{}
	for i := range outcomes {
		switch o := &outcomes[i]; {
		case o.Err != nil:
			failed[o.Err.Error()]++
		case o.Transfer.Status != ledger.TransferSuccess:
			failed[string(o.Transfer.Reason)]++
		default:
			made++
		}
	}
	if len(failed) > 0 {
		return made, failed
	}
	return made, nil
}
