package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"internaltransfers/internal/events"
)

const (
	freshMax  = 16   // new events that are posted at a time, to one endpoint
	triedMax  = 8    // pending deliveries likewise
	windowMax = 1000 // events in the window at which no more are taken
)

// backoff is the delay after each failed attempt, before jitter. It is that of the Standard
// Webhooks specification, section "Deliverability and reliability".
var backoff = [...]time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour,
	20 * time.Hour, 24 * time.Hour,
}

// delayAfter returns the delay after so many failed attempts, 1 or more; false: there is no further
// attempt. It varies by up to a tenth, so that messages that failed together are not retried
// together.
func delayAfter(attempts int) (time.Duration, bool) {
	if attempts > len(backoff) {
		return 0, false
	}
	d := backoff[attempts-1]
	return d - d/10 + rand.N(d/5), true
}

// delaysMax returns the longest delay of an attempt, by the number of attempts before it.
func delaysMax() []time.Duration {
	longest := make([]time.Duration, 1, len(backoff)+1) // the first attempt has no delay
	for _, d := range backoff {
		longest = append(longest, d+d/10)
	}
	return longest
}

// A delivery is a new event on its way.
type delivery struct {
	event   *events.Event
	waits   int         // number of earlier events of its accounts in the window
	next    []*delivery // that wait for it
	through bool        // it is delivered, or stored
}

// A pump delivers to one endpoint, in one version of it.
type pump struct {
	deliverer *Deliverer
	endpoint  *leasedEndpoint
	secrets   atomic.Pointer[[][]byte]
	stop      context.CancelFunc // ends it at once; what is under way was in vain
	quit      chan struct{}      // closed: the pump ends when open attempts are done
	ticks     chan struct{}      // has an item when due deliveries and the cursor need a round
	done      chan struct{}      // closed: it has ended
	err       error              // why; after done
	batches   chan batch
	results   chan result
	failed    chan error     // why no more batches come
	others    sync.WaitGroup // goroutines but run's

	// Of run's goroutine.
	taken    int64                   // every event up to here was taken
	written  int64                   // the cursor in the database
	window   []*delivery             // in order; those at the front that are through are dropped
	last     map[uuid.UUID]*delivery // of each account, among those that are not through
	ready    []*delivery             // that may be posted, and wait for their turn
	fresh    int                     // new events under way
	underWay []int64                 // pending deliveries under way
	held     map[uuid.UUID]bool      // accounts that have pending deliveries, which hold up later events
	pending  int64                   // deliveries, about
	due      bool                    // pending deliveries may be due
	ticked   bool
	record   record // to be written
}

// A batch is what follows the position before.
type batch struct {
	events   []*events.Event
	position int64
}

// A result is the outcome of an attempt.
type result struct {
	fresh   *delivery   // a new event, or
	tried   dueDelivery // a pending delivery
	failure string      // empty: it was delivered
	gone    bool
	err     error // it could not be tried
}

func newPump(d *Deliverer, h *leasedEndpoint, stop context.CancelFunc) *pump {
	p := &pump{
		deliverer: d, endpoint: h, stop: stop, quit: make(chan struct{}), ticks: make(chan struct{}, 1),
		done: make(chan struct{}), batches: make(chan batch), results: make(chan result, freshMax+triedMax),
		failed: make(chan error, 1), taken: h.Cursor, written: h.Cursor, last: make(map[uuid.UUID]*delivery), due: true,
	}
	p.secrets.Store(&h.Secrets)
	p.begin()
	return p
}

// begin makes an empty record.
func (p *pump) begin() {
	p.record = record{
		Holder: p.deliverer.holder, ID: p.endpoint.ID, Version: p.endpoint.Version, Lease: lease,
	}
}

// look makes the pump look for due deliveries, and sign with these secrets from now on.
func (p *pump) look(secrets [][]byte) {
	p.secrets.Store(&secrets)
	select {
	case p.ticks <- struct{}{}:
	default: // it has yet to look
	}
}

// over reports whether the pump has ended.
func (p *pump) over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// run delivers until it is stopped or an error comes.
func (p *pump) run(ctx context.Context) {
	defer close(p.done)
	defer func() {
		p.stop()
		p.others.Wait()
	}()
	defer func() {
		if v := recover(); v != nil {
			p.err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	p.err = p.deliver(ctx)
}

func (p *pump) deliver(ctx context.Context) (err error) {
	if p.pending, p.held, err = p.deliverer.store.backlog(ctx, p.endpoint.ID); err != nil {
		return err
	}
	p.others.Go(func() { p.failed <- p.follow(ctx) })
	quit := p.quit
	for {
		batches := p.batches
		if quit == nil || len(p.window) >= windowMax || p.pending >= pendingMax {
			batches = nil
		}
		select {
		case b := <-batches:
			p.take(b)
		case r := <-p.results:
			if err := p.settleAll(r); err != nil {
				return err
			}
		case <-p.ticks:
			p.ticked, p.due = true, true
		case err := <-p.failed:
			return err
		case <-quit:
			quit, p.ticked = nil, true
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := p.write(ctx); err != nil {
			return err
		}
		if quit != nil {
			if err := p.start(ctx); err != nil {
				return err
			}
		} else if p.ticked = true; p.fresh == 0 && len(p.underWay) == 0 {
			return p.write(ctx)
		}
	}
}

// follow takes events from the ledger, and waits until the pump has room for them.
func (p *pump) follow(ctx context.Context) (err error) {
	defer func() {
		// A bug, which must not take down the process.
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	position := p.endpoint.Cursor
	for {
		err := p.deliverer.store.Events.FollowBeyondMax(ctx, position, &p.endpoint.Filter, func(events []*events.Event, at int64) error {
			select {
			case p.batches <- batch{events, at}:
				position = at
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if !errors.Is(err, events.ErrSlow) {
			return err
		}
	}
}

// take puts new events into the window, each behind the earlier ones of its accounts.
func (p *pump) take(b batch) {
	for _, e := range b.events {
		d := &delivery{event: e}
		p.window = append(p.window, d)
		for _, id := range e.Accounts() {
			if before := p.last[id]; before != nil {
				before.next = append(before.next, d)
				d.waits++
			}
			p.last[id] = d
		}
		if d.waits == 0 {
			p.free(d)
		}
	}
	p.taken = b.position
}

// free goes on with an event that waits for no other in the window: it is posted, or stored when an
// account of it has pending deliveries.
func (p *pump) free(d *delivery) {
	if slices.ContainsFunc(d.event.Accounts(), func(id uuid.UUID) bool { return p.held[id] }) {
		p.store(storedDelivery{Event: d.event}, d)
		return
	}
	p.ready = append(p.ready, d)
}

// store makes an event a pending delivery. The later ones of its accounts follow it.
func (p *pump) store(s storedDelivery, d *delivery) {
	p.record.Stored = append(p.record.Stored, s)
	for _, id := range d.event.Accounts() {
		p.held[id] = true
	}
	p.through(d)
}

// through releases the events that wait for an event.
func (p *pump) through(d *delivery) {
	d.through = true
	for _, id := range d.event.Accounts() {
		if p.last[id] == d {
			delete(p.last, id)
		}
	}
	for _, next := range d.next {
		if next.waits--; next.waits == 0 {
			p.free(next)
		}
	}
	d.next = nil
}

// start posts events that are ready, as far as there is room.
func (p *pump) start(ctx context.Context) error {
	for len(p.ready) > 0 && p.fresh < freshMax {
		d := p.ready[0]
		p.ready = p.ready[1:]
		p.fresh++
		p.attempt(ctx, result{fresh: d})
	}
	room := triedMax - len(p.underWay)
	if !p.due || p.pending <= 0 || room == 0 {
		return nil
	}
	p.due = false
	due, err := p.deliverer.due(ctx, p.endpoint.ID, p.underWay, room)
	if err != nil {
		return err
	}
	for _, t := range due {
		p.underWay = append(p.underWay, t.Position)
		p.attempt(ctx, result{tried: t})
	}
	return nil
}

// attempt posts an event in the background.
func (p *pump) attempt(ctx context.Context, r result) {
	p.others.Go(func() {
		defer func() {
			if v := recover(); v != nil {
				r.err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
			}
			p.results <- r // there is room for all
		}()
		var event *events.Event
		if r.fresh != nil {
			event = r.fresh.event
		} else if event, r.err = p.deliverer.store.Events.At(ctx, r.tried.Position); r.err != nil || event == nil {
			r.failure = "the event cannot be read"
			return
		}
		start := time.Now()
		r.failure, r.gone = p.deliverer.sender.send(ctx, p.endpoint.URL, *p.secrets.Load(), event)
		if r.err = ctx.Err(); r.err == nil {
			p.deliverer.metrics.attempted(time.Since(start), r.failure)
		}
	})
}

// settleAll notes the outcome of an attempt, and of all others that have ended by now, so that they
// are written together.
func (p *pump) settleAll(r result) error {
	for {
		if r.err != nil {
			return r.err
		}
		p.settle(r)
		select {
		case r = <-p.results:
		default:
			return nil
		}
	}
}

func (p *pump) settle(r result) {
	if r.failure == "" {
		p.record.Succeeded = true
	} else {
		p.record.Failure = r.failure
	}
	p.record.Gone = p.record.Gone || r.gone
	if d := r.fresh; d != nil {
		p.fresh--
		if r.failure == "" {
			p.through(d)
			return
		}
		delay, _ := delayAfter(1)
		p.store(storedDelivery{Event: d.event, Failure: r.failure, Delay: delay}, d)
		return
	}
	p.underWay = slices.DeleteFunc(p.underWay, func(position int64) bool { return position == r.tried.Position })
	tried := triedDelivery{dueDelivery: r.tried, Status: DeliveryDelivered, Failure: r.failure}
	if r.failure != "" {
		again := false
		tried.Status = DeliveryPending
		if tried.Delay, again = delayAfter(r.tried.Attempts + 1); !again {
			tried.Status = DeliveryDead
			p.deliverer.metrics.dead.Inc()
		}
	}
	p.record.Tried = append(p.record.Tried, tried)
}

// write writes the pump's changes: the cursor at each tick, all others at once.
func (p *pump) write(ctx context.Context) error {
	for len(p.window) > 0 && p.window[0].through {
		p.window[0] = nil
		p.window = p.window[1:]
	}
	r := &p.record
	r.Cursor = p.taken
	if len(p.window) > 0 {
		r.Cursor = p.window[0].event.Position - 1
	}
	rows := len(r.Stored)+len(r.Tried) > 0
	if !rows && (!p.ticked || (r.Cursor == p.written && !r.Succeeded)) {
		p.ticked = false
		return nil
	}
	p.ticked = false
	accounts, more, err := p.deliverer.store.record(ctx, r)
	if err != nil {
		return err
	}
	if r.Gone {
		p.deliverer.log.WarnContext(ctx, "a webhook endpoint is gone, and is disabled", slog.String("endpoint_id", p.endpoint.ID.String()))
		return errLost
	}
	p.written, p.due = r.Cursor, p.due || rows
	p.pending += more
	for id, pending := range accounts {
		if pending {
			p.held[id] = true
		} else {
			delete(p.held, id)
		}
	}
	p.begin()
	return nil
}
