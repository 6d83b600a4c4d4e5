package postgres

import (
	"context"
	"sync"
	"time"

	"internaltransfers/ledger"

	"github.com/google/uuid"
)

// A batcher commits in groups, without a timer: while a batch is in flight, calls queue, and the
// next batch is what came meanwhile. A lone call is never delayed to fill a batch.
//
// The queue is bounded, and no account may fill it: a call is refused when it would bring what
// waits for one account, as payer or payee, above half of queueMax. So a flood on one account
// leaves the other half to all others. For an account without queued commands, a call of any size
// is taken as far as there is room, so that none is refused for ever. Openings count for no
// account.
type batcher struct {
	run      func([]*call) // applies the calls and sets their results; never panics
	batchMax int           // commands in a batch, unless one call alone has more
	queueMax int           // commands waiting; half of them for one account

	mu      sync.Mutex
	arrived sync.Cond // of mu: a call was queued, or the batcher was closed
	queue   []*call   // guarded by mu, in the order of arrival
	waiting int       // commands in queue; guarded by mu
	running int       // commands of the batches in flight; guarded by mu
	closed  bool      // guarded by mu

	pendingByAccount pendingByAccount // of waiting, by account; guarded by mu
	sharesPeak       int              // the most accounts ever: a map never shrinks; guarded by mu

	workers sync.WaitGroup
}

// A call is a queued request of one caller: transfers, in order, or the opening of one account.
type call struct {
	ctx      context.Context // the caller's: if it ends before the batch begins, nothing is applied
	commands []ledger.Command
	opening  *opening // nil: transfers
	admitted bool     // a later part of a call that was let in: not refused, but counted

	done     chan struct{}    // closed when the results below are set
	outcomes []ledger.Outcome // by index of commands
	err      error            // of the whole call
}

// size is what the call counts in a batch.
func (c *call) size() int { return max(1, len(c.commands)) }

// besideMin is how many commands make a batch worth beginning while a larger one is in flight. With
// 64 callers and two batches at a time, 32 made 24 a batch instead of 15, and a tenth more
// transfers, than beginning at once.
const besideMin = 32

// sharesKept is how many accounts pendingByAccount keeps room for while nothing waits: those of a
// full batch and more. Making the map anew for each batch would cost three times as much.
const sharesKept = 4096

// retryAfter is how long a caller that found the queue full should wait: a few batches' time.
const retryAfter = 100 * time.Millisecond

// newBatcher starts workers that run up to inFlight batches at a time.
func newBatcher(run func([]*call), inFlight, batchMax, queueMax int) *batcher {
	b := &batcher{run: run, batchMax: batchMax, queueMax: queueMax, pendingByAccount: make(pendingByAccount)}
	b.arrived.L = &b.mu
	for range inFlight {
		b.workers.Go(b.work)
	}
	return b
}

// do queues the call and waits until it is applied or the caller gives up. Giving up after the
// batch began does not undo the call, and never affects its neighbours.
func (b *batcher) do(c *call) error {
	c.done = make(chan struct{})
	if err := b.enqueue(c); err != nil {
		return err
	}
	select {
	case <-c.done:
		return c.err
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

func (b *batcher) enqueue(c *call) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ledger.ErrClosed
	}
	// An empty queue takes a call of any size, so that none is refused for ever. A later part of a
	// call that was let in is taken as well: its caller could not have the earlier parts undone.
	if !c.admitted && b.waiting > 0 && (b.waiting+c.size() > b.queueMax || b.pendingByAccount.exceed(b.queueMax/2, c.commands)) {
		return &ledger.OverloadedError{RetryAfter: retryAfter}
	}
	b.queue = append(b.queue, c)
	b.waiting += c.size()
	b.pendingByAccount.add(c.commands)
	b.sharesPeak = max(b.sharesPeak, len(b.pendingByAccount))
	b.arrived.Signal()
	return nil
}

func (b *batcher) work() {
	for {
		calls, size, ok := b.take()
		if !ok {
			return
		}
		b.run(calls)
		b.ended(size)
		for _, c := range calls {
			close(c.done)
		}
	}
}

// take waits for calls and returns the next batch of them, in the order of arrival, and how much it
// adds to running. It returns false when the batcher is closed and the queue is empty.
func (b *batcher) take() (calls []*call, size int, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		for !b.ready() {
			if b.closed && len(b.queue) == 0 {
				return nil, 0, false
			}
			b.arrived.Wait()
		}
		n, size := 0, 0
		for n < len(b.queue) && (n == 0 || size+b.queue[n].size() <= b.batchMax) {
			size += b.queue[n].size()
			n++
		}
		calls := make([]*call, 0, n)
		for _, c := range b.queue[:n] {
			if c.ctx.Err() != nil {
				c.err = c.ctx.Err()
				close(c.done)
				continue
			}
			calls = append(calls, c)
		}
		b.remove(n, size)
		if len(calls) > 0 {
			b.running += size
			return calls, size, true
		}
	}
}

// remove takes the first n calls, of that size together, out of the queue. Guarded by mu.
func (b *batcher) remove(n, size int) {
	b.waiting -= size
	if n == len(b.queue) {
		b.queue = nil // lets the array go that a flood has grown
		if b.sharesPeak > sharesKept {
			b.pendingByAccount, b.sharesPeak = make(pendingByAccount), 0
		}
		clear(b.pendingByAccount)
		return
	}
	for _, c := range b.queue[:n] {
		b.pendingByAccount.subtract(c.commands)
	}
	clear(b.queue[:n])
	b.queue = b.queue[n:]
	b.arrived.Signal() // another worker may take the rest
}

// ready reports whether a batch should begin now. The first begins at once, however small. One
// beside it has its own round trips and its own commit, so it begins when as much waits for it as
// is in flight, or enough to be worth them; else what waits becomes part of the next. Guarded by
// mu.
func (b *batcher) ready() bool {
	return len(b.queue) > 0 && (b.closed || b.waiting >= min(b.running, besideMin))
}

// ended takes a batch out of running, which may let another begin.
func (b *batcher) ended(size int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running -= size
	b.arrived.Signal()
}

// depth is how many commands wait.
func (b *batcher) depth() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting
}

// close refuses new calls, applies those that are queued, and returns when all are done.
func (b *batcher) close() {
	b.mu.Lock()
	b.closed = true
	b.arrived.Broadcast()
	b.mu.Unlock()
	b.workers.Wait()
}

// pendingByAccount are how many commands wait for each account, as payer or payee; an account that
// none waits for is not there.
type pendingByAccount map[uuid.UUID]int

// exceed reports whether the commands would bring an account that has some already above the most.
func (s pendingByAccount) exceed(most int, commands []ledger.Command) bool {
	named := make(pendingByAccount) // in commands so far, of accounts that may come above it
	for i := range commands {
		for _, id := range commands[i].Sides() {
			before := s[id]
			if before == 0 || before+len(commands) <= most {
				continue
			}
			if named[id]++; before+named[id] > most {
				return true
			}
		}
	}
	return false
}

func (s pendingByAccount) add(commands []ledger.Command) {
	for i := range commands {
		for _, id := range commands[i].Sides() {
			s[id]++
		}
	}
}

func (s pendingByAccount) subtract(commands []ledger.Command) {
	for i := range commands {
		for _, id := range commands[i].Sides() {
			if s[id]--; s[id] == 0 {
				delete(s, id)
			}
		}
	}
}
