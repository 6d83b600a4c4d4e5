package proof_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/internal/proof"
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
	report, err := l.Proofs.Check(ctx, proof.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ledgertest.RequireProof(t, report, true)
	if _, _, _, err := l.Reverse(ctx, ledger.ReverseParams{TransferID: one}); err != nil {
		t.Fatal(err)
	}
	if report, err = l.Proofs.Check(ctx, proof.Options{Incremental: true}); err != nil || report.CheckpointTime.IsZero() {
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
	check := func(incremental, sound bool) proof.Report {
		t.Helper()
		report, err := l.Proofs.Check(ctx, proof.Options{Incremental: incremental})
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
		i := slices.IndexFunc(r.Invariants, func(i proof.Invariant) bool { return i.Name == "running_balances_continuous" })
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
		r, err := l.Proofs.Check(context.Background(), proof.Options{Incremental: true})
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
		var steps []proof.Progress
		r, err := l.Proofs.Check(context.Background(), proof.Options{
			Incremental: c.incremental, Progress: func(p proof.Progress) { steps = append(steps, p) },
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
		report, err := l.Proofs.Check(ctx, proof.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ledgertest.RequireProof(t, report, true)
		if err := late.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		report, err = l.Proofs.Check(ctx, proof.Options{Incremental: true})
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
