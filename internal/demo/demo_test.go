package demo_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/demo"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/internal/proof"
	"internaltransfers/ledger"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func openLedger(t *testing.T, url string) *postgres.Ledger {
	t.Helper()
	l, err := postgres.Open(t.Context(), postgres.Config{DatabaseURL: url, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		report, err := l.Proofs.Check(context.Background(), proof.Options{})
		if err != nil || !report.OK() {
			t.Errorf("the ledger is not sound: %v %+v", err, report)
		}
		if err := l.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return l
}

func openDemo(t *testing.T, l *postgres.Ledger, seed uint64) *demo.Economy {
	t.Helper()
	e, err := demo.Open(t.Context(), demo.Config{Ledger: l, Logger: slog.New(slog.DiscardHandler), Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// contents returns the number of rows of everything in a database.
func contents(t *testing.T, url string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.Superuser(url))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var text string
	err = conn.QueryRow(t.Context(), `SELECT format('%s accounts %s transfers %s schedules %s', (SELECT count(*) FROM account),
		(SELECT count(*) FROM transfer), (SELECT count(*) FROM schedule), (SELECT string_agg(name, ' ' ORDER BY name) FROM setting))`).
		Scan(&text)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func step(t *testing.T, e *demo.Economy, n int) {
	t.Helper()
	for i := range n {
		if err := e.Step(t.Context()); err != nil {
			t.Fatalf("move %d: %v", i, err)
		}
	}
}

// A fresh ledger is filled, everything that should happen in it happens, and it proves sound at the
// test's end.
func TestDemo(t *testing.T) {
	t.Parallel()
	l := openLedger(t, pgtest.NewDatabase(t))
	e := openDemo(t, l, 1)
	step(t, e, 800)
	seen := map[string]int{}
	page := paging.Page{Size: 1000}
	for first := true; first || page.Token != ""; first = false {
		transfers, next, err := l.ListTransfers(t.Context(), postgres.TransferFilter{}, page)
		if err != nil {
			t.Fatal(err)
		}
		for i := range transfers {
			tr := &transfers[i]
			seen[string(tr.Kind())]++
			seen[string(tr.Status)]++
			seen[string(tr.Reason)]++
			seen[tr.Currency]++
			seen[tr.Reference]++
			if tr.Detail != nil && tr.Detail.EffectiveTime != nil {
				seen["history"]++
			}
		}
		page.Token = next
	}
	for _, what := range []string{
		"TRANSFER", "HOLD", "CAPTURE", "SCHEDULED", "REVERSAL", "SUCCESS", "FAILED", "INIT", "USD", "EUR", "salary", "refund", "history",
		string(ledger.InsufficientFunds), string(ledger.ReasonAccountFrozen), string(ledger.DebitsBlocked), string(ledger.TransferCapExceeded),
		string(ledger.Voided),
	} {
		if seen[what] == 0 {
			t.Errorf("nothing was %s", what)
		}
	}
	if failed, all := seen["FAILED"], seen["FAILED"]+seen["SUCCESS"]; failed*4 > all {
		t.Errorf("%d of %d transfers were refused: too many", failed, all)
	}
	schedules, _, err := l.ListSchedules(t.Context(), postgres.ScheduleFilter{}, paging.Page{Size: 1000})
	if err != nil || len(schedules) < 20 {
		t.Errorf("%d schedules, %v", len(schedules), err)
	}
}

// Two demos of one seed are the same, and have the same things happen.
func TestDemoFollowsFromItsSeed(t *testing.T) {
	t.Parallel()
	var balances [2][]string
	for i := range balances {
		l := openLedger(t, pgtest.NewDatabase(t))
		step(t, openDemo(t, l, 42), 300)
		accounts, _, err := l.ListAccounts(t.Context(), postgres.AccountFilter{}, paging.Page{Size: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for j := range accounts {
			a := &accounts[j]
			balances[i] = append(balances[i], fmt.Sprint(a.ID, a.DisplayName, a.Balance.Add(a.Held)))
		}
		slices.Sort(balances[i])
	}
	if !slices.Equal(balances[0], balances[1]) || len(balances[0]) < 50 {
		t.Errorf("got %q and %q", balances[0], balances[1])
	}
}

// A second start goes on: it makes nothing anew, whatever its seed.
func TestDemoGoesOn(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	l := openLedger(t, url)
	step(t, openDemo(t, l, 7), 20)
	before := contents(t, url)
	e := openDemo(t, openLedger(t, url), 8)
	if after := contents(t, url); after != before {
		t.Errorf("the second start changed %s to %s", before, after)
	}
	step(t, e, 50)
	if after := contents(t, url); after == before {
		t.Error("the second start moves nothing")
	}
}

// A filling that was interrupted is finished by the next start, with the same outcome.
func TestDemoIsFilledToTheEnd(t *testing.T) {
	t.Parallel()
	whole := pgtest.NewDatabase(t)
	openDemo(t, openLedger(t, whole), 7)
	want := contents(t, whole)
	for _, reached := range []string{
		"(SELECT count(*) FROM setting) > 1", "(SELECT count(*) FROM account) > 20", "(SELECT count(*) FROM transfer) > 200",
		"(SELECT count(*) FROM schedule) > 0",
	} {
		url := pgtest.NewDatabase(t)
		l := openLedger(t, url)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer cancel()
			conn, err := pgx.Connect(t.Context(), pgtest.Superuser(url))
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = conn.Close(context.Background()) }()
			for done := false; !done && err == nil; {
				err = conn.QueryRow(t.Context(), "SELECT "+reached).Scan(&done)
			}
			if err != nil {
				t.Error(err)
			}
		}()
		_, err := demo.Open(ctx, demo.Config{Ledger: l, Logger: slog.New(slog.DiscardHandler), Seed: 7})
		if err == nil || contents(t, url) == want {
			t.Fatalf("the filling was not interrupted when %s: %v", reached, err)
		}
		openDemo(t, l, 9)
		if got := contents(t, url); got != want {
			t.Errorf("interrupted when %s: %s, want %s", reached, got, want)
		}
	}
}

// A ledger with data is refused and stays as it is, whatever the data.
func TestDemoRefusesData(t *testing.T) {
	t.Parallel()
	for name, fill := range map[string]func(l *postgres.Ledger) error{
		"an account": func(l *postgres.Ledger) error {
			_, _, err := l.CreateAccount(t.Context(), ledger.AccountParams{})
			return err
		},
		"a refused transfer": func(l *postgres.Ledger) error {
			_, _, err := l.Transfer(t.Context(), ledger.TransferParams{From: uuid.New(), To: uuid.New(), Amount: decimal.NewFromInt(1)})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			url := pgtest.NewDatabase(t)
			l := openLedger(t, url)
			if err := fill(l); err != nil {
				t.Fatal(err)
			}
			before := contents(t, url)
			for range 2 {
				_, err := demo.Open(t.Context(), demo.Config{Ledger: l})
				if !errors.Is(err, postgres.ErrNotEmpty) {
					t.Errorf("got %v, want ErrNotEmpty", err)
				}
			}
			if after := contents(t, url); after != before {
				t.Errorf("%s became %s", before, after)
			}
		})
	}
	t.Run("a currency alone is no data", func(t *testing.T) {
		l := openLedger(t, pgtest.NewDatabase(t))
		if _, _, err := l.CreateCurrency(t.Context(), "SEK", 2, false); err != nil {
			t.Fatal(err)
		}
		openDemo(t, l, 1)
	})
}

// A demo that begins while an account is being opened waits for the outcome: the ledger has data,
// or, when the opening failed, none.
func TestDemoWaitsForWhoeverIsAtIt(t *testing.T) {
	t.Parallel()
	for end, want := range map[string]error{"COMMIT": postgres.ErrNotEmpty, "ROLLBACK": nil} {
		url := pgtest.NewDatabase(t)
		l := openLedger(t, url)
		conn, err := pgx.Connect(t.Context(), pgtest.Superuser(url))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(context.Background()) }()
		execute := func(sql string) {
			t.Helper()
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		execute("BEGIN")
		execute("INSERT INTO account (account_id, currency, min_balance, create_fingerprint) VALUES (gen_random_uuid(), 'USD', 0, '')")
		marked := make(chan error)
		go func() {
			_, err := l.MarkDemo(context.Background(), 5)
			marked <- err
		}()
		for waiting := false; !waiting; {
			select {
			case err := <-marked:
				t.Fatalf("it did not wait, and returned %v", err)
			default:
			}
			err := conn.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'account'::regclass AND NOT granted)").
				Scan(&waiting)
			if err != nil {
				t.Fatal(err)
			}
		}
		execute(end)
		if err := <-marked; !errors.Is(err, want) {
			t.Errorf("after %s: got %v, want %v", end, err, want)
		}
	}
}
