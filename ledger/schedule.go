package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"internaltransfers/gen/db"
)

// ScheduleStatus is where a standing order is in its life. The names are those of transfers.v1.Schedule.Status.
type ScheduleStatus string

// The statuses of a standing order.
const (
	ScheduleActive  ScheduleStatus = "ACTIVE"
	SchedulePaused  ScheduleStatus = "PAUSED"
	ScheduleEnded   ScheduleStatus = "ENDED"   // nothing is to come
	ScheduleDeleted ScheduleStatus = "DELETED" // final
)

// CatchUp says what is done about occurrences that were missed. The names are those of transfers.v1.Schedule.CatchUp.
type CatchUp string

// The ways to catch up.
const (
	CatchUpAll    CatchUp = "ALL"    // make each, late
	CatchUpLatest CatchUp = "LATEST" // make the last of them, late, unless one is due that is not missed
	CatchUpNone   CatchUp = "NONE"   // make none
)

const (
	intervalMin = time.Second
	intervalMax = 100 * 8766 * time.Hour // 100 years
	pastMax     = 1000                   // occurrences of the time before it was made that a standing order may make
)

// A Schedule is a standing order: transfers that happen again and again.
type Schedule struct {
	ID              uuid.UUID
	From, To        uuid.UUID
	Amount          decimal.Decimal
	Currency        string
	Scale           int32         // of the currency, so that the amount can be printed
	Cron            string        // empty: by interval
	TimeZone        string        // of Cron; empty: by interval
	Interval        time.Duration // 0: by cron
	Start           time.Time     // no occurrence is before it; by interval the first is at it
	End             *time.Time    // exclusive; nil: none
	MaxCount        *int64        // occurrences, refused ones included; nil: any
	CatchUp         CatchUp
	Reference       string
	Metadata        map[string]string
	Status          ScheduleStatus
	Next            *time.Time // when the next occurrence is due; nil: none is to come
	OccurrenceCount int64      // occurrences that were made, refused ones included
	LastTransferID  uuid.UUID  // of the latest occurrence; uuid.Nil: none yet
	CreateTime      time.Time
	UpdateTime      time.Time
	Version         int64
}

// ScheduleParams is what a standing order is asked for with.
type ScheduleParams struct {
	ID        uuid.UUID // the idempotency key; uuid.Nil: a version 7 id is made
	From, To  uuid.UUID // must differ
	Amount    decimal.Decimal
	Cron      string        // five fields; or
	Interval  time.Duration // 1 s to 100 years, whole microseconds
	TimeZone  string        // of Cron, an IANA name; empty: UTC
	Start     time.Time     // zero: now
	End       time.Time     // exclusive; zero: none
	MaxCount  *int64        // nil: any
	CatchUp   CatchUp       // empty: ALL
	Reference string        // empty: the id
	Metadata  map[string]string
	DryRun    bool // answer what would happen, and change nothing
}

// ScheduleFilter narrows ListSchedules; zero fields match everything.
type ScheduleFilter struct {
	AccountID uuid.UUID // as payer or payee
	Status    ScheduleStatus
}

// check answers an InvalidError for what can never be a standing order, and fills in what was left out. The recurrence
// has no start yet when none is given.
func (p *ScheduleParams) check() (recurrence, error) {
	var r recurrence
	if err := checkAccounts(p.From, p.To); err != nil {
		return r, err
	}
	if err := checkNewAmount(p.Amount); err != nil {
		return r, err
	}
	if err := checkTexts(p.Reference, p.Metadata); err != nil {
		return r, err
	}
	if p.ID == uuid.Nil {
		p.ID = uuid.Must(uuid.NewV7())
	}
	p.Reference = cmp.Or(p.Reference, p.ID.String())
	p.CatchUp = cmp.Or(p.CatchUp, CatchUpAll)
	switch p.CatchUp {
	case CatchUpAll, CatchUpLatest, CatchUpNone:
	default:
		return r, &InvalidError{Field: "catch_up", Reason: "must be ALL, LATEST or NONE"}
	}
	if p.MaxCount != nil && *p.MaxCount < 1 {
		return r, &InvalidError{Field: "max_count", Reason: "must be 1 or more"}
	}
	for _, t := range [...]struct {
		field string
		time  *time.Time
	}{{"start_time", &p.Start}, {"end_time", &p.End}} {
		if t.time.IsZero() {
			continue
		}
		*t.time = ceilMicrosecond(t.time.UTC()) // as they are stored
		if t.time.Before(timeMin) || t.time.After(timeMax) {
			return r, &InvalidError{Field: t.field, Reason: "must be in the years 1 to 9999"}
		}
	}
	if !p.End.IsZero() && !p.Start.IsZero() && !p.End.After(p.Start) {
		return r, &InvalidError{Field: "end_time", Reason: "must be after start_time"}
	}
	if p.Cron != "" && p.TimeZone == "" {
		p.TimeZone = "UTC"
	}
	return p.recurrence()
}

// recurrence reads when the occurrences are.
func (p *ScheduleParams) recurrence() (recurrence, error) {
	r := recurrence{interval: p.Interval, start: p.Start, end: cmp.Or(p.End, timeMax)}
	var err error
	switch {
	case p.Cron != "" && p.Interval != 0:
		return r, &InvalidError{Field: "interval", Reason: "must not be set with cron"}
	case p.Cron != "":
		if r.cron, err = parseCron(p.Cron); err != nil {
			return r, err
		}
		r.zone, err = loadZone(p.TimeZone)
		return r, err
	case p.Interval < intervalMin || p.Interval > intervalMax:
		return r, &InvalidError{Field: "interval", Reason: "must be 1 second to 100 years"}
	case p.Interval%time.Microsecond != 0:
		return r, &InvalidError{Field: "interval", Reason: "must be whole microseconds"}
	case p.TimeZone != "":
		return r, &InvalidError{Field: "time_zone", Reason: "is for cron only"}
	}
	return r, nil
}

// fingerprint hashes what was asked for in one spelling, so that a repeated call can be told from another one.
func (p *ScheduleParams) fingerprint() []byte {
	return hashed([]any{
		p.From, p.To, spelled(decimal.NewNullDecimal(p.Amount)), p.Cron, p.Interval, p.TimeZone, p.Start, p.End,
		p.MaxCount, p.CatchUp, p.Reference, encodeMetadata(p.Metadata),
	})
}

// errDryRun rolls back what would have happened.
var errDryRun = errors.New("dry run")

// CreateSchedule makes a standing order. One that was made before under the id with the same fields is answered as it is
// now, replayed; with other fields the error is a ConflictError. Accounts that do not exist, differ in currency or are
// closed are a StateError, with the reason that a transfer between them would be refused for.
func (l *Ledger) CreateSchedule(ctx context.Context, p ScheduleParams) (s Schedule, replayed bool, err error) {
	times, err := p.check()
	if err != nil {
		return Schedule{}, false, err
	}
	err = l.change(ctx, readCommitted, func(tx pgx.Tx) error {
		var err error
		if s, replayed, err = l.knownSchedule(ctx, tx, &p); replayed || err != nil {
			return err
		}
		order, err := l.newStanding(ctx, tx, &p, times)
		if err != nil {
			return err
		}
		s = order.Schedule
		inserted, err := l.queries.ScheduleInsert(ctx, tx, order.insertion(p.fingerprint()))
		if err == nil && len(inserted) == 0 { // another call was faster
			s, replayed, err = l.knownSchedule(ctx, tx, &p)
		}
		if err == nil && p.DryRun {
			err = errDryRun
		}
		return err
	})
	if err != nil && !errors.Is(err, errDryRun) {
		return Schedule{}, false, scheduleError(ctx, "make a standing order", err)
	}
	return s, replayed, nil
}

// knownSchedule answers the standing order that has the id already, or a ConflictError, and reports whether there is one.
func (l *Ledger) knownSchedule(ctx context.Context, tx pgx.Tx, p *ScheduleParams) (Schedule, bool, error) {
	row, err := l.queries.ScheduleGet(ctx, tx, p.ID)
	if errors.Is(err, pgx.ErrNoRows) {
		return Schedule{}, false, nil
	}
	if err != nil {
		return Schedule{}, false, err
	}
	if string(row.Schedule.CreateFingerprint) != string(p.fingerprint()) {
		return Schedule{}, false, &ConflictError{Kind: "schedule", ID: p.ID.String()}
	}
	s, err := l.scheduleOf(ctx, tx, &row.Schedule)
	return s, true, err
}

// newStanding is a standing order as it is right after it was made.
func (l *Ledger) newStanding(ctx context.Context, tx pgx.Tx, p *ScheduleParams, times recurrence) (*standing, error) {
	now, err := l.queries.Clock(ctx, tx)
	if err != nil {
		return nil, err
	}
	currency, err := l.scheduleCurrency(ctx, tx, p)
	if err != nil {
		return nil, err
	}
	if err := currency.checkPrecision("amount", p.Amount); err != nil {
		return nil, err
	}
	s := &standing{times: times, Schedule: Schedule{
		ID: p.ID, From: p.From, To: p.To, Amount: p.Amount, Currency: currency.Code, Scale: currency.Scale, Cron: p.Cron,
		TimeZone: p.TimeZone, Interval: p.Interval, Start: cmp.Or(p.Start, now), MaxCount: p.MaxCount,
		CatchUp: p.CatchUp, Reference: p.Reference, Metadata: p.Metadata, CreateTime: now, UpdateTime: now, Version: 1,
	}}
	s.times.start = s.Start
	if !p.End.IsZero() {
		s.End = &p.End
		if !s.End.After(now) {
			return nil, &InvalidError{Field: "end_time", Reason: "must be in the future"}
		}
	}
	s.moveTo(s.times.next(s.Start.Add(-time.Microsecond)))
	if s.missed(now) {
		s.moveTo(s.caughtUp(now))
	}
	switch {
	case s.Next == nil && s.End != nil:
		return nil, &InvalidError{Field: "end_time", Reason: "leaves no occurrence to come"}
	case s.Next == nil:
		return nil, &InvalidError{Field: "cron", Reason: "names no time that is to come"}
	case len(s.due(now, pastMax+1)) > pastMax:
		return nil, &InvalidError{Field: "start_time", Reason: fmt.Sprintf(
			"has more than %d occurrences between it and now; ask for another catch_up, or a later start_time", pastMax)}
	}
	return s, nil
}

// scheduleCurrency answers the currency of both accounts, or a StateError.
func (l *Ledger) scheduleCurrency(ctx context.Context, tx pgx.Tx, p *ScheduleParams) (Currency, error) {
	rows, err := l.queries.AccountsPeek(ctx, tx, []uuid.UUID{p.From, p.To})
	if err != nil {
		return Currency{}, err
	}
	byID := make(map[uuid.UUID]*db.AccountsPeekRow, len(rows))
	for i := range rows {
		byID[rows[i].AccountID] = &rows[i]
	}
	from, to := byID[p.From], byID[p.To]
	refused := func(id uuid.UUID, reason ErrorReason, detail string) (Currency, error) {
		return Currency{}, &StateError{ID: id, Reason: string(reason), Detail: detail}
	}
	switch {
	case from == nil:
		return refused(p.From, FromAccountNotFound, "there is none, as from_account_id")
	case to == nil:
		return refused(p.To, ToAccountNotFound, "there is none, as to_account_id")
	case from.Currency != to.Currency:
		return refused(p.To, CurrencyMismatch, "to_account_id is in "+to.Currency+", from_account_id in "+from.Currency)
	case from.Status == string(AccountClosed):
		return refused(p.From, ReasonAccountClosed, "from_account_id is closed, for ever")
	case to.Status == string(AccountClosed):
		return refused(p.To, ReasonAccountClosed, "to_account_id is closed, for ever")
	}
	return l.currencies.get(ctx, tx, from.Currency)
}

// GetSchedule reads a standing order, a deleted one too; the error is a NotFoundError when there is none.
func (l *Ledger) GetSchedule(ctx context.Context, id uuid.UUID) (Schedule, error) {
	row, err := l.queries.ScheduleGet(ctx, l.readers, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return Schedule{}, &NotFoundError{Kind: "schedule", ID: id}
	}
	if err != nil {
		return Schedule{}, readError(ctx, "read a standing order", err)
	}
	return l.scheduleOf(ctx, l.readers, &row.Schedule)
}

// ListSchedules lists standing orders, newest first, and answers the token of the next page; empty: this is the last.
func (l *Ledger) ListSchedules(ctx context.Context, f ScheduleFilter, page Page) ([]Schedule, string, error) {
	limit, err := page.limit()
	if err != nil {
		return nil, "", err
	}
	before, err := l.tokens.place("schedules", f, page.Token)
	if err != nil {
		return nil, "", err
	}
	if before == nil {
		before = &place{Time: timeMax}
	}
	rows, err := l.listSchedules(ctx, f, before, limit+1)
	if err != nil {
		return nil, "", readError(ctx, "list standing orders", err)
	}
	size := func(r *db.Schedule) int { return scheduleBytes + len(r.Reference) + len(r.Metadata) }
	rows, next := cut(rows, limit, page, size, func(last *db.Schedule) string {
		return l.tokens.token("schedules", f, place{Time: last.CreateTime, ID: last.ScheduleID})
	})
	schedules := make([]Schedule, 0, len(rows))
	for i := range rows {
		s, err := l.scheduleOf(ctx, l.readers, &rows[i])
		if err != nil {
			return nil, "", err
		}
		schedules = append(schedules, s)
	}
	return schedules, next, nil
}

// listSchedules reads the rows before a place in the list by the query whose index fits the filter best.
func (l *Ledger) listSchedules(ctx context.Context, f ScheduleFilter, before *place, limit int32) ([]db.Schedule, error) {
	var schedules []db.Schedule
	if f.AccountID == uuid.Nil {
		rows, err := l.queries.ScheduleList(ctx, l.readers, db.ScheduleListParams{
			BeforeTime: before.Time, BeforeID: before.ID, Status: string(f.Status), RowLimit: limit,
		})
		for i := range rows {
			schedules = append(schedules, rows[i].Schedule)
		}
		return schedules, err
	}
	rows, err := l.queries.ScheduleListByAccount(ctx, l.readers, db.ScheduleListByAccountParams{
		AccountID: f.AccountID, BeforeTime: before.Time, BeforeID: before.ID, Status: string(f.Status), RowLimit: limit,
	})
	for i := range rows {
		schedules = append(schedules, rows[i].Schedule)
	}
	return schedules, err
}

// PauseSchedule keeps a standing order from making occurrences. One that is paused stays as it is; one that has ended or
// was deleted is a StateError. With dryRun it answers what would happen.
func (l *Ledger) PauseSchedule(ctx context.Context, id uuid.UUID, dryRun bool) (Schedule, error) {
	return l.changeSchedule(ctx, id, dryRun, func(s *standing, _ time.Time) error {
		switch s.Status {
		case ScheduleActive:
			s.stop(SchedulePaused)
		case SchedulePaused:
		default:
			return s.over()
		}
		return nil
	})
}

// ResumeSchedule lets a paused standing order go on from now, or end when nothing is to come. One that is active stays as
// it is; one that has ended or was deleted is a StateError. With dryRun it answers what would happen.
func (l *Ledger) ResumeSchedule(ctx context.Context, id uuid.UUID, dryRun bool) (Schedule, error) {
	return l.changeSchedule(ctx, id, dryRun, func(s *standing, now time.Time) error {
		switch s.Status {
		case SchedulePaused:
			s.resume(now)
		case ScheduleActive:
		default:
			return s.over()
		}
		return nil
	})
}

// DeleteSchedule ends a standing order for good. One that is deleted stays as it is. With dryRun it answers what would
// happen.
func (l *Ledger) DeleteSchedule(ctx context.Context, id uuid.UUID, dryRun bool) (Schedule, error) {
	return l.changeSchedule(ctx, id, dryRun, func(s *standing, _ time.Time) error {
		if s.Status != ScheduleDeleted {
			s.stop(ScheduleDeleted)
		}
		return nil
	})
}

// changeSchedule changes a standing order under its row's lock: no occurrence is being made meanwhile.
func (l *Ledger) changeSchedule(
	ctx context.Context, id uuid.UUID, dryRun bool, change func(s *standing, now time.Time) error,
) (Schedule, error) {
	var schedule Schedule
	err := l.change(ctx, readCommitted, func(tx pgx.Tx) error {
		row, err := l.queries.ScheduleGetForUpdate(ctx, tx, id)
		if errors.Is(err, pgx.ErrNoRows) {
			return &NotFoundError{Kind: "schedule", ID: id}
		}
		if err != nil {
			return err
		}
		s, err := l.standingOf(ctx, tx, &row.Schedule)
		if err != nil {
			return err
		}
		now, err := l.queries.Clock(ctx, tx)
		if err != nil {
			return err
		}
		if err := l.countMade(ctx, tx, s, now); err != nil {
			return err
		}
		if err := change(s, now); err != nil {
			return err
		}
		if err := l.advance(ctx, tx, []*standing{s}, now); err != nil {
			return err
		}
		if schedule = s.Schedule; dryRun {
			return errDryRun
		}
		return nil
	})
	if err != nil && !errors.Is(err, errDryRun) {
		return Schedule{}, scheduleError(ctx, "change a standing order", err)
	}
	return schedule, nil
}

// scheduleError keeps this package's own errors and translates the driver's.
func scheduleError(ctx context.Context, what string, err error) error {
	var invalid *InvalidError
	var notFound *NotFoundError
	var conflict *ConflictError
	var state *StateError
	if errors.As(err, &invalid) || errors.As(err, &notFound) || errors.As(err, &conflict) || errors.As(err, &state) {
		return err
	}
	return readError(ctx, what, err)
}
