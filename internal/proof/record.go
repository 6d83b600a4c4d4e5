package proof

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"internaltransfers/gen/db"
)

// recordTimeout bounds how long a proof waits until its end is recorded.
const recordTimeout = 5 * time.Second

// A Result is how a proof of the ledger ended.
type Result struct {
	Time        time.Time // of its snapshot
	Incremental bool      // it went on from a checkpoint
	Broken      []string  // the names of the invariants that do not hold
}

// Last reads how the last proof ended, of any server; nil: there was none.
func Last(ctx context.Context, conn db.DBTX) (*Result, error) {
	last, err := db.New().ProofGet(ctx, conn)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &Result{Time: last.CheckTime, Incremental: last.Incremental, Broken: last.Broken}, nil
}

// record keeps how a proof ended, for all servers. The proof is over, so its
// context does not count; and it stands whether or not that could be recorded.
func (p *Prover) record(ctx context.Context, report *Report) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	broken := []string{}
	for i := range report.Invariants {
		if report.Invariants[i].ViolationCount > 0 {
			broken = append(broken, report.Invariants[i].Name)
		}
	}
	err := db.New().ProofPut(ctx, p.Pool, db.ProofPutParams{
		CheckTime: report.Time, Incremental: !report.CheckpointTime.IsZero(), Broken: broken,
	})
	if err != nil {
		p.Log.WarnContext(ctx, "how a proof ended was not recorded", slog.Any("error", err))
	}
}
