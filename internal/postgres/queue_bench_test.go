package postgres

import (
	"context"
	"fmt"
	"testing"

	"internaltransfers/ledger"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// BenchmarkQueue lets calls into the queue and takes them as one batch, without a goroutine to
// wake.
func BenchmarkQueue(b *testing.B) {
	const batchSize = 1000
	for _, accounts := range []string{"uniform", "hot"} {
		for _, size := range []int{1, batchSize} {
			b.Run(fmt.Sprintf("%s/call=%d", accounts, size), func(b *testing.B) {
				queue := newBatcher(nil, 0, batchSize, 4*batchSize)
				payer := uuid.New()
				batch := make([]ledger.Command, batchSize)
				for i := range batch {
					if accounts == "uniform" {
						payer = uuid.New()
					}
					batch[i].TransferParams = ledger.TransferParams{
						ID: uuid.Must(uuid.NewV7()), From: payer, To: uuid.New(), Amount: decimal.New(1, 0),
					}
				}
				var calls []*call
				for ; len(batch) > 0; batch = batch[size:] {
					calls = append(calls, &call{ctx: context.Background(), commands: batch[:size]})
				}
				for b.Loop() {
					for _, c := range calls {
						if err := queue.enqueue(c); err != nil {
							b.Fatal(err)
						}
					}
					_, taken, _ := queue.take()
					queue.ended(taken)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batchSize, "ns/command")
			})
		}
	}
}
