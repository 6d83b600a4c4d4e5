package server

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"internaltransfers/internal/postgres"
	"internaltransfers/internal/proof"
)

// A prover runs one proof of the ledger at a time: a proof is expensive, and repeated calls must
// not make it more so. Callers that come while a proof runs share it, unless it proves less than
// they want; then they wait for the next. A proof that no caller waits for any more is ended.
type prover struct {
	ledger  *postgres.Ledger
	timeout time.Duration // of one proof

	mu      sync.Mutex
	running *sharedProof // guarded by mu; nil: none
}

// A sharedProof is a running one, with the callers that wait for it.
type sharedProof struct {
	incremental bool
	cancel      context.CancelFunc
	waiting     int  // callers; guarded by prover.mu
	abandoned   bool // by all callers, and so cancelled; guarded by prover.mu

	done   chan struct{} // closed when the results below are set
	report proof.Report
	err    error
}

// prove returns a proof that ended after the call began.
func (p *prover) prove(ctx context.Context, incremental bool) (proof.Report, error) {
	for {
		running := p.join(ctx, incremental)
		select {
		case <-running.done:
		case <-ctx.Done():
		}
		abandoned := p.leave(running)
		switch {
		case ctx.Err() != nil:
			return proof.Report{}, ctx.Err()
		case !abandoned && (incremental || !running.incremental):
			return running.report, running.err
		}
	}
}

// join returns the proof that runs, or begins one.
func (p *prover) join(ctx context.Context, incremental bool) *sharedProof {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		p.running = &sharedProof{incremental: incremental, done: make(chan struct{})}
		// The proof is shared, so no caller's context ends it.
		ctx, p.running.cancel = context.WithTimeout(context.WithoutCancel(ctx), p.timeout)
		go p.run(ctx, p.running)
	}
	p.running.waiting++
	return p.running
}

// leave is called by a caller that waits no more. It reports whether all callers left before the
// proof ended.
func (p *prover) leave(running *sharedProof) (abandoned bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	running.waiting--
	if running.waiting == 0 && p.running == running {
		running.abandoned = true
		running.cancel()
	}
	return running.abandoned
}

func (p *prover) run(ctx context.Context, running *sharedProof) {
	defer running.cancel()
	running.report, running.err = p.check(ctx, running.incremental)
	p.mu.Lock()
	p.running = nil
	p.mu.Unlock()
	close(running.done)
}

// check proves the ledger, and makes a panic an error: it is a bug, but nothing above this
// goroutine could catch it.
func (p *prover) check(ctx context.Context, incremental bool) (report proof.Report, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return p.ledger.Proofs.Check(ctx, proof.Options{Incremental: incremental})
}
