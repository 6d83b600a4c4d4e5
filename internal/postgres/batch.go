package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"internaltransfers/internal/durable"
	"internaltransfers/ledger"
)

const (
	attemptsMax  = 8                     // of one batch
	backoffFirst = 20 * time.Millisecond // before the second attempt; doubles each time
	backoffMax   = 500 * time.Millisecond
)

// runBatch applies calls and sets their results. Openings and transfers of a batch are concurrent,
// so it may put the openings first.
func (l *Ledger) runBatch(calls []*call) {
	ctx, cancel := context.WithTimeout(context.Background(), l.config.BatchTimeout)
	defer cancel()
	start := time.Now()
	var openings []*opening
	var commands []ledger.Command
	group := 0
	for _, c := range calls {
		if c.opening != nil {
			openings = append(openings, c.opening)
		}
		if len(c.commands) > 0 && c.commands[0].Group != 0 {
			// Two groups side by side must not look like one.
			group++
			for i := range c.commands {
				c.commands[i].Group = group
			}
		}
		commands = append(commands, c.commands...)
	}
	if len(openings) > 0 {
		l.open(ctx, openings)
	}
	outcomes := make([]ledger.Outcome, len(commands))
	if len(commands) > 0 {
		l.applyCommands(ctx, commands, outcomes)
	}
	l.Events.Committed()
	l.metrics.batchDone(start, len(openings), outcomes)
	for _, c := range calls {
		if c.opening != nil {
			c.err = c.opening.err
		}
		c.outcomes, outcomes = outcomes[:len(c.commands):len(c.commands)], outcomes[len(c.commands):]
	}
}

// applyCommands applies commands and sets their outcomes. A command that makes the database fail is
// found by halving, so that it never fails its neighbours.
func (l *Ledger) applyCommands(ctx context.Context, commands []ledger.Command, outcomes []ledger.Outcome) {
	var lost [][]ledger.Outcome // of the attempts whose COMMIT had no response
	err := l.retry(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if len(lost) > 0 {
			last := lost[len(lost)-1]
			if happened, err := l.committed(ctx, conn, last); happened || err != nil {
				copy(outcomes, last)
				return err
			}
		}
		got, err := l.applyBatch(ctx, conn, commands)
		for _, attempt := range lost {
			recognize(got, attempt)
		}
		if _, ok := errors.AsType[durable.AmbiguousCommitError](err); ok {
			// It may still be committed, so from now on every id may be stored.
			lost, commands = append(lost, got), slices.Clone(commands)
			for i := range commands {
				commands[i].Made = false
			}
		}
		copy(outcomes, got)
		return err
	})
	if err == nil {
		return
	}
	if middle := split(commands); middle > 0 && !durable.Transient(err) {
		l.log.WarnContext(ctx, "a batch failed and is halved", slog.Int("commands", len(commands)), slog.Any("error", err))
		l.applyCommands(ctx, commands[:middle], outcomes[:middle])
		l.applyCommands(ctx, commands[middle:], outcomes[middle:])
		return
	}
	if durable.Hindered(err) {
		err = durable.Unavailable(err)
	}
	for i := range outcomes {
		outcomes[i] = ledger.Outcome{Transfer: ledger.Transfer{ID: commands[i].ID}, Err: err}
	}
}

// recognize marks as first, not replayed, the outcomes that repeat what a lost attempt of this very
// batch has made: its COMMIT arrived after it was looked for.
func recognize(outcomes, lost []ledger.Outcome) {
	for i := range outcomes {
		if o := &outcomes[i]; o.Replayed && lost[i].IsNew() && o.Transfer.CreateTime.Equal(lost[i].Transfer.CreateTime) {
			o.Replayed = false
		}
	}
}

// split returns an index near the middle at which the commands divide without dividing a group; 0:
// there is none.
func split(commands []ledger.Command) int {
	middle := len(commands) / 2
	for middle > 0 && commands[middle].Group != 0 && commands[middle].Group == commands[middle-1].Group {
		middle--
	}
	if middle > 0 {
		return middle
	}
	for middle = len(commands)/2 + 1; middle < len(commands); middle++ {
		if commands[middle].Group == 0 || commands[middle].Group != commands[middle-1].Group {
			return middle
		}
	}
	return 0
}

// recognizeOpened is recognize for openings.
func recognizeOpened(openings []*opening, lost []opening) {
	for i, o := range openings {
		if o.replayed && lost[i].isNew() && o.account.CreateTime.Equal(lost[i].account.CreateTime) {
			o.replayed = false
		}
	}
}

// open opens accounts and sets what became of them. An opening that makes the database fail never
// fails its neighbours.
func (l *Ledger) open(ctx context.Context, openings []*opening) {
	var lost [][]opening // of the attempts whose COMMIT had no response
	err := l.retry(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if len(lost) > 0 {
			last := lost[len(lost)-1]
			if opened, err := l.opened(ctx, conn, last); opened || err != nil {
				for i := range last {
					*openings[i] = last[i]
				}
				return err
			}
		}
		err := l.openBatch(ctx, conn, openings)
		for _, attempt := range lost {
			recognizeOpened(openings, attempt)
		}
		if _, ok := errors.AsType[durable.AmbiguousCommitError](err); ok {
			var attempt []opening
			for _, o := range openings {
				attempt = append(attempt, *o)
			}
			lost = append(lost, attempt)
		}
		return err
	})
	switch {
	case err == nil:
	case len(openings) > 1 && !durable.Transient(err):
		l.open(ctx, openings[:len(openings)/2])
		l.open(ctx, openings[len(openings)/2:])
	default:
		if durable.Hindered(err) {
			err = durable.Unavailable(err)
		}
		for _, o := range openings {
			o.err = err
		}
	}
}

// retry gives f a session for a batch until it succeeds, fails permanently, or has failed
// attemptsMax times. What f did before an error is rolled back. When the last error is transient,
// the result wraps ErrUnavailable. A database that has become another one than it was is not tried
// again: that takes an operator.
func (l *Ledger) retry(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	backoff := backoffFirst
	for attempt := 1; ; attempt++ {
		err := l.pool.Attempt(ctx, f)
		l.shortage.note(err, time.Now())
		if err == nil {
			return nil
		}
		if !durable.Transient(err) {
			l.log.ErrorContext(ctx, "a batch failed", slog.Any("error", err))
			return err
		}
		if durable.Refused(err) {
			return fmt.Errorf("%w: %w", ledger.ErrUnavailable, err) // the log has it already
		}
		l.metrics.retries.Inc()
		l.log.WarnContext(ctx, "a batch is tried again", slog.Int("attempt", attempt), slog.Any("error", err))
		if attempt == attemptsMax {
			return durable.Unavailable(err)
		}
		timer := time.NewTimer(backoff)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return durable.Unavailable(err)
		}
		backoff = min(2*backoff, backoffMax)
	}
}
