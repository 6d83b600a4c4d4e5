package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// A countingHandler counts log records by their message.
type countingHandler struct {
	slog.Handler // discards
	counts       sync.Map
}

func newCounting() *countingHandler { return &countingHandler{Handler: slog.DiscardHandler} }

func (h *countingHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *countingHandler) Handle(_ context.Context, r slog.Record) error {
	n, _ := h.counts.LoadOrStore(r.Message, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
	return nil
}

func (h *countingHandler) count(message string) int64 {
	if n, ok := h.counts.Load(message); ok {
		return n.(*atomic.Int64).Load()
	}
	return 0
}

// A command that makes the database fail is the only one that fails.
func TestPoison(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	database := pgtest.NewDatabase(t)
	admin := ledgertest.Connect(t, database)
	ledgertest.Execute(t, admin, `ALTER TABLE transfer ADD CONSTRAINT poison CHECK (reference NOT LIKE 'poison%')`)
	ledgertest.Execute(t, admin, `ALTER TABLE account ADD CONSTRAINT poison CHECK (display_name <> 'poison') NOT VALID`)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, Logger: ledgertest.Silent})
	ids := ledgertest.OpenAccounts(t, l, 2, 1000)
	one := decimal.NewFromInt(1)

	batch := make([]ledger.TransferParams, 101)
	for i := range batch {
		batch[i] = ledger.TransferParams{ID: uuid.New(), From: ids[0], To: ids[1], Amount: one}
	}
	batch[37].Reference, batch[99].Reference = "poison", "poison"
	outcomes, err := l.TransferBatch(ctx, batch, ledger.BatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	balance := int64(1000)
	for i, o := range outcomes {
		if i == 37 || i == 99 {
			if !errors.Is(o.Err, ledger.ErrUnavailable) || o.Transfer.ID != batch[i].ID {
				t.Errorf("the poison got %+v", o)
			}
			continue
		}
		balance--
		requireOutcome(t, "a neighbour", o, "", false)
		if !o.Transfer.FromBalance.Decimal.Equal(decimal.NewFromInt(balance)) {
			t.Errorf("transfer %d left %s, want %d", i, o.Transfer.FromBalance.Decimal, balance)
		}
	}
	if _, err := l.TransferBatch(ctx, batch[30:40], ledger.BatchOptions{Atomic: true}); err == nil {
		t.Error("a group with known ids and a poison is no error")
	}
	for i := range batch {
		batch[i].ID = uuid.New()
	}
	if _, err := l.TransferBatch(ctx, batch, ledger.BatchOptions{Atomic: true}); err == nil {
		t.Error("a group with a poison is no error")
	}
	if _, err := l.GetTransfer(ctx, batch[0].ID); err == nil {
		t.Error("a group with a poison left a transfer")
	}
	requireBalance(t, l, ids[0], balance)

	var wrong atomic.Int64
	ledgertest.InParallel(20, func(worker int) {
		p := ledger.AccountParams{InitialBalance: one}
		if worker == 7 {
			p.DisplayName = "poison"
		}
		if _, _, err := l.CreateAccount(ctx, p); (err != nil) != (worker == 7) {
			wrong.Add(1)
		}
	})
	if wrong.Load() != 0 {
		t.Errorf("%d openings got wrong results beside a poison", wrong.Load())
	}
}

// When the database is short of something or refuses everything, no command is to blame: nothing is
// halved, callers get ErrUnavailable, and later it works again.
func TestNobodyIsToBlame(t *testing.T) {
	t.Parallel()
	for code, reason := range map[string]string{
		"25006": "it is read-only", "53100": "its disk is full",
		"53400": "it is short of something", "55P03": "somebody else keeps rows locked", "57014": "it cancelled a statement",
		"58030": "its machine fails",
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			database := pgtest.NewDatabase(t)
			admin := ledgertest.Connect(t, database)
			counting := newCounting()
			l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, Logger: slog.New(counting)})
			ids := ledgertest.OpenAccounts(t, l, 2, 1000)
			ledgertest.Execute(t, admin, fmt.Sprintf(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
				$$ BEGIN RAISE EXCEPTION 'failure' USING ERRCODE = '%s'; END $$`, code))
			ledgertest.Execute(t, admin, `CREATE TRIGGER fail BEFORE INSERT ON transfer EXECUTE FUNCTION fail()`)
			batch := make([]ledger.TransferParams, 64)
			for i := range batch {
				batch[i] = ledger.TransferParams{ID: uuid.New(), From: ids[0], To: ids[1], Amount: decimal.NewFromInt(1)}
			}
			if got := requireAway(t, l, batch, counting); got != reason {
				t.Errorf("the reason is %q, want %q", got, reason)
			}
			ledgertest.Execute(t, admin, `DROP TRIGGER fail ON transfer`)
			requireBack(t, l, batch)
			requireBalance(t, l, ids[0], 1000-64)
		})
	}
	t.Run("no connections", func(t *testing.T) {
		t.Parallel()
		database := pgtest.NewDatabase(t)
		name := strings.TrimPrefix(ledgertest.Must(url.Parse(database)).Path, "/")
		other := ledgertest.Must(url.Parse(database))
		other.Path = "/postgres"
		admin := ledgertest.Connect(t, other.String())
		counting := newCounting()
		l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, Logger: slog.New(counting)})
		ids := ledgertest.OpenAccounts(t, l, 2, 1000)
		batch := make([]ledger.TransferParams, 64)
		for i := range batch {
			batch[i] = ledger.TransferParams{ID: uuid.New(), From: ids[0], To: ids[1], Amount: decimal.NewFromInt(1)}
		}
		ledgertest.Execute(t, admin, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS false")
		ledgertest.Execute(t, admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
		requireAway(t, l, batch, counting)
		ledgertest.Execute(t, admin, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS true")
		requireBack(t, l, batch)
	})
}

// requireAway fails the test unless the batch gets ErrUnavailable, soon and without
// looking for a culprit. It returns what is said to be
// wrong with the database.
func requireAway(t testing.TB, l *postgres.Ledger, batch []ledger.TransferParams, counting *countingHandler) (reason string) {
	t.Helper()
	began := time.Now()
	outcomes, err := l.TransferBatch(context.Background(), batch, ledger.BatchOptions{})
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the result took %s", took)
	}
	for i := range outcomes {
		if err == nil {
			err = outcomes[i].Err
		}
		if !errors.Is(outcomes[i].Err, ledger.ErrUnavailable) {
			t.Fatalf("transfer %d got %+v, want ErrUnavailable", i, outcomes[i])
		}
	}
	if !errors.Is(err, ledger.ErrUnavailable) {
		t.Fatalf("the batch got %v, want ErrUnavailable", err)
	}
	if n := counting.count("a batch failed and is halved"); n != 0 {
		t.Errorf("the batch was halved %d times", n)
	}
	if known, ok := errors.AsType[*ledger.UnavailableError](err); ok {
		reason = known.Reason
	}
	return reason
}

// requireBack fails the test unless each transfer of the batch now succeeds, for the first time.
func requireBack(t testing.TB, l *postgres.Ledger, batch []ledger.TransferParams) {
	t.Helper()
	outcomes, err := l.TransferBatch(context.Background(), batch, ledger.BatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outcomes {
		requireOutcome(t, "after the outage", o, "", false)
	}
}

// A host that loses its power in the middle of a batch does not keep the rows locked for the hours
// that TCP takes to notice.
func TestDeadHostLetsGo(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	proxy := newProxy(t, database)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, Logger: ledgertest.Silent})
	ids := ledgertest.OpenAccounts(t, l, 2, 100)
	p := ledger.TransferParams{ID: uuid.New(), From: ids[0], To: ids[1], Amount: decimal.NewFromInt(10)}
	ctx, cancel := context.WithCancel(t.Context())
	first := ledgertest.Must(postgres.Open(t.Context(), postgres.Config{DatabaseURL: proxy.url, Logger: ledgertest.Silent}))
	proxy.expect(fault{at: "AccountsApply", do: cutAndForget, then: func() {
		_ = proxy.listener.Close() // the host does not come back
		cancel()
	}})
	if _, _, err := first.Transfer(ctx, p); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller whose host dies hears %v", err)
	}
	_, replayed, err := l.Transfer(t.Context(), p)
	if err != nil || replayed {
		t.Errorf("a living host hears replayed %v, %v", replayed, err)
	}
	requireBalance(t, l, ids[0], 90)
	_ = first.Close(t.Context())
}

// Reading a currency for the first time needs no second connection of a pool whose connections all
// wait for this one.
func TestOneReaderIsEnough(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	ids := ledgertest.OpenAccounts(t, ledgertest.Open(t, postgres.Config{DatabaseURL: database}), 3, 100)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, ReadConns: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	holder := ledgertest.Connect(t, database)
	ledgertest.Execute(t, holder, "BEGIN")
	ledgertest.Execute(t, holder, "SELECT FROM account WHERE account_id = $1 FOR UPDATE", ids[0])
	updated := make(chan error)
	go func() {
		_, err := l.UpdateAccount(ctx, ledger.AccountChange{ID: ids[0], DisplayName: new("name")})
		updated <- err
	}()
	awaitLockWait(ctx, t, ledgertest.Connect(t, database))
	_, _, err := l.Transfer(ctx, ledger.TransferParams{From: ids[1], To: ids[2], Amount: decimal.NewFromInt(1)})
	if err != nil {
		t.Errorf("a transfer beside a reader that waits: %v", err)
	}
	ledgertest.Execute(t, holder, "COMMIT")
	if err := <-updated; err != nil {
		t.Errorf("the update: %v", err)
	}
	other := ledgertest.Open(t, postgres.Config{DatabaseURL: database, ReadConns: 1})
	if _, err := other.UpdateAccount(ctx, ledger.AccountChange{ID: ids[0], DisplayName: new("another")}); err != nil {
		t.Errorf("an update by a ledger that has not read the currency yet: %v", err)
	}
}

// A clock that was set back, seen as an account that last moved in the future, never turns the
// order of entries round.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	database := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database})
	admin := ledgertest.Connect(t, database)
	ids := ledgertest.OpenAccounts(t, l, 3, 100)
	ledgertest.Execute(t, admin, "UPDATE account SET update_time = now() + interval '1 hour' WHERE account_id = $1", ids[1])
	one := decimal.NewFromInt(1)
	for _, pair := range [][2]int{{0, 1}, {0, 2}, {2, 0}, {2, 1}} {
		for _, amount := range []int64{1, 1000} {
			_, _, err := l.Transfer(ctx, ledger.TransferParams{
				From: ids[pair[0]], To: ids[pair[1]], Amount: one.Mul(decimal.NewFromInt(amount)),
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	ledgertest.Execute(t, admin, "UPDATE account SET update_time = now() + interval '2 hours' WHERE is_equity")
	ids = append(ids, ledgertest.OpenAccounts(t, l, 2, 100)...)
	if _, _, err := l.Transfer(ctx, ledger.TransferParams{From: ids[3], To: ids[4], Amount: one}); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		entries, _, err := l.ListEntries(ctx, postgres.EntryFilter{AccountID: id, OldestFirst: true}, paging.Page{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range entries {
			if entries[i].Sequence != int64(i+1) {
				t.Errorf("entry %d of account %s is listed at place %d", entries[i].Sequence, id, i+1)
			}
		}
	}
}

// A crasher is one caller of TestKill: it repeats each transfer until it has an outcome, and keeps
// that.
type crasher struct {
	outcomes []ledger.Outcome
	unsure   map[uuid.UUID]bool // ids whose first call returned without an outcome
}

// Postgres is killed under load, twice. Every acknowledged transfer is there with its acknowledged
// balances, each returned outcome is true, and the ledger works on by itself.
func TestKillPostgres(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := pgtest.NewServer(t)
	l := ledgertest.OpenPrivate(t, server.URL(), postgres.Config{Logger: ledgertest.Silent})
	// Callers of this one get an error at each outage; those of the other wait until it is over.
	hasty := ledgertest.OpenPrivate(t, server.URL(), postgres.Config{Logger: ledgertest.Silent, BatchTimeout: 100 * time.Millisecond})
	ids := ledgertest.OpenAccounts(t, l, 8, 1000)
	const callers, each = 32, 150
	var acknowledged atomic.Int64
	thresholds := []int64{callers * each / 4, callers * each / 2}
	crash := make(chan struct{}, len(thresholds))
	crashers := make([]crasher, callers)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ledgertest.InParallel(callers, func(worker int) {
			crashers[worker].run(ctx, []*postgres.Ledger{l, hasty}[worker%2], ids, each, func() {
				n := acknowledged.Add(1)
				for _, threshold := range thresholds {
					if n == threshold {
						crash <- struct{}{}
					}
				}
			})
		})
	}()
	for range thresholds {
		<-crash
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		server = pgtest.Restart(t, server)
	}
	<-done
	ledgertest.RequireSound(t, l)
	unsure := 0
	balances := make(map[uuid.UUID]decimal.Decimal)
	for _, c := range crashers {
		unsure += len(c.unsure)
		for i := range c.outcomes {
			requireStored(t, l, &c.outcomes[i], c.unsure)
			o := &c.outcomes[i].Transfer
			if o.Status == ledger.TransferSuccess {
				balances[o.From] = balances[o.From].Sub(o.Amount)
				balances[o.To] = balances[o.To].Add(o.Amount)
			}
		}
	}
	for _, id := range ids {
		requireBalance(t, l, id, 1000+balances[id].IntPart())
	}
	t.Logf("%d transfers, %d of them with an unknown outcome at first", callers*each, unsure)
}

// run makes n transfers between random accounts, some of which are refused.
func (c *crasher) run(ctx context.Context, l *postgres.Ledger, ids []uuid.UUID, n int, answered func()) {
	c.unsure = make(map[uuid.UUID]bool)
	for range n {
		from := rand.IntN(len(ids))
		to := (from + 1 + rand.IntN(len(ids)-1)) % len(ids)
		p := ledger.TransferParams{
			ID: uuid.New(), From: ids[from], To: ids[to], Amount: decimal.NewFromInt(rand.Int64N(400) + 1),
		}
		for {
			t, replayed, err := l.Transfer(ctx, p)
			if err == nil {
				c.outcomes = append(c.outcomes, ledger.Outcome{Transfer: t, Replayed: replayed})
				answered()
				break
			}
			c.unsure[p.ID] = true
			if !errors.Is(err, ledger.ErrUnavailable) {
				c.outcomes = append(c.outcomes, ledger.Outcome{Transfer: t, Err: err})
				break
			}
		}
	}
}

// requireStored fails the test unless the outcome is what the ledger has, and what a repeated call
// returns.
func requireStored(t testing.TB, l *postgres.Ledger, o *ledger.Outcome, unsure map[uuid.UUID]bool) {
	t.Helper()
	if o.Err != nil {
		t.Fatalf("a caller heard %v", o.Err)
	}
	if o.Replayed && !unsure[o.Transfer.ID] {
		t.Errorf("transfer %s was asked for once and is a replay", o.Transfer.ID)
	}
	want := o.Transfer
	got, err := l.GetTransfer(context.Background(), want.ID)
	if err != nil {
		t.Fatalf("an acknowledged transfer: %v", err)
	}
	if got.Status != want.Status || got.Reason != want.Reason || !got.CreateTime.Equal(want.CreateTime) ||
		!got.FromBalance.Decimal.Equal(want.FromBalance.Decimal) || !got.ToBalance.Decimal.Equal(want.ToBalance.Decimal) {
		t.Errorf("stored is %+v, acknowledged was %+v", got, want)
	}
}

// Without the database, callers get that error in bounded time; with it, all is well again.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	server := pgtest.NewServer(t)
	counting := newCounting()
	l := ledgertest.OpenPrivate(t, server.URL(), postgres.Config{Logger: slog.New(counting)})
	ids := ledgertest.OpenAccounts(t, l, 2, 100)
	batch := []ledger.TransferParams{
		{ID: uuid.New(), From: ids[0], To: ids[1], Amount: decimal.NewFromInt(1)},
		{ID: uuid.New(), From: ids[1], To: ids[0], Amount: decimal.NewFromInt(1)},
	}
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	requireAway(t, l, batch, counting)
	if _, _, err := l.CreateAccount(t.Context(), ledger.AccountParams{}); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("opening an account got %v", err)
	}
	if _, err := l.UpdateAccount(t.Context(), ledger.AccountChange{ID: ids[0]}); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("changing an account got %v", err)
	}
	for name, ready := range map[string]func(context.Context) error{"read": l.ReadyToRead, "write": l.ReadyToWrite} {
		if err := ready(t.Context()); !errors.Is(err, ledger.ErrUnavailable) {
			t.Errorf("ready to %s: %v", name, err)
		}
	}
	pgtest.Restart(t, server)
	requireBack(t, l, batch)
	ledgertest.RequireSound(t, l)
}

// Commits are on the disk when they return, even where the database is set not to wait; a stricter
// setting is kept.
func TestCommitsAreDurable(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	admin := ledgertest.Connect(t, database)
	name := strings.TrimPrefix(ledgertest.Must(url.Parse(database)).Path, "/")
	for _, c := range []struct{ set, want string }{{"off", "on"}, {"on", "on"}, {"remote_apply", "remote_apply"}} {
		ledgertest.Execute(t, admin, "ALTER DATABASE "+name+" SET synchronous_commit = "+c.set)
		l := ledgertest.Open(t, postgres.Config{DatabaseURL: database})
		var got string
		if err := l.Writers().QueryRow(t.Context(), "SHOW synchronous_commit").Scan(&got); err != nil || got != c.want {
			t.Errorf("with synchronous_commit %s the ledger's is %s, %v", c.set, got, err)
		}
	}
}

// The statements are made for read committed, whatever the database's default isolation is.
func TestDefaultIsolationIsIgnored(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	database := pgtest.NewDatabase(t)
	ledgertest.Execute(t, ledgertest.Connect(t, database), "ALTER DATABASE "+databaseName(database)+" SET default_transaction_isolation = 'serializable'")
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database})
	ids := ledgertest.OpenAccounts(t, l, 2, 1000)
	ledgertest.InParallel(16, func(worker int) {
		for i := range 10 {
			var err error
			switch worker % 3 {
			case 0:
				_, err = l.UpdateAccount(ctx, ledger.AccountChange{ID: ids[0], DisplayName: new(fmt.Sprint(worker, i))})
			case 1:
				_, _, err = l.CreateCurrency(ctx, fmt.Sprintf("X%02d", i), 2, false)
			default:
				_, _, err = l.Transfer(ctx, ledger.TransferParams{From: ids[0], To: ids[1], Amount: decimal.NewFromInt(1)})
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
}
