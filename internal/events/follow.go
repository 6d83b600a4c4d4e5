package events

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"internaltransfers/ledger"
)

// Follow calls f with the events after a position, 0 for the first ones, that pass the filter, nil
// for all: in order, each once, first those that are committed already, then others as they are
// committed, by any server. f has got all events up to position. When there was none for
// Config.Heartbeat, f is called without events. f may change and keep the slice, not the events.
//
// It ends with an OverloadedError when there are Config.FollowersMax others; with the error of f or
// ctx; with ErrUnavailable when the database is away; with ErrClosed when the ledger is closed;
// with ErrSlow when f, having caught up, falls behind by more events than are kept. The follower
// may go on from the last position, with nothing missed, now or much later.
func (s *Stream) Follow(ctx context.Context, after int64, filter *Filter, f func(events []*Event, position int64) error) error {
	return s.follow(ctx, after, filter, f, false)
}

// FollowBeyondMax is Follow for the owner of an endpoint. It bypasses FollowersMax: endpoints are
// few.
func (s *Stream) FollowBeyondMax(ctx context.Context, after int64, filter *Filter, f func([]*Event, int64) error) error {
	return s.follow(ctx, after, filter, f, true)
}

func (s *Stream) follow(
	ctx context.Context, after int64, filter *Filter, f func([]*Event, int64) error, must bool,
) error {
	seen, err := s.horizon.observe(ctx)
	if err != nil {
		return err
	}
	if err := checkPosition(after, seen.last); err != nil {
		return err
	}
	r, err := s.join(must)
	if err != nil {
		return err
	}
	defer s.leave()
	follower := follower{stream: s, reading: r, position: after, filter: filter, f: f, given: time.Now()}
	heartbeat := time.NewTimer(s.config.Heartbeat)
	defer heartbeat.Stop()
	for {
		changed, err := follower.take(ctx)
		if errors.Is(r.over(), ledger.ErrClosed) {
			return ledger.ErrClosed // whatever else failed because of that
		}
		if err != nil {
			return err
		}
		if changed == nil {
			continue
		}
		heartbeat.Reset(time.Until(follower.given.Add(s.config.Heartbeat)))
		select {
		case <-changed:
		case <-heartbeat.C:
			if err := follower.give(nil, follower.position); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A follower is one call of Follow.
type follower struct {
	stream   *Stream
	reading  *reading
	position int64 // it was given everything up to here
	caughtUp bool  // it is given events from memory
	filter   *Filter
	f        func(events []*Event, position int64) error
	given    time.Time // when f was last called
}

// give passes on matching events; position covers all. Without a match it sends a heartbeat now and
// then, so that a resume need not rescan.
func (f *follower) give(events []*Event, position int64) error {
	f.position = position
	if f.filter != nil {
		events = slices.DeleteFunc(events, func(e *Event) bool { return !f.filter.Passes(e) })
	}
	if len(events) == 0 && time.Since(f.given) < f.stream.config.Heartbeat {
		return nil
	}
	err := f.f(events, position)
	f.given = time.Now()
	return err
}

// take gives some events to the follower. When there are none, changed is closed as soon as there
// may be.
func (f *follower) take(ctx context.Context) (changed <-chan struct{}, err error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	r := f.reading
	r.mu.Lock()
	changed, err = r.changed, r.err
	var events []*Event
	head, behind := r.head, r.head >= 0 && f.position < r.floor
	if err == nil && !behind && f.position < head {
		first, _ := slices.BinarySearchFunc(r.events, f.position+1, func(e *Event, p int64) int {
			return cmp.Compare(e.Position, p)
		})
		events = r.events[first:]
		if len(events) > PageMax {
			events = events[:PageMax]
			head = events[PageMax-1].Position
		}
		// The reader clears events in the array below when it drops them.
		events = slices.Clone(events)
	}
	r.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case behind && f.caughtUp:
		return nil, ErrSlow
	case behind:
		return nil, f.catchUp(ctx)
	case head < 0 || f.position >= head:
		return changed, nil
	}
	f.caughtUp = true
	return nil, f.give(events, head)
}

// catchUp gives the follower some events that are not in memory any more. Few followers do so at a
// time, lest they take all connections.
func (f *follower) catchUp(ctx context.Context) error {
	heartbeat := time.NewTimer(time.Until(f.given.Add(f.stream.config.Heartbeat)))
	defer heartbeat.Stop()
	select {
	case f.stream.catchUps <- struct{}{}:
	case <-heartbeat.C:
		return f.give(nil, f.position)
	case <-ctx.Done():
		return ctx.Err()
	}
	events, next, err := f.read(ctx)
	if err != nil {
		return err
	}
	return f.give(events, next)
}

// read reads a page of these events. It is small, because no other follower shares it.
func (f *follower) read(ctx context.Context) ([]*Event, int64, error) {
	defer func() { <-f.stream.catchUps }()
	f.reading.mu.Lock()
	floor := f.reading.floor
	f.reading.mu.Unlock()
	return f.stream.between(ctx, f.position, floor, catchUpPage)
}
