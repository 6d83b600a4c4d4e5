package postgres

import (
	"context"
)

// Horizon looks once how far it is and how far events are committed.
func (l *Ledger) Horizon(ctx context.Context) (reached, last int64, err error) {
	s, err := l.feed.horizon.observe(ctx)
	return s.reached, s.last, err
}

// Followers counts those who follow, and reports whether events are read for them.
func (l *Ledger) Followers() (n int64, reading bool) {
	l.feed.mu.Lock()
	defer l.feed.mu.Unlock()
	return l.feed.followers.Load(), l.feed.reading != nil
}

// KeepEvents sets how many events are kept for followers. It is called before anybody follows.
func (l *Ledger) KeepEvents(n int) { l.feed.eventsMax = n }
