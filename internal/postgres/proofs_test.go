package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/internal/proof"
	"internaltransfers/ledger"
)

// TestCheckAmidTransfers: no proof raises a false alarm while writers of two servers go on, and
// several proofs at once.
func TestCheckAmidTransfers(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	servers := [2]*postgres.Ledger{
		ledgertest.OpenPrivate(t, url, postgres.Config{Logger: ledgertest.Silent}), ledgertest.OpenPrivate(t, url, postgres.Config{Logger: ledgertest.Silent}),
	}
	ids := ledgertest.OpenAccounts(t, servers[0], 12, 100)
	deadline := time.Now().Add(*soakTime)
	var proofs, gone atomic.Int64
	var over atomic.Bool
	ledgertest.InParallel(8+2, func(worker int) {
		r := rand.New(rand.NewPCG(uint64(worker), uint64(deadline.UnixNano())))
		if worker >= 8 {
			for time.Now().Before(deadline) || proofs.Load() < 8 {
				report, err := servers[worker%2].Proofs.Check(context.Background(), proof.Options{Incremental: r.IntN(4) > 0})
				if err != nil {
					t.Errorf("check the ledger: %v", err)
					break
				}
				ledgertest.RequireProof(t, report, true)
				proofs.Add(1)
				if !report.CheckpointTime.IsZero() {
					gone.Add(1)
				}
			}
			over.Store(true)
			return
		}
		h := activity{l: servers[worker%2], ids: ids, r: r}
		for !over.Load() {
			h.act(t)
		}
	})
	if gone.Load() == 0 {
		t.Error("no proof went on from another")
	}
	ledgertest.RequireSound(t, servers[0])
	t.Logf("%d proofs, %d of them incremental", proofs.Load(), gone.Load())
}

// TestIncrementalIsFull: after random histories, an incremental proof finds what a full one finds:
// nothing, or what was done to a row that is newer than the checkpoint.
func TestIncrementalIsFull(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	clock := ledgertest.StopClock(t, url)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url, Logger: ledgertest.Silent})
	conn := ledgertest.Connect(t, url)
	ledgertest.Execute(t, conn, "SET session_replication_role = replica")
	h := activity{l: l, ids: ledgertest.OpenAccounts(t, l, 5, 50), r: rand.New(rand.NewPCG(7, 7)), clock: clock}
	found := 0
	for round := range 40 {
		h.made = nil
		ledgertest.RequireProof(t, checkBoth(t, l, round%3 > 0)[0], true)
		for range 1 + h.r.IntN(25) {
			h.act(t)
		}
		if len(h.made) == 0 {
			continue
		}
		// Nothing is taken for granted but the last checkpoint, which a proof that fails does not
		// move.
		var victim uuid.UUID
		var damage string
		for done := false; !done; {
			victim, damage = h.made[h.r.IntN(len(h.made))], damages[h.r.IntN(len(damages))]
			tag, err := conn.Exec(context.Background(), fmt.Sprintf(damage, "+"), victim)
			if err != nil {
				t.Fatal(err)
			}
			done = tag.RowsAffected() > 0
		}
		both := checkBoth(t, l, true, false)
		if a, b := brokenNames(both[0]), brokenNames(both[1]); !slices.Equal(a, b) {
			t.Errorf("round %d, %s of %s: the incremental proof finds %v, the full one %v", round, damage, victim, a, b)
		} else if len(a) == 0 {
			t.Errorf("round %d, %s of %s: no check finds it", round, damage, victim)
		}
		found++
		ledgertest.Execute(t, conn, fmt.Sprintf(damage, "-"), victim)
		ledgertest.RequireProof(t, checkBoth(t, l, false)[0], true)
	}
	if found < 30 {
		t.Errorf("only %d histories had something to damage", found)
	}
}

// damages are done to a transfer that is newer than the checkpoint, and undone with the other sign.
var damages = []string{
	"UPDATE transfer SET amount = amount %s 0.001 WHERE transfer_id = $1 AND status <> 'FAILED'",
	"UPDATE transfer SET from_balance = from_balance %s 1 WHERE transfer_id = $1 AND from_sequence > 0",
	"UPDATE transfer SET to_balance = to_balance %s 1 WHERE transfer_id = $1 AND to_sequence > 0",
	"UPDATE transfer SET from_sequence = from_sequence %s 1 WHERE transfer_id = $1 AND from_sequence > 0",
	"UPDATE transfer SET to_sequence = to_sequence %s 1 WHERE transfer_id = $1 AND to_sequence > 0",
	"UPDATE transfer SET version = version %s 1 WHERE transfer_id = $1",
	"UPDATE transfer_detail SET open_amount = open_amount %s 1 WHERE transfer_id = $1 AND open_amount IS NOT NULL",
	"UPDATE transfer_detail SET posted_amount = posted_amount %s 1 WHERE transfer_id = $1 AND posted_amount IS NOT NULL",
	"UPDATE transfer_detail SET reversed_amount = reversed_amount %s 1 WHERE transfer_id = $1 AND reversed_amount IS NOT NULL",
}

// checkBoth returns a proof each: incremental or not.
func checkBoth(t *testing.T, l *postgres.Ledger, incremental ...bool) []proof.Report {
	t.Helper()
	var reports []proof.Report
	for _, i := range incremental {
		report, err := l.Proofs.Check(context.Background(), proof.Options{Incremental: i})
		if err != nil {
			t.Fatalf("check the ledger: %v", err)
		}
		reports = append(reports, report)
	}
	return reports
}

// brokenNames are the invariants that are broken, but for the one that only an incremental proof
// has.
func brokenNames(r proof.Report) []string {
	var names []string
	for i := range r.Invariants {
		if r.Invariants[i].ViolationCount > 0 && r.Invariants[i].Name != "checkpoint_continued" {
			names = append(names, r.Invariants[i].Name)
		}
	}
	return names
}

// An activity makes random transfers of all kinds.
type activity struct {
	l     *postgres.Ledger
	ids   []uuid.UUID
	r     *rand.Rand
	clock *ledgertest.Clock // nil: time passes by itself
	made  []uuid.UUID       // since they were last forgotten
	all   []uuid.UUID
}

// act does something. What is refused is on record like everything else.
func (h *activity) act(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	what := h.r.IntN(11)
	known := uuid.Nil
	if what >= 5 && len(h.all) > 0 {
		known = h.all[max(0, len(h.all)-1-h.r.IntN(12))]
	}
	var o ledger.Outcome
	var refused *ledger.RefusedError
	switch {
	case what < 4 || known == uuid.Nil:
		o.Transfer, o.Replayed, o.Err = h.l.Transfer(ctx, h.params())
	case what == 4:
		var outcomes []ledger.Outcome
		outcomes, o.Err = h.l.TransferBatch(ctx, []ledger.TransferParams{h.params(), h.params(), h.params()}, ledger.BatchOptions{Atomic: true})
		for i := range outcomes {
			h.remember(outcomes[i].Transfer.ID)
		}
	case what < 7:
		o.Transfer, _, o.Replayed, o.Err = h.l.Post(ctx, ledger.PostParams{HoldID: known, ID: uuid.New(), Amount: h.someOf(), Final: h.r.IntN(3) == 0})
	case what < 9:
		o.Transfer, _, o.Replayed, o.Err = h.l.Reverse(ctx, ledger.ReverseParams{TransferID: known, ID: uuid.New(), Amount: h.someOf(), Force: h.r.IntN(2) == 0})
	case what == 9:
		if _, _, err := h.l.Void(ctx, known, false); err != nil && !errors.As(err, &refused) {
			t.Errorf("void: %v", err)
		}
	default:
		if h.clock != nil {
			h.clock.Step(time.Duration(h.r.IntN(3000)) * time.Millisecond)
		}
		o = h.l.Settle(ctx, known)
		o.Transfer.ID = uuid.Nil // it may be the known one
	}
	if o.Err != nil {
		t.Errorf("a caller heard %v", o.Err)
	} else if o.Transfer.ID != uuid.Nil && !o.Replayed {
		h.remember(o.Transfer.ID)
	}
}

func (h *activity) remember(id uuid.UUID) {
	h.made = append(h.made, id)
	h.all = append(h.all, id)
}

// someOf is an amount of what is left, or all of it.
func (h *activity) someOf() decimal.NullDecimal {
	if h.r.IntN(2) == 0 {
		return decimal.NullDecimal{}
	}
	return decimal.NewNullDecimal(decimal.NewFromInt(1 + h.r.Int64N(9)))
}

func (h *activity) params() ledger.TransferParams {
	from, to := h.r.IntN(len(h.ids)), h.r.IntN(len(h.ids)-1)
	if to >= from {
		to++
	}
	p := ledger.TransferParams{ID: uuid.New(), From: h.ids[from], To: h.ids[to], Amount: decimal.NewFromInt(1 + h.r.Int64N(30))}
	life := time.Duration(1+h.r.IntN(3000)) * time.Millisecond
	switch now := time.Now().Add(time.Minute); h.r.IntN(8) {
	case 0, 1:
		p.Options = &ledger.TransferOptions{Hold: true, HoldTTL: life}
	case 2:
		p.Options = &ledger.TransferOptions{Hold: true}
	case 3:
		if h.clock != nil {
			now = h.clock.Now()
		}
		p.Options = &ledger.TransferOptions{ExecuteTime: now.Add(life)}
	case 4:
		p.Options = &ledger.TransferOptions{UpTo: true}
	}
	return p
}
