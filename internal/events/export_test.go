package events

import (
	"context"
)

// Horizon takes one look at the horizon and the last committed position.
func (s *Stream) Horizon(ctx context.Context) (reached, last int64, err error) {
	seen, err := s.horizon.observe(ctx)
	return seen.reached, seen.last, err
}

// FollowersNow counts the followers, and reports whether events are read for them.
func (s *Stream) FollowersNow() (n int64, reading bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.followers.Load(), s.reading != nil
}

// KeepEvents sets how many events are kept for followers. It is called before the first follower.
func (s *Stream) KeepEvents(n int) { s.eventsMax = n }
