package events_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/events"
	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// eventText is an event on a line, with accounts and transfers by name.
func eventText(names map[uuid.UUID]string, e *events.Event) string {
	if a := e.Account; a != nil {
		return fmt.Sprintf("%s %s %s %s v%d", e.Type, names[a.ID], a.Balance, a.Status, a.Version)
	}
	t := e.Transfer
	text := fmt.Sprintf("%s %s->%s %s %s %s", e.Type, names[t.From], names[t.To], t.Kind(), t.Amount, t.Status)
	if t.Reason != "" {
		text += " " + string(t.Reason)
	}
	if d := t.Detail; d != nil {
		for _, f := range []struct {
			name  string
			value decimal.NullDecimal
		}{{"open", d.Open}, {"posted", d.Posted}, {"reversed", d.Reversed}} {
			if f.value.Valid {
				text += fmt.Sprintf(" %s %s", f.name, f.value.Decimal)
			}
		}
	}
	return fmt.Sprintf("%s v%d", text, t.Version)
}

// The whole life of accounts and transfers as events, whatever the size of the pages.
func TestEventsTellEverything(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	clock := ledgertest.StopClock(t, url)
	ids := ledgertest.OpenAccounts(t, l, 2, 100)
	names := map[uuid.UUID]string{ids[0]: "A", ids[1]: "B"}
	start := ledgertest.Must(l.Events.Last(ctx))
	pay := func(p ledger.TransferParams) ledger.Transfer {
		t.Helper()
		p.From, p.To = ids[0], ids[1]
		transfer, _, err := l.Transfer(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		return transfer
	}
	amount := decimal.NewFromInt
	paid := pay(ledger.TransferParams{Amount: amount(10)})
	pay(ledger.TransferParams{Amount: amount(1000)})
	hold := ledgertest.NewHold(t, l, ids[0], ids[1], 20, ledger.TransferOptions{})
	if _, _, _, err := l.Post(ctx, ledger.PostParams{HoldID: hold.ID, Amount: decimal.NewNullDecimal(amount(5))}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Void(ctx, hold.ID, false); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, _, err := l.Reverse(ctx, ledger.ReverseParams{TransferID: paid.ID, ID: uuid.New(), Amount: decimal.NewNullDecimal(amount(1))}); err != nil {
			t.Fatal(err)
		}
	}
	ledgertest.NewHold(t, l, ids[0], ids[1], 7, ledger.TransferOptions{HoldTTL: time.Second})
	clock.Step(2 * time.Second)
	pay(ledger.TransferParams{Amount: amount(1)})
	frozen := ledger.AccountFrozen
	ledgertest.Must(l.UpdateAccount(ctx, ledger.AccountChange{ID: ids[0], Status: &frozen}))
	want := strings.TrimSpace(`
TRANSFER_CREATED A->B TRANSFER 10 SUCCESS v1
TRANSFER_CREATED A->B TRANSFER 1000 FAILED INSUFFICIENT_FUNDS v1
TRANSFER_CREATED A->B HOLD 20 INIT open 20 posted 0 v1
TRANSFER_CREATED A->B CAPTURE 5 SUCCESS v1
TRANSFER_CHANGED A->B HOLD 20 INIT open 15 posted 5 v2
TRANSFER_CHANGED A->B HOLD 20 FAILED VOIDED posted 5 v3
TRANSFER_CREATED B->A REVERSAL 1 SUCCESS v1
TRANSFER_CHANGED A->B TRANSFER 10 SUCCESS reversed 1 v1
TRANSFER_CREATED B->A REVERSAL 1 SUCCESS v1
TRANSFER_CHANGED A->B TRANSFER 10 SUCCESS reversed 2 v1
TRANSFER_CREATED A->B HOLD 7 INIT open 7 posted 0 v1
TRANSFER_CREATED A->B TRANSFER 1 SUCCESS v1
TRANSFER_CHANGED A->B HOLD 7 FAILED HOLD_EXPIRED posted 0 v2
ACCOUNT_CHANGED A 86 FROZEN v12`)
	for _, limit := range []int{1, 2, 3, 5, 1000} {
		var lines []string
		for _, e := range ledgertest.AllEvents(t, l, limit) {
			if e.Position > start {
				lines = append(lines, eventText(names, e))
			}
		}
		if got := strings.Join(lines, "\n"); got != want {
			t.Errorf("in pages of %d:\n%s\nwant\n%s", limit, got, want)
		}
	}
	ofHold := slices.DeleteFunc(strings.Split(want, "\n"), func(s string) bool { return !strings.Contains(s, "HOLD 20") })
	if got := historyText(t, l, names, hold.ID); got != strings.Join(ofHold, "\n") {
		t.Errorf("the history of the hold is\n%s", got)
	}
}

// historyText is the history of a transfer, a line an event.
func historyText(t *testing.T, l *postgres.Ledger, names map[uuid.UUID]string, id uuid.UUID) string {
	t.Helper()
	var lines []string
	for after, more := int64(0), true; more; {
		page, next, goesOn, err := l.Events.ReadTransfer(context.Background(), id, after, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			lines = append(lines, eventText(names, e))
		}
		after, more = next, goesOn
	}
	return strings.Join(lines, "\n")
}

// A transaction that drew its position first and commits last is waited for, and comes first.
func TestLateCommitIsNotSkipped(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	ids := ledgertest.OpenAccounts(t, l, 2, 100)
	start := ledgertest.Must(l.Events.Last(ctx))
	var got []*events.Event
	arrived := make(chan struct{}, 10)
	following, stop := context.WithCancel(ctx)
	ended := make(chan error)
	go func() {
		ended <- l.Events.Follow(following, start, nil, func(events []*events.Event, _ int64) error {
			got = append(got, events...)
			for range events {
				arrived <- struct{}{}
			}
			return nil
		})
	}()
	late, conn := beginRefusal(t, url, ids[0])
	early, _, err := l.Transfer(ctx, ledger.TransferParams{From: ids[0], To: ids[1], Amount: decimal.NewFromInt(1)})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		reached, last, err := l.Events.Horizon(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if reached >= late || last <= late {
			t.Fatalf("the horizon is %d of %d, while %d has not committed", reached, last, late)
		}
	}
	if events, _, more, err := l.Events.Read(ctx, start, 100); len(events) != 0 || more || err != nil {
		t.Errorf("a page has %d events, more: %t, %v", len(events), more, err)
	}
	if _, err := conn.Exec(ctx, "COMMIT"); err != nil {
		t.Fatal(err)
	}
	<-arrived
	<-arrived
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if len(got) != 2 || got[0].Position != late || got[1].Transfer.ID != early.ID {
		t.Errorf("got %d events: %+v", len(got), got)
	}
}

// A transaction that is rolled back leaves a gap in the positions, for which no reader waits; so
// does one that never ends but writes something else, in this database or the cluster.
func TestOthersAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	ids := ledgertest.OpenAccounts(t, l, 2, 100)
	_, conn := beginRefusal(t, url, ids[0])
	if _, err := conn.Exec(ctx, "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"CREATE TABLE other (n int)", "BEGIN", "INSERT INTO other VALUES (1)", "SELECT count(*) FROM transfer"} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	paid, _, err := l.Transfer(ctx, ledger.TransferParams{From: ids[0], To: ids[1], Amount: decimal.NewFromInt(1)})
	if err != nil {
		t.Fatal(err)
	}
	events := ledgertest.AllEvents(t, l, 100)
	if last := events[len(events)-1]; last.Transfer == nil || last.Transfer.ID != paid.ID {
		t.Errorf("the last event is %+v", last)
	}
}

// beginRefusal writes a refused transfer in a transaction that is left open, and returns its
// position.
func beginRefusal(t *testing.T, url string, from uuid.UUID) (position int64, conn *pgx.Conn) {
	t.Helper()
	ctx := context.Background()
	conn = ledgertest.Connect(t, url)
	ledgertest.Execute(t, conn, "BEGIN")
	err := conn.QueryRow(ctx, `INSERT INTO transfer (transfer_id, from_account_id, to_account_id, amount, currency, asked_currency,
		status, error_reason, from_balance, create_time, update_time)
		VALUES (gen_random_uuid(), $1, gen_random_uuid(), 1, 'USD', '', 'FAILED', 'TO_ACCOUNT_NOT_FOUND', 100, ledger_now(), ledger_now())
		RETURNING position`, from).Scan(&position)
	if err != nil {
		t.Fatal(err)
	}
	return position, conn
}

// A follower that takes events too slowly is cut off, is not waited for, and misses nothing when it
// comes back.
func TestSlowFollowerIsCutOff(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l := ledgertest.Open(t, postgres.Config{})
	l.Events.KeepEvents(10)
	ids := ledgertest.OpenAccounts(t, l, 2, 1000)
	pay := func() {
		t.Helper()
		if _, _, err := l.Transfer(ctx, ledger.TransferParams{From: ids[0], To: ids[1], Amount: decimal.NewFromInt(1)}); err != nil {
			t.Fatal(err)
		}
	}
	start := ledgertest.Must(l.Events.Last(ctx))
	first, entered, proceed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var got []*events.Event
	position := start
	ended := make(chan error)
	go func() {
		ended <- l.Events.Follow(ctx, start, nil, func(events []*events.Event, p int64) error {
			got, position = append(got, events...), p
			switch len(got) {
			case 1:
				close(first)
			case 2: // not one of those that were there when it came, so it has caught up
				close(entered)
				<-proceed
			}
			return nil
		})
	}()
	// The fast one takes the same events meanwhile.
	fast := make(chan struct{}, 100)
	following, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = l.Events.Follow(following, start, nil, func(events []*events.Event, _ int64) error {
			for range events {
				fast <- struct{}{}
			}
			return nil
		})
	})
	pay()
	<-first
	pay()
	<-entered
	for range 30 {
		pay()
		<-fast
	}
	<-fast
	<-fast
	stop()
	wg.Wait()
	close(proceed)
	if err := <-ended; !errors.Is(err, events.ErrSlow) {
		t.Fatalf("the slow one ended with %v", err)
	}
	done := errors.New("enough")
	err := l.Events.Follow(ctx, position, nil, func(events []*events.Event, _ int64) error {
		if got = append(got, events...); len(got) == 32 {
			return done
		}
		return nil
	})
	if !errors.Is(err, done) || !slices.IsSortedFunc(got, func(a, b *events.Event) int { return int(a.Position - b.Position) }) {
		t.Errorf("after it came back it has %d events, %v", len(got), err)
	}
}

// Without followers nothing is read; the last one to leave ends reading.
func TestNobodyFollows(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l := ledgertest.Open(t, postgres.Config{Heartbeat: time.Millisecond})
	if n, reading := l.Events.FollowersNow(); n != 0 || reading {
		t.Fatalf("%d followers, reading: %t", n, reading)
	}
	heard := errors.New("a heartbeat")
	err := l.Events.Follow(ctx, 0, &events.Filter{Reference: "nobody's"}, func(events []*events.Event, position int64) error {
		if n, reading := l.Events.FollowersNow(); n != 1 || !reading || len(events) != 0 || position < 0 {
			t.Errorf("%d followers, reading: %t, %d events at %d", n, reading, len(events), position)
		}
		return heard
	})
	if n, reading := l.Events.FollowersNow(); n != 0 || reading || !errors.Is(err, heard) {
		t.Errorf("%d followers, reading: %t, %v", n, reading, err)
	}
}

// A position that no event had yet is refused, and closing the ledger ends its followers.
func TestFollowEnds(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l := ledgertest.Must(postgres.Open(ctx, postgres.Config{DatabaseURL: pgtest.NewDatabase(t), Heartbeat: time.Millisecond}))
	nothing := func([]*events.Event, int64) error { return nil }
	var invalid *ledger.InvalidError
	if err := l.Events.Follow(ctx, 1_000_000, nil, nothing); !errors.As(err, &invalid) || invalid.Field != "after" {
		t.Errorf("a position of the future got %v", err)
	}
	if _, _, _, err := l.Events.Read(ctx, 1_000_000, 1); !errors.As(err, &invalid) || invalid.Field != "after" {
		t.Errorf("a page behind it with %v", err)
	}
	ended, heard := make(chan error), make(chan struct{}, 1)
	go func() {
		ended <- l.Events.Follow(ctx, 0, nil, func([]*events.Event, int64) error {
			select {
			case heard <- struct{}{}:
			default:
			}
			return nil
		})
	}()
	<-heard
	if err := l.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("it ended with %v", err)
	}
	if err := l.Events.Follow(ctx, 0, nil, nothing); err == nil {
		t.Error("a closed ledger is followed")
	}
}

// More followers than a server may have are refused, and may come when others have left.
func TestFollowersMax(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l := ledgertest.Open(t, postgres.Config{FollowersMax: 1, Heartbeat: time.Millisecond})
	heard := errors.New("a heartbeat")
	follow := func(f func() error) error {
		return l.Events.Follow(ctx, 0, nil, func([]*events.Event, int64) error { return f() })
	}
	err := follow(func() error {
		var overloaded *ledger.OverloadedError
		if err := follow(func() error { return heard }); !errors.As(err, &overloaded) {
			t.Errorf("one too many: %v", err)
		}
		return heard
	})
	if !errors.Is(err, heard) {
		t.Error(err)
	}
	if err := follow(func() error { return heard }); !errors.Is(err, heard) {
		t.Errorf("after the other has left: %v", err)
	}
}
