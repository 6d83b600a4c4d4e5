package databases

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/events"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/internal/proof"
	"internaltransfers/ledger"
)

var one, penny = decimal.NewFromInt(1), decimal.RequireFromString("0.01")

func TestMain(m *testing.M) { pgtest.Main(m) }

// patience is how long anything may take, on a busy machine.
const patience = 2 * time.Minute

// configure returns a small configuration of a server's ledger.
func configure(url, schema string) postgres.Config {
	return postgres.Config{
		DatabaseURL: url, Schema: schema, ReadConns: 4, Workers: 1, WorkerInterval: 20 * time.Millisecond,
		ProfileCache: 100, Heartbeat: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	}
}

// open opens a ledger, which the end of the test proves and closes.
func open(t *testing.T, config postgres.Config) *postgres.Ledger {
	t.Helper()
	l, err := postgres.Open(context.Background(), config)
	if err != nil {
		t.Fatalf("open the ledger: %v", err)
	}
	t.Cleanup(func() {
		requireSound(t, l)
		if err := l.Close(context.Background()); err != nil {
			t.Errorf("close the ledger: %v", err)
		}
	})
	return l
}

// requireSound fails the test when an invariant is broken.
func requireSound(t *testing.T, l *postgres.Ledger) {
	t.Helper()
	var report proof.Report
	err := repeat(func() (err error) {
		report, err = l.Proofs.Check(context.Background(), proof.Options{})
		return err
	})
	if err != nil {
		t.Fatalf("check the ledger: %v", err)
	}
	for i := range report.Invariants {
		if report.Invariants[i].ViolationCount != 0 {
			t.Errorf("invariant broken: %s", &report.Invariants[i])
		}
	}
}

// repeat repeats a call as its callers do, as long as its error says to and patience lasts.
func repeat(call func() error) error {
	for began := time.Now(); ; {
		if err := call(); !errors.Is(err, ledger.ErrUnavailable) || time.Since(began) > patience {
			return err
		}
	}
}

// A life is what happens to two accounts, from their opening on. Every call is repeated while the
// database is away, with the same ids, so the outcome is the same however often that is.
type life struct {
	t         *testing.T
	ctx       context.Context
	l         *postgres.Ledger
	ids       [2]uuid.UUID
	reference string
	failed    bool
}

// newLife begins one with ids that follow from a seed, so that two ledgers can have the same.
func newLife(t *testing.T, l *postgres.Ledger, seed string) *life {
	n := &life{t: t, ctx: context.Background(), l: l, reference: "Zürich №1 " + seed}
	for i := range n.ids {
		n.ids[i] = n.id(fmt.Sprint("account ", i))
	}
	return n
}

func (n *life) id(name string) uuid.UUID { return uuid.NewSHA1(uuid.Nil, []byte(name+n.reference)) }

// do makes a call, which must succeed in the end.
func (n *life) do(what string, call func() error) {
	if err := repeat(call); err != nil && !n.failed {
		n.failed = true
		n.t.Errorf("%s: %v", what, err)
	}
}

func (n *life) require(what string, ok bool, got ...any) {
	if !ok && !n.failed {
		n.failed = true
		n.t.Errorf("%s: %s", what, fmt.Sprintln(got...))
	}
}

// live does everything once, and returns how many events each of the life's transfers has: when it
// is made and when it changes.
func (n *life) live() map[uuid.UUID]int {
	n.openAccounts()
	told := n.pay()
	n.holdAndReverse(told)
	n.batch(told)
	n.read()
	n.order()
	return told
}

func (n *life) openAccounts() {
	for i, balance := range []string{"100", "0"} {
		n.do("open an account", func() error {
			_, _, err := n.l.CreateAccount(n.ctx, ledger.AccountParams{
				ID: n.ids[i], InitialBalance: decimal.RequireFromString(balance), DisplayName: fmt.Sprint("Łódź ", i),
				Metadata: map[string]string{"city": "Zürich"},
			})
			return err
		})
	}
	n.do("name an account", func() error {
		name := "Søren " + n.reference
		_, err := n.l.UpdateAccount(n.ctx, ledger.AccountChange{ID: n.ids[0], DisplayName: &name})
		return err
	})
}

func (n *life) transfer(name, amount string, from, to int, o *ledger.TransferOptions) (t ledger.Transfer, replayed bool) {
	n.do(name, func() (err error) {
		t, replayed, err = n.l.Transfer(n.ctx, ledger.TransferParams{
			ID: n.id(name), From: n.ids[from], To: n.ids[to], Amount: decimal.RequireFromString(amount), Reference: n.reference, Options: o,
		})
		return err
	})
	return t, replayed
}

// pay moves money, is refused, and gets the same result from a replay.
func (n *life) pay() map[uuid.UUID]int {
	paid, _ := n.transfer("pay", "10.25", 0, 1, nil)
	n.require("pay", paid.Status == ledger.TransferSuccess && paid.FromBalance.Decimal.String() == "89.75", paid)
	refused, _ := n.transfer("too much", "1000", 1, 0, nil)
	n.require("too much", refused.Status == ledger.TransferFailed && refused.Reason == ledger.InsufficientFunds, refused)
	for _, before := range []ledger.Transfer{paid, refused} {
		name, amount, from, to := "pay", "10.25", 0, 1
		if before.ID == refused.ID {
			name, amount, from, to = "too much", "1000", 1, 0
		}
		again, replayed := n.transfer(name, amount, from, to, nil)
		n.require("again", replayed && again.CreateTime.Equal(before.CreateTime) && again.Status == before.Status, again, before)
	}
	return map[uuid.UUID]int{paid.ID: 1, refused.ID: 1}
}

// holdAndReverse captures some of a hold, voids the rest, and moves some of the payment back.
func (n *life) holdAndReverse(told map[uuid.UUID]int) {
	hold, _ := n.transfer("hold", "20", 0, 1, &ledger.TransferOptions{Hold: true, HoldTTL: time.Hour})
	n.require("hold", hold.Status == ledger.TransferInit, hold)
	n.do("capture", func() error {
		_, _, _, err := n.l.Post(n.ctx, ledger.PostParams{
			HoldID: hold.ID, ID: n.id("capture"), Amount: decimal.NewNullDecimal(decimal.NewFromInt(5)),
		})
		return err
	})
	n.do("void", func() error {
		_, _, err := n.l.Void(n.ctx, hold.ID, false)
		return err
	})
	n.do("reverse", func() error {
		_, _, _, err := n.l.Reverse(n.ctx, ledger.ReverseParams{
			TransferID: n.id("pay"), ID: n.id("reverse"), Amount: decimal.NewNullDecimal(decimal.RequireFromString("0.25")),
		})
		return err
	})
	told[hold.ID], told[n.id("capture")], told[n.id("reverse")] = 3, 1, 1
	told[n.id("pay")]++ // it is reversed
}

// batch moves a penny twenty times, on its own and all or none.
func (n *life) batch(told map[uuid.UUID]int) {
	for _, atomic := range []bool{false, true} {
		params := make([]ledger.TransferParams, 10)
		for i := range params {
			params[i] = ledger.TransferParams{
				ID: n.id(fmt.Sprint("batch ", atomic, i)), From: n.ids[0], To: n.ids[1], Amount: decimal.RequireFromString("0.01"),
			}
			told[params[i].ID] = 1
		}
		n.do("batch", func() error {
			outcomes, err := n.l.TransferBatch(n.ctx, params, ledger.BatchOptions{Atomic: atomic})
			for i := range outcomes {
				err = errors.Join(err, outcomes[i].Err)
			}
			return err
		})
	}
}

// read finds what was done, in every way.
func (n *life) read() {
	n.do("read the accounts", func() error {
		a, err := n.l.GetAccount(n.ctx, n.ids[0])
		b, err2 := n.l.GetAccount(n.ctx, n.ids[1])
		if err = errors.Join(err, err2); err == nil {
			n.require("balances", a.Balance.String() == "84.8" && b.Balance.String() == "15.2" && a.Metadata["city"] == "Zürich", a, b)
		}
		return err
	})
	n.do("list transfers", func() error {
		all, _, err := n.l.ListTransfers(n.ctx, postgres.TransferFilter{AccountID: n.ids[0]}, paging.Page{Size: 100})
		named, _, err2 := n.l.ListTransfers(n.ctx, postgres.TransferFilter{Reference: n.reference}, paging.Page{})
		if err = errors.Join(err, err2); err == nil {
			n.require("transfers", len(all) == 26 && len(named) == 5, len(all), len(named))
		}
		return err
	})
	n.do("search", func() error {
		found, _, err := n.l.ListAccounts(n.ctx, postgres.AccountFilter{Search: "søren zürich " + n.reference[strings.LastIndex(n.reference, " ")+1:]}, paging.Page{})
		if err == nil {
			n.require("found", slices.ContainsFunc(found, func(a ledger.Account) bool { return a.ID == n.ids[0] }), found)
		}
		return err
	})
	n.do("read profiles", func() error {
		profiles, err := n.l.GetProfiles(n.ctx, n.ids[:])
		if err == nil {
			n.require("profiles", len(profiles) == 2 && profiles[0].DisplayName == "Søren "+n.reference, profiles)
		}
		return err
	})
	n.do("read the status", func() error {
		_, err := n.l.GetStatus(n.ctx)
		return err
	})
}

// order makes a schedule of one payment, which a worker makes at once.
func (n *life) order() {
	once := int64(1)
	n.do("order", func() error {
		_, _, err := n.l.CreateSchedule(n.ctx, ledger.ScheduleParams{
			ID: n.id("order"), From: n.ids[0], To: n.ids[1], Amount: decimal.NewFromInt(1), Interval: time.Hour, MaxCount: &once,
		})
		return err
	})
	n.until("read the order", func() (bool, error) {
		s, err := n.l.GetSchedule(n.ctx, n.id("order"))
		return s.Status == ledger.ScheduleEnded, err
	})
}

// expire makes a hold that a worker expires.
func (n *life) expire() {
	hold, _ := n.transfer("expires", "1", 0, 1, &ledger.TransferOptions{Hold: true, HoldTTL: time.Millisecond})
	n.until("read an expired hold", func() (bool, error) {
		t, err := n.l.GetTransfer(n.ctx, hold.ID)
		return t.Status == ledger.TransferFailed, err
	})
}

// until waits for a condition.
func (n *life) until(what string, so func() (bool, error)) {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for done := false; !done && !n.failed; <-ticker.C {
		n.do(what, func() (err error) {
			done, err = so()
			return err
		})
	}
}

// A reader follows the events of a ledger, from the first one on. It goes on from its last position
// when it is cut off.
type reader struct {
	told map[uuid.UUID]int // how many events each transfer had, guarded by mu
	mu   sync.Mutex
	more chan struct{}
	stop func()
}

func follow(t *testing.T, l *postgres.Ledger) *reader {
	r := &reader{told: make(map[uuid.UUID]int), more: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() {
		position := int64(0)
		err := repeat(func() error {
			return l.Events.Follow(ctx, position, nil, func(events []*events.Event, after int64) error {
				position = after
				r.take(events)
				return nil
			})
		})
		if ctx.Err() == nil {
			t.Errorf("the stream ended: %v", err)
		}
	})
	r.stop = sync.OnceFunc(func() {
		cancel()
		following.Wait()
	})
	t.Cleanup(r.stop)
	return r
}

func (r *reader) take(events []*events.Event) {
	r.mu.Lock()
	for _, e := range events {
		if e.Transfer != nil {
			r.told[e.Transfer.ID]++
		}
	}
	r.mu.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// require waits until these transfers had as many events as they should. None may have one too
// many.
func (r *reader) require(t *testing.T, want map[uuid.UUID]int) {
	t.Helper()
	for {
		missing := ""
		r.mu.Lock()
		for id, n := range want {
			if r.told[id] > n {
				t.Errorf("transfer %s had %d events, not %d", id, r.told[id], n)
			}
			if r.told[id] < n {
				missing = id.String()
			}
		}
		r.mu.Unlock()
		if missing == "" || t.Failed() {
			return
		}
		select {
		case <-r.more:
		case <-t.Context().Done():
			t.Fatalf("transfer %s has no event", missing)
		}
	}
}
