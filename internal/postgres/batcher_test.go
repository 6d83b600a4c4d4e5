package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"internaltransfers/ledger"

	"github.com/google/uuid"
)

// A bench runs a batcher by hand: each batch waits in the test until the test lets it go on.
type bench struct {
	*batcher
	began  chan []*call
	finish chan struct{}
}

func newBench(inFlight, batchMax, queueMax int) *bench {
	s := &bench{began: make(chan []*call), finish: make(chan struct{})}
	s.batcher = newBatcher(func(calls []*call) {
		s.began <- calls
		<-s.finish
		for _, c := range calls {
			c.outcomes = make([]ledger.Outcome, len(c.commands))
			for i := range c.commands {
				c.outcomes[i].Transfer.ID = c.commands[i].ID
			}
		}
	}, inFlight, batchMax, queueMax)
	return s
}

// A caller is a goroutine that waits in do.
type caller struct {
	*call
	cancel context.CancelFunc
	answer chan error
}

// ask queues a call of n commands, each between accounts of its own, after all earlier calls.
func (s *bench) ask(n int) *caller {
	commands := make([]ledger.Command, n)
	for i := range commands {
		commands[i].From, commands[i].To = uuid.New(), uuid.New()
	}
	return s.call(&call{commands: commands})
}

// call queues a call as ask does.
func (s *bench) call(waiting *call) *caller {
	c := &caller{call: waiting, answer: make(chan error, 1)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	for i := range c.commands {
		c.commands[i].ID = uuid.New()
	}
	go func() { c.answer <- s.do(c.call) }()
	synctest.Wait()
	return c
}

// next returns the sizes of the calls in the batch that has begun.
func (s *bench) next(t *testing.T, want ...*caller) {
	t.Helper()
	synctest.Wait()
	select {
	case calls := <-s.began:
		if !slices.EqualFunc(calls, want, func(a *call, b *caller) bool { return a == b.call }) {
			t.Errorf("the batch has %d calls in the wrong order, want %d", len(calls), len(want))
		}
	default:
		t.Fatal("no batch has begun")
	}
}

// idle fails the test when a batch has begun.
func (s *bench) idle(t *testing.T) {
	t.Helper()
	synctest.Wait()
	select {
	case calls := <-s.began:
		t.Fatalf("a batch of %d calls has begun", len(calls))
	default:
	}
}

// answered fails the test unless the caller has this result now.
func (c *caller) answered(t *testing.T, want error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-c.answer:
		if !errors.Is(err, want) {
			t.Errorf("the result is %v, want %v", err, want)
		}
		if err == nil && (len(c.outcomes) != len(c.commands) || c.outcomes[0].Transfer.ID != c.commands[0].ID) {
			t.Error("the outcome is another caller's")
		}
	default:
		t.Error("there is no result")
	}
}

// waits fails the test when the caller has a result.
func (c *caller) waits(t *testing.T) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-c.answer:
		t.Errorf("the result is %v already", err)
	default:
	}
}

func TestBatcherKeepsOrderAndLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newBench(1, 4, 100)
		alone := s.ask(1)
		s.next(t, alone) // at once, without company
		var calls []*caller
		for _, size := range []int{1, 1, 1, 1, 3, 2, 9, 1, 4} {
			calls = append(calls, s.ask(size))
		}
		s.idle(t)
		alone.waits(t)
		s.finish <- struct{}{}
		alone.answered(t, nil)
		for _, batch := range [][]*caller{calls[:4], calls[4:5], calls[5:6], calls[6:7], calls[7:8], calls[8:]} {
			s.next(t, batch...)
			for _, c := range batch {
				c.waits(t)
			}
			s.finish <- struct{}{}
			for _, c := range batch {
				c.answered(t, nil)
			}
		}
		s.idle(t)
		s.close()
	})
}

func TestBatcherRefusesWhenFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newBench(1, 10, 5)
		flying := s.ask(1)
		s.next(t, flying)
		huge := s.ask(7) // more than the queue has room for, but it is empty
		s.finish <- struct{}{}
		s.next(t, huge)
		waiting := []*caller{s.ask(3), s.ask(2)}
		refused := s.ask(1)
		overloaded := (*ledger.OverloadedError)(nil)
		if err := <-refused.answer; !errors.As(err, &overloaded) || overloaded.RetryAfter <= 0 {
			t.Errorf("a call for a full queue got %v", err)
		}
		// A later part of a call that was let in is not refused.
		part := &call{ctx: t.Context(), commands: make([]ledger.Command, 2), admitted: true}
		done := make(chan error, 1)
		go func() { done <- s.do(part) }()
		synctest.Wait()
		s.finish <- struct{}{}
		s.next(t, append(waiting, &caller{call: part})...)
		after := s.ask(5) // there is room again
		s.finish <- struct{}{}
		if err := <-done; err != nil {
			t.Errorf("a later part got %v", err)
		}
		s.next(t, after)
		s.finish <- struct{}{}
		after.answered(t, nil)
		if s.waiting != 0 {
			t.Errorf("%d commands are waiting in an empty queue", s.waiting)
		}
		s.close()
	})
}

func TestBatcherCallerGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newBench(1, 10, 100)
		first := s.ask(1)
		s.next(t, first)
		before, gone, after := s.ask(1), s.ask(2), s.ask(1)
		gone.cancel()
		gone.answered(t, context.Canceled) // at once, though the queue does not move
		s.finish <- struct{}{}
		s.next(t, before, after) // without the one that is gone
		after.cancel()
		after.answered(t, context.Canceled) // at once, though its batch goes on
		before.waits(t)
		all := []*caller{s.ask(1), s.ask(1)}
		for _, c := range all {
			c.cancel()
		}
		s.finish <- struct{}{}
		before.answered(t, nil)
		s.idle(t) // nothing is left, and no empty batch is run
		last := s.ask(1)
		s.next(t, last)
		s.finish <- struct{}{}
		last.answered(t, nil)
		if s.waiting != 0 {
			t.Errorf("%d commands are waiting in an empty queue", s.waiting)
		}
		s.close()
	})
}

func TestBatcherClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newBench(1, 1, 100)
		flying := s.ask(1)
		s.next(t, flying)
		queued := []*caller{s.ask(1), s.ask(1)}
		closed := make(chan struct{})
		go func() {
			s.close()
			close(closed)
		}()
		synctest.Wait()
		late := s.ask(1)
		late.answered(t, ledger.ErrClosed)
		for _, c := range queued {
			s.finish <- struct{}{}
			s.next(t, c)
			select {
			case <-closed:
				t.Error("closed before what was queued is applied")
			default:
			}
		}
		s.finish <- struct{}{}
		<-closed
		for _, c := range append(queued, flying) {
			c.answered(t, nil)
		}
		s.close() // once more does no harm
		s.ask(1).answered(t, ledger.ErrClosed)
	})
}

func TestBatcherSeveralWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newBench(3, 4, 100)
		var calls []*caller
		for _, n := range []int{1, 1, 2} {
			c := s.ask(n)
			s.next(t, c) // each has a worker of its own
			calls = append(calls, c)
		}
		for range 5 {
			calls = append(calls, s.ask(1))
		}
		s.idle(t)
		s.finish <- struct{}{}
		s.next(t, calls[3:7]...)
		for range 3 {
			s.finish <- struct{}{} // the last call waits no longer than until nothing is in flight
		}
		s.next(t, calls[7])
		s.finish <- struct{}{}
		s.close()
		for _, c := range calls {
			c.answered(t, nil)
		}
	})
}

// A batch begins beside one in flight when it is as large, or when besideMin wait; else it grows.
func TestBatcherBatchBesideAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newBench(2, 100, 1000)
		large, small := s.ask(3), s.ask(2)
		s.next(t, large)
		s.idle(t)
		one := s.ask(1)
		s.next(t, small, one)
		s.finish <- struct{}{}
		s.finish <- struct{}{}

		huge, waiting := s.ask(100), []*caller(nil)
		s.next(t, huge)
		for range besideMin {
			s.idle(t)
			waiting = append(waiting, s.ask(1))
		}
		s.next(t, waiting...)
		late := s.ask(1)
		s.idle(t)
		s.finish <- struct{}{}
		s.finish <- struct{}{}
		s.next(t, late)
		s.finish <- struct{}{}
		s.close()
	})
}

// Workers that are woken together share a flood; none of it is left lying.
func TestBatcherFlood(t *testing.T) {
	t.Parallel()
	var running, most atomic.Int64
	var mu sync.Mutex
	applied := make(map[uuid.UUID]int)
	b := newBatcher(func(calls []*call) {
		now := running.Add(1)
		defer running.Add(-1)
		for {
			if m := most.Load(); now <= m || most.CompareAndSwap(m, now) {
				break
			}
		}
		mu.Lock()
		defer mu.Unlock()
		size := 0
		for _, c := range calls {
			size += c.size()
			for i := range c.commands {
				applied[c.commands[i].ID]++
			}
		}
		if size > 16 && len(calls) > 1 {
			t.Errorf("a batch of %d calls has %d commands", len(calls), size)
		}
	}, 4, 16, 1_000_000)
	var calls, gaveUp atomic.Int64
	var group sync.WaitGroup
	for range 200 {
		group.Go(func() {
			for range 100 {
				ctx, cancel := context.WithCancel(context.Background())
				c := &call{ctx: ctx, commands: make([]ledger.Command, 1+rand.IntN(3))}
				for i := range c.commands {
					c.commands[i].ID = uuid.New()
				}
				if rand.IntN(10) == 0 {
					go cancel()
				}
				if err := b.do(c); err == nil {
					calls.Add(int64(len(c.commands)))
				} else {
					gaveUp.Add(int64(len(c.commands)))
				}
				cancel()
			}
		})
	}
	group.Wait()
	b.close()
	for id, n := range applied {
		if n != 1 {
			t.Errorf("command %s was applied %d times", id, n)
		}
	}
	if n := int64(len(applied)); n < calls.Load() || n > calls.Load()+gaveUp.Load() {
		t.Errorf("%d commands were applied, %d returned, %d given up", n, calls.Load(), gaveUp.Load())
	}
	if m := most.Load(); m < 1 || m > 4 {
		t.Errorf("%d batches were applied at a time", m)
	}
}
