package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"internaltransfers/internal/durable"
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

// A feed gives events to all followers. While there are followers, one goroutine reads new events,
// once for all of them, and keeps the newest in memory; without followers it does nothing. A
// follower that is behind those reads the older ones itself until it has caught up. It takes events
// when it is ready for them: the feed neither waits for it nor keeps anything for it. When its next
// events have been dropped from memory, it is cut off.
//
// The batches of this server wake the reader when they have committed; what other servers commit it
// finds by polling. There is no NOTIFY: every commit that has one waits for a lock that all commits
// of the cluster share.
type feed struct {
	ledger    *Ledger
	horizon   *horizon
	eventsMax int           // kept for followers
	woken     chan struct{} // has an item when this server has committed something
	catchUps  chan struct{} // an item for each follower that reads old events
	followers atomic.Int64

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

func newFeed(l *Ledger) *feed {
	return &feed{
		ledger: l, horizon: newHorizon(l.queries, l.pool, l.log), eventsMax: feedEventsMax,
		woken: make(chan struct{}, 1), catchUps: make(chan struct{}, catchUpsMax),
	}
}

// committed wakes the reader after a commit of this server.
func (f *feed) committed() {
	if f.followers.Load() == 0 {
		return
	}
	select {
	case f.woken <- struct{}{}:
	default: // it is awake
	}
}

// close ends all followers with ErrClosed, and refuses new ones.
func (f *feed) close() {
	f.mu.Lock()
	f.closed = true
	if f.reading != nil {
		f.reading.end(ledger.ErrClosed)
		f.reading.stop()
	}
	f.mu.Unlock()
	f.readers.Wait()
}

// join returns the shared reader, starting it for the first follower. must bypasses FollowersMax.
func (f *feed) join(must bool) (*reading, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, ledger.ErrClosed
	}
	if !must && f.followers.Load() >= int64(f.ledger.config.FollowersMax) {
		return nil, &ledger.OverloadedError{RetryAfter: followersWait, What: "readers of events"}
	}
	f.followers.Add(1)
	if f.reading == nil || f.reading.over() != nil {
		ctx, stop := context.WithCancel(context.Background())
		f.reading = &reading{stop: stop, eventsMax: f.eventsMax, head: -1, changed: make(chan struct{})}
		r := f.reading
		f.readers.Go(func() { f.read(ctx, r) })
	}
	return f.reading, nil
}

func (f *feed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.followers.Add(-1) == 0 && f.reading != nil {
		f.reading.stop()
		f.reading = nil
	}
}

// read reads new events until ctx ends or it fails.
func (f *feed) read(ctx context.Context, r *reading) {
	defer r.stop()
	defer func() {
		if p := recover(); p != nil {
			// A bug, which must not take down the process.
			f.ledger.log.ErrorContext(ctx, "reading events failed", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			r.end(fmt.Errorf("%w: panic: %v", durable.ErrInvariant, p))
		}
	}()
	for {
		pause, err := f.poll(ctx, r)
		if err != nil {
			if ctx.Err() == nil {
				f.ledger.log.WarnContext(ctx, "events cannot be read", slog.Any("error", err))
			}
			r.end(err)
			return
		}
		timer := time.NewTimer(pause)
		if pause == feedPoll {
			select {
			case <-timer.C:
			case <-f.woken:
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
func (f *feed) poll(ctx context.Context, r *reading) (pause time.Duration, err error) {
	s, err := f.horizon.observe(ctx)
	if err != nil {
		return 0, err
	}
	pause = feedPause
	head := r.reachedBy(s.reached)
	if head == s.reached && (s.reached == s.last || s.waiting > feedPatience) {
		pause = feedPoll
	}
	for head >= 0 && head < s.reached {
		var events []*Event
		if events, head, err = f.ledger.eventsBetween(ctx, head, s.reached, eventPageMax); err != nil {
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
