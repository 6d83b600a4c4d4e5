package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// A yard is a ledger whose clock is stepped by hand, with a payer that has 1,000, and a payee.
type yard struct {
	t     testing.TB
	url   string
	l     *postgres.Ledger
	conn  *pgx.Conn
	clock *ledgertest.Clock
	begin time.Time // of the clock
	a, b  uuid.UUID
}

func newYard(t testing.TB, config postgres.Config) *yard {
	t.Helper()
	url := pgtest.NewDatabase(t)
	if config.DatabaseURL == "" {
		config.DatabaseURL = url
	}
	config.Logger = ledgertest.Silent
	y := &yard{t: t, url: url, conn: ledgertest.Connect(t, url), clock: ledgertest.StopClock(t, url), l: ledgertest.Open(t, config)}
	y.clock.Step(time.Second) // the equity accounts may be made after the clock's second
	ids := ledgertest.OpenAccounts(t, y.l, 2, 1000)
	y.a, y.b, y.begin = ids[0], ids[1], y.clock.Now()
	return y
}

// rows are all schedules and transfers.
func (y *yard) rows() string {
	y.t.Helper()
	var rows string
	err := y.conn.QueryRow(context.Background(), `SELECT coalesce((SELECT string_agg(s::text, ' ' ORDER BY schedule_id) FROM schedule AS s), '') ||
		(SELECT string_agg(f::text, ' ' ORDER BY position) FROM transfer_full AS f)`).Scan(&rows)
	if err != nil {
		y.t.Fatal(err)
	}
	return rows
}

// order is a schedule of 10 every 10 minutes from now on, unless change says otherwise.
func (y *yard) order(change func(p *ledger.ScheduleParams)) ledger.Schedule {
	y.t.Helper()
	p := ledger.ScheduleParams{ID: uuid.New(), From: y.a, To: y.b, Amount: ledgertest.Amount("10"), Interval: 10 * time.Minute}
	if change != nil {
		change(&p)
	}
	s, replayed, err := y.l.CreateSchedule(context.Background(), p)
	if err != nil || replayed {
		y.t.Fatalf("make a schedule: replayed %v, %v", replayed, err)
	}
	return s
}

// round lets a worker do what is due, in as many rounds as it takes.
func (y *yard) round(w *postgres.Worker) {
	y.t.Helper()
	for full := true; full; {
		var err error
		if full, _, err = w.RunOnce(context.Background()); err != nil {
			y.t.Fatalf("a round: %v", err)
		}
	}
}

// made returns the minutes from the beginning at which occurrences of a schedule were made, in the
// order of decision.
func (y *yard) made(id uuid.UUID) []int {
	y.t.Helper()
	minutes := map[uuid.UUID]int{}
	for m := -500; m <= 1500; m++ {
		at := y.begin.Add(time.Duration(m) * time.Minute).UTC().Format(time.RFC3339)
		minutes[uuid.NewSHA1(id, []byte(at))] = m
	}
	rows, err := y.conn.Query(context.Background(), "SELECT transfer_id FROM transfer WHERE reference = $1 ORDER BY position", id.String())
	if err != nil {
		y.t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil {
		y.t.Fatal(err)
	}
	var made []int
	for _, id := range ids {
		m, ok := minutes[id]
		if !ok {
			y.t.Errorf("transfer %s is none at a whole minute", uuid.UUID(id))
		}
		made = append(made, m)
	}
	return made
}

// require fails the test unless the schedule has made occurrences at these minutes, has counted
// them, and is to make the next at that one; less than 0: none.
func (y *yard) require(what string, id uuid.UUID, status ledger.ScheduleStatus, next int, minutes ...int) {
	y.t.Helper()
	s, err := y.l.GetSchedule(context.Background(), id)
	if err != nil {
		y.t.Fatal(err)
	}
	if made := y.made(id); !slices.Equal(made, minutes) || int(s.OccurrenceCount) != len(minutes) {
		y.t.Errorf("%s: made at %v, counted %d, want %v", what, made, s.OccurrenceCount, minutes)
	}
	got := -1
	if s.Next != nil {
		got = int(s.Next.Sub(y.begin) / time.Minute)
	}
	if s.Status != status || got != next {
		y.t.Errorf("%s: %s, next at %d, want %s, %d", what, s.Status, got, status, next)
	}
	last := uuid.Nil
	if len(minutes) > 0 {
		at := y.begin.Add(time.Duration(minutes[len(minutes)-1]) * time.Minute)
		last = uuid.NewSHA1(id, []byte(at.UTC().Format(time.RFC3339)))
	}
	if s.LastTransferID != last {
		y.t.Errorf("%s: the last transfer is %s, want %s", what, s.LastTransferID, last)
	}
}

func TestCreateSchedule(t *testing.T) {
	t.Parallel()
	y := newYard(t, postgres.Config{})
	ctx := t.Context()
	count, end := int64(3), y.begin.Add(24*time.Hour)
	p := ledger.ScheduleParams{
		ID: uuid.New(), From: y.a, To: y.b, Amount: ledgertest.Amount("1.50"), Cron: "0 8 * * *", TimeZone: "Europe/Berlin",
		Start: y.begin.Add(time.Nanosecond), End: end, MaxCount: &count, CatchUp: ledger.CatchUpNone, Reference: "rent",
		Metadata: map[string]string{"k": "v"},
	}
	dry := p
	dry.DryRun = true
	before := y.rows()
	if s, replayed, err := y.l.CreateSchedule(ctx, dry); err != nil || replayed || s.ID != p.ID || s.Next == nil {
		t.Errorf("dry: %+v, replayed %v, %v", s, replayed, err)
	}
	if y.rows() != before {
		t.Error("a dry run changed something")
	}
	made, replayed, err := y.l.CreateSchedule(ctx, p)
	if err != nil || replayed {
		t.Fatalf("replayed %v, %v", replayed, err)
	}
	berlin := ledgertest.Must(time.LoadLocation("Europe/Berlin"))
	if next := made.Next.In(berlin); next.Hour() != 8 || next.Minute() != 0 || !next.After(y.begin) || next.Sub(y.begin) > 24*time.Hour {
		t.Errorf("the first is at %s", next)
	}
	if made.Version != 1 || made.Status != ledger.ScheduleActive || made.Currency != "USD" || made.Scale != 2 ||
		!made.Start.Equal(y.begin.Add(time.Microsecond)) || !made.CreateTime.Equal(y.begin) || made.OccurrenceCount != 0 {
		t.Errorf("made: %+v", made)
	}
	read, err := y.l.GetSchedule(ctx, p.ID)
	if text := scheduleText(&made); err != nil || scheduleText(&read) != text {
		t.Errorf("read %s, %v, made was %s", scheduleText(&read), err, text)
	}
	y.clock.Step(time.Minute)
	for _, again := range []ledger.ScheduleParams{p, dry} {
		if s, replayed, err := y.l.CreateSchedule(ctx, again); err != nil || !replayed || scheduleText(&s) != scheduleText(&made) {
			t.Errorf("again: %+v, replayed %v, %v", s, replayed, err)
		}
	}
	for name, change := range map[string]func(p *ledger.ScheduleParams){
		"payer":     func(p *ledger.ScheduleParams) { p.From, p.To = p.To, p.From },
		"amount":    func(p *ledger.ScheduleParams) { p.Amount = ledgertest.Amount("1.51") },
		"cron":      func(p *ledger.ScheduleParams) { p.Cron = "1 8 * * *" },
		"zone":      func(p *ledger.ScheduleParams) { p.TimeZone = "Europe/Paris" },
		"interval":  func(p *ledger.ScheduleParams) { p.Cron, p.TimeZone, p.Interval = "", "", time.Hour },
		"start":     func(p *ledger.ScheduleParams) { p.Start = p.Start.Add(time.Second) },
		"no start":  func(p *ledger.ScheduleParams) { p.Start = time.Time{} },
		"end":       func(p *ledger.ScheduleParams) { p.End = p.End.Add(time.Second) },
		"count":     func(p *ledger.ScheduleParams) { p.MaxCount = nil },
		"catch up":  func(p *ledger.ScheduleParams) { p.CatchUp = ledger.CatchUpAll },
		"reference": func(p *ledger.ScheduleParams) { p.Reference = "" },
		"metadata":  func(p *ledger.ScheduleParams) { p.Metadata = nil },
	} {
		other := p
		change(&other)
		conflict := (*ledger.ConflictError)(nil)
		if _, _, err := y.l.CreateSchedule(ctx, other); !errors.As(err, &conflict) || conflict.Kind != "schedule" {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

// What is left out is the same as its default, spelled out or not.
func TestCreateScheduleDefaults(t *testing.T) {
	t.Parallel()
	y := newYard(t, postgres.Config{})
	ctx := t.Context()
	plain := ledger.ScheduleParams{ID: uuid.New(), From: y.a, To: y.b, Amount: ledgertest.Amount("5"), Cron: "0 8 * * *"}
	full := plain
	full.Amount, full.TimeZone, full.CatchUp, full.Reference = ledgertest.Amount("5.00"), "UTC", ledger.CatchUpAll, plain.ID.String()
	first, _, err := y.l.CreateSchedule(ctx, plain)
	if s, replayed, errAgain := y.l.CreateSchedule(ctx, full); err != nil || errAgain != nil || !replayed || scheduleText(&s) != scheduleText(&first) {
		t.Errorf("with defaults: %+v, %v, %v", s, err, errAgain)
	}
}

// scheduleText is everything about a schedule, whatever zones its times are in.
func scheduleText(s *ledger.Schedule) string {
	c := *s
	for _, at := range []*time.Time{&c.Start, &c.CreateTime, &c.UpdateTime, c.Next, c.End} {
		if at != nil {
			*at = at.UTC()
		}
	}
	return string(ledgertest.Must(json.Marshal(c)))
}

// A wrong makes a schedule that is refused.
type wrong struct {
	says   string // how its error begins, or a field and a reason
	change func(p *ledger.ScheduleParams)
}

func (y *yard) wrongs(euro, closed uuid.UUID) []wrong {
	zero := int64(0)
	return []wrong{
		{"to_account_id: must differ", func(p *ledger.ScheduleParams) { p.To = p.From }},
		{"amount: must be greater than zero", func(p *ledger.ScheduleParams) { p.Amount = ledgertest.Amount("0") }},
		{"amount: must be greater than zero", func(p *ledger.ScheduleParams) { p.Amount = ledgertest.Amount("-1") }},
		{"amount: 0.001 has more decimals", func(p *ledger.ScheduleParams) { p.Amount = ledgertest.Amount("0.001") }},
		{"amount: must have at most", func(p *ledger.ScheduleParams) { p.Amount = ledgertest.Amount("1e400") }},
		{"reference: must be valid", func(p *ledger.ScheduleParams) { p.Reference = "a\x00" }},
		{"metadata: must be valid", func(p *ledger.ScheduleParams) { p.Metadata = map[string]string{"a": "\xff"} }},
		{"interval: must be 1 second", func(p *ledger.ScheduleParams) { p.Interval = 0 }},
		{"interval: must be 1 second", func(p *ledger.ScheduleParams) { p.Interval = -time.Hour }},
		{"interval: must be 1 second", func(p *ledger.ScheduleParams) { p.Interval = time.Second - 1 }},
		{"interval: must be 1 second", func(p *ledger.ScheduleParams) { p.Interval = 200 * 8766 * time.Hour }},
		{"interval: must be whole microseconds", func(p *ledger.ScheduleParams) { p.Interval = time.Second + 1 }},
		{"interval: must not be set with cron", func(p *ledger.ScheduleParams) { p.Cron = "0 0 * * *" }},
		{"time_zone: is for cron only", func(p *ledger.ScheduleParams) { p.TimeZone = "UTC" }},
		{"time_zone: is not a name", func(p *ledger.ScheduleParams) { p.Interval, p.Cron, p.TimeZone = 0, "0 0 * * *", "Mars/Olympus" }},
		{"cron: hour: \"25\" is not 0 to 23", func(p *ledger.ScheduleParams) { p.Interval, p.Cron = 0, "0 25 * * *" }},
		{"cron: names no time", func(p *ledger.ScheduleParams) { p.Interval, p.Cron = 0, "0 0 30 2 *" }},
		{"max_count: must be 1", func(p *ledger.ScheduleParams) { p.MaxCount = &zero }},
		{"catch_up: must be", func(p *ledger.ScheduleParams) { p.CatchUp = "SOME" }},
		{"end_time: must be after start_time", func(p *ledger.ScheduleParams) { p.Start, p.End = y.begin, y.begin }},
		{"end_time: must be after start_time", func(p *ledger.ScheduleParams) { p.Start, p.End = y.begin.Add(time.Hour), y.begin }},
		{"end_time: must be in the future", func(p *ledger.ScheduleParams) { p.End = y.begin }},
		{"end_time: must be in the future", func(p *ledger.ScheduleParams) { p.Start, p.End = y.begin.Add(-time.Hour), y.begin.Add(-1) }},
		{"end_time: leaves no occurrence", func(p *ledger.ScheduleParams) {
			p.Interval, p.Cron, p.End = 0, "0 0 29 2 *", y.begin.Add(time.Second)
		}},
		{"end_time: leaves no occurrence", func(p *ledger.ScheduleParams) {
			p.Interval, p.CatchUp = 11*time.Minute, ledger.CatchUpNone
			p.Start, p.End = y.begin.Add(-5*time.Minute), y.begin.Add(5*time.Minute)
		}},
		{"end_time: must be in the years", func(p *ledger.ScheduleParams) { p.End = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"start_time: must be in the years", func(p *ledger.ScheduleParams) { p.Start = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"start_time: has more than 1000 occurrences", func(p *ledger.ScheduleParams) { p.Start = y.begin.AddDate(0, 0, -7) }},
		{"start_time: has more than 1000 occurrences", func(p *ledger.ScheduleParams) {
			p.Interval, p.Cron, p.Start = 0, "* * * * *", time.Date(2, 1, 1, 0, 0, 0, 0, time.UTC)
		}},
		{"from_account_id FROM_ACCOUNT_NOT_FOUND", func(p *ledger.ScheduleParams) { p.From = uuid.New() }},
		{"to_account_id TO_ACCOUNT_NOT_FOUND", func(p *ledger.ScheduleParams) { p.To = uuid.New() }},
		{"from_account_id: must be a UUID", func(p *ledger.ScheduleParams) { p.From = uuid.Nil }},
		{"to_account_id: must be a UUID", func(p *ledger.ScheduleParams) { p.To = uuid.Nil }},
		{"to_account_id CURRENCY_MISMATCH", func(p *ledger.ScheduleParams) { p.To = euro }},
		{"from_account_id ACCOUNT_CLOSED", func(p *ledger.ScheduleParams) { p.From = closed }},
		{"to_account_id ACCOUNT_CLOSED", func(p *ledger.ScheduleParams) { p.To = closed }},
	}
}

func TestCreateScheduleRefuses(t *testing.T) {
	t.Parallel()
	y := newYard(t, postgres.Config{})
	euro := ledgertest.OpenAccount(t, y.l, ledger.AccountParams{Currency: "EUR"}).ID
	closed, status := ledgertest.OpenAccount(t, y.l, ledger.AccountParams{}).ID, ledger.AccountClosed
	if _, err := y.l.UpdateAccount(t.Context(), ledger.AccountChange{ID: closed, Status: &status}); err != nil {
		t.Fatal(err)
	}
	before := y.rows()
	for _, c := range y.wrongs(euro, closed) {
		p := ledger.ScheduleParams{From: y.a, To: y.b, Amount: ledgertest.Amount("10"), Interval: time.Minute}
		c.change(&p)
		_, _, err := y.l.CreateSchedule(t.Context(), p)
		invalid, state := (*ledger.InvalidError)(nil), (*ledger.StateError)(nil)
		switch {
		case errors.As(err, &invalid) && strings.HasPrefix(err.Error(), c.says):
		case errors.As(err, &state):
			field, reason, _ := strings.Cut(c.says, " ")
			if state.Reason != reason || !strings.Contains(err.Error(), field) {
				t.Errorf("%s with %s, want %s", err, state.Reason, c.says)
			}
		default:
			t.Errorf("%v, want %s", err, c.says)
		}
	}
	if y.rows() != before {
		t.Error("refused requests left something")
	}
}

// Occurrences from before a schedule was made are caught up with as it says.
func TestScheduleFromThePast(t *testing.T) {
	t.Parallel()
	for catchUp, want := range map[ledger.CatchUp][]int{
		ledger.CatchUpAll: {-25, -15, -5, 5}, ledger.CatchUpLatest: {-5, 5}, ledger.CatchUpNone: {5},
	} {
		t.Run(string(catchUp), func(t *testing.T) {
			t.Parallel()
			y := newYard(t, postgres.Config{})
			s := y.order(func(p *ledger.ScheduleParams) { p.Start, p.CatchUp = y.begin.Add(-25*time.Minute), catchUp })
			w := y.l.NewWorker()
			y.round(w)
			y.clock.Step(5 * time.Minute)
			y.round(w)
			y.require("then", s.ID, ledger.ScheduleActive, 15, want...)
			// From long ago, where no minute can be gone through one by one.
			if catchUp != ledger.CatchUpAll {
				y.order(func(p *ledger.ScheduleParams) {
					p.Interval, p.Cron, p.CatchUp, p.Start = 0, "* * * * *", catchUp, time.Date(2, 1, 1, 0, 0, 0, 0, time.UTC)
				})
				y.round(w)
			}
		})
	}
}

// Of many calls with one id at the same time one makes the schedule, and the others get it.
func TestCreateScheduleAtOnce(t *testing.T) {
	t.Parallel()
	y := newYard(t, postgres.Config{})
	p := ledger.ScheduleParams{ID: uuid.New(), From: y.a, To: y.b, Amount: ledgertest.Amount("1"), Interval: time.Hour}
	other := p
	other.Amount = ledgertest.Amount("2")
	var firsts, replays, conflicts [16]int
	ledgertest.InParallel(16, func(worker int) {
		for i := range 5 {
			mine := p
			if worker == 7 {
				mine = other
			}
			conflict := (*ledger.ConflictError)(nil)
			switch _, replayed, err := y.l.CreateSchedule(context.Background(), mine); {
			case errors.As(err, &conflict):
				conflicts[worker]++
			case err != nil:
				t.Errorf("call %d: %v", i, err)
			case replayed:
				replays[worker]++
			default:
				firsts[worker]++
			}
		}
	})
	sum := func(n [16]int) (s int) {
		for _, v := range n {
			s += v
		}
		return s
	}
	if sum(firsts) != 1 || sum(conflicts) != 5 && sum(conflicts) != 75 {
		t.Errorf("first %v, replayed %v, conflicts %v", firsts, replays, conflicts)
	}
}

func TestListSchedules(t *testing.T) {
	t.Parallel()
	y := newYard(t, postgres.Config{})
	accounts := append(ledgertest.OpenAccounts(t, y.l, 2, 0), y.a, y.b)
	type row struct {
		id, from, to uuid.UUID
		status       ledger.ScheduleStatus
	}
	var rows []row // oldest first; some have one time
	for i := range 40 {
		if i%3 > 0 {
			y.clock.Step(time.Duration(i%5) * time.Second)
		}
		r := row{from: accounts[i%4], to: accounts[(i+1+i/7%3)%4], status: ledger.ScheduleActive}
		r.id = y.order(func(p *ledger.ScheduleParams) { p.From, p.To = r.from, r.to }).ID
		var err error
		switch i % 4 {
		case 1:
			r.status = ledger.SchedulePaused
			_, err = y.l.PauseSchedule(t.Context(), r.id, false)
		case 2:
			r.status = ledger.ScheduleDeleted
			_, err = y.l.DeleteSchedule(t.Context(), r.id, false)
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	order := map[uuid.UUID]time.Time{}
	for _, r := range rows {
		order[r.id] = ledgertest.Must(y.l.GetSchedule(t.Context(), r.id)).CreateTime
	}
	slices.SortFunc(rows, func(a, b row) int {
		if c := order[b.id].Compare(order[a.id]); c != 0 {
			return c
		}
		return slices.Compare(b.id[:], a.id[:])
	})
	for _, account := range append(accounts, uuid.Nil, uuid.New()) {
		for _, status := range []ledger.ScheduleStatus{"", ledger.ScheduleActive, ledger.SchedulePaused, ledger.ScheduleDeleted, ledger.ScheduleEnded} {
			var want []string
			for _, r := range rows {
				if (account == uuid.Nil || r.from == account || r.to == account) && (status == "" || r.status == status) {
					want = append(want, r.id.String())
				}
			}
			f := postgres.ScheduleFilter{AccountID: account, Status: status}
			for _, size := range pageSizes {
				got := collect(t, size, func(page paging.Page) (ids []string, next string, err error) {
					list, next, err := y.l.ListSchedules(context.Background(), f, page)
					for i := range list {
						ids = append(ids, list[i].ID.String())
					}
					return ids, next, err
				})
				if !slices.Equal(got, want) {
					t.Errorf("%+v in pages of %d: %v, want %v", f, size, got, want)
				}
			}
		}
	}
	_, token, err := y.l.ListSchedules(t.Context(), postgres.ScheduleFilter{}, paging.Page{Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := y.l.ListSchedules(t.Context(), postgres.ScheduleFilter{AccountID: y.a}, paging.Page{Token: token}); !errors.Is(err, ledger.ErrPageToken) {
		t.Errorf("the token of another filter: %v", err)
	}
}

// A schedule's terms never change, not even by hand.
func TestSchedulesRefuseHandTypedSQL(t *testing.T) {
	t.Parallel()
	y := newYard(t, postgres.Config{})
	s := y.order(nil)
	y.round(y.l.NewWorker())
	for _, statement := range []string{
		"UPDATE schedule SET amount = 11", "UPDATE schedule SET to_account_id = from_account_id", "UPDATE schedule SET interval_micros = 1000000",
		"UPDATE schedule SET start_time = now()", "UPDATE schedule SET reference = 'x'", "DELETE FROM schedule",
		"UPDATE schedule SET occurrence_count = 0, last_transfer_id = NULL", "TRUNCATE schedule",
		"UPDATE schedule SET status = 'ACTIVE', next_time = now()", // when it is deleted
	} {
		if strings.Contains(statement, "ACTIVE") {
			ledgertest.Must(y.l.DeleteSchedule(t.Context(), s.ID, false))
		}
		_, err := y.conn.Exec(t.Context(), statement)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "23001" {
			t.Errorf("%s: %v", statement, err)
		}
	}
}
