package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/shopspring/decimal"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/ledger"
)

const (
	activityDefault  = time.Minute
	activityMax      = time.Hour
	activityStepMax  = 5 * time.Minute
	activityStepsMax = 120

	// activityChunk is how many seconds are counted at a time.
	activityChunk = 60
	// activityRowsMax bounds what one count returns: a row for each second, reason and currency.
	activityRowsMax = 100_000
	// aheadMax is how many transfers stamped later than now are counted. There are more than a few
	// only after the clock was set back by far.
	aheadMax = 100_000
	// commitMargin is how long a commit may take beyond BatchTimeout, when its batch was given up
	// just then.
	commitMargin = time.Second
)

// An Activity counts what was made lately, in steps of time.
type Activity struct {
	Step  time.Duration
	Steps []ActivityStep // oldest first, without gaps; the last one is not over yet
}

// An ActivityStep is what was made within a step of time, by CreateTime. A transfer that is stamped
// later than now, because the clock was set back, is in the last step until the clock is there.
type ActivityStep struct {
	Start    time.Time
	Success  int64                        // transfers that moved money
	Init     int64                        // holds and scheduled transfers, whatever became of them
	Refusals map[ledger.ErrorReason]int64 // nil: none
	Volumes  map[string]Volume            // what moved, by currency; nil: nothing
}

// A Volume is an amount in a currency.
type Volume struct {
	Amount decimal.Decimal
	Scale  int32 // of the currency, so that the amount can be printed
}

// activity counts transfers by the second they were made in, once each: seconds in which nothing
// more can be committed are kept in memory, an hour of them. Only those that can still change are
// counted again, at most a tenth of the time.
type activity struct {
	pace

	// All are guarded by the turn.
	now     time.Time              // of the last count, by the database's clock
	end     int64                  // the second of now, which the last step has in it
	ahead   ActivityStep           // what is stamped later than that second
	seconds map[int64]ActivityStep // since 1970
	closed  int64                  // a second before this one does not change any more
	counted int64                  // those from this one on to the end were counted
}

// GetActivity counts the transfers that were made within the last window (1 s to 1 h; 0: 1 min) in
// steps (whole seconds, 1 s to 5 min; 0: the least of which 120 are enough). Callers share what is
// counted: it can be older than the call by nine times as long as counting takes.
func (l *Ledger) GetActivity(ctx context.Context, window, step time.Duration) (Activity, error) {
	n, step, err := activitySteps(window, step)
	if err != nil {
		return Activity{}, err
	}
	for {
		steps, err := l.activitySome(ctx, n, int64(step/time.Second))
		if err != nil || steps != nil {
			return Activity{Step: step, Steps: steps}, err
		}
	}
}

// activitySteps checks the window and the step, and returns the number of steps and their length.
func activitySteps(window, step time.Duration) (int64, time.Duration, error) {
	if window == 0 {
		window = activityDefault
	}
	if window < time.Second || window > activityMax {
		return 0, 0, &ledger.InvalidError{Field: "window", Reason: fmt.Sprintf("must be 1s to %.0fs", activityMax.Seconds())}
	}
	if step == 0 {
		step = max((window/activityStepsMax + time.Second - 1).Truncate(time.Second), time.Second)
	}
	if step < time.Second || step > activityStepMax || step%time.Second != 0 {
		return 0, 0, &ledger.InvalidError{Field: "step", Reason: fmt.Sprintf("must be 1s to %.0fs, in whole seconds", activityStepMax.Seconds())}
	}
	n := int64((window + step - 1) / step)
	if n > activityStepsMax {
		return 0, 0, &ledger.InvalidError{Field: "step", Reason: fmt.Sprintf("gives %d steps, more than %d", n, activityStepsMax)}
	}
	return n, step, nil
}

// activitySome returns the last n steps, of as many seconds each, or nil when that takes another
// call: an hour's transfers are counted in parts, so that callers of a minute's get turns in
// between.
func (l *Ledger) activitySome(ctx context.Context, n, step int64) ([]ActivityStep, error) {
	a := &l.activity
	if err := a.enter(ctx); err != nil {
		return nil, err
	}
	defer a.leave()
	if a.rested() {
		start := time.Now()
		if err := l.countOpen(ctx); err != nil {
			return nil, err
		}
		a.rest(start)
	}
	last := a.end / step * step
	first := last - (n-1)*step
	if from, until := a.gap(first); from < until {
		start := time.Now()
		err := l.countSeconds(ctx, from, until)
		if until > a.closed {
			a.rest(start) // they are counted again
		}
		return nil, err
	}
	steps := make([]ActivityStep, n)
	for i := range steps {
		begin := first + int64(i)*step
		steps[i].Start = time.Unix(begin, 0).UTC()
		for s := begin; s < begin+step; s++ {
			second := a.seconds[s]
			steps[i].add(&second)
		}
	}
	steps[n-1].add(&a.ahead)
	return steps, nil
}

// countOpen counts the seconds that can still change, and those that could when it was last done. A
// transaction that has chosen a time commits within its BatchTimeout; it assumes that all servers
// have the same one.
//
// What is stamped later than now is counted with the second of now. So the steps always end at now,
// and what is made now on accounts that are ahead of the clock is seen at once.
func (l *Ledger) countOpen(ctx context.Context) error {
	a := &l.activity
	now, err := l.queries.Clock(ctx, l.pool)
	if err != nil {
		return durable.ReadError(ctx, "read the clock", err)
	}
	if now.Before(a.now) {
		// The clock was set back: seconds that were over are not any more, and all is forgotten
		// below.
		a.closed = 0
	}
	end, closed := now.Unix(), now.Add(-l.config.BatchTimeout-commitMargin).Unix()
	oldest := end - int64((activityMax+activityStepMax+l.config.BatchTimeout+commitMargin)/time.Second)
	for s := range a.seconds {
		if s >= a.closed || s < oldest {
			delete(a.seconds, s)
		}
	}
	from := max(a.closed, closed-activityChunk)
	if err := l.countSeconds(ctx, from, end+1); err != nil {
		return err
	}
	ahead, err := l.countAhead(ctx, end+1)
	if err != nil {
		return err
	}
	a.now, a.end, a.ahead, a.closed, a.counted = now, end, ahead, closed, max(from, closed)
	return nil
}

// gap returns the newest seconds since first that were not counted, at most a chunk of them; none:
// from equals until.
func (a *activity) gap(first int64) (from, until int64) {
	until = a.counted
	for until > first {
		if _, counted := a.seconds[until-1]; !counted {
			break
		}
		until--
	}
	from = until
	for from > first && until-from < activityChunk {
		if _, counted := a.seconds[from-1]; counted {
			break
		}
		from--
	}
	return from, until
}

// countSeconds counts the seconds from one up to another. The caller has the turn.
func (l *Ledger) countSeconds(ctx context.Context, from, until int64) error {
	rows, err := l.queries.ActivityRead(ctx, l.pool, db.ActivityReadParams{
		FromTime: time.Unix(from, 0).UTC(), UntilTime: time.Unix(until, 0).UTC(), RowLimit: activityRowsMax,
	})
	if err != nil {
		return durable.ReadError(ctx, "count transfers", err)
	}
	if len(rows) == activityRowsMax {
		return &ledger.InvalidError{Field: "window", Reason: "has transfers in too many currencies"}
	}
	counted := make(map[int64]ActivityStep, until-from)
	for i := range rows {
		one, err := l.madeOf(ctx, &rows[i])
		if err != nil {
			return err
		}
		second := counted[rows[i].Second.Unix()]
		second.add(&one)
		counted[rows[i].Second.Unix()] = second
	}
	for s := from; s < until; s++ {
		l.activity.seconds[s] = counted[s]
	}
	return nil
}

// countAhead counts the transfers stamped from a second on, at most aheadMax.
func (l *Ledger) countAhead(ctx context.Context, from int64) (sum ActivityStep, err error) {
	rows, err := l.queries.ActivityAhead(ctx, l.pool, db.ActivityAheadParams{
		FromTime: time.Unix(from, 0).UTC(), CountLimit: aheadMax, RowLimit: activityRowsMax,
	})
	if err != nil {
		return sum, durable.ReadError(ctx, "count transfers", err)
	}
	for i := range rows {
		r := &rows[i]
		one, err := l.madeOf(ctx, &db.ActivityReadRow{
			Deferred: r.Deferred, Reason: r.Reason, Currency: r.Currency,
			TransferCount: r.TransferCount, Amount: r.Amount,
		})
		if err != nil {
			return sum, err
		}
		sum.add(&one)
	}
	return sum, nil
}

// madeOf converts a row of a count.
func (l *Ledger) madeOf(ctx context.Context, r *db.ActivityReadRow) (ActivityStep, error) {
	switch {
	case r.Deferred:
		return ActivityStep{Init: r.TransferCount}, nil
	case r.Reason != "":
		return ActivityStep{Refusals: map[ledger.ErrorReason]int64{ledger.ErrorReason(r.Reason): r.TransferCount}}, nil
	}
	scale, err := l.currencies.Scale(ctx, l.pool, r.Currency)
	if err != nil {
		return ActivityStep{}, err
	}
	return ActivityStep{Success: r.TransferCount, Volumes: map[string]Volume{r.Currency: {r.Amount, scale}}}, nil
}

// add adds the counts of another step.
func (s *ActivityStep) add(other *ActivityStep) {
	s.Success += other.Success
	s.Init += other.Init
	for reason, n := range other.Refusals {
		if s.Refusals == nil {
			s.Refusals = make(map[ledger.ErrorReason]int64, len(other.Refusals))
		}
		s.Refusals[reason] += n
	}
	for currency, v := range other.Volumes {
		if s.Volumes == nil {
			s.Volumes = make(map[string]Volume, len(other.Volumes))
		}
		s.Volumes[currency] = Volume{s.Volumes[currency].Amount.Add(v.Amount), v.Scale}
	}
}
