package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/internal/stored"
	"internaltransfers/ledger"
)

// madeMax is how many occurrences a worker makes in a round at most, of all schedules.
const madeMax = 1000

// A scheduleState is a schedule whose row is locked, with what may become of it.
//
// An occurrence is made first, as a transfer whose id follows from its time; then the schedule
// moves on to the next. The next worker after a crash in between finds the transfer. This is also
// why a schedule that leaves occurrences out moves on before it makes another: all that was made
// and not counted follows on Next without a gap.
type scheduleState struct {
	ledger.Schedule
	times   ledger.Recurrence
	changed bool
}

// due returns the occurrences that are due, in order, at most so many.
func (s *scheduleState) due(now time.Time, most int) []time.Time {
	if s.Next == nil {
		return nil
	}
	if s.MaxCount != nil {
		most = int(min(int64(most), *s.MaxCount-s.OccurrenceCount))
	}
	var due []time.Time
	for t, ok := *s.Next, true; ok && !t.After(now) && len(due) < most; t, ok = s.times.Next(t) {
		due = append(due, t)
	}
	return due
}

// missed reports whether there are occurrences that the schedule's catch-up policy may leave out.
func (s *scheduleState) missed(now time.Time) bool {
	return s.CatchUp != ledger.CatchUpAll && s.Next != nil && !s.Next.After(now.Add(-ledger.MissedAfter))
}

// caughtUp returns the occurrence with which a schedule that missed some goes on; false: there is
// none.
func (s *scheduleState) caughtUp(now time.Time) (time.Time, bool) {
	cutoff := now.Add(-ledger.MissedAfter)
	first, ok := s.times.Next(cutoff)
	if s.CatchUp == ledger.CatchUpNone || (ok && !first.After(now)) {
		return first, ok
	}
	return s.times.Latest(*s.Next, cutoff), true
}

// moveTo sets the next occurrence; without one the schedule has ended.
func (s *scheduleState) moveTo(next time.Time, ok bool) {
	if !ok || (s.MaxCount != nil && s.OccurrenceCount >= *s.MaxCount) {
		s.stop(ledger.ScheduleEnded)
		return
	}
	s.Status, s.Next, s.changed = ledger.ScheduleActive, &next, true
}

// resume lets a paused schedule go on. When the clock was set back, it does not go back before its
// last change: what came before was made by then, or left out.
func (s *scheduleState) resume(now time.Time) {
	if s.UpdateTime.After(now) {
		now = s.UpdateTime
	}
	next, ok := s.times.Next(now.Add(-time.Microsecond))
	if ok && s.occurrenceID(next) == s.LastTransferID {
		next, ok = s.times.Next(next)
	}
	s.moveTo(next, ok)
}

// stop leaves the schedule without a next occurrence.
func (s *scheduleState) stop(status ledger.ScheduleStatus) {
	s.Status, s.Next, s.changed = status, nil, true
}

// made counts the occurrence at Next.
func (s *scheduleState) made() {
	s.OccurrenceCount++
	s.LastTransferID = s.occurrenceID(*s.Next)
	s.moveTo(s.times.Next(*s.Next))
}

// over is the error of a change that comes too late.
func (s *scheduleState) over() error {
	return &ledger.StateError{
		Kind: "schedule", ID: s.ID, Reason: "SCHEDULE_" + string(s.Status), Detail: "its status is " + string(s.Status) + ", for ever",
	}
}

// occurrenceID is the id of the transfer at a time.
func (s *scheduleState) occurrenceID(at time.Time) uuid.UUID {
	return ledger.DerivedID(s.ID, at.UTC().Format(time.RFC3339Nano))
}

// occurrence is the transfer at a time.
func (s *scheduleState) occurrence(at time.Time) ledger.TransferParams {
	return ledger.TransferParams{
		ID: s.occurrenceID(at), From: s.From, To: s.To, Amount: s.Amount, Currency: s.Currency, Reference: s.Reference,
		Metadata: s.Metadata,
	}
}

// countMade counts the occurrences from Next on that were made by a worker that ended before it
// counted them.
func (l *Ledger) countMade(ctx context.Context, tx pgx.Tx, s *scheduleState, now time.Time) error {
	due := s.due(now, madeMax)
	if len(due) == 0 {
		return nil
	}
	ids := make([]uuid.UUID, 0, len(due))
	for _, at := range due {
		ids = append(ids, s.occurrenceID(at))
	}
	rows, err := l.queries.TransfersGet(ctx, tx, ids)
	if err != nil {
		return fmt.Errorf("look for occurrences: %w", err)
	}
	there := make(map[uuid.UUID]bool, len(rows))
	for i := range rows {
		there[rows[i].TransferFull.TransferID] = true
	}
	for i := 0; i < len(ids) && there[ids[i]]; i++ {
		s.made()
	}
	return nil
}

// advance writes what has become of schedules whose rows are locked, as far as they have changed.
func (l *Ledger) advance(ctx context.Context, tx pgx.Tx, orders []*scheduleState, now time.Time) error {
	p := db.SchedulesAdvanceParams{Now: now}
	changed := make(map[uuid.UUID]*scheduleState, len(orders))
	for _, s := range orders {
		if !s.changed {
			continue
		}
		changed[s.ID] = s
		p.ScheduleIDs = append(p.ScheduleIDs, s.ID)
		p.Versions = append(p.Versions, s.Version)
		p.Statuses = append(p.Statuses, string(s.Status))
		p.NextTimes = append(p.NextTimes, orZero(s.Next))
		p.OccurrenceCounts = append(p.OccurrenceCounts, s.OccurrenceCount)
		p.LastTransferIDs = append(p.LastTransferIDs, idText(s.LastTransferID))
	}
	if len(changed) == 0 {
		return nil
	}
	rows, err := l.queries.SchedulesAdvance(ctx, tx, p)
	if err != nil {
		return fmt.Errorf("advance schedules: %w", err)
	}
	if len(rows) != len(changed) {
		return fmt.Errorf("%w: %d of %d locked schedules took their change", durable.ErrInvariant, len(rows), len(changed))
	}
	for i := range rows {
		s := changed[rows[i].ScheduleID]
		s.Version, s.UpdateTime, s.changed = s.Version+1, rows[i].UpdateTime, false
	}
	return nil
}

// insertion is the row of a schedule right after it was made.
func (s *scheduleState) insertion(fingerprint []byte) db.ScheduleInsertParams {
	p := db.ScheduleInsertParams{
		ScheduleID: s.ID, FromAccountID: s.From, ToAccountID: s.To, Amount: s.Amount, Currency: s.Currency,
		StartTime: s.Start, EndTime: s.End, MaxCount: s.MaxCount, CatchUp: string(s.CatchUp), Reference: s.Reference,
		Metadata: stored.EncodeMetadata(s.Metadata), NextTime: *s.Next, CreateTime: s.CreateTime, Fingerprint: fingerprint,
	}
	if s.Cron != "" {
		p.Cron, p.TimeZone = &s.Cron, &s.TimeZone
	} else {
		micros := s.Interval.Microseconds()
		p.IntervalMicros = &micros
	}
	return p
}

// scheduleOf converts a row.
func (l *Ledger) scheduleOf(ctx context.Context, conn db.DBTX, r *db.Schedule) (ledger.Schedule, error) {
	s := ledger.Schedule{
		ID: r.ScheduleID, From: r.FromAccountID, To: r.ToAccountID, Amount: r.Amount, Currency: r.Currency,
		Start: r.StartTime, End: r.EndTime, MaxCount: r.MaxCount, CatchUp: ledger.CatchUp(r.CatchUp), Reference: r.Reference,
		Status: ledger.ScheduleStatus(r.Status), Next: r.NextTime, OccurrenceCount: r.OccurrenceCount,
		LastTransferID: r.LastTransferID.UUID, CreateTime: r.CreateTime, UpdateTime: r.UpdateTime, Version: r.Version,
	}
	if r.IntervalMicros != nil {
		s.Interval = time.Duration(*r.IntervalMicros) * time.Microsecond
	} else {
		s.Cron, s.TimeZone = *r.Cron, *r.TimeZone
	}
	var err error
	if s.Scale, err = l.currencies.Scale(ctx, conn, r.Currency); err != nil {
		return s, err
	}
	s.Metadata, err = stored.DecodeMetadata(r.Metadata)
	return s, err
}

// standingOf converts a row that is locked.
func (l *Ledger) standingOf(ctx context.Context, conn db.DBTX, r *db.Schedule) (*scheduleState, error) {
	schedule, err := l.scheduleOf(ctx, conn, r)
	if err != nil {
		return nil, err
	}
	p := ledger.ScheduleParams{
		Cron: schedule.Cron, TimeZone: schedule.TimeZone, Interval: schedule.Interval, Start: schedule.Start,
		End: orZero(schedule.End),
	}
	times, err := p.Recurrence()
	if err != nil {
		// Not an InvalidError of the caller's: this server may lack the zone, for example.
		return nil, fmt.Errorf("schedule %s: %v", r.ScheduleID, err) //nolint:errorlint // see above
	}
	return &scheduleState{Schedule: schedule, times: times}, nil
}
