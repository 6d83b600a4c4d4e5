package postgres_test

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// hold reserves 10 for some time.
func (y *yard) hold(ttl time.Duration) ledger.Transfer {
	y.t.Helper()
	return y.transfer("10", &ledger.TransferOptions{Hold: true, HoldTTL: ttl})
}

// schedule makes a transfer that is to be executed after some time.
func (y *yard) schedule(text string, after time.Duration) ledger.Transfer {
	y.t.Helper()
	return y.transfer(text, &ledger.TransferOptions{ExecuteTime: y.clock.Now().Add(after)})
}

func (y *yard) transfer(text string, o *ledger.TransferOptions) ledger.Transfer {
	y.t.Helper()
	transfer, _, err := y.l.Transfer(context.Background(), ledger.TransferParams{From: y.a, To: y.b, Amount: ledgertest.Amount(text), Options: o})
	if err != nil || transfer.Status != ledger.TransferInit {
		y.t.Fatalf("%+v, %v", transfer, err)
	}
	return transfer
}

// requireStatus fails the test unless a transfer is so.
func (y *yard) requireStatus(id uuid.UUID, status ledger.TransferStatus, reason ledger.ErrorReason) {
	y.t.Helper()
	transfer, err := y.l.GetTransfer(context.Background(), id)
	if err != nil || transfer.Status != status || transfer.Reason != reason {
		y.t.Errorf("transfer %s is %s %s, %v; want %s %s", id, transfer.Status, transfer.Reason, err, status, reason)
	}
}

// requireExecuted fails the test unless a transfer has as many children as that, which succeeded.
func (y *yard) requireExecuted(id uuid.UUID, n int) {
	y.t.Helper()
	children, _, err := y.l.ListTransfers(context.Background(), postgres.TransferFilter{ParentID: id, Status: ledger.TransferSuccess}, paging.Page{})
	if err != nil || len(children) != n {
		y.t.Errorf("transfer %s has %d children, %v; want %d", id, len(children), err, n)
	}
}

// metric reads a gauge, or a counter with these values of its labels.
func metric(t testing.TB, registry *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if strings.Join(values, " ") == strings.Join(labels, " ") {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func TestWorkerEndsHolds(t *testing.T) {
	t.Parallel()
	y := newYard(t, postgres.Config{ReadConns: 1}) // a worker needs no second one
	early, late, endless := y.hold(time.Minute), y.hold(time.Hour), y.transfer("10", &ledger.TransferOptions{Hold: true})
	voided := y.hold(time.Minute)
	if _, _, err := y.l.Void(t.Context(), voided.ID, false); err != nil {
		t.Fatal(err)
	}
	w := y.l.NewWorker()
	if _, wait, err := w.RunOnce(t.Context()); err != nil || wait != time.Minute {
		t.Errorf("until the next is due: %s, %v", wait, err)
	}
	y.clock.Step(time.Minute - time.Microsecond)
	y.round(w)
	y.requireStatus(early.ID, ledger.TransferInit, "")
	y.clock.Step(time.Microsecond)
	y.round(w)
	y.requireStatus(early.ID, ledger.TransferFailed, ledger.HoldExpired)
	y.requireStatus(late.ID, ledger.TransferInit, "")
	y.requireStatus(endless.ID, ledger.TransferInit, "")
	y.requireStatus(voided.ID, ledger.TransferFailed, ledger.Voided)
	if a := ledgertest.Must(y.l.GetAccount(t.Context(), y.a)); !a.Held.Equal(ledgertest.Amount("20")) {
		t.Errorf("held are %s", a.Held)
	}
	if full, wait, err := w.RunOnce(t.Context()); full || err != nil || wait != 59*time.Minute {
		t.Errorf("then: %v, %s, %v", full, wait, err)
	}
}

func TestWorkerExecutesScheduledTransfers(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	y := newYard(t, postgres.Config{Metrics: registry})
	good, much, cancelled := y.schedule("600", time.Minute), y.schedule("600", 2*time.Minute), y.schedule("1", time.Minute)
	if _, _, err := y.l.Void(t.Context(), cancelled.ID, false); err != nil {
		t.Fatal(err)
	}
	w := y.l.NewWorker()
	y.round(w)
	y.requireStatus(good.ID, ledger.TransferInit, "")
	y.clock.Step(5 * time.Minute)
	y.round(w)
	y.requireStatus(good.ID, ledger.TransferSuccess, "")
	y.requireStatus(much.ID, ledger.TransferFailed, ledger.InsufficientFunds)
	y.requireStatus(cancelled.ID, ledger.TransferFailed, ledger.Voided)
	y.requireExecuted(good.ID, 1)
	y.requireExecuted(much.ID, 0)
	y.requireExecuted(cancelled.ID, 0)
	requireBalance(t, y.l, y.a, 400)
	y.round(w)
	for labels, want := range map[string]float64{
		"SCHEDULED SUCCESS": 1, "SCHEDULED INSUFFICIENT_FUNDS": 1, "SCHEDULED VOIDED": 0, "SCHEDULED REPLAYED": 0,
	} {
		if got := metric(t, registry, "ledger_worker_items_total", strings.Fields(labels)...); got != want {
			t.Errorf("%s: %v, want %v", labels, got, want)
		}
	}
	refused := &ledger.RefusedError{}
	if _, _, err := y.l.Void(t.Context(), good.ID, false); !errors.As(err, &refused) || refused.Reason != ledger.AlreadyPosted {
		t.Errorf("cancelled too late: %v", err)
	}
}

// A transfer that is cancelled just when it is executed is either, and so is a hold that expires
// just when it is posted.
func TestWorkerRaces(t *testing.T) {
	t.Parallel()
	y := newYard(t, postgres.Config{})
	other := ledgertest.Open(t, postgres.Config{DatabaseURL: y.url, Logger: ledgertest.Silent})
	var executed, cancelled, posted, expired int64
	for i := range 40 {
		scheduled, held := y.schedule("10", time.Minute), y.hold(time.Minute)
		// A hold is posted before it is due or not at all; it is due when its account is next
		// looked at.
		y.clock.Step(time.Minute - time.Duration(i%2)*time.Microsecond)
		var voidErr, postErr error
		var capture ledger.Transfer
		ledgertest.InParallel(4, func(worker int) {
			switch worker {
			case 0:
				if _, _, err := y.l.NewWorker().RunOnce(context.Background()); err != nil {
					t.Error(err)
				}
			case 1:
				_, _, voidErr = other.Void(context.Background(), scheduled.ID, false)
			case 2:
				capture, _, _, postErr = other.Post(context.Background(), ledger.PostParams{HoldID: held.ID})
			case 3:
				y.clock.Step(time.Microsecond)
			}
		})
		y.round(y.l.NewWorker())
		if postErr != nil {
			t.Fatal(postErr)
		}
		if refused := (*ledger.RefusedError)(nil); voidErr == nil {
			cancelled++
			y.requireStatus(scheduled.ID, ledger.TransferFailed, ledger.Voided)
			y.requireExecuted(scheduled.ID, 0)
		} else if errors.As(voidErr, &refused) && refused.Reason == ledger.AlreadyPosted {
			executed++
			y.requireStatus(scheduled.ID, ledger.TransferSuccess, "")
			y.requireExecuted(scheduled.ID, 1)
		} else {
			t.Fatal(voidErr)
		}
		if capture.Status == ledger.TransferSuccess {
			posted++
			y.requireStatus(held.ID, ledger.TransferSuccess, "")
			y.requireExecuted(held.ID, 1)
		} else {
			expired++
			y.requireStatus(capture.ID, ledger.TransferFailed, ledger.HoldExpired)
			y.requireStatus(held.ID, ledger.TransferFailed, ledger.HoldExpired)
			y.requireExecuted(held.ID, 0)
		}
		requireBalance(t, y.l, y.a, 1000-10*(executed+posted))
		if executed+posted > 80 {
			t.Fatal("the money is used up")
		}
	}
	t.Logf("%d executed, %d cancelled, %d posted, %d expired", executed, cancelled, posted, expired)
}

// Several instances execute many due items at the same time, each once.
func TestInstancesSettleEachItemOnce(t *testing.T) {
	t.Parallel()
	y := newYard(t, postgres.Config{WorkerBatch: 7})
	var instances []*postgres.Ledger
	for range 3 {
		instances = append(instances, ledgertest.Open(t, postgres.Config{DatabaseURL: y.url, WorkerBatch: 7, Logger: ledgertest.Silent}))
	}
	var orders []ledger.Schedule
	var scheduled, held []ledger.Transfer
	for range 20 {
		orders = append(orders, y.order(func(p *ledger.ScheduleParams) { p.Amount = ledgertest.Amount("1") }))
		scheduled = append(scheduled, y.schedule("2", time.Minute))
		held = append(held, y.hold(time.Minute))
	}
	y.clock.Step(35 * time.Minute) // 4 occurrences of each
	ledgertest.InParallel(2*len(instances), func(worker int) {
		w := instances[worker/2].NewWorker()
		for full := true; full; {
			var err error
			if full, _, err = w.RunOnce(context.Background()); err != nil {
				t.Errorf("worker %d: %v", worker, err)
			}
		}
	})
	// The last instance to end may have looked while others were still at something.
	y.round(instances[0].NewWorker())
	for i := range orders {
		y.require("each", orders[i].ID, ledger.ScheduleActive, 40, 0, 10, 20, 30)
		y.requireStatus(scheduled[i].ID, ledger.TransferSuccess, "")
		y.requireExecuted(scheduled[i].ID, 1)
		y.requireStatus(held[i].ID, ledger.TransferFailed, ledger.HoldExpired)
	}
	requireBalance(t, y.l, y.a, 1000-20*4*1-20*2)
}

// While one instance is at its items, another takes others, and not the same ones.
func TestInstancesShareWork(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind string
		make func(y *yard)
		at   string // when some are claimed, and are still due
	}{
		{"SCHEDULED", func(y *yard) { y.schedule("1", time.Minute) }, "SchedulesClaim"},
		{"HOLD", func(y *yard) { y.hold(time.Minute) }, "SchedulesClaim"},
		{"OCCURRENCE", func(y *yard) { y.order(nil) }, "SchedulesAdvance"},
	} {
		t.Run(c.kind, func(t *testing.T) {
			t.Parallel()
			y := newYard(t, postgres.Config{})
			proxy := newProxy(t, y.url)
			slowMetrics, fastMetrics := prometheus.NewRegistry(), prometheus.NewRegistry()
			slow := ledgertest.Open(t, postgres.Config{DatabaseURL: proxy.url, WorkerBatch: 5, Metrics: slowMetrics, Logger: ledgertest.Silent})
			fast := ledgertest.Open(t, postgres.Config{DatabaseURL: y.url, WorkerBatch: 5, Metrics: fastMetrics, Logger: ledgertest.Silent})
			for range 10 {
				if c.kind == "HOLD" {
					// The end of a hold is the end of all that are due on its accounts.
					ids := ledgertest.OpenAccounts(t, y.l, 2, 10)
					y.a, y.b = ids[0], ids[1]
				}
				c.make(y)
			}
			y.clock.Step(time.Minute)
			proxy.expect(fault{at: c.at, do: look, then: func() {
				if full, _, err := fast.NewWorker().RunOnce(context.Background()); !full || err != nil {
					t.Errorf("the fast one: full %v, %v", full, err)
				}
			}})
			if full, _, err := slow.NewWorker().RunOnce(t.Context()); !full || err != nil {
				t.Errorf("the slow one: full %v, %v", full, err)
			}
			for name, registry := range map[string]*prometheus.Registry{"slow": slowMetrics, "fast": fastMetrics} {
				done := metric(t, registry, "ledger_worker_items_total", c.kind, "SUCCESS") +
					metric(t, registry, "ledger_worker_items_total", c.kind, "HOLD_EXPIRED")
				again := metric(t, registry, "ledger_worker_items_total", c.kind, "REPLAYED")
				if done != 5 || again != 0 {
					t.Errorf("the %s one: %v, and %v once more", name, done, again)
				}
			}
			if full, _, err := fast.NewWorker().RunOnce(t.Context()); full || err != nil {
				t.Errorf("then: full %v, %v", full, err)
			}
		})
	}
}

// An item that the database refuses is put aside: it neither stops the others nor keeps the worker
// busy.
func TestWorkerPutsAside(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	y := newYard(t, postgres.Config{WorkerBatch: 1, Metrics: registry})
	bad := y.order(func(p *ledger.ScheduleParams) { p.Reference = "poison" })
	scheduled, _, err := y.l.Transfer(t.Context(), ledger.TransferParams{
		From: y.a, To: y.b, Amount: ledgertest.Amount("1"), Reference: "poison", Options: &ledger.TransferOptions{ExecuteTime: y.begin.Add(time.Second)},
	})
	if err != nil {
		t.Fatal(err)
	}
	y.clock.Step(2 * time.Second)
	good := y.order(nil)
	after := y.schedule("1", time.Second)
	y.clock.Step(10 * time.Second)
	ledgertest.Execute(t, y.conn, `ALTER TABLE transfer ADD CONSTRAINT poison CHECK (reference <> 'poison') NOT VALID`)
	w := y.l.NewWorker()
	for range 3 {
		if _, _, err := w.RunOnce(t.Context()); err != nil {
			t.Errorf("a round beside a poison: %v", err)
		}
	}
	y.requireStatus(after.ID, ledger.TransferSuccess, "")
	y.requireStatus(scheduled.ID, ledger.TransferInit, "")
	if s := ledgertest.Must(y.l.GetSchedule(t.Context(), good.ID)); s.OccurrenceCount != 1 {
		t.Errorf("beside a poison: %+v", s)
	}
	if s := ledgertest.Must(y.l.GetSchedule(t.Context(), bad.ID)); s.OccurrenceCount != 0 || s.Version != 1 {
		t.Errorf("the poison: %+v", s)
	}
	if tried := metric(t, registry, "ledger_worker_items_total", "OCCURRENCE", "ERROR"); tried != 1 {
		t.Errorf("the poison was tried %v times", tried)
	}
	if lag := metric(t, registry, "ledger_worker_lag_seconds"); lag != 12 {
		t.Errorf("the lag is %v s", lag)
	}
	ledgertest.Execute(t, y.conn, `ALTER TABLE transfer DROP CONSTRAINT poison`)
	y.round(y.l.NewWorker()) // one that has put nothing aside
	y.requireStatus(scheduled.ID, ledger.TransferSuccess, "")
	if s := ledgertest.Must(y.l.GetSchedule(t.Context(), bad.ID)); s.OccurrenceCount != 1 {
		t.Errorf("without the poison: %+v", s)
	}
	if lag := metric(t, registry, "ledger_worker_lag_seconds"); lag != 0 {
		t.Errorf("then the lag is %v s", lag)
	}
}

// Workers that run by themselves wake when an item is due, and end with the ledger.
func TestRunningWorkers(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url, Logger: ledgertest.Silent})
	ids := ledgertest.OpenAccounts(t, l, 2, 1000)
	held, _, err := l.Transfer(t.Context(), ledger.TransferParams{
		From: ids[0], To: ids[1], Amount: ledgertest.Amount("5"), Options: &ledger.TransferOptions{Hold: true, HoldTTL: 300 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	twice := int64(2)
	s, _, err := l.CreateSchedule(t.Context(), ledger.ScheduleParams{
		From: ids[0], To: ids[1], Amount: ledgertest.Amount("1"), Interval: time.Second, MaxCount: &twice,
	})
	if err != nil {
		t.Fatal(err)
	}
	// Without waking for what is due they would look again after an hour.
	working := ledgertest.Must(postgres.Open(t.Context(), postgres.Config{DatabaseURL: url, Workers: 3, WorkerInterval: time.Hour, Logger: ledgertest.Silent}))
	await(t, "settled", func() bool {
		s, err := l.GetSchedule(t.Context(), s.ID)
		h, err2 := l.GetTransfer(t.Context(), held.ID)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		return s.Status == ledger.ScheduleEnded && h.Status == ledger.TransferFailed
	})
	if err := working.Close(t.Context()); err != nil {
		t.Error(err)
	}
	requireBalance(t, l, ids[0], 998)
	if after := ledgertest.Must(l.GetTransfer(t.Context(), held.ID)); after.UpdateTime.Before(*held.Detail.DueTime) {
		t.Errorf("due at %s, ended at %s", held.Detail.DueTime, after.UpdateTime)
	}
}

// Without a database the workers neither spin nor end, say so once, and go on when it is back.
func TestWorkersOutage(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	name := strings.TrimPrefix(ledgertest.Must(url.Parse(database)).Path, "/")
	other := ledgertest.Must(url.Parse(database))
	other.Path = "/postgres"
	admin := ledgertest.Connect(t, other.String())
	counting, registry := newCounting(), prometheus.NewRegistry()
	l := ledgertest.Open(t, postgres.Config{
		DatabaseURL: database, Workers: 2, WorkerInterval: 10 * time.Millisecond, Logger: slog.New(counting), Metrics: registry,
	})
	ids := ledgertest.OpenAccounts(t, l, 2, 1000)
	failed := func() float64 { return metric(t, registry, "ledger_worker_rounds_failed_total") }
	ledgertest.Execute(t, admin, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS false")
	// One that is just connecting may come in after the others were ended.
	for alone := 0; alone < 20; alone++ {
		var ended int
		err := admin.QueryRow(t.Context(), "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1", name).Scan(&ended)
		if err != nil {
			t.Fatal(err)
		}
		if ended > 0 {
			alone = 0
		}
	}
	wentOn := counting.count("the workers go on")
	began, before := time.Now(), failed()
	await(t, "failed", func() bool { return failed() >= before+10 })
	// One of the two workers has failed five times, and waited 10, 20, 40 and 80 ms in between.
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("ten rounds have failed after %s", took)
	}
	ledgertest.Execute(t, admin, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS true")
	s, _, err := l.CreateSchedule(t.Context(), ledger.ScheduleParams{From: ids[0], To: ids[1], Amount: ledgertest.Amount("1"), Interval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	await(t, "settled", func() bool { return ledgertest.Must(l.GetSchedule(t.Context(), s.ID)).OccurrenceCount == 1 })
	await(t, "quiet", func() bool { return counting.count("the workers go on") > wentOn })
	said, again := counting.count("the workers cannot settle what is due, and keep trying"), counting.count("the workers go on")
	if said != again || again != wentOn+1 {
		t.Errorf("said %d times that there is an outage, and %d times that it is over; before all were cut off, %d times", said, again, wentOn)
	}
}
