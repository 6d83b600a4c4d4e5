package postgres

import (
	"context"
)

// Horizon takes one look at the horizon and the last committed position.
func (l *Ledger) Horizon(ctx context.Context) (reached, last int64, err error) {
	s, err := l.feed.horizon.observe(ctx)
	return s.reached, s.last, err
}

// Followers counts the followers, and reports whether events are read for them.
func (l *Ledger) Followers() (n int64, reading bool) {
	l.feed.mu.Lock()
	defer l.feed.mu.Unlock()
	return l.feed.followers.Load(), l.feed.reading != nil
}

// KeepEvents sets how many events are kept for followers. It is called before the first follower.
func (l *Ledger) KeepEvents(n int) { l.feed.eventsMax = n }
