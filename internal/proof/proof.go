// Package proof proves a ledger from its rows: what is true of every ledger is true of this one.
package proof

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/internal/pgdb"
)

// changedMax is how many accounts and how many transfers an incremental proof takes up, 16 bytes
// each. When more changed, it proves everything.
const changedMax = 1_000_000

// Options say how a ledger is proved. The zero value proves everything and reports no
// progress.
type Options struct {
	// Incremental goes on from the checkpoint, the last proof that succeeded: it proves all
	// balances, the entries after each account's checkpointed one, and each transfer that was made
	// or could change since. That the others are as they were is taken for granted. Without a
	// checkpoint, or when more than a million accounts or transfers changed, it proves everything
	// all the same.
	Incremental bool
	// Progress is called before each step, with the transaction open: it must not block.
	Progress func(Progress)
}

// Progress is the step that a proof is about to take.
type Progress struct {
	Step, Steps int           // from 1
	Name        string        // of an invariant, or of other work, such as "keep the checkpoint"
	Elapsed     time.Duration // since the proof began
}

// A Prover proves the ledger of a server.
type Prover struct {
	Pool    *durable.Pool
	Log     *slog.Logger
	Seconds prometheus.Gauge // how long the last proof took
}

// Check proves the invariants from the rows, in one snapshot, while transfers go on. The time of a
// full proof grows with the number of transfers, some 4 s a million on 2 cores. A broken invariant
// is in the report, not in the error.
//
// What a proof that succeeds found is kept as the checkpoint. A full one that fails takes the
// checkpoint back, so that no incremental proof takes for granted what is known to be broken.
func (p *Prover) Check(ctx context.Context, o Options) (Report, error) {
	r := run{queries: db.New(), options: o, keeps: true, start: time.Now()}
	proved := false
	err := p.Pool.Change(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		if err := r.prove(ctx, tx); err != nil {
			return err
		}
		proved = true
		return r.keep(ctx, tx)
	})
	switch {
	case err == nil:
	case proved && !errors.Is(err, pgdb.ErrOtherLedger):
		// Another server was faster, or the database takes no writes. The proof stands all the
		// same.
		p.Log.WarnContext(ctx, "the checkpoint of a proof was not kept", slog.Any("error", err))
	default:
		return Report{}, durable.ReadError(ctx, "check the ledger", err)
	}
	p.Seconds.Set(time.Since(r.start).Seconds())
	p.record(ctx, &r.report)
	return r.report, nil
}

// Check proves a ledger, running or not, and only reads: it keeps no checkpoint, and works on a
// standby and with the rights to read alone. An incremental proof goes on from the checkpoint of a
// server's last one. The database was opened for pgdb.Proving. A RefusedError of that package says
// why the ledger could not be checked, where the operator can change that.
func Check(ctx context.Context, database *pgdb.Database, o Options) (Report, error) {
	conn, err := database.Connect(ctx, pgdb.Proving)
	if err != nil {
		return Report{}, err
	}
	defer pgdb.HangUp(conn)
	r := run{queries: db.New(), options: o, start: time.Now()}
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = database.Transaction(ctx, conn, snapshot, func(tx pgx.Tx) error { return r.prove(ctx, tx) })
	if err != nil {
		return Report{}, fmt.Errorf("check the ledger: %w", database.Explain(err))
	}
	return r.report, nil
}

// Prove proves everything in a transaction that may have changed anything and is not committed yet.
// It neither reads nor keeps a checkpoint. progress may be nil.
func Prove(ctx context.Context, tx pgx.Tx, progress func(Progress)) (Report, error) {
	r := run{queries: db.New(), options: Options{Progress: progress}, start: time.Now()}
	err := r.prove(ctx, tx)
	return r.report, err
}

// A run is one call of Check or Prove.
type run struct {
	queries *db.Queries
	options Options
	keeps   bool // the checkpoint, when it succeeds
	start   time.Time
	step    int

	scope    scope
	position int64 // no transfer that the snapshot has is at a greater one
	report   Report
}

// A scope says which transfers the checks are about.
type scope struct {
	Everything  bool
	TransferIDs []uuid.UUID // unless Everything
}

// A finding is the result of a check.
type finding struct {
	Examined       int64
	ViolationCount int64
	Violations     []string
}

// prove fills the report.
func (r *run) prove(ctx context.Context, tx pgx.Tx) error {
	q := r.queries
	if err := q.CheckSettings(ctx, tx); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	begin, err := q.CheckBegin(ctx, tx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	r.report.Time, r.position = begin.Now, begin.Position
	if err := r.choose(ctx, tx); err != nil {
		return err
	}
	for i := range invariants {
		c := &invariants[i]
		if c.incremental && r.scope.Everything {
			continue
		}
		r.progress(c.name)
		found, err := c.check(ctx, q, tx, r.scope)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		r.report.Invariants = append(r.report.Invariants, Invariant{
			Name: c.name, Description: c.description, Examined: found.Examined, ViolationCount: found.ViolationCount,
			Violations: found.Violations,
		})
	}
	return nil
}

// choose sets the scope: everything, or what changed since the checkpoint.
func (r *run) choose(ctx context.Context, tx pgx.Tx) error {
	everything := scope{Everything: true, TransferIDs: []uuid.UUID{}}
	if !r.options.Incremental {
		r.scope = everything
		return nil
	}
	r.progress("find what changed")
	r.scope = everything
	q := r.queries
	since, err := q.CheckpointGet(ctx, tx)
	if err != nil || since == nil {
		return err
	}
	accounts, err := q.CheckChangedAccounts(ctx, tx, changedMax+1)
	if err != nil {
		return fmt.Errorf("find the accounts that changed: %w", err)
	}
	if len(accounts) > changedMax {
		return nil
	}
	changed := db.CheckChangedParams{
		AccountIDs: make([]uuid.UUID, 0, len(accounts)), SinceTimes: make([]time.Time, 0, len(accounts)),
		SnapshotTime: *since, RowLimit: changedMax + 1,
	}
	for i := range accounts {
		changed.AccountIDs = append(changed.AccountIDs, accounts[i].AccountID)
		changed.SinceTimes = append(changed.SinceTimes, accounts[i].Since)
	}
	ids, err := q.CheckChanged(ctx, tx, changed)
	if err != nil {
		return fmt.Errorf("find the transfers that changed: %w", err)
	}
	if len(ids) > changedMax {
		return nil
	}
	r.scope = scope{TransferIDs: ids}
	r.report.CheckpointTime = *since
	return nil
}

// keep makes the proof the checkpoint when it succeeded, or takes the checkpoint back.
func (r *run) keep(ctx context.Context, tx pgx.Tx) error {
	q := r.queries
	switch {
	case r.report.OK():
		r.progress("keep the checkpoint")
		// The one row comes first: another proof that keeps a checkpoint at this time is refused
		// here.
		if err := q.CheckpointPut(ctx, tx, db.CheckpointPutParams{SnapshotTime: &r.report.Time, Position: r.position}); err != nil {
			return err
		}
		return q.CheckpointAccountsPut(ctx, tx)
	case r.scope.Everything:
		return q.CheckpointForget(ctx, tx)
	default:
		return nil
	}
}

// progress reports that the next step begins, if the caller wants to know.
func (r *run) progress(name string) {
	r.step++
	if r.options.Progress == nil {
		return
	}
	steps := 0
	if r.keeps {
		steps++ // to keep the checkpoint
	}
	if r.options.Incremental {
		steps++ // to find what changed
	}
	for i := range invariants {
		if !invariants[i].incremental || (r.options.Incremental && !r.scope.Everything) {
			steps++
		}
	}
	r.options.Progress(Progress{Step: r.step, Steps: steps, Name: name, Elapsed: time.Since(r.start)})
}
