package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

func TestScheduleMakesTransfers(t *testing.T) {
	t.Parallel()
	y := newYard(t, postgres.Config{})
	three := int64(3)
	s := y.order(func(p *ledger.ScheduleParams) {
		p.Amount, p.Start, p.MaxCount = ledgertest.Amount("499"), y.begin.Add(10*time.Minute), &three
		p.Metadata = map[string]string{"k": "v"}
	})
	w := y.l.NewWorker()
	if _, wait, err := w.RunOnce(t.Context()); err != nil || wait != 10*time.Minute {
		t.Errorf("until the first: %s, %v", wait, err)
	}
	y.clock.Step(10*time.Minute - time.Microsecond)
	y.round(w)
	y.require("too early", s.ID, ledger.ScheduleActive, 10)
	y.clock.Step(time.Microsecond)
	y.round(w)
	y.require("at its time", s.ID, ledger.ScheduleActive, 20, 10)
	first, err := y.l.GetTransfer(t.Context(), ledgertest.Must(y.l.GetSchedule(t.Context(), s.ID)).LastTransferID)
	if err != nil || first.Status != ledger.TransferSuccess || first.From != y.a || first.To != y.b || !first.Amount.Equal(s.Amount) ||
		first.Currency != "USD" || first.Reference != s.ID.String() || first.Metadata["k"] != "v" || first.Kind() != ledger.KindTransfer {
		t.Errorf("the first is %+v, %v", first, err)
	}
	y.round(w)
	y.round(y.l.NewWorker())
	y.require("once", s.ID, ledger.ScheduleActive, 20, 10)
	y.clock.Step(20 * time.Minute)
	y.round(w)
	y.require("to the end", s.ID, ledger.ScheduleEnded, -1, 10, 20, 30)
	// The third was refused, which counts.
	y.requireStatus(ledgertest.Must(y.l.GetSchedule(t.Context(), s.ID)).LastTransferID, ledger.TransferFailed, ledger.InsufficientFunds)
	requireBalance(t, y.l, y.b, 1998)
}

// What was missed while no worker ran is caught up with as the schedule says.
func TestMissedOccurrences(t *testing.T) {
	t.Parallel()
	two, one := int64(2), int64(1)
	for _, c := range []struct {
		catchUp ledger.CatchUp
		away    time.Duration // from the first occurrence, at 0, on
		end     time.Duration
		most    *int64
		status  ledger.ScheduleStatus
		next    int
		made    []int
	}{
		{ledger.CatchUpAll, 35 * time.Minute, 0, nil, ledger.ScheduleActive, 40, []int{0, 10, 20, 30}},
		{ledger.CatchUpLatest, 35 * time.Minute, 0, nil, ledger.ScheduleActive, 40, []int{30}},
		{ledger.CatchUpNone, 35 * time.Minute, 0, nil, ledger.ScheduleActive, 40, nil},
		// One of them is not missed: its time was less than a minute ago.
		{ledger.CatchUpAll, 30*time.Minute + 59*time.Second, 0, nil, ledger.ScheduleActive, 40, []int{0, 10, 20, 30}},
		{ledger.CatchUpLatest, 30*time.Minute + 59*time.Second, 0, nil, ledger.ScheduleActive, 40, []int{30}},
		{ledger.CatchUpNone, 30*time.Minute + 59*time.Second, 0, nil, ledger.ScheduleActive, 40, []int{30}},
		{ledger.CatchUpNone, 31 * time.Minute, 0, nil, ledger.ScheduleActive, 40, nil},
		{ledger.CatchUpNone, 30 * time.Minute, 0, nil, ledger.ScheduleActive, 40, []int{30}},
		// Nothing was missed.
		{ledger.CatchUpLatest, 59 * time.Second, 0, nil, ledger.ScheduleActive, 10, []int{0}},
		{ledger.CatchUpNone, 59 * time.Second, 0, nil, ledger.ScheduleActive, 10, []int{0}},
		// The end came meanwhile.
		{ledger.CatchUpAll, 35 * time.Minute, 20 * time.Minute, nil, ledger.ScheduleEnded, -1, []int{0, 10}},
		{ledger.CatchUpLatest, 35 * time.Minute, 20 * time.Minute, nil, ledger.ScheduleEnded, -1, []int{10}},
		{ledger.CatchUpNone, 35 * time.Minute, 20 * time.Minute, nil, ledger.ScheduleEnded, -1, nil},
		{ledger.CatchUpNone, 35 * time.Minute, 41 * time.Minute, nil, ledger.ScheduleActive, 40, nil},
		{ledger.CatchUpNone, 35 * time.Minute, 40 * time.Minute, nil, ledger.ScheduleEnded, -1, nil},
		// What is left out does not count.
		{ledger.CatchUpAll, 35 * time.Minute, 0, &two, ledger.ScheduleEnded, -1, []int{0, 10}},
		{ledger.CatchUpLatest, 35 * time.Minute, 0, &two, ledger.ScheduleActive, 40, []int{30}},
		{ledger.CatchUpLatest, 35 * time.Minute, 0, &one, ledger.ScheduleEnded, -1, []int{30}},
		{ledger.CatchUpNone, 35 * time.Minute, 0, &one, ledger.ScheduleActive, 40, nil},
	} {
		t.Run(fmt.Sprint(c.catchUp, c.away, c.end), func(t *testing.T) {
			t.Parallel()
			y := newYard(t, postgres.Config{WorkerBatch: 3})
			s := y.order(func(p *ledger.ScheduleParams) {
				if p.CatchUp, p.MaxCount = c.catchUp, c.most; c.end != 0 {
					p.End = y.begin.Add(c.end)
				}
			})
			y.clock.Step(c.away)
			y.round(y.l.NewWorker())
			y.require("back", s.ID, c.status, c.next, c.made...)
			if c.status == ledger.ScheduleActive {
				y.clock.Set(y.begin.Add(time.Duration(c.next) * time.Minute))
				y.round(y.l.NewWorker())
				if made := y.made(s.ID); !slices.Equal(made, append(slices.Clone(c.made), c.next)) {
					t.Errorf("then made at %v", made)
				}
			}
		})
	}
}

// awaitNoTransaction waits until no other session of the database is in a transaction.
func (y *yard) awaitNoTransaction() {
	y.t.Helper()
	await(y.t, "alone", func() (alone bool) {
		err := y.conn.QueryRow(context.Background(), `SELECT NOT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND backend_type = 'client backend' AND xact_start IS NOT NULL AND pid <> pg_backend_pid())`).Scan(&alone)
		if err != nil {
			y.t.Fatal(err)
		}
		return alone
	})
}

// A worker that dies between making occurrences and counting them, or just after, leaves nothing to
// be made again, and the next worker counts all that it made.
func TestWorkerDies(t *testing.T) {
	t.Parallel()
	type after func(y *yard, id uuid.UUID)
	work := func(minutes int) after {
		return func(y *yard, _ uuid.UUID) {
			y.clock.Set(y.begin.Add(time.Duration(minutes) * time.Minute))
			y.round(y.l.NewWorker())
		}
	}
	change := func(minutes int, change func(l *postgres.Ledger, ctx context.Context, id uuid.UUID, dryRun bool) (ledger.Schedule, error)) after {
		return func(y *yard, id uuid.UUID) {
			y.clock.Set(y.begin.Add(time.Duration(minutes) * time.Minute))
			if _, err := change(y.l, context.Background(), id, false); err != nil {
				y.t.Error(err)
			}
		}
	}
	for _, c := range []struct {
		name    string
		catchUp ledger.CatchUp
		away    int // minutes, from the first occurrence on
		after   after
		status  ledger.ScheduleStatus
		next    int
		made    []int
	}{
		{"all, at once", ledger.CatchUpAll, 25, work(25), ledger.ScheduleActive, 30, []int{0, 10, 20}},
		{"all, later", ledger.CatchUpAll, 25, work(45), ledger.ScheduleActive, 50, []int{0, 10, 20, 30, 40}},
		{"latest, at once", ledger.CatchUpLatest, 0, work(0), ledger.ScheduleActive, 10, []int{0}},
		{"latest, later", ledger.CatchUpLatest, 0, work(45), ledger.ScheduleActive, 50, []int{0, 40}},
		{"latest of missed, later", ledger.CatchUpLatest, 25, work(45), ledger.ScheduleActive, 50, []int{20, 40}},
		{"none, later", ledger.CatchUpNone, 0, work(45), ledger.ScheduleActive, 50, []int{0}},
		{"paused", ledger.CatchUpAll, 25, change(45, (*postgres.Ledger).PauseSchedule), ledger.SchedulePaused, -1, []int{0, 10, 20}},
		{"deleted", ledger.CatchUpNone, 0, change(45, (*postgres.Ledger).DeleteSchedule), ledger.ScheduleDeleted, -1, []int{0}},
	} {
		for _, f := range []fault{{at: "SchedulesAdvance", do: cutBefore}, {at: "Barrier", do: cutBefore}, {at: "Barrier", do: cutAnswer}} {
			t.Run(fmt.Sprint(c.name, " ", f.at, f.do), func(t *testing.T) {
				t.Parallel()
				y := newYard(t, postgres.Config{})
				proxy := newProxy(t, y.url)
				dying := ledgertest.Open(t, postgres.Config{DatabaseURL: proxy.url, Logger: ledgertest.Silent})
				s := y.order(func(p *ledger.ScheduleParams) { p.CatchUp = c.catchUp })
				y.clock.Step(time.Duration(c.away) * time.Minute)
				if c.catchUp == ledger.CatchUpLatest && c.away > 0 {
					// The first round only leaves out what is missed.
					if full, _, err := dying.NewWorker().RunOnce(t.Context()); !full || err != nil {
						t.Fatalf("full %v, %v", full, err)
					}
					y.require("left out", s.ID, ledger.ScheduleActive, 20)
				}
				proxy.expect(f)
				if _, _, err := dying.NewWorker().RunOnce(t.Context()); err == nil {
					t.Fatal("the worker lives")
				}
				if len(y.made(s.ID)) == 0 {
					t.Fatal("the worker has made nothing")
				}
				y.awaitNoTransaction() // the server may not know yet that its client is dead
				c.after(y, s.ID)
				y.require("after", s.ID, c.status, c.next, c.made...)
				requireBalance(t, y.l, y.a, 1000-10*int64(len(c.made)))
			})
		}
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	y := newYard(t, postgres.Config{})
	ctx := t.Context()
	w := y.l.NewWorker()
	s := y.order(func(p *ledger.ScheduleParams) { p.End = y.begin.Add(65 * time.Minute) })
	at := func(minutes int) { y.clock.Set(y.begin.Add(time.Duration(minutes) * time.Minute)); y.round(w) }
	requireVersion := func(what string, version int64, got ledger.Schedule, err error) {
		t.Helper()
		if err != nil || got.Version != version || !got.UpdateTime.Equal(ledgertest.Must(y.l.GetSchedule(ctx, s.ID)).UpdateTime) {
			t.Errorf("%s: version %d, %v; want %d", what, got.Version, err, version)
		}
	}
	at(5)
	before := y.rows()
	for _, dry := range []func(context.Context, uuid.UUID, bool) (ledger.Schedule, error){y.l.PauseSchedule, y.l.ResumeSchedule, y.l.DeleteSchedule} {
		if _, err := dry(ctx, s.ID, true); err != nil {
			t.Error(err)
		}
	}
	if y.rows() != before {
		t.Error("dry runs changed something")
	}
	got, err := y.l.PauseSchedule(ctx, s.ID, false)
	requireVersion("paused", 3, got, err)
	got, err = y.l.PauseSchedule(ctx, s.ID, false)
	requireVersion("paused again", 3, got, err)
	at(30)
	y.require("paused", s.ID, ledger.SchedulePaused, -1, 0)
	got, err = y.l.ResumeSchedule(ctx, s.ID, false) // just when one is due
	requireVersion("resumed", 4, got, err)
	got, err = y.l.ResumeSchedule(ctx, s.ID, false)
	requireVersion("resumed again", 4, got, err)
	y.require("resumed", s.ID, ledger.ScheduleActive, 30, 0)
	at(45)
	y.require("on", s.ID, ledger.ScheduleActive, 50, 0, 30, 40)
	ledgertest.Must(y.l.PauseSchedule(ctx, s.ID, false))
	at(61)
	ledgertest.Must(y.l.ResumeSchedule(ctx, s.ID, false))
	y.require("resumed too late", s.ID, ledger.ScheduleEnded, -1, 0, 30, 40)
	state := (*ledger.StateError)(nil)
	if _, err := y.l.PauseSchedule(ctx, s.ID, false); !errors.As(err, &state) || state.Reason != "SCHEDULE_ENDED" || state.Kind != "schedule" {
		t.Errorf("paused at the end: %v", err)
	}
	if _, err := y.l.ResumeSchedule(ctx, s.ID, false); !errors.As(err, &state) {
		t.Errorf("resumed at the end: %v", err)
	}
	ledgertest.Must(y.l.DeleteSchedule(ctx, s.ID, false))
	deleted := ledgertest.Must(y.l.DeleteSchedule(ctx, s.ID, false))
	y.require("deleted", s.ID, ledger.ScheduleDeleted, -1, 0, 30, 40)
	for _, change := range []func(context.Context, uuid.UUID, bool) (ledger.Schedule, error){y.l.PauseSchedule, y.l.ResumeSchedule} {
		if _, err := change(ctx, s.ID, false); !errors.As(err, &state) || state.Reason != "SCHEDULE_DELETED" {
			t.Errorf("changed after it was deleted: %v", err)
		}
	}
	if read := ledgertest.Must(y.l.GetSchedule(ctx, s.ID)); scheduleText(&read) != scheduleText(&deleted) {
		t.Errorf("read %+v", read)
	}
	missing := (*ledger.NotFoundError)(nil)
	for _, change := range []func(context.Context, uuid.UUID, bool) (ledger.Schedule, error){y.l.PauseSchedule, y.l.ResumeSchedule, y.l.DeleteSchedule} {
		if _, err := change(ctx, uuid.New(), false); !errors.As(err, &missing) || missing.Kind != "schedule" {
			t.Errorf("a change of nothing: %v", err)
		}
	}
	if _, err := y.l.GetSchedule(ctx, uuid.New()); !errors.As(err, &missing) {
		t.Errorf("nothing: %v", err)
	}
	y.order(nil)
	at(100)
}

// When a call that pauses or deletes has returned, no occurrence is made any more, however many
// workers there are.
func TestPauseHoldsWorkersOff(t *testing.T) {
	t.Parallel()
	y := newYard(t, postgres.Config{})
	proxy := newProxy(t, y.url)
	other := ledgertest.Open(t, postgres.Config{DatabaseURL: proxy.url, Logger: ledgertest.Silent})
	s := y.order(nil)
	paused := make(chan ledger.Schedule, 1)
	proxy.expect(fault{at: "SchedulesAdvance", do: look, then: func() {
		go func() { paused <- ledgertest.Must(y.l.PauseSchedule(context.Background(), s.ID, false)) }()
		awaitLockWait(t.Context(), t, y.conn) // the occurrence is made, not counted
	}})
	if _, _, err := other.NewWorker().RunOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-paused; got.OccurrenceCount != 1 || got.Status != ledger.SchedulePaused {
		t.Errorf("paused: %+v", got)
	}
	y.require("then", s.ID, ledger.SchedulePaused, -1, 0)
}

// An id that another caller has used for a transfer does not stop a schedule.
func TestOccurrenceIsTaken(t *testing.T) {
	t.Parallel()
	y := newYard(t, postgres.Config{})
	s := y.order(nil)
	taken := uuid.NewSHA1(s.ID, []byte(y.begin.UTC().Format(time.RFC3339)))
	_, _, err := y.l.Transfer(t.Context(), ledger.TransferParams{ID: taken, From: y.b, To: y.a, Amount: ledgertest.Amount("1")})
	if err != nil {
		t.Fatal(err)
	}
	y.clock.Step(10 * time.Minute)
	y.round(y.l.NewWorker())
	got := ledgertest.Must(y.l.GetSchedule(t.Context(), s.ID))
	if got.OccurrenceCount != 2 || got.Status != ledger.ScheduleActive || !slices.Equal(y.made(s.ID), []int{10}) {
		t.Errorf("%+v, made at %v", got, y.made(s.ID))
	}
	requireBalance(t, y.l, y.b, 1009)
}

// A schedule by the clocks of a zone goes on through their changes: once a day, and at the moment
// of the change where they skip its time.
func TestScheduleWhereClocksChange(t *testing.T) {
	t.Parallel()
	y := newYard(t, postgres.Config{})
	berlin := ledgertest.Must(time.LoadLocation("Europe/Berlin"))
	for _, c := range []struct {
		cron string
		from time.Time
		want []string
	}{
		{"30 2 * * *", time.Date(2031, 3, 29, 0, 0, 0, 0, berlin), []string{"2031-03-29T02:30+01:00", "2031-03-30T03:00+02:00", "2031-03-31T02:30+02:00"}},
		{"30 2 * * *", time.Date(2031, 10, 25, 0, 0, 0, 0, berlin), []string{"2031-10-25T02:30+02:00", "2031-10-26T02:30+02:00", "2031-10-27T02:30+01:00"}},
	} {
		y.clock.Set(c.from)
		s := y.order(func(p *ledger.ScheduleParams) { p.Interval, p.Cron, p.TimeZone = 0, c.cron, "Europe/Berlin" })
		w := y.l.NewWorker()
		for range 3 * 24 * 4 {
			y.clock.Step(15 * time.Minute)
			y.round(w)
		}
		var made []string
		list, _, err := y.l.ListTransfers(t.Context(), postgres.TransferFilter{Reference: s.ID.String()}, paging.Page{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range list {
			made = append(made, list[len(list)-1-i].CreateTime.In(berlin).Format("2006-01-02T15:04Z07:00"))
		}
		if !slices.Equal(made, c.want) {
			t.Errorf("%s from %s: made at %v, want %v", c.cron, c.from, made, c.want)
		}
		ledgertest.Must(y.l.DeleteSchedule(t.Context(), s.ID, false))
	}
}
