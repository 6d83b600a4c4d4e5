package postgres

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"internaltransfers/ledger"

	"github.com/google/uuid"
)

// pay queues a call of n commands with one payer, each to an account of its own.
func (s *bench) pay(from uuid.UUID, n int) *caller {
	commands := make([]ledger.Command, n)
	for i := range commands {
		commands[i].From, commands[i].To = from, uuid.New()
	}
	return s.call(&call{commands: commands})
}

// collect queues a call of n commands with one payee, each from an account of its own.
func (s *bench) collect(to uuid.UUID, n int) *caller {
	commands := make([]ledger.Command, n)
	for i := range commands {
		commands[i].From, commands[i].To = uuid.New(), to
	}
	return s.call(&call{commands: commands})
}

// refused fails the test unless the caller gets at once that there is no room.
func (c *caller) refused(t *testing.T) {
	t.Helper()
	synctest.Wait()
	overloaded := (*ledger.OverloadedError)(nil)
	select {
	case err := <-c.answer:
		if !errors.As(err, &overloaded) || overloaded.RetryAfter <= 0 {
			t.Errorf("the result is %v, want an overload", err)
		}
	default:
		t.Error("the call was taken")
	}
}

// counted fails the test unless pendingByAccount has exactly what is in the queue.
func (s *bench) counted(t *testing.T) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	want := make(pendingByAccount)
	for _, c := range s.queue {
		for i := range c.commands {
			want[c.commands[i].From]++
			want[c.commands[i].To]++
		}
	}
	if !maps.Equal(s.pendingByAccount, want) {
		t.Errorf("the shares are %v, but in the queue are %v", s.pendingByAccount, want)
	}
}

// step lets the batch in flight end, and expects these calls to be the next; all of the batch that
// ended have results.
func (s *bench) step(t *testing.T, ended, next []*caller) {
	t.Helper()
	s.finish <- struct{}{}
	for _, c := range ended {
		c.answered(t, nil)
	}
	if len(next) > 0 {
		s.next(t, next...)
	} else {
		s.idle(t)
	}
	s.counted(t)
}

// drain closes the batcher and lets all batches go on.
func (s *bench) drain() {
	closed := make(chan struct{})
	go func() {
		s.close()
		close(closed)
	}()
	for {
		select {
		case <-s.began:
		case s.finish <- struct{}{}:
		case <-closed:
			return
		}
	}
}

// A flood on one account, as payer and as payee, gets half of the queue; the others get the other
// half, and their turn.
func TestBatcherFloodOnOneAccount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newBench(1, 4, 12)
		flying := s.ask(1)
		s.next(t, flying)
		hot := uuid.New()
		flood := []*caller{s.pay(hot, 1), s.collect(hot, 2), s.pay(hot, 1)}
		s.pay(hot, 3).refused(t) // for 4 + 3 is more than 6, though the queue has room
		s.collect(hot, 3).refused(t)
		flood = append(flood, s.pay(hot, 2))
		for range 3 {
			s.pay(hot, 1).refused(t)
			s.collect(hot, 1).refused(t)
			s.call(&call{commands: []ledger.Command{
				{TransferParams: ledger.TransferParams{From: uuid.New(), To: uuid.New()}},
				{TransferParams: ledger.TransferParams{From: uuid.New(), To: hot}},
			}}).refused(t)
		}
		others := []*caller{s.ask(1), s.ask(3), s.ask(2)}
		s.ask(1).refused(t) // for now the queue itself is full
		s.counted(t)
		s.step(t, []*caller{flying}, flood[:3])
		flood = append(flood, s.collect(hot, 4)) // as much as was taken
		s.pay(hot, 1).refused(t)
		// The others wait for what came before them, and no longer.
		s.step(t, flood[:3], []*caller{flood[3], others[0]})
		s.step(t, []*caller{flood[3], others[0]}, others[1:2])
		s.step(t, others[1:2], others[2:])
		s.step(t, others[2:], flood[4:])
		s.step(t, flood[4:], nil)
		s.close()
	})
}

// What counts is how often a call names the account, not how large it is.
func TestBatcherCountsCommandsNotCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newBench(1, 20, 12)
		flying := s.ask(1)
		s.next(t, flying)
		hot := uuid.New()
		first := s.pay(hot, 5)
		mixed := func(n int) *caller {
			commands := make([]ledger.Command, 4)
			for i := range commands {
				commands[i].From, commands[i].To = uuid.New(), uuid.New()
				if i < n {
					commands[i].To = hot
				}
			}
			return s.call(&call{commands: commands})
		}
		mixed(2).refused(t)
		second := mixed(1)
		mixed(1).refused(t)
		s.counted(t)
		s.step(t, []*caller{flying}, []*caller{first, second})
		s.step(t, []*caller{first, second}, nil)
		s.close()
	})
}

// A call of more than half of the queue is taken when nothing of its account waits: else it would
// be refused for ever.
func TestBatcherTakesLargeCallOfIdleAccount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newBench(1, 1, 8)
		flying, hot := s.ask(1), uuid.New()
		s.next(t, flying)
		other := s.ask(1)
		s.pay(hot, 8).refused(t) // which the queue has no room for
		large := s.pay(hot, 6)
		s.pay(hot, 1).refused(t)
		last := s.ask(1)
		s.counted(t)
		s.step(t, []*caller{flying}, []*caller{other})
		s.step(t, []*caller{other}, []*caller{large})
		again := s.pay(hot, 7) // the one in flight is not waiting
		s.step(t, []*caller{large}, []*caller{last})
		s.step(t, []*caller{last}, []*caller{again})
		s.step(t, []*caller{again}, nil)
		s.close()
	})
}

// The default queue has room for the benchmark's callers on one hot account, all of them at once:
// 1,024 with a transfer each, or 16 with batches of 1,000.
func TestBatcherDefaultQueueFitsTheBenchmark(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ callers, size int }{{1024, 1}, {16, 1000}} {
		synctest.Test(t, func(t *testing.T) {
			config := Config{}.withDefaults()
			s := newBench(1, config.BatchMax, config.QueueMax)
			flying, hot := s.ask(1), uuid.New()
			s.next(t, flying)
			for range c.callers {
				s.pay(hot, c.size).waits(t)
			}
			s.drain()
		})
	}
}

// What a flood of many accounts has grown is let go when nothing waits any more.
func TestBatcherLetsGoOfShares(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newBench(1, 1, 10*sharesKept)
		flying := s.ask(1)
		s.next(t, flying)
		calls := []*caller{s.ask(1), s.ask(sharesKept), s.ask(1)}
		ended := flying
		for i, c := range calls {
			if i < len(calls)-1 && s.sharesPeak <= sharesKept {
				t.Errorf("with more than %d accounts, the peak is %d", sharesKept, s.sharesPeak)
			}
			s.step(t, []*caller{ended}, []*caller{c})
			ended = c
		}
		if s.queue != nil || s.sharesPeak != 0 {
			t.Errorf("an empty queue has %d places, and shares as of %d accounts", cap(s.queue), s.sharesPeak)
		}
		s.drain()
	})
}

// Later parts of a call that was let in are not refused, but count; openings count for no account.
func TestBatcherSharesOfPartsAndOpenings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newBench(1, 100, 8)
		flying, hot := s.ask(1), uuid.New()
		s.next(t, flying)
		calls := []*caller{s.pay(hot, 4)}
		s.pay(hot, 1).refused(t)
		part := []ledger.Command{{TransferParams: ledger.TransferParams{From: hot, To: uuid.New()}}}
		calls = append(calls, s.call(&call{commands: part, admitted: true}))
		if n := s.pendingByAccount[hot]; n != 5 {
			t.Errorf("of the account wait %d, want 5", n)
		}
		before := len(s.pendingByAccount)
		opening := s.call(&call{opening: &opening{params: ledger.AccountParams{ID: hot}}})
		if len(s.pendingByAccount) != before || s.pendingByAccount[hot] != 5 || s.waiting != 6 {
			t.Errorf("%d wait, of %d accounts, after an opening", s.waiting, len(s.pendingByAccount))
		}
		s.step(t, []*caller{flying}, append(calls, opening))
		s.step(t, calls, nil)
		if err := <-opening.answer; err != nil {
			t.Errorf("the opening is answered with %v", err)
		}
		s.close()
	})
}

// A call whose caller gave up counts until its turn would have come, as in the queue, and no
// longer.
func TestBatcherSharesOfWhoGaveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newBench(1, 2, 8)
		flying, hot := s.ask(1), uuid.New()
		s.next(t, flying)
		gone := []*caller{s.pay(hot, 2), s.collect(hot, 2)}
		stays := s.ask(1)
		for _, c := range gone {
			c.cancel()
			c.answered(t, context.Canceled)
		}
		s.pay(hot, 1).refused(t)
		s.step(t, []*caller{flying}, []*caller{stays})
		all := s.pay(hot, 4)
		all.cancel()
		all.answered(t, context.Canceled)
		s.step(t, []*caller{stays}, nil)
		if len(s.pendingByAccount) != 0 || s.waiting != 0 {
			t.Errorf("%d commands of %d accounts wait in an empty queue", s.waiting, len(s.pendingByAccount))
		}
		s.close()
	})
}

// What is queued when the batcher is closed is counted down like the rest; what comes then is not
// counted.
func TestBatcherSharesAfterClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newBench(1, 1, 8)
		flying, hot := s.ask(1), uuid.New()
		s.next(t, flying)
		queued := []*caller{s.pay(hot, 1), s.collect(hot, 1), s.ask(1)}
		closed := make(chan struct{})
		go func() {
			s.close()
			close(closed)
		}()
		synctest.Wait()
		s.pay(hot, 1).answered(t, ledger.ErrClosed)
		s.counted(t)
		ended := flying
		for _, c := range queued {
			s.step(t, []*caller{ended}, []*caller{c})
			ended = c
		}
		s.finish <- struct{}{}
		<-closed
		ended.answered(t, nil)
		if len(s.pendingByAccount) != 0 {
			t.Errorf("%d accounts have shares of a closed queue", len(s.pendingByAccount))
		}
	})
}

// In whatever order calls come, give up and are taken, pendingByAccount is that of the queue, and a
// call is refused exactly when the queue has no room for it or an account, of which something waits
// already, would have more than half.
func TestBatcherSharesAtRandom(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	synctest.Test(t, func(t *testing.T) {
		const queueMax = 20
		s := newBench(2, 8, queueMax)
		accounts := make([]uuid.UUID, 5)
		for i := range accounts {
			accounts[i] = uuid.New()
		}
		var callers []*caller
		var accepted, refused int
		for range 2000 {
			switch r.IntN(4) {
			case 0, 1:
				commands, named := make([]ledger.Command, 1+r.IntN(6)), make(pendingByAccount)
				for i := range commands {
					from := r.IntN(len(accounts))
					commands[i].From, commands[i].To = accounts[from], accounts[(from+1+r.IntN(2))%len(accounts)]
					named[commands[i].From]++
					named[commands[i].To]++
				}
				full := s.waiting > 0 && s.waiting+len(commands) > queueMax
				for id, n := range named {
					full = full || (s.pendingByAccount[id] > 0 && s.pendingByAccount[id]+n > queueMax/2)
				}
				c := s.call(&call{commands: commands})
				if full {
					refused++
					c.refused(t)
				} else {
					accepted++
					c.waits(t)
					callers = append(callers, c)
				}
			case 2:
				if len(callers) > 0 {
					callers[r.IntN(len(callers))].cancel()
				}
			case 3:
				select {
				case <-s.began:
				case s.finish <- struct{}{}:
				default:
				}
			}
			s.counted(t)
		}
		if accepted < 100 || refused < 100 {
			t.Errorf("%d calls were taken and %d refused: the test shows little", accepted, refused)
		}
		s.drain()
		if len(s.pendingByAccount) != 0 || s.waiting != 0 {
			t.Errorf("%d commands of %d accounts wait in an empty queue", s.waiting, len(s.pendingByAccount))
		}
	})
}
