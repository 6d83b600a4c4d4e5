// Package events is the change stream of a ledger: every change of a transfer or an account is an
// event, and all readers see them in one order, without gaps.
package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/internal/stored"
	"internaltransfers/ledger"
)

const (
	feedEventsMax = 1 << 16                // events kept for followers
	feedBytesMax  = 64 << 20               // and about how much memory they take
	feedPause     = 5 * time.Millisecond   // between looks: open transactions, or new events
	feedPatience  = time.Second            // how long open transactions are waited for at that rate
	feedPoll      = 100 * time.Millisecond // until events of other servers are looked for
	catchUpsMax   = 2                      // followers on old events at a time, a connection each
	catchUpPage   = 100                    // events that each of them reads at a time
	followersWait = time.Second            // until a refused follower may try again
)

// ErrSlow: a follower took events more slowly than they came, so that the next ones are not in
// memory any more. It can follow again from its position.
var ErrSlow = errors.New("events are taken more slowly than they happen")

// A Config says how events are followed.
type Config struct {
	FollowersMax int           // at a time
	Heartbeat    time.Duration // the longest silence of Follow
	Log          *slog.Logger
}

// A Stream is the events of a ledger, in their one order. It gives them to all followers. While
// there are followers, one goroutine reads new events, once for all of them, and keeps the newest
// in memory; without followers it does nothing. A follower that is behind those reads the older
// ones itself until it has caught up. It takes events when it is ready for them: the stream neither
// waits for it nor keeps anything for it. When its next events have been dropped from memory, it is
// cut off.
//
// The batches of this server wake the reader when they have committed; what other servers commit it
// finds by polling. There is no NOTIFY: every commit that has one waits for a lock that all commits
// of the cluster share.
type Stream struct {
	pool       *durable.Pool
	currencies *stored.Currencies
	config     Config
	horizon    *horizon
	eventsMax  int           // kept for followers
	woken      chan struct{} // has an item when this server has committed something
	catchUps   chan struct{} // an item for each follower that reads old events
	followers  atomic.Int64

	mu      sync.Mutex
	reading *reading       // guarded by mu; nil: no followers
	closed  bool           // guarded by mu
	readers sync.WaitGroup // of every reading
}

// A reading is the shared reader's state while there are followers.
type reading struct {
	stop      context.CancelFunc
	eventsMax int // kept

	mu      sync.Mutex
	events  []*Event      // guarded by mu; the newest, oldest first
	bytes   int           // guarded by mu; about what they take
	floor   int64         // guarded by mu; every event behind it, up to head, is among them
	head    int64         // guarded by mu; -1: not known yet
	err     error         // guarded by mu; why reading ended; nil: it goes on
	changed chan struct{} // guarded by mu; closed and replaced when one of these changes
}

func New(pool *durable.Pool, currencies *stored.Currencies, config Config) *Stream {
	return &Stream{
		pool: pool, currencies: currencies, config: config, horizon: newHorizon(db.New(), pool, config.Log),
		eventsMax: feedEventsMax, woken: make(chan struct{}, 1), catchUps: make(chan struct{}, catchUpsMax),
	}
}

// Committed wakes the reader after a commit of this server.
func (s *Stream) Committed() {
	if s.followers.Load() == 0 {
		return
	}
	select {
	case s.woken <- struct{}{}:
	default: // it is awake
	}
}

// Followers returns how many there are.
func (s *Stream) Followers() int64 { return s.followers.Load() }

// Close ends all followers with ErrClosed, and refuses new ones.
func (s *Stream) Close() {
	s.mu.Lock()
	s.closed = true
	if s.reading != nil {
		s.reading.end(ledger.ErrClosed)
		s.reading.stop()
	}
	s.mu.Unlock()
	s.readers.Wait()
}

// join returns the shared reader, starting it for the first follower. must bypasses FollowersMax.
func (s *Stream) join(must bool) (*reading, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ledger.ErrClosed
	}
	if !must && s.followers.Load() >= int64(s.config.FollowersMax) {
		return nil, &ledger.OverloadedError{RetryAfter: followersWait, What: "readers of events"}
	}
	s.followers.Add(1)
	if s.reading == nil || s.reading.over() != nil {
		ctx, stop := context.WithCancel(context.Background())
		s.reading = &reading{stop: stop, eventsMax: s.eventsMax, head: -1, changed: make(chan struct{})}
		r := s.reading
		s.readers.Go(func() { s.read(ctx, r) })
	}
	return s.reading, nil
}

func (s *Stream) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.followers.Add(-1) == 0 && s.reading != nil {
		s.reading.stop()
		s.reading = nil
	}
}

// read reads new events until ctx ends or it fails.
func (s *Stream) read(ctx context.Context, r *reading) {
	defer r.stop()
	defer func() {
		if p := recover(); p != nil {
			// A bug, which must not take down the process.
			s.config.Log.ErrorContext(ctx, "reading events failed", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			r.end(fmt.Errorf("%w: panic: %v", durable.ErrInvariant, p))
		}
	}()
	for {
		pause, err := s.poll(ctx, r)
		if err != nil {
			if ctx.Err() == nil {
				s.config.Log.WarnContext(ctx, "events cannot be read", slog.Any("error", err))
			}
			r.end(err)
			return
		}
		timer := time.NewTimer(pause)
		if pause == feedPoll {
			select {
			case <-timer.C:
			case <-s.woken:
			case <-ctx.Done():
			}
		} else {
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		timer.Stop()
		if ctx.Err() != nil {
			r.end(ledger.ErrClosed)
			return
		}
	}
}

// poll reads new events, and returns how long to wait until the next look.
func (s *Stream) poll(ctx context.Context, r *reading) (pause time.Duration, err error) {
	seen, err := s.horizon.observe(ctx)
	if err != nil {
		return 0, err
	}
	pause = feedPause
	head := r.reachedBy(seen.reached)
	if head == seen.reached && (seen.reached == seen.last || seen.waiting > feedPatience) {
		pause = feedPoll
	}
	for head >= 0 && head < seen.reached {
		var events []*Event
		if events, head, err = s.between(ctx, head, seen.reached, PageMax); err != nil {
			return 0, err
		}
		r.add(events, head)
	}
	return pause, nil
}

// reachedBy returns the position up to which events were read. Before the first read that is the
// horizon, once it is known.
func (r *reading) reachedBy(horizon int64) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.head < 0 && horizon >= 0 {
		r.floor, r.head = horizon, horizon
		r.tell()
	}
	return r.head
}

// add keeps events, and drops the oldest where there are too many. They are all up to head.
func (r *reading) add(events []*Event, head int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, events...)
	for _, e := range events {
		r.bytes += e.size()
	}
	drop := 0
	for len(r.events)-drop > r.eventsMax || r.bytes > feedBytesMax {
		r.bytes -= r.events[drop].size()
		r.floor = r.events[drop].Position
		r.events[drop] = nil
		drop++
	}
	// When the array below is full, append copies it without the dropped events.
	r.events = r.events[drop:]
	r.head = head
	r.tell()
}

// end ends reading, for all followers.
func (r *reading) end(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
		r.tell()
	}
}

// over returns why reading ended, nil while it runs.
func (r *reading) over() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// tell wakes all followers that wait for a change. The lock is held.
func (r *reading) tell() {
	close(r.changed)
	r.changed = make(chan struct{})
}
