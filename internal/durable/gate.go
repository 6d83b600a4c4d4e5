package durable

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"internaltransfers/ledger"
)

// A gate holds back what was read until the synchronous standbys have it. It is open as long as no
// session can see what a standby may lack: then passing costs one atomic load. It closes at the
// start, when a wait of ours for a standby was cancelled, when the outcome of a COMMIT of ours is
// unknown, and when the server was restarted: then all that it has on its disk is seen, whether or
// not a standby has it. The next reader opens it with a barrier, for all that come meanwhile. Where
// no standby is waited for, a barrier is one round trip.
//
// Success of a call does not depend on the gate: it is behind a COMMIT or a barrier of its own. The
// gate does not see a wait that was cancelled by hand in another server of ours: until that one's
// barrier is through, our readers may see the transaction. Nor does it close at the very instant:
// our own readers see the transaction until the server's message arrives.
type gate struct {
	barrier func(context.Context) error
	ending  context.Context // no barrier outlasts it
	timeout time.Duration   // of one barrier
	log     *slog.Logger

	open atomic.Bool

	mu     sync.Mutex
	doubts int      // how often the gate was closed; guarded by mu
	life   string   // of the server, when it was last connected to; guarded by mu
	flight *passage // the barrier under way; nil: there is none; guarded by mu
}

// A passage is one barrier, for all that wait for it.
type passage struct {
	doubts int           // of the gate when the barrier began
	done   chan struct{} // closed when err is set
	err    error
}

// doubt closes the gate.
func (g *gate) doubt() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.doubts++
	g.open.Store(false)
}

// connected is called with the life of the server at each new connection, before anything is read
// from it.
func (g *gate) connected(life string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if life != g.life {
		g.life = life
		g.doubts++
		g.open.Store(false)
	}
}

// pass returns when all that was seen before is as safe as the database promises. The error wraps
// ErrUnavailable when that cannot be had.
func (g *gate) pass(ctx context.Context) error {
	for !g.open.Load() {
		p := g.wait()
		if p == nil {
			break
		}
		select {
		case <-p.done:
			if p.err != nil {
				return fmt.Errorf("%w: it is not sure that the standbys have what was read: %w", ledger.ErrUnavailable, p.err)
			}
		case <-ctx.Done():
			return fmt.Errorf("%w: it is not sure yet that the standbys have what was read: %w", ledger.ErrUnavailable, ctx.Err())
		}
	}
	return nil
}

// wait returns the barrier under way, starting one if there is none; nil: the gate is open.
func (g *gate) wait() *passage {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open.Load() {
		return nil
	}
	if g.flight == nil {
		g.flight = &passage{doubts: g.doubts, done: make(chan struct{})}
		go g.fly(g.flight)
	}
	return g.flight
}

// fly executes the barrier, and opens the gate unless it was closed anew meanwhile.
func (g *gate) fly(p *passage) {
	ctx, cancel := context.WithTimeout(g.ending, g.timeout)
	defer cancel()
	_, p.err = Safely(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, g.barrier(ctx) })
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.flight = nil; p.err == nil && p.doubts == g.doubts {
		g.open.Store(true)
	}
	if p.err != nil {
		g.log.WarnContext(ctx, "reads wait: it is not sure that the synchronous standbys have everything", slog.Any("error", p.err))
	}
	close(p.done)
}
