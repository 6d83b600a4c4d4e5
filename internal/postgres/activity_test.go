package postgres_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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

func lately(t *testing.T, l *postgres.Ledger, window, step time.Duration) postgres.Activity {
	t.Helper()
	l.Rested()
	a, err := l.GetActivity(t.Context(), window, step)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// stepTexts spells the steps that are not empty, each with its number, counted back from
// the last one.
func stepTexts(a postgres.Activity) []string {
	var texts []string
	for i := range a.Steps {
		s := &a.Steps[i]
		text := fmt.Sprintf("%d: %d %d", len(a.Steps)-1-i, s.Success, s.Init)
		for _, reason := range slices.Sorted(maps.Keys(s.Refusals)) {
			text += fmt.Sprintf(" %s=%d", reason, s.Refusals[reason])
		}
		for _, code := range slices.Sorted(maps.Keys(s.Volumes)) {
			text += fmt.Sprintf(" %s %s", s.Volumes[code].Amount.StringFixed(s.Volumes[code].Scale), code)
		}
		if !strings.HasSuffix(text, ": 0 0") {
			texts = append(texts, text)
		}
	}
	return texts
}

func requireSteps(t *testing.T, a postgres.Activity, want ...string) {
	t.Helper()
	if got := stepTexts(a); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Every transfer counts once, in the second it was made in, for what it was then.
func TestActivityCounts(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	clock := ledgertest.StopClock(t, url)
	a := ledgertest.OpenAccount(t, l, ledger.AccountParams{InitialBalance: ledgertest.Amount("100")})
	b := ledgertest.OpenAccount(t, l, ledger.AccountParams{})
	y := ledgertest.OpenAccount(t, l, ledger.AccountParams{Currency: "JPY", InitialBalance: ledgertest.Amount("5000")})
	transfer := func(from, to uuid.UUID, value string, options *ledger.TransferOptions) ledger.Transfer {
		t.Helper()
		made, _, err := l.Transfer(t.Context(), ledger.TransferParams{From: from, To: to, Amount: ledgertest.Amount(value), Options: options})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	clock.Step(time.Second) // second 3 before the last
	transfer(a.ID, b.ID, "1.25", nil)
	transfer(a.ID, b.ID, "2.50", nil)
	transfer(a.ID, b.ID, "500", nil)
	transfer(a.ID, b.ID, "500", nil)
	transfer(a.ID, y.ID, "1", nil)
	transfer(a.ID, b.ID, "500", &ledger.TransferOptions{Hold: true})
	hold := transfer(a.ID, b.ID, "10", &ledger.TransferOptions{Hold: true})
	voided := transfer(a.ID, b.ID, "10", &ledger.TransferOptions{Hold: true})
	transfer(a.ID, b.ID, "3", &ledger.TransferOptions{ExecuteTime: clock.Now().Add(2 * time.Second)})
	clock.Step(time.Second) // second 2
	if _, _, _, err := l.Post(t.Context(), ledger.PostParams{HoldID: hold.ID, Amount: decimal.NewNullDecimal(ledgertest.Amount("4"))}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Void(t.Context(), voided.ID, false); err != nil {
		t.Fatal(err)
	}
	clock.Step(time.Second) // second 1
	if _, _, err := l.NewWorker().RunOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	clock.Step(time.Second)
	want := []string{
		"4: 2 0 5000 JPY 100.00 USD",
		"3: 2 3 CURRENCY_MISMATCH=1 INSUFFICIENT_FUNDS=3 3.75 USD",
		"2: 1 0 4.00 USD",
		"1: 1 0 3.00 USD",
	}
	requireSteps(t, lately(t, l, 0, 0), want...)
	// Once those seconds are over, they are the same.
	clock.Step(time.Minute)
	for i := range want {
		want[i] = fmt.Sprint(want[i][0]-'0'+60) + want[i][1:]
	}
	requireSteps(t, lately(t, l, 2*time.Minute, time.Second), want...)
	requireSteps(t, lately(t, l, 2*time.Minute, time.Second), want...)
	got := lately(t, l, 2*time.Minute, time.Minute)
	if len(got.Steps) != 2 || got.Step != time.Minute || got.Steps[1].Start != clock.Now().Truncate(time.Minute).UTC() ||
		got.Steps[0].Start != got.Steps[1].Start.Add(-time.Minute) {
		t.Errorf("by the minute: %+v", got)
	}
}

// insertRefused writes a refused transfer, as if it had been made at a time and was committed only
// now.
func insertRefused(t *testing.T, conn *pgx.Conn, at time.Time) {
	t.Helper()
	ledgertest.Execute(t, conn, `INSERT INTO transfer (transfer_id, from_account_id, to_account_id, amount, currency, asked_currency, create_time,
		update_time, status, error_reason) VALUES ($1, $2, $3, 1, 'USD', '', $4, $4, 'FAILED', 'FROM_ACCOUNT_NOT_FOUND')`,
		uuid.New(), uuid.New(), uuid.New(), at)
}

// A second that can still change is counted again until it cannot; then it is not read any more,
// unless the clock goes back.
func TestActivityOfLateCommits(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url, BatchTimeout: 10 * time.Second})
	clock, conn := ledgertest.StopClock(t, url), ledgertest.Connect(t, url)
	// No step of five minutes ends in what follows.
	clock.Set(clock.Now().Truncate(time.Hour).Add(time.Hour + time.Minute))
	start := clock.Now()
	requireSteps(t, lately(t, l, time.Minute, time.Second))
	for late := 1; late <= 10; late++ {
		clock.Step(time.Second)
		insertRefused(t, conn, start.Add(999*time.Millisecond))
		requireSteps(t, lately(t, l, time.Minute, time.Second), fmt.Sprintf("%d: 0 0 FROM_ACCOUNT_NOT_FOUND=%d", late, late))
	}
	clock.Step(2 * time.Second)
	requireSteps(t, lately(t, l, time.Minute, time.Second), "12: 0 0 FROM_ACCOUNT_NOT_FOUND=10")
	insertRefused(t, conn, start) // which no server does
	requireSteps(t, lately(t, l, time.Minute, time.Second), "12: 0 0 FROM_ACCOUNT_NOT_FOUND=10")

	// What was read while it could change is read again, however much later.
	insertRefused(t, conn, clock.Now())
	requireSteps(t, lately(t, l, time.Minute, time.Second), "12: 0 0 FROM_ACCOUNT_NOT_FOUND=10", "0: 0 0 FROM_ACCOUNT_NOT_FOUND=1")
	insertRefused(t, conn, clock.Now())
	clock.Step(10 * time.Minute)
	requireSteps(t, lately(t, l, time.Hour, 5*time.Minute), "2: 0 0 FROM_ACCOUNT_NOT_FOUND=12")

	clock.Step(-10 * time.Minute)
	requireSteps(t, lately(t, l, time.Minute, time.Second), "12: 0 0 FROM_ACCOUNT_NOT_FOUND=11", "0: 0 0 FROM_ACCOUNT_NOT_FOUND=2")
}

// A clock that went forward and back does not hide the present: the steps end at now, what is made
// now is in its own step, and what is stamped later is in the last one until the clock is there.
func TestActivityAfterClockSetBack(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	clock := ledgertest.StopClock(t, url)
	ids := ledgertest.OpenAccounts(t, l, 4, 100)
	clock.Step(time.Hour)
	requireSteps(t, lately(t, l, 0, 0))
	clock.Step(3 * time.Hour)
	ledgertest.Pay(t, l, ledger.TransferParams{From: ids[0], To: ids[1], Amount: ledgertest.Amount("1")})
	requireSteps(t, lately(t, l, 0, 0), "0: 1 0 1.00 USD")
	clock.Step(-3 * time.Hour)

	ledgertest.Pay(t, l, ledger.TransferParams{From: ids[2], To: ids[3], Amount: ledgertest.Amount("2")})
	clock.Step(time.Second)
	got := lately(t, l, 0, 0)
	if last := got.Steps[len(got.Steps)-1].Start; !last.Equal(clock.Now()) {
		t.Errorf("the last step begins at %s, not at %s", last, clock.Now())
	}
	requireSteps(t, got, "1: 1 0 2.00 USD", "0: 1 0 1.00 USD")
	ledgertest.Pay(t, l, ledger.TransferParams{From: ids[2], To: ids[3], Amount: ledgertest.Amount("4")})
	ledgertest.Pay(t, l, ledger.TransferParams{From: ids[2], To: ids[0], Amount: ledgertest.Amount("8")})
	clock.Step(time.Second)
	requireSteps(t, lately(t, l, 0, 0), "2: 1 0 2.00 USD", "1: 1 0 4.00 USD", "0: 2 0 9.00 USD")
	requireSteps(t, lately(t, l, time.Minute, 5*time.Minute), "0: 4 0 15.00 USD")

	clock.Step(3*time.Hour + 8*time.Second)
	requireSteps(t, lately(t, l, 0, 0), "10: 2 0 9.00 USD")
}

// An hour is counted in parts, each once, and all of it.
func TestActivityOfAnHour(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	clock, conn := ledgertest.StopClock(t, url), ledgertest.Connect(t, url)
	clock.Set(clock.Now().Truncate(time.Hour).Add(-time.Second)) // ends a step of any length
	ledgertest.Execute(t, conn, `INSERT INTO transfer (transfer_id, from_account_id, to_account_id, amount, currency, asked_currency, create_time,
		update_time, status, error_reason) SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, 'USD', '',
		$1::timestamptz - i * interval '1 second', $1, 'FAILED', 'FROM_ACCOUNT_NOT_FOUND' FROM generate_series(0, 3700) AS i`, clock.Now())
	for _, test := range []struct {
		window, step, want time.Duration
		steps              int
	}{
		{time.Hour, 0, 30 * time.Second, 120},
		{time.Hour, 5 * time.Minute, 5 * time.Minute, 12},
		{0, 0, time.Second, 60},
		{121 * time.Second, 0, 2 * time.Second, 61},
		{120 * time.Second, 0, time.Second, 120},
		{1500 * time.Millisecond, 0, time.Second, 2},
		{time.Second, 5 * time.Minute, 5 * time.Minute, 1},
		{time.Second, time.Second, time.Second, 1},
	} {
		a := lately(t, l, test.window, test.step)
		if len(a.Steps) != test.steps || a.Step != test.want {
			t.Errorf("%v by %v: %d steps of %v, want %d of %v", test.window, test.step, len(a.Steps), a.Step, test.steps, test.want)
		}
		for i := range a.Steps {
			want := clock.Now().Add(time.Second - time.Duration(len(a.Steps)-i)*a.Step)
			s := &a.Steps[i]
			if n := s.Refusals[ledger.FromAccountNotFound]; !s.Start.Equal(want) || n != int64(a.Step/time.Second) {
				t.Errorf("%v by %v: step %d begins at %v, not %v, and has %d", test.window, test.step, i, s.Start, want, n)
			}
		}
	}
	for field, given := range map[string][2]time.Duration{
		"window": {time.Hour + 1, 0}, "window ": {-1, 0}, "window  ": {time.Millisecond, 0}, "step": {0, -time.Second},
		"step ": {0, 1500 * time.Millisecond}, "step  ": {0, 5*time.Minute + time.Second}, "step   ": {121 * time.Second, time.Second},
		"step    ": {0, 1},
	} {
		_, err := l.GetActivity(t.Context(), given[0], given[1])
		if invalid, ok := errors.AsType[*ledger.InvalidError](err); !ok || invalid.Field != strings.TrimSpace(field) {
			t.Errorf("%v: got %v, want an InvalidError of %s", given, err, field)
		}
	}
}
