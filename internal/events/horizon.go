package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/ledger"
)

const (
	horizonPoll = 3 * time.Millisecond // between looks whether transactions have ended
	horizonWait = time.Second          // for them, before the last known horizon is used
	horizonWarn = 10 * time.Second     // how long a transaction may block it before a warning
)

// A horizon finds the position up to which all events are there: each transaction that drew one of
// these positions has committed or never will, so no event can appear at or before it any more.
// Positions are drawn before a commit, so the newest committed one is not enough to go by.
//
// Finding it costs writers nothing. First the highest committed position is read, then the open
// transactions. A transaction that drew a lower position did so before that commit, so it is among
// them or over. When all of them are over, that position is the horizon.
type horizon struct {
	queries *db.Queries
	conn    db.DBTX
	log     *slog.Logger
	turn    chan struct{} // has an item, taken out for the fields below; a waiter can give up

	reached int64     // -1: not known yet
	ahead   int64     // the highest committed position when writers were read; -1: never
	writers []string  // those then open that still were at the last look; none: reached is ahead
	since   time.Time // when they were first seen
	warned  bool      // about these
}

func newHorizon(queries *db.Queries, conn db.DBTX, log *slog.Logger) *horizon {
	h := &horizon{queries: queries, conn: conn, log: log, turn: make(chan struct{}, 1), reached: -1, ahead: -1}
	h.turn <- struct{}{}
	return h
}

// An observation is one look at the horizon.
type observation struct {
	reached int64         // the horizon; -1: not known yet
	last    int64         // the highest committed position
	waiting time.Duration // how long some transactions have been waited for
}

// observe takes a look at the horizon. The error wraps ErrUnavailable when the database does not
// respond in time.
func (h *horizon) observe(ctx context.Context) (observation, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, durable.ReadTimeout, ledger.ErrUnavailable)
	defer cancel()
	select {
	case <-h.turn:
		defer func() { h.turn <- struct{}{} }()
	case <-ctx.Done():
		return observation{}, context.Cause(ctx)
	}
	s, err := h.advance(ctx)
	if err != nil && errors.Is(context.Cause(ctx), ledger.ErrUnavailable) {
		err = fmt.Errorf("%w: %w", ledger.ErrUnavailable, err)
	}
	return s, err
}

// advance takes the look and moves the horizon. The caller has the turn.
func (h *horizon) advance(ctx context.Context) (observation, error) {
	last, err := h.queries.EventsEnd(ctx, h.conn)
	if err != nil {
		return observation{}, durable.ReadError(ctx, "read the last position", err)
	}
	if last == h.reached {
		return observation{reached: last, last: last}, nil
	}
	writers, err := h.queries.EventWriters(ctx, h.conn)
	if err != nil {
		return observation{}, durable.ReadError(ctx, "read who writes", err)
	}
	h.writers = slices.DeleteFunc(h.writers, func(w string) bool { return !slices.Contains(writers, w) })
	if len(h.writers) > 0 {
		h.warn(ctx)
		return observation{h.reached, last, time.Since(h.since)}, nil
	}
	// The transactions that were waited for are over.
	h.reached = max(h.reached, h.ahead)
	h.ahead, h.writers, h.since, h.warned = last, writers, time.Now(), false
	if len(writers) == 0 {
		h.reached = last
	}
	return observation{reached: h.reached, last: last}, nil
}

// warn logs once that a transaction holds all readers up.
func (h *horizon) warn(ctx context.Context) {
	if !h.warned && time.Since(h.since) > horizonWarn {
		h.warned = true
		h.log.WarnContext(ctx, "a transaction that may have written events does not end, and readers wait for it",
			slog.String("virtual_transaction", h.writers[0]), slog.Int64("position", h.reached))
	}
}

// wait returns the horizon: a position that all events committed before the call are at or before.
// Where a transaction that may have written some does not end, it returns the last known horizon
// after a while; without one, ErrUnavailable.
func (h *horizon) wait(ctx context.Context) (int64, error) {
	began := time.Now()
	wanted := int64(-1)
	for {
		s, err := h.observe(ctx)
		if err != nil {
			return 0, err
		}
		if wanted < 0 {
			wanted = s.last
		}
		waited := time.Since(began)
		switch {
		case s.reached >= wanted, s.reached >= 0 && waited > horizonWait:
			return s.reached, nil
		case waited > durable.ReadTimeout:
			return 0, fmt.Errorf("%w: a transaction that may have written events does not end", ledger.ErrUnavailable)
		}
		timer := time.NewTimer(horizonPoll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return 0, ctx.Err()
		}
	}
}
