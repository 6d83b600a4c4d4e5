package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
)

// ProfilesListen reports whether the ledger is notified of changed profiles.
func (l *Ledger) ProfilesListen() bool {
	l.profiles.mu.Lock()
	defer l.profiles.mu.Unlock()
	return l.profiles.listening
}

// ProfilesKept returns how many profiles are in memory, and how many bytes the cache thinks that
// they take.
func (l *Ledger) ProfilesKept() (n, bytes int) {
	l.profiles.mu.Lock()
	defer l.profiles.mu.Unlock()
	return l.profiles.kept.Len(), l.profiles.bytes
}

// ProfileMetrics are the hits, misses and invalidations.
func (l *Ledger) ProfileMetrics() [3]prometheus.Counter {
	m := l.profiles.metrics
	return [3]prometheus.Counter{m.hits, m.misses, m.invalidations}
}

// AroundProfileReads has before called when a read of profiles has begun, before its query, and
// after with its result, before that is kept. Nothing may be reading when it is called.
func (l *Ledger) AroundProfileReads(before func(), after func(map[uuid.UUID]Profile)) {
	l.profiles.read = func(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]Profile, error) {
		before()
		profiles, err := l.readProfiles(ctx, ids)
		after(profiles)
		return profiles, err
	}
}

// AfterProfileReads is that without before.
func (l *Ledger) AfterProfileReads(after func(map[uuid.UUID]Profile)) {
	l.AroundProfileReads(func() {}, after)
}

// ListenAgain has the ledger listen anew, with less patience.
func (l *Ledger) ListenAgain(patience time.Duration) {
	l.profiles.close()
	l.profiles.patience = patience
	l.profiles.start()
}
