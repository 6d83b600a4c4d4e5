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
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// TestIncrementalTakesTheOldForGranted: what an incremental proof does not look at is what was
// final at the checkpoint, and that only; a full one looks at it.
func TestIncrementalTakesTheOldForGranted(t *testing.T) {
	t.Parallel()
	p := newProven(t)
	for _, c := range []struct {
		name, sql string
		found     bool
	}{
		{"an old amount", `UPDATE transfer SET amount = 11 WHERE transfer_id = {old first}`, false},
		{"an old running balance", `UPDATE transfer SET from_balance = 1 WHERE transfer_id = {old first}`, false},
		{"an old row lost", `DELETE FROM transfer WHERE transfer_id = {old first}`, false},
		{"an old refusal lost", `DELETE FROM transfer WHERE transfer_id = {old refused hold}`, false},
		{"an old capture", `UPDATE transfer_detail SET posted_amount = 3 WHERE transfer_id = {old spent}`, false},
		{"an old group", `UPDATE transfer SET status = 'FAILED', error_reason = 'x' WHERE transfer_id = {old one}`, false},
		{"an old row twice", copied("create_time"), false},
		{"an old row twice, now", copied("ledger_now()"), true},
		{"an old amount that was held", `UPDATE transfer SET amount = 21 WHERE transfer_id = {old hold}`, true},
		{"an old capture of what is still held", `UPDATE transfer SET amount = 6 WHERE transfer_id = {old capture}`, true},
		{"an ended hold that is pending", `UPDATE transfer SET status = 'INIT', error_reason = NULL WHERE transfer_id = {old voided}`, true},
		{"an old balance", `UPDATE account SET balance = 8 WHERE account_id = {E}`, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.exec(t, c.sql)
			defer p.exec(t, restore)
			ledgertest.RequireProof(t, p.check(t, true), !c.found)
			ledgertest.RequireProof(t, p.check(t, false), false)
		})
	}
}

// copied makes an old row again, at a time.
func copied(at string) string {
	return `INSERT INTO transfer (transfer_id, from_account_id, to_account_id, amount, currency, asked_currency, status, from_balance,
		to_balance, from_sequence, to_sequence, create_time, update_time) SELECT {new}, from_account_id, to_account_id, amount,
		currency, asked_currency, status, from_balance, to_balance, from_sequence, to_sequence, ` + at + `, update_time
		FROM transfer WHERE transfer_id = {old first}`
}

// TestIncrementalProofOfPartOfAGroup: what is made of one transfer of an old group does not make
// the proof miss the others, which nothing new is about.
func TestIncrementalProofOfPartOfAGroup(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l := ledgertest.Open(t, postgres.Config{})
	a, b := ledgertest.OpenAccount(t, l, ledger.AccountParams{InitialBalance: ledgertest.Amount("50")}), ledgertest.OpenAccount(t, l, ledger.AccountParams{})
	one, two := uuid.New(), uuid.New()
	_, err := l.TransferBatch(ctx, []ledger.TransferParams{
		{ID: one, From: a.ID, To: b.ID, Amount: ledgertest.Amount("5")}, {ID: two, From: a.ID, To: b.ID, Amount: ledgertest.Amount("6")},
	}, ledger.BatchOptions{Atomic: true})
	if err == nil {
		// The last transfer of an account before the checkpoint is always proved again.
		_, _, err = l.Transfer(ctx, ledger.TransferParams{From: a.ID, To: b.ID, Amount: ledgertest.Amount("1")})
	}
	if err != nil {
		t.Fatal(err)
	}
	report, err := l.Check(ctx, postgres.CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ledgertest.RequireProof(t, report, true)
	if _, _, _, err := l.Reverse(ctx, ledger.ReverseParams{TransferID: one}); err != nil {
		t.Fatal(err)
	}
	if report, err = l.Check(ctx, postgres.CheckOptions{Incremental: true}); err != nil || report.CheckpointTime.IsZero() {
		t.Fatalf("%v, from %v", err, report.CheckpointTime)
	}
	ledgertest.RequireProof(t, report, true)
}

// TestCheckpoint: a proof that succeeds is gone on from, and none that failed. A full proof that
// failed leaves nothing to go on from.
func TestCheckpoint(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	conn := ledgertest.Connect(t, url)
	check := func(incremental, sound bool) postgres.Report {
		t.Helper()
		report, err := l.Check(ctx, postgres.CheckOptions{Incremental: incremental})
		if err != nil {
			t.Fatal(err)
		}
		ledgertest.RequireProof(t, report, sound)
		return report
	}
	before := check(true, true)
	if !before.CheckpointTime.IsZero() {
		t.Errorf("the first proof went on from %v", before.CheckpointTime)
	}
	for range 2 {
		a := ledgertest.OpenAccount(t, l, ledger.AccountParams{InitialBalance: ledgertest.Amount("5")})
		after := check(true, true)
		if !after.CheckpointTime.Equal(before.Time) || !after.Time.After(before.Time) {
			t.Errorf("a proof at %v went on from %v, but the last was at %v", after.Time, after.CheckpointTime, before.Time)
		}
		before = after
		ledgertest.Execute(t, conn, "UPDATE account SET held = 1 WHERE account_id = $1", a.ID)
		for range 2 {
			if r := check(true, false); !r.CheckpointTime.Equal(before.Time) {
				t.Errorf("a proof went on from %v, but the last that succeeded was at %v", r.CheckpointTime, before.Time)
			}
		}
		ledgertest.Execute(t, conn, "UPDATE account SET held = 0 WHERE account_id = $1", a.ID)
	}
	if full := check(false, true); !full.CheckpointTime.IsZero() {
		t.Errorf("a full proof went on from %v", full.CheckpointTime)
	}
	ledgertest.Execute(t, conn, "UPDATE account SET held = 1 WHERE NOT is_equity")
	check(false, false)
	if r := check(true, false); !r.CheckpointTime.IsZero() {
		t.Errorf("after a full proof that failed, one went on from %v", r.CheckpointTime)
	}
	ledgertest.Execute(t, conn, "UPDATE account SET held = 0 WHERE NOT is_equity")
	check(true, true)
	ledgertest.OpenAccount(t, l, ledger.AccountParams{InitialBalance: ledgertest.Amount("5")})
	for _, examined := range []int64{2, 0} { // the two entries of the opening, once
		r := check(true, true)
		i := slices.IndexFunc(r.Invariants, func(i postgres.Invariant) bool { return i.Name == "running_balances_continuous" })
		if r.CheckpointTime.IsZero() || r.Invariants[i].Examined != examined {
			t.Errorf("a proof went on from %v and examined %d entries, not %d", r.CheckpointTime, r.Invariants[i].Examined, examined)
		}
	}
}

// TestCheckWithoutWriting: a proof stands also where no checkpoint can be kept.
func TestCheckWithoutWriting(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	l := ledgertest.OpenPrivate(t, url, postgres.Config{Logger: ledgertest.Silent})
	ledgertest.Execute(t, ledgertest.Connect(t, url), `ALTER TABLE checkpoint ADD CONSTRAINT nothing CHECK (snapshot_time IS NULL)`)
	for range 2 {
		r, err := l.Check(context.Background(), postgres.CheckOptions{Incremental: true})
		if err != nil || !r.OK() || !r.CheckpointTime.IsZero() {
			t.Errorf("got %+v, %v", r, err)
		}
	}
}

// TestCheckProgress: Progress is called for each step before it begins.
func TestCheckProgress(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	for _, c := range []struct {
		incremental bool
		other       []string // steps that are no invariant
	}{
		{false, []string{"keep the checkpoint"}},
		{true, []string{"find what changed", "keep the checkpoint"}},
	} {
		var steps []postgres.Progress
		r, err := l.Check(context.Background(), postgres.CheckOptions{
			Incremental: c.incremental, Progress: func(p postgres.Progress) { steps = append(steps, p) },
		})
		if err != nil {
			t.Fatal(err)
		}
		want := slices.Clone(c.other)
		for i := range r.Invariants {
			want = append(want, r.Invariants[i].Name)
		}
		got := make([]string, 0, len(steps))
		for i, s := range steps {
			if s.Step != i+1 || s.Steps != len(want) || s.Elapsed < 0 || i > 0 && s.Elapsed < steps[i-1].Elapsed {
				t.Errorf("step %d of %d is reported as %+v", i+1, len(want), s)
			}
			got = append(got, s.Name)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("incremental %v: steps %v, want %v", c.incremental, got, want)
		}
	}
}

// TestIncrementalSeesLateCommits: a transfer that was decided before a checkpoint and committed
// after it is proved by the next proof, though a newer one of other accounts is in the checkpoint.
func TestIncrementalSeesLateCommits(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, wrong := range []string{"0", "1"} { // what the late transfer's running balance is off by
		url := pgtest.NewDatabase(t)
		l := ledgertest.OpenPrivate(t, url, postgres.Config{Logger: ledgertest.Silent})
		ids := ledgertest.OpenAccounts(t, l, 4, 100)
		late, err := ledgertest.Connect(t, url).Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		lateTransfer(t, late, ids[0], ids[1], wrong)
		ledgertest.Pay(t, l, ledger.TransferParams{From: ids[2], To: ids[3], Amount: decimal.NewFromInt(1)})
		report, err := l.Check(ctx, postgres.CheckOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ledgertest.RequireProof(t, report, true)
		if err := late.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		report, err = l.Check(ctx, postgres.CheckOptions{Incremental: true})
		if err != nil || report.CheckpointTime.IsZero() {
			t.Fatalf("%+v, %v", report, err)
		}
		ledgertest.RequireProof(t, report, wrong == "0")
		for i := range report.Invariants {
			inv := &report.Invariants[i]
			if broken := inv.ViolationCount > 0; broken != (wrong != "0" && inv.Name == "running_balances_continuous") {
				t.Errorf("off by %s: %s", wrong, inv)
			}
		}
	}
}

// lateTransfer moves 1, as the service does, in a transaction that the test commits.
func lateTransfer(t *testing.T, tx pgx.Tx, from, to uuid.UUID, wrong string) {
	t.Helper()
	_, err := tx.Exec(context.Background(), `WITH moved AS (
			UPDATE account SET balance = balance + CASE account_id WHEN $1 THEN -1 ELSE 1 END, entry_count = entry_count + 1,
				version = version + 1, update_time = greatest(update_time, clock_timestamp())
			WHERE account_id IN ($1, $2) RETURNING account_id, balance, entry_count, update_time)
		INSERT INTO transfer (transfer_id, from_account_id, to_account_id, amount, currency, asked_currency, status, from_balance,
			to_balance, from_sequence, to_sequence, create_time, update_time)
		SELECT gen_random_uuid(), f.account_id, t.account_id, 1, 'USD', '', 'SUCCESS', f.balance + $3::numeric, t.balance,
			f.entry_count, t.entry_count, greatest(f.update_time, t.update_time), greatest(f.update_time, t.update_time)
		FROM moved AS f, moved AS t WHERE f.account_id = $1 AND t.account_id = $2`, from, to, wrong)
	if err != nil {
		t.Fatalf("move money late: %v", err)
	}
}

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
				report, err := servers[worker%2].Check(context.Background(), postgres.CheckOptions{Incremental: r.IntN(4) > 0})
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
func checkBoth(t *testing.T, l *postgres.Ledger, incremental ...bool) []postgres.Report {
	t.Helper()
	var reports []postgres.Report
	for _, i := range incremental {
		report, err := l.Check(context.Background(), postgres.CheckOptions{Incremental: i})
		if err != nil {
			t.Fatalf("check the ledger: %v", err)
		}
		reports = append(reports, report)
	}
	return reports
}

// brokenNames are the invariants that are broken, but for the one that only an incremental proof
// has.
func brokenNames(r postgres.Report) []string {
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
	clock *ledgertest.TestClock // nil: time passes by itself
	made  []uuid.UUID           // since they were last forgotten
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
