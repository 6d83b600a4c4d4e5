package events_test

import (
	"context"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// Each capture changes its hold, and each change is an event, also when one batch decides several.
func TestEachCaptureIsAnEvent(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url, BatchesInFlight: 1})
	ids := ledgertest.OpenAccounts(t, l, 2, 100)
	hold := ledgertest.NewHold(t, l, ids[0], ids[1], 50, ledger.TransferOptions{})
	conn := ledgertest.Connect(t, url)
	execute := func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	// While the first batch waits, the others' captures queue for the next.
	execute("BEGIN")
	execute("SELECT 1 FROM account WHERE account_id = $1 FOR UPDATE", ids[0])
	const captures = 20
	var wg sync.WaitGroup
	for range captures {
		wg.Go(func() {
			_, _, _, err := l.Post(ctx, ledger.PostParams{
				HoldID: hold.ID, ID: uuid.New(), Amount: decimal.NewNullDecimal(decimal.NewFromInt(1)),
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	for waiting := false; !waiting; {
		if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	execute("COMMIT")
	wg.Wait()
	events, _, _, err := l.Events.ReadTransfer(ctx, hold.ID, 0, 100)
	if err != nil || len(events) != 1+captures {
		t.Fatalf("%d captures are in %d events, %v", captures, len(events), err)
	}
	for i, e := range events {
		if e.Transfer.Version != int64(i+1) {
			t.Errorf("event %d tells version %d", i, e.Transfer.Version)
		}
	}
}

// A crash of the database takes the sequence back to what was on the disk: positions that were
// never committed are drawn again. No cursor from before it is beyond an event of after.
func TestCursorsOutliveACrash(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	server := pgtest.NewServer(t)
	l := ledgertest.Must(postgres.Open(ctx, postgres.Config{DatabaseURL: server.URL()}))
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	ids := ledgertest.OpenAccounts(t, l, 2, 100)
	draw := func() (*pgx.Conn, int64) {
		position, conn := beginRefusal(t, server.URL(), ids[0])
		if _, err := conn.Exec(ctx, "SELECT nextval('transfer_position_seq') FROM generate_series(1, 100)"); err != nil {
			t.Fatal(err)
		}
		return conn, position
	}
	undone, _ := draw()
	if _, err := undone.Exec(ctx, "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	cursor := ledgertest.Must(l.Events.Last(ctx))
	draw() // and still at work when the database goes down
	if _, _, err := l.Events.Horizon(ctx); err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	server = pgtest.Restart(t, server)
	position, late := beginRefusal(t, server.URL(), ids[0])
	if position <= cursor {
		t.Errorf("an event is at %d, behind the cursor %d of before the crash", position, cursor)
	}
	var next int64
	err := ledger.ErrUnavailable
	for try := 0; err != nil && try < 20; try++ { // connections of before fail once each
		next, err = l.Events.Last(ctx)
	}
	if err != nil || position <= next {
		t.Errorf("an event that is not committed yet is at %d, behind the cursor %d, %v", position, next, err)
	}
	if _, err := late.Exec(ctx, "COMMIT"); err != nil {
		t.Fatal(err)
	}
	events, _, _, err := l.Events.Read(ctx, cursor, 100)
	if err != nil || len(events) != 1 || events[0].Position != position {
		t.Errorf("behind the cursor are %d events, %v", len(events), err)
	}
}

// A server that starts while others write does not know how far the events go until the open
// transactions are over. It does not take that for the beginning: a stream without a cursor, and a
// new webhook, would get the whole ledger.
func TestFreshServerDoesNotBeginAtTheBeginning(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	ids := ledgertest.OpenAccounts(t, l, 2, 100)
	end := ledgertest.Must(l.Events.Last(ctx))
	_, first := beginRefusal(t, url, ids[0])
	fresh := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	if reached, last, err := fresh.Events.Horizon(ctx); reached != -1 || last != end || err != nil {
		t.Errorf("beside a writer the horizon is %d of %d, %v; want it unknown", reached, last, err)
	}
	_, second := beginRefusal(t, url, ids[0]) // some transaction is always open
	ledgertest.Execute(t, first, "COMMIT")
	if reached, _, err := fresh.Events.Horizon(ctx); reached != end || err != nil {
		t.Errorf("when the writers of before are over, the horizon is %d, %v; want %d", reached, err, end)
	}
	ledgertest.Execute(t, second, "COMMIT")
	if from, err := fresh.Events.Last(ctx); from <= end || err != nil {
		t.Errorf("the last event is at %d, %v; want it after %d", from, err, end)
	}
}
