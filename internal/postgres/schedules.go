package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/internal/paging"
	"internaltransfers/ledger"
)

// ScheduleFilter narrows ListSchedules; zero fields match everything.
type ScheduleFilter struct {
	AccountID uuid.UUID // as payer or payee
	Status    ledger.ScheduleStatus
}

// pastMax is how many occurrences from before its creation a schedule may make.
const pastMax = 1000

// errDryRun rolls back the changes of a dry run.
var errDryRun = errors.New("dry run")

// CreateSchedule makes a schedule. When one was made before under the id with the same fields, it
// returns that one as it is now, replayed; with other fields the error is a ConflictError. Accounts
// that do not exist, differ in currency or are closed are a StateError, with the reason that a
// transfer between them would be refused for.
func (l *Ledger) CreateSchedule(ctx context.Context, p ledger.ScheduleParams) (s ledger.Schedule, replayed bool, err error) {
	times, err := p.Check()
	if err != nil {
		return ledger.Schedule{}, false, err
	}
	err = l.pool.Change(ctx, durable.ReadCommitted, func(tx pgx.Tx) error {
		err := l.requireIssuer(ctx, tx, &p)
		if err != nil {
			return err
		}
		if s, replayed, err = l.knownSchedule(ctx, tx, &p); replayed || err != nil {
			return err
		}
		order, err := l.newScheduleState(ctx, tx, &p, times)
		if err != nil {
			return err
		}
		s = order.Schedule
		inserted, err := l.queries.ScheduleInsert(ctx, tx, order.insertion(p.Fingerprint()))
		if err == nil && len(inserted) == 0 { // another call was faster
			s, replayed, err = l.knownSchedule(ctx, tx, &p)
		}
		if err == nil && p.DryRun {
			err = errDryRun
		}
		return err
	})
	if err != nil && !errors.Is(err, errDryRun) {
		return ledger.Schedule{}, false, durable.ChangeError(ctx, "make a schedule", err)
	}
	return s, replayed, nil
}

// requireIssuer fails when an equity account, the only kind without a floor, would pay for a caller
// that must not issue money.
func (l *Ledger) requireIssuer(ctx context.Context, tx pgx.Tx, p *ledger.ScheduleParams) error {
	if !p.NoIssue {
		return nil
	}
	rows, err := l.queries.AccountsPeek(ctx, tx, []uuid.UUID{p.From})
	if err == nil && len(rows) > 0 && !rows[0].MinBalance.Valid {
		err = ledger.ErrMayNotIssue
	}
	return err
}

// knownSchedule returns the schedule that has the id already, or a ConflictError, and reports
// whether there is one.
func (l *Ledger) knownSchedule(ctx context.Context, tx pgx.Tx, p *ledger.ScheduleParams) (ledger.Schedule, bool, error) {
	row, err := l.queries.ScheduleGet(ctx, tx, p.ID)
	if errors.Is(err, pgx.ErrNoRows) {
		return ledger.Schedule{}, false, nil
	}
	if err != nil {
		return ledger.Schedule{}, false, err
	}
	if string(row.Schedule.CreateFingerprint) != string(p.Fingerprint()) {
		return ledger.Schedule{}, false, &ledger.ConflictError{Kind: "schedule", ID: p.ID.String()}
	}
	s, err := l.scheduleOf(ctx, tx, &row.Schedule)
	return s, true, err
}

// newScheduleState is a schedule as it is right after it was made.
func (l *Ledger) newScheduleState(ctx context.Context, tx pgx.Tx, p *ledger.ScheduleParams, times ledger.Recurrence) (*scheduleState, error) {
	now, err := l.queries.Clock(ctx, tx)
	if err != nil {
		return nil, err
	}
	currency, err := l.scheduleCurrency(ctx, tx, p)
	if err != nil {
		return nil, err
	}
	if err := currency.CheckPrecision("amount", p.Amount); err != nil {
		return nil, err
	}
	s := &scheduleState{times: times, Schedule: ledger.Schedule{
		ID: p.ID, From: p.From, To: p.To, Amount: p.Amount, Currency: currency.Code, Scale: currency.Scale, Cron: p.Cron,
		TimeZone: p.TimeZone, Interval: p.Interval, Start: cmp.Or(p.Start, now), MaxCount: p.MaxCount,
		CatchUp: p.CatchUp, Reference: p.Reference, Metadata: p.Metadata, CreateTime: now, UpdateTime: now, Version: 1,
	}}
	s.times.Start = s.Start
	if !p.End.IsZero() {
		s.End = &p.End
		if !s.End.After(now) {
			return nil, &ledger.InvalidError{Field: "end_time", Reason: "must be in the future"}
		}
	}
	s.moveTo(s.times.Next(s.Start.Add(-time.Microsecond)))
	if s.missed(now) {
		s.moveTo(s.caughtUp(now))
	}
	switch {
	case s.Next == nil && s.End != nil:
		return nil, &ledger.InvalidError{Field: "end_time", Reason: "leaves no occurrence to come"}
	case s.Next == nil:
		return nil, &ledger.InvalidError{Field: "cron", Reason: "names no time that is to come"}
	case len(s.due(now, pastMax+1)) > pastMax:
		return nil, &ledger.InvalidError{Field: "start_time", Reason: fmt.Sprintf(
			"has more than %d occurrences between it and now; ask for another catch_up, or a later start_time", pastMax)}
	}
	return s, nil
}

// scheduleCurrency returns the currency of both accounts, or a StateError.
func (l *Ledger) scheduleCurrency(ctx context.Context, tx pgx.Tx, p *ledger.ScheduleParams) (ledger.Currency, error) {
	rows, err := l.queries.AccountsPeek(ctx, tx, []uuid.UUID{p.From, p.To})
	if err != nil {
		return ledger.Currency{}, err
	}
	byID := make(map[uuid.UUID]*db.AccountsPeekRow, len(rows))
	for i := range rows {
		byID[rows[i].AccountID] = &rows[i]
	}
	from, to := byID[p.From], byID[p.To]
	refused := func(id uuid.UUID, reason ledger.ErrorReason, detail string) (ledger.Currency, error) {
		return ledger.Currency{}, &ledger.StateError{ID: id, Reason: string(reason), Detail: detail}
	}
	switch {
	case from == nil:
		return refused(p.From, ledger.FromAccountNotFound, "there is none, as from_account_id")
	case to == nil:
		return refused(p.To, ledger.ToAccountNotFound, "there is none, as to_account_id")
	case from.Currency != to.Currency:
		return refused(p.To, ledger.CurrencyMismatch, "to_account_id is in "+to.Currency+", from_account_id in "+from.Currency)
	case from.Status == string(ledger.AccountClosed):
		return refused(p.From, ledger.ReasonAccountClosed, "from_account_id is closed, for ever")
	case to.Status == string(ledger.AccountClosed):
		return refused(p.To, ledger.ReasonAccountClosed, "to_account_id is closed, for ever")
	}
	return l.currencies.Get(ctx, tx, from.Currency)
}

// GetSchedule reads a schedule, a deleted one too; the error is a NotFoundError when there is none.
func (l *Ledger) GetSchedule(ctx context.Context, id uuid.UUID) (ledger.Schedule, error) {
	row, err := l.queries.ScheduleGet(ctx, l.pool, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return ledger.Schedule{}, &ledger.NotFoundError{Kind: "schedule", ID: id}
	}
	if err != nil {
		return ledger.Schedule{}, durable.ReadError(ctx, "read a schedule", err)
	}
	return l.scheduleOf(ctx, l.pool, &row.Schedule)
}

// ListSchedules lists schedules, newest first, and returns the token of the next page; empty: this
// is the last.
func (l *Ledger) ListSchedules(ctx context.Context, f ScheduleFilter, page paging.Page) ([]ledger.Schedule, string, error) {
	limit, err := page.Limit()
	if err != nil {
		return nil, "", err
	}
	before, err := l.tokens.Key("schedules", f, page.Token)
	if err != nil {
		return nil, "", err
	}
	if before == nil {
		before = &paging.Key{Time: ledger.TimeMax}
	}
	rows, err := l.listSchedules(ctx, f, before, limit+1)
	if err != nil {
		return nil, "", durable.ReadError(ctx, "list schedules", err)
	}
	size := func(r *db.Schedule) int { return scheduleBytes + len(r.Reference) + len(r.Metadata) }
	rows, next := paging.Trim(rows, limit, page, size, func(last *db.Schedule) string {
		return l.tokens.Token("schedules", f, paging.Key{Time: last.CreateTime, ID: last.ScheduleID})
	})
	schedules := make([]ledger.Schedule, 0, len(rows))
	for i := range rows {
		s, err := l.scheduleOf(ctx, l.pool, &rows[i])
		if err != nil {
			return nil, "", err
		}
		schedules = append(schedules, s)
	}
	return schedules, next, nil
}

// listSchedules reads the rows before a page key by the query whose index fits the filter best.
func (l *Ledger) listSchedules(ctx context.Context, f ScheduleFilter, before *paging.Key, limit int32) ([]db.Schedule, error) {
	var schedules []db.Schedule
	if f.AccountID == uuid.Nil {
		rows, err := l.queries.ScheduleList(ctx, l.pool, db.ScheduleListParams{
			BeforeTime: before.Time, BeforeID: before.ID, Status: string(f.Status), RowLimit: limit,
		})
		for i := range rows {
			schedules = append(schedules, rows[i].Schedule)
		}
		return schedules, err
	}
	rows, err := l.queries.ScheduleListByAccount(ctx, l.pool, db.ScheduleListByAccountParams{
		AccountID: f.AccountID, BeforeTime: before.Time, BeforeID: before.ID, Status: string(f.Status), RowLimit: limit,
	})
	for i := range rows {
		schedules = append(schedules, rows[i].Schedule)
	}
	return schedules, err
}

// PauseSchedule keeps a schedule from making occurrences. One that is paused stays as it is; one
// that has ended or was deleted is a StateError. With dryRun it returns what would happen.
func (l *Ledger) PauseSchedule(ctx context.Context, id uuid.UUID, dryRun bool) (ledger.Schedule, error) {
	return l.changeSchedule(ctx, id, dryRun, func(s *scheduleState, _ time.Time) error {
		switch s.Status {
		case ledger.ScheduleActive:
			s.stop(ledger.SchedulePaused)
		case ledger.SchedulePaused:
		default:
			return s.over()
		}
		return nil
	})
}

// ResumeSchedule lets a paused schedule go on from now, or end when nothing is to come. One that is
// active stays as it is; one that has ended or was deleted is a StateError. With dryRun it returns
// what would happen.
func (l *Ledger) ResumeSchedule(ctx context.Context, id uuid.UUID, dryRun bool) (ledger.Schedule, error) {
	return l.changeSchedule(ctx, id, dryRun, func(s *scheduleState, now time.Time) error {
		switch s.Status {
		case ledger.SchedulePaused:
			s.resume(now)
		case ledger.ScheduleActive:
		default:
			return s.over()
		}
		return nil
	})
}

// DeleteSchedule ends a schedule permanently. One that is deleted stays as it is. With dryRun it
// returns what would happen.
func (l *Ledger) DeleteSchedule(ctx context.Context, id uuid.UUID, dryRun bool) (ledger.Schedule, error) {
	return l.changeSchedule(ctx, id, dryRun, func(s *scheduleState, _ time.Time) error {
		if s.Status != ledger.ScheduleDeleted {
			s.stop(ledger.ScheduleDeleted)
		}
		return nil
	})
}

// changeSchedule changes a schedule under its row's lock: no occurrence is being made meanwhile.
func (l *Ledger) changeSchedule(
	ctx context.Context, id uuid.UUID, dryRun bool, change func(s *scheduleState, now time.Time) error,
) (ledger.Schedule, error) {
	var schedule ledger.Schedule
	err := l.pool.Change(ctx, durable.ReadCommitted, func(tx pgx.Tx) error {
		row, err := l.queries.ScheduleGetForUpdate(ctx, tx, id)
		if errors.Is(err, pgx.ErrNoRows) {
			return &ledger.NotFoundError{Kind: "schedule", ID: id}
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
		if err := l.advance(ctx, tx, []*scheduleState{s}, now); err != nil {
			return err
		}
		if schedule = s.Schedule; dryRun {
			return errDryRun
		}
		return nil
	})
	if err != nil && !errors.Is(err, errDryRun) {
		return ledger.Schedule{}, durable.ChangeError(ctx, "change a schedule", err)
	}
	return schedule, nil
}
