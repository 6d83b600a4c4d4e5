package events

import (
	"context"
	"time"
)

const (
	lagPoll     = 25 * time.Millisecond  // between looks whether open transactions have ended
	lagPatience = 250 * time.Millisecond // for open transactions, before a lag counts
)

// A Lag says how far readers are held back by transactions that do not end.
type Lag struct {
	End       int64         // the newest position that is committed
	Reached   int64         // the newest that readers are shown; -1: not known yet
	Positions int64         // committed, but not shown to readers yet; -1: unknown
	Waiting   time.Duration // for such a transaction
}

// Lag reads how far readers are held back now.
func (s *Stream) Lag(ctx context.Context) (*Lag, error) {
	began := time.Now()
	first, err := s.horizon.observe(ctx)
	for seen := first; err == nil; seen, err = s.horizon.observe(ctx) {
		// Transactions that end soon are the normal case.
		if seen.reached < first.last && time.Since(began) < lagPatience {
			timer := time.NewTimer(lagPoll)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return nil, ctx.Err()
			}
			continue
		}
		lag := &Lag{End: first.last, Reached: seen.reached, Positions: -1}
		if seen.reached >= 0 {
			lag.Positions = max(0, first.last-seen.reached)
		}
		if lag.Positions > 0 {
			lag.Waiting = seen.waiting
		}
		return lag, nil
	}
	return nil, err
}
