package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/events"
	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/internal/webhook"
	"internaltransfers/ledger"
)

// A change is a call that changes a ledger, other than a transfer, and how that is seen.
type change struct {
	do   func(ctx context.Context, l *postgres.Ledger) error
	seen func(ctx context.Context, l *postgres.Ledger) (bool, error)
}

// changes are one of each kind, which can be repeated.
func changes(p *pair) map[string]change {
	account, schedule, endpoint := uuid.New(), uuid.New(), uuid.New()
	found := func(err error) (bool, error) {
		if isNotFound(err) {
			return false, nil
		}
		return err == nil, err
	}
	return map[string]change{
		"opening": {func(ctx context.Context, l *postgres.Ledger) error {
			_, _, err := l.CreateAccount(ctx, ledger.AccountParams{ID: account})
			return err
		}, func(ctx context.Context, l *postgres.Ledger) (bool, error) {
			_, err := l.GetAccount(ctx, account)
			return found(err)
		}},
		"profile": {func(ctx context.Context, l *postgres.Ledger) error {
			_, err := l.UpdateAccount(ctx, ledger.AccountChange{ID: p.ids[7], DisplayName: new("new")})
			return err
		}, func(ctx context.Context, l *postgres.Ledger) (bool, error) {
			a, err := l.GetAccount(ctx, p.ids[7])
			return a.DisplayName == "new", err
		}},
		"schedule": {func(ctx context.Context, l *postgres.Ledger) error {
			_, _, err := l.CreateSchedule(ctx, ledger.ScheduleParams{
				ID: schedule, From: p.ids[0], To: p.ids[1], Amount: decimal.NewFromInt(1), Interval: time.Hour,
				Start: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
			})
			return err
		}, func(ctx context.Context, l *postgres.Ledger) (bool, error) {
			_, err := l.GetSchedule(ctx, schedule)
			return found(err)
		}},
		"webhook": {func(ctx context.Context, l *postgres.Ledger) error {
			_, _, err := l.Webhooks.Create(ctx, webhook.Params{ID: endpoint, URL: "https://example.com/hook"})
			return err
		}, func(ctx context.Context, l *postgres.Ledger) (bool, error) {
			_, err := l.Webhooks.Get(ctx, endpoint)
			return found(err)
		}},
		"currency": {func(ctx context.Context, l *postgres.Ledger) error {
			_, _, err := l.CreateCurrency(ctx, "NEW", 2, false)
			return err
		}, func(ctx context.Context, l *postgres.Ledger) (bool, error) {
			list, _, err := l.ListCurrencies(ctx, paging.Page{})
			for _, c := range list {
				if c.Code == "NEW" {
					return true, err
				}
			}
			return false, err
		}},
	}
}

// What is changed besides transfers is not seen either before the standby has it, when its caller
// gives up. However many wait for the standby, others can read.
func TestGivenUpChangeIsNotSeen(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	l := p.hasty()
	kinds := changes(p)
	p.standby.Freeze()
	var group sync.WaitGroup
	for name, c := range kinds {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), stall)
			defer cancel()
			requireUnsure(t, name, c.do(ctx, l))
		})
	}
	for range 20 {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), stall)
			defer cancel()
			_, err := l.UpdateAccount(ctx, ledger.AccountChange{ID: p.ids[6], DisplayName: new("other")})
			requireUnsure(t, "one of many", err)
		})
	}
	group.Wait()
	for name, c := range kinds {
		for _, l := range []*postgres.Ledger{l, p.ledger} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if seen, err := c.seen(ctx, l); seen || err != nil {
				t.Errorf("%s: seen %t, %v, before the standby has it", name, seen, err)
			}
			cancel()
		}
	}
	p.standby.Thaw()
	for _, c := range kinds {
		requireAvailable(t, func() error { return c.do(t.Context(), l) })
	}
	promoted := p.failOver()
	for name, c := range kinds {
		if seen, err := c.seen(t.Context(), promoted); !seen || err != nil {
			t.Errorf("%s: seen %t, %v, after the failover", name, seen, err)
		}
	}
}

// "Done already" is as safe as "done". Here an operator has committed it without waiting for a
// standby, unknown to every server of ours.
func TestDoneAlreadyWaitsForTheStandby(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	l := p.hasty()
	kinds := changes(p)
	delete(kinds, "profile") // is done anew each time
	transfer := p.transfer(0, 1)
	hold := p.transfer(2, 3)
	hold.Options = &ledger.TransferOptions{Hold: true}
	if _, _, err := l.Transfer(t.Context(), hold); err != nil {
		t.Fatal(err)
	}
	kinds["transfer"] = change{do: func(ctx context.Context, l *postgres.Ledger) error {
		_, _, err := l.Transfer(ctx, transfer)
		return err
	}}
	kinds["void"] = change{do: func(ctx context.Context, l *postgres.Ledger) error {
		_, _, err := l.Void(ctx, hold.ID, false)
		return err
	}}
	p.standby.Freeze()
	careless := ledgertest.OpenPrivate(t, p.primary.URL()+"&synchronous_commit=local", postgres.Config{Logger: ledgertest.Silent})
	for name, c := range kinds {
		if err := c.do(t.Context(), careless); err != nil {
			t.Errorf("%s, without a standby: %v", name, err)
		}
	}
	for name, c := range kinds {
		ctx, cancel := context.WithTimeout(t.Context(), stall)
		requireUnsure(t, name+" again", c.do(ctx, l))
		cancel()
	}
	p.standby.Thaw()
	for _, c := range kinds {
		requireAvailable(t, func() error { return c.do(t.Context(), l) })
	}
}

// A connection that breaks on our side alone does not make the driver cancel the COMMIT that waits
// for a standby.
func TestBrokenConnectionCancelsNothing(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	proxy := newProxy(t, p.primary.URL())
	l := ledgertest.OpenPrivate(t, proxy.url, postgres.Config{Logger: ledgertest.Silent, BatchTimeout: stall})
	params := p.transfer(0, 1)
	proxy.expect(fault{at: "COMMIT", do: cutClient})
	p.standby.Freeze()
	_, _, err := l.Transfer(t.Context(), params)
	requireUnsure(t, "the caller", err)
	requireUnseen(t, l, params)
	requireUnseen(t, p.ledger, params)
	p.standby.Thaw()
	transfer, replayed, err := p.ledger.Transfer(t.Context(), params)
	requireOutcome(t, "again", ledger.Outcome{Transfer: transfer, Replayed: replayed, Err: err}, "", true)
}

// A COMMIT without a response keeps its connection for as long as the server is at it, and no
// longer.
func TestLostCommitGivesItsConnectionBack(t *testing.T) {
	t.Parallel()
	proxy := newProxy(t, pgtest.NewDatabase(t))
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: proxy.url, Logger: ledgertest.Silent, BatchesInFlight: 1, BatchTimeout: stall})
	ids := ledgertest.OpenAccounts(t, l, 2, 100)
	params := ledger.TransferParams{ID: uuid.New(), From: ids[0], To: ids[1], Amount: decimal.NewFromInt(10)}
	proxy.expect(fault{at: "COMMIT", do: keepSilent})
	_, _, err := l.Transfer(t.Context(), params)
	requireUnsure(t, "the caller", err)
	requireAvailable(t, func() error {
		_, _, err := l.Transfer(t.Context(), params)
		return err
	})
	requireBalance(t, l, ids[0], 90)
}

// When one of its sessions crashes, PostgreSQL begins all anew, and all sessions see what waited
// for the standby. A server that had nothing under way, whose idle connections are replaced, does
// not pass it on.
func TestCrashOfASessionIsNoticed(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	l, other := p.hasty(), p.hasty()
	params := p.transfer(0, 1)
	p.standby.Freeze()
	_, _, err := l.Transfer(t.Context(), params)
	requireUnsure(t, "the caller", err)
	victim := ledgertest.Connect(t, p.primary.URL())
	if err := syscall.Kill(int(victim.PgConn().PID()), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for there := false; !there; {
		conn, err := pgx.Connect(t.Context(), p.primary.URL())
		if err != nil {
			continue // it recovers
		}
		_ = conn.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM transfer WHERE transfer_id = $1)", params.ID).Scan(&there)
		_ = conn.Close(t.Context())
	}
	requireUnseen(t, other, params)
	p.standby.Thaw()
	requireAvailable(t, func() error {
		_, err := other.GetTransfer(t.Context(), params.ID)
		return err
	})
}

// A statement_timeout of the role or the database is not for us, lest it cancel a COMMIT.
func TestStatementTimeoutIsIgnored(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	name := ledgertest.Must(pgx.ParseConfig(database)).Database
	ledgertest.Execute(t, ledgertest.Connect(t, database), "ALTER DATABASE "+name+" SET statement_timeout = '1min'")
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database})
	for _, pool := range []*pgxpool.Pool{l.Writers(), l.Readers()} {
		var got string
		if err := pool.QueryRow(t.Context(), "SHOW statement_timeout").Scan(&got); err != nil || got != "0" {
			t.Errorf("the statement_timeout is %s, %v", got, err)
		}
	}
}

// A standby serves nothing, whichever servers the URL allows: it cannot know which one writes.
func TestStandbyIsNotServed(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	first, second := ledgertest.Must(pgx.ParseConfig(p.standby.URL())), ledgertest.Must(pgx.ParseConfig(p.primary.URL()))
	rest := fmt.Sprintf("user=%s password=%s dbname=%s sslmode=disable target_session_attrs=",
		first.User, first.Password, first.Database)
	alone := fmt.Sprintf("host=%s port=%d %s", first.Host, first.Port, rest)
	both := fmt.Sprintf("host=%s,%s port=%d,%d %s", first.Host, second.Host, first.Port, second.Port, rest)
	told := errors.New("told")
	for _, demand := range []string{"any", "read-only", "standby", "prefer-standby"} {
		if l, err := postgres.Open(t.Context(), postgres.Config{DatabaseURL: alone + demand, Logger: ledgertest.Silent}); err == nil {
			t.Errorf("with %s a standby is served", demand)
			_ = l.Close(t.Context())
		}
		l, err := postgres.Open(t.Context(), postgres.Config{DatabaseURL: both + demand, Logger: ledgertest.Silent})
		if err != nil {
			continue // refusing is as good
		}
		if _, _, err := l.Transfer(t.Context(), p.transfer(0, 1)); err != nil {
			t.Errorf("with %s, among a standby and its primary: %v", demand, err)
		}
		var standby bool
		err = l.Readers().QueryRow(t.Context(), "SELECT pg_is_in_recovery()").Scan(&standby)
		if err != nil || standby {
			t.Errorf("with %s, among a standby and its primary, a standby is read: %t, %v", demand, standby, err)
		}
		err = l.Events.Follow(t.Context(), 0, nil, func([]*events.Event, int64) error { return told })
		if !errors.Is(err, told) {
			t.Errorf("with %s, among a standby and its primary, following ends with %v", demand, err)
		}
		_ = l.Close(t.Context())
	}
}
