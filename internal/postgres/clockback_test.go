package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/internal/proof"
	"internaltransfers/ledger"
)

// A hold that has expired, and that no worker has ended, reserves nothing wherever it is shown: on
// its accounts, on itself and in lists. Else it is as it was recorded.
func TestExpiredHoldReservesNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := pgtest.NewDatabase(t)
	clock := ledgertest.StopClock(t, url)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	ids := ledgertest.OpenAccounts(t, l, 3, 100)
	hold := ledgertest.NewHold(t, l, ids[0], ids[1], 10, ledger.TransferOptions{HoldTTL: 30 * time.Second})
	kept := ledgertest.NewHold(t, l, ids[0], ids[1], 3, ledger.TransferOptions{})
	if _, _, _, err := l.Post(ctx, ledger.PostParams{HoldID: hold.ID, Amount: decimal.NewNullDecimal(ledgertest.Amount("4"))}); err != nil {
		t.Fatal(err)
	}
	// The money suffices, so that nothing needs the hold ended.
	commit := func() {
		ledgertest.Pay(t, l, ledger.TransferParams{From: ids[0], To: ids[2], Amount: ledgertest.Amount("1")})
	}
	require := func(reserved string) {
		t.Helper()
		for _, got := range shownHolds(t, l, hold.ID, ids[0], ids[1]) {
			if got != "INIT v2 open "+reserved+" posted 4" {
				t.Errorf("at %s the hold is %s, want %s open", clock.Now(), got, reserved)
			}
		}
		payer, payee := ledgertest.Must(l.GetAccount(ctx, ids[0])), ledgertest.Must(l.GetAccount(ctx, ids[1]))
		want := ledgertest.Amount(reserved).Add(ledgertest.Amount("3"))
		if !payer.Held.Equal(want) || !payee.Incoming.Equal(want) {
			t.Errorf("at %s there are %s held and %s incoming, want %s", clock.Now(), payer.Held, payee.Incoming, want)
		}
		if at := ledgertest.Must(l.GetAccountAt(ctx, ids[0], clock.Now())); !at.Held.Equal(want) {
			t.Errorf("as of %s there are %s held, want %s", clock.Now(), at.Held, want)
		}
	}
	for _, step := range []struct {
		by       time.Duration
		reserved string
	}{{0, "6"}, {30*time.Second - time.Microsecond, "6"}, {time.Microsecond, "0"}, {time.Hour, "0"}, {-2 * time.Hour, "6"}, {2 * time.Hour, "0"}} {
		clock.Step(step.by)
		require(step.reserved)
		commit()
		require(step.reserved)
	}
	if got := ledgertest.Must(l.GetTransfer(ctx, kept.ID)); !got.Detail.Open.Decimal.Equal(ledgertest.Amount("3")) {
		t.Errorf("a hold that does not expire has %s", got.Detail.Open.Decimal)
	}
	for _, e := range ledgertest.AllEvents(t, l, 100) {
		if e.Transfer != nil && e.Transfer.ID == hold.ID && !e.Transfer.Detail.Open.Decimal.IsPositive() {
			t.Errorf("event %d has become %s", e.Position, ledgertest.Spell(e.Transfer))
		}
	}
	capture, ended, _, err := l.Post(ctx, ledger.PostParams{HoldID: hold.ID})
	if err != nil || capture.Reason != ledger.HoldExpired || ended.Status != ledger.TransferFailed {
		t.Errorf("captured as %s %s, %v", capture.Status, capture.Reason, err)
	}
	for _, got := range shownHolds(t, l, hold.ID, ids[0], ids[1]) {
		if got != "FAILED v3 open 0 posted 4" {
			t.Errorf("the hold that was ended is %s", got)
		}
	}
}

// shownHolds is a hold as every read shows it.
func shownHolds(t *testing.T, l *postgres.Ledger, id, from, to uuid.UUID) (shown []string) {
	t.Helper()
	spelled := func(h *ledger.Transfer) {
		shown = append(shown, fmt.Sprintf("%s v%d open %s posted %s", h.Status, h.Version, h.Detail.Open.Decimal, h.Detail.Posted.Decimal))
	}
	got := ledgertest.Must(l.GetTransfer(context.Background(), id))
	spelled(&got)
	for _, f := range []postgres.TransferFilter{
		{}, {AccountID: from}, {AccountID: to}, {Status: got.Status}, {AccountID: from, Status: got.Status}, {Currency: "USD"},
	} {
		list, _, err := l.ListTransfers(context.Background(), f, paging.Page{Size: 1000})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(list, func(t ledger.Transfer) bool { return t.ID == id })
		if i < 0 {
			t.Fatalf("the hold is not listed by %+v", f)
		}
		spelled(&list[i])
	}
	return shown
}

// What is stored is past: after the clock was set back an hour, an account as of now, its
// default statement and the default activity have all of it, and the past is as it was recorded.
func TestClockSetBackHidesNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := pgtest.NewDatabase(t)
	clock := ledgertest.StopClock(t, url)
	clock.Step(time.Minute)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	opened := clock.Now()
	a := ledgertest.OpenAccount(t, l, ledger.AccountParams{InitialBalance: ledgertest.Amount("1000")}).ID
	b := ledgertest.OpenAccount(t, l, ledger.AccountParams{}).ID
	clock.Step(10 * time.Minute)
	ledgertest.Pay(t, l, ledger.TransferParams{From: a, To: b, Amount: ledgertest.Amount("50")})
	clock.Step(10 * time.Minute)
	ledgertest.Pay(t, l, ledger.TransferParams{From: a, To: b, Amount: ledgertest.Amount("30")})
	last := clock.Now()
	past := func() {
		t.Helper()
		for minutes, want := range map[time.Duration]string{0: "1000", 5: "1000", 10: "950", 19: "950", 20: "920"} {
			if got, err := l.GetAccountAt(ctx, a, opened.Add(minutes*time.Minute)); err != nil || got.Balance.String() != want {
				t.Errorf("after %d minutes there were %s, %v, want %s", minutes, got.Balance, err, want)
			}
		}
	}
	clock.Step(-time.Hour)
	for _, about := range []time.Duration{0, -10 * time.Second, 10 * time.Second} {
		if got, err := l.GetAccountAt(ctx, a, clock.Now().Add(about)); err != nil || got.Balance.String() != "920" || got.Available().String() != "920" {
			t.Errorf("as of %v from now there are %s, %v", about, got.Balance, err)
		}
	}
	past()
	if _, err := l.GetAccountAt(ctx, a, last.Add(time.Microsecond)); errorText(err) != "invalid as_of" {
		t.Errorf("as of what is to come: %v", err)
	}
	if _, err := l.GetAccountAt(ctx, a, clock.Now().Add(-10*time.Second-time.Microsecond)); errorText(err) != "missing" {
		t.Errorf("as of before it was opened: %v", err)
	}
	requireWholeStatement(t, l, a, opened)
	if entries, _, err := l.ListEntries(ctx, postgres.EntryFilter{AccountID: a}, paging.Page{}); err != nil || len(entries) != 3 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	requireSteps(t, lately(t, l, time.Minute, time.Second), "0: 3 0 1080.00 USD")
	requireSteps(t, lately(t, l, time.Hour, time.Minute), "0: 3 0 1080.00 USD")

	// What comes now counts as made at the accounts' last moment, until the clock is there.
	ledgertest.Pay(t, l, ledger.TransferParams{From: a, To: b, Amount: ledgertest.Amount("20")})
	if got := ledgertest.Must(l.GetAccountAt(ctx, a, clock.Now())); got.Balance.String() != "900" {
		t.Errorf("as of now there are %s", got.Balance)
	}
	requireSteps(t, lately(t, l, time.Minute, time.Second), "0: 4 0 1100.00 USD")
	clock.Step(2 * time.Hour)
	if s, _, err := streamed(l, postgres.StatementFilter{AccountID: a, Start: opened}); err != nil || s.Closing.String() != "900" || !s.End.Equal(clock.Now()) {
		t.Errorf("the statement ends at %s with %s, %v", s.End, s.Closing, err)
	}
}

// requireWholeStatement fails the test unless the default statement of an account, with three
// entries and 920 after them, has them all, and is the same when it is read again.
func requireWholeStatement(t *testing.T, l *postgres.Ledger, a uuid.UUID, opened time.Time) {
	t.Helper()
	for _, effective := range []bool{false, true} {
		f := postgres.StatementFilter{AccountID: a, Start: opened, Effective: effective}
		s, entries, err := streamed(l, f)
		if err != nil || s.Closing.String() != "920" || len(entries) != 3 {
			t.Errorf("the default statement (effective %t) ends with %s after %d entries, %v", effective, s.Closing, len(entries), err)
		}
		f.End, f.Position = s.End, &s.Position
		if again, _, err := streamed(l, f); err != nil || headText(&again) != headText(&s) {
			t.Errorf("asked for again it is %s, %v; was %s", headText(&again), err, headText(&s))
		}
		f.End = s.End.Add(time.Microsecond)
		if _, _, err := streamed(l, f); errorText(err) != "invalid end_time" {
			t.Errorf("a statement until what is to come: %v", err)
		}
		f.Start, f.End = s.End.Add(time.Microsecond), time.Time{}
		if _, _, err := streamed(l, f); errorText(err) != "invalid start_time" {
			t.Errorf("a statement of what is to come: %v", err)
		}
	}
}

// An account that is ahead of the clock, because that was set back, takes nothing from those in the
// same batch: their holds last, their blocks stand, their limits count. A time in the future is one
// by the clock.
func TestAccountAheadOfTheClock(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := pgtest.NewDatabase(t)
	clock := ledgertest.StopClock(t, url)
	clock.Step(time.Minute)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	ids := ledgertest.OpenAccounts(t, l, 3, 100)
	payer, payee, ahead := ids[0], ids[1], ids[2]
	clock.Step(time.Second)
	hold := ledgertest.NewHold(t, l, payer, payee, 10, ledger.TransferOptions{HoldTTL: 30 * time.Minute})
	block := ledger.Block{Reason: "a court", End: new(clock.Now().Add(30 * time.Minute))}
	limits := []ledger.Limit{{Window: 30 * time.Minute, MaxAmount: new(ledgertest.Amount("40"))}}
	if _, err := l.UpdateAccount(ctx, ledger.AccountChange{ID: payer, Limits: &limits}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.UpdateAccount(ctx, ledger.AccountChange{ID: payee, DebitBlock: &ledger.OptionalBlock{Block: &block}}); err != nil {
		t.Fatal(err)
	}
	ledgertest.Pay(t, l, ledger.TransferParams{From: payer, To: payee, Amount: ledgertest.Amount("25")})
	clock.Step(time.Hour)
	ledgertest.Pay(t, l, ledger.TransferParams{From: ahead, To: ledgertest.OpenAccounts(t, l, 1, 0)[0], Amount: ledgertest.Amount("1")})
	clock.Step(-time.Hour)

	outcomes, err := l.TransferBatch(ctx, []ledger.TransferParams{
		{From: ahead, To: payee, Amount: ledgertest.Amount("1")},
		{From: payee, To: ahead, Amount: ledgertest.Amount("1")},
		{From: payer, To: ahead, Amount: ledgertest.Amount("6")},
		{From: payer, To: ahead, Amount: ledgertest.Amount("5")},
		{From: payer, To: ahead, Amount: ledgertest.Amount("0.01"), Options: &ledger.TransferOptions{ExecuteTime: clock.Now().Add(time.Second)}},
		{From: ahead, To: payee, Amount: ledgertest.Amount("3"), Options: &ledger.TransferOptions{Hold: true, ExpireTime: clock.Now().Add(time.Minute)}},
		{From: ahead, To: payee, Amount: ledgertest.Amount("4"), Options: &ledger.TransferOptions{Hold: true, HoldTTL: time.Minute}},
		{From: ahead, To: payee, Amount: ledgertest.Amount("4"), Options: &ledger.TransferOptions{ExecuteTime: clock.Now()}},
	}, ledger.BatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	requireOutcomes(t, outcomes, "SUCCESS", "FAILED DEBITS_BLOCKED", "FAILED AMOUNT_LIMIT_EXCEEDED", "SUCCESS", "INIT", "INIT", "INIT",
		"invalid execute_time")
	requireHeld := func(want string) {
		t.Helper()
		for _, moment := range []time.Time{clock.Now(), ledgertest.Must(l.GetAccount(ctx, ahead)).UpdateTime} {
			if got, err := l.GetAccountAt(ctx, ahead, moment); err != nil || got.Held.String() != want {
				t.Errorf("as of %s %s are held, %v, want %s", moment, got.Held, err, want)
			}
		}
		if got := ledgertest.Must(l.GetAccount(ctx, ahead)).Held; got.String() != want {
			t.Errorf("%s are held, want %s", got, want)
		}
	}
	requireHeld("7")
	clock.Step(time.Minute - time.Microsecond)
	requireHeld("7")
	clock.Step(time.Microsecond)
	requireHeld("0")
	capture, _, _, err := l.Post(ctx, ledger.PostParams{HoldID: outcomes[6].Transfer.ID})
	if err != nil || capture.Reason != ledger.HoldExpired {
		t.Errorf("a hold was captured when it had expired: %s %s, %v", capture.Status, capture.Reason, err)
	}
	if capture, _, _, err := l.Post(ctx, ledger.PostParams{HoldID: hold.ID}); err != nil || capture.Status != ledger.TransferSuccess {
		t.Errorf("a hold that lasts is not captured: %s %s, %v", capture.Status, capture.Reason, err)
	}
}

// requireOutcomes compares statuses and reasons, or errors.
func requireOutcomes(t *testing.T, outcomes []ledger.Outcome, want ...string) {
	t.Helper()
	for i := range outcomes {
		o := &outcomes[i]
		got := strings.TrimSpace(string(o.Transfer.Status) + " " + string(o.Transfer.Reason))
		if o.Err != nil {
			got = errorText(o.Err)
		}
		if got != want[i] {
			t.Errorf("transfer %d: %s, want %s", i, got, want[i])
		}
	}
}

// An account that is opened from an equity account ahead of the clock says when it last changed.
func TestOpenedAheadOfTheClock(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	clock := ledgertest.StopClock(t, url)
	clock.Step(time.Hour)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	ledgertest.OpenAccounts(t, l, 1, 100)
	clock.Step(-30 * time.Minute)
	for _, balance := range []string{"5", "0"} {
		opened := ledgertest.OpenAccount(t, l, ledger.AccountParams{InitialBalance: ledgertest.Amount(balance)})
		read := ledgertest.Must(l.GetAccount(t.Context(), opened.ID))
		if !opened.UpdateTime.Equal(read.UpdateTime) || !opened.CreateTime.Equal(read.CreateTime) {
			t.Errorf("opened with %s at %s, %s; read %s, %s", balance, opened.CreateTime, opened.UpdateTime, read.CreateTime, read.UpdateTime)
		}
		if got := ledgertest.Must(l.GetAccountAt(t.Context(), opened.ID, clock.Now())); got.Balance.String() != balance {
			t.Errorf("as of now there are %s, want %s", got.Balance, balance)
		}
	}
}

// A schedule that is resumed after the clock was set back neither makes nor counts again what was
// made before it was paused.
func TestResumeAfterClockSetBack(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	y := newYard(t, postgres.Config{})
	w := y.l.NewWorker()
	at := func(minutes int) { y.clock.Set(y.begin.Add(time.Duration(minutes) * time.Minute)); y.round(w) }
	s := y.order(nil)
	at(45)
	y.require("before", s.ID, ledger.ScheduleActive, 50, 0, 10, 20, 30, 40)
	at(-15)
	y.require("active, set back", s.ID, ledger.ScheduleActive, 50, 0, 10, 20, 30, 40)
	ledgertest.Must(y.l.PauseSchedule(ctx, s.ID, false))
	ledgertest.Must(y.l.ResumeSchedule(ctx, s.ID, false))
	y.require("resumed", s.ID, ledger.ScheduleActive, 50, 0, 10, 20, 30, 40)
	at(50)
	ledgertest.Must(y.l.PauseSchedule(ctx, s.ID, false))
	ledgertest.Must(y.l.ResumeSchedule(ctx, s.ID, false))
	y.require("resumed at the moment of one that was made", s.ID, ledger.ScheduleActive, 60, 0, 10, 20, 30, 40, 50)
	at(60)
	y.require("on", s.ID, ledger.ScheduleActive, 70, 0, 10, 20, 30, 40, 50, 60)
}

// The last proof's result is shown also when the clock was set back since the one before.
func TestProofAfterClockSetBack(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	clock := ledgertest.StopClock(t, url)
	l := ledgertest.OpenPrivate(t, url, postgres.Config{Logger: ledgertest.Silent})
	id := ledgertest.OpenAccounts(t, l, 1, 100)[0]
	ledgertest.Must(l.Proofs.Check(t.Context(), proof.Options{}))
	clock.Step(-time.Hour)
	ledgertest.Execute(t, ledgertest.Connect(t, url), "UPDATE account SET held = 1 WHERE account_id = $1", id)
	ledgertest.Must(l.Proofs.Check(t.Context(), proof.Options{}))
	l.Rested()
	if s := ledgertest.Must(l.GetStatus(t.Context())); s.Proof == nil || !s.Proof.Time.Equal(clock.Now()) || len(s.Proof.Broken) == 0 {
		t.Errorf("the last proof is %+v, and not that of %s", s.Proof, clock.Now())
	}
}

// A rolling limit counts what was paid while the clock was ahead until the clock is a window past
// that time. Until then a wider limit lets the account pay.
func TestLimitAfterClockSetBack(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	clock := ledgertest.StopClock(t, url)
	clock.Step(time.Minute)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	ids := ledgertest.OpenAccounts(t, l, 2, 100)
	limit := func(most string) {
		t.Helper()
		limits := []ledger.Limit{{Window: time.Minute, MaxAmount: new(ledgertest.Amount(most))}}
		if _, err := l.UpdateAccount(t.Context(), ledger.AccountChange{ID: ids[0], Limits: &limits}); err != nil {
			t.Fatal(err)
		}
	}
	require := func(want ...string) {
		t.Helper()
		outcomes, err := l.TransferBatch(t.Context(), []ledger.TransferParams{
			{From: ids[0], To: ids[1], Amount: ledgertest.Amount("10")},
		}, ledger.BatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		requireOutcomes(t, outcomes, want...)
	}
	limit("10")
	clock.Step(3 * time.Hour)
	require("SUCCESS")
	clock.Step(-3 * time.Hour)
	require("FAILED AMOUNT_LIMIT_EXCEEDED")
	clock.Step(2 * time.Minute)
	require("FAILED AMOUNT_LIMIT_EXCEEDED")
	limit("20")
	require("SUCCESS")
	limit("10")
	clock.Step(2*time.Hour + 59*time.Minute - time.Microsecond)
	require("FAILED AMOUNT_LIMIT_EXCEEDED")
	clock.Step(time.Microsecond)
	require("SUCCESS")
}
