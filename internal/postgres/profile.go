package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/prometheus/client_golang/prometheus"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/stored"
	"internaltransfers/ledger"
)

const (
	profilesMax  = 1000    // ids in one call of GetProfiles
	profileBytes = 1 << 10 // of memory for the cache, for each profile that it has room for
)

// A Profile is the descriptive part of an account, without its balance.
type Profile struct {
	AccountID   uuid.UUID
	Currency    string
	DisplayName string
	ImageURL    string
	Metadata    map[string]string // shared with other callers: for reading only

	version int64 // the account's, to tell the later of two
}

// size is about how much memory the profile takes, in bytes.
func (p *Profile) size() int {
	const fixed, pair = 256, 64 // the structs, with those of the cache; the headers of a pair
	n := fixed + len(p.DisplayName) + len(p.ImageURL)
	for k, v := range p.Metadata {
		n += pair + len(k) + len(v)
	}
	return n
}

// GetProfiles reads the profiles of 1 to 1,000 accounts, in the order of ids; accounts that do not
// exist are left out. A profile is never older than an UpdateAccount that this ledger returned
// before. After one by another ledger it is as old as the notification is late. Without a cache
// (Config.ProfileCache) it is always current.
func (l *Ledger) GetProfiles(ctx context.Context, ids []uuid.UUID) ([]Profile, error) {
	if len(ids) == 0 || len(ids) > profilesMax {
		return nil, &ledger.InvalidError{Field: "account_ids", Reason: fmt.Sprintf("must be 1 to %d", profilesMax)}
	}
	found, missing := l.profiles.lookUp(ids)
	if len(missing) > 0 {
		read, err := l.profiles.reads.getAll(ctx, missing)
		if err != nil {
			return nil, err
		}
		maps.Copy(found, read)
	}
	profiles := make([]Profile, 0, len(ids))
	for _, id := range ids {
		if p, ok := found[id]; ok {
			profiles = append(profiles, p)
		}
	}
	return profiles, nil
}

// readProfiles reads profiles by id from the database.
func (l *Ledger) readProfiles(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]Profile, error) {
	rows, err := l.queries.ProfilesGet(ctx, l.pool, ids)
	if err != nil {
		return nil, durable.ReadError(ctx, "read profiles", err)
	}
	profiles := make(map[uuid.UUID]Profile, len(rows))
	for i := range rows {
		r := &rows[i]
		metadata, err := stored.DecodeMetadata(r.Metadata)
		if err != nil {
			return nil, fmt.Errorf("account %s: %w", r.AccountID, err)
		}
		profiles[r.AccountID] = Profile{
			AccountID: r.AccountID, Currency: r.Currency, DisplayName: r.DisplayName, ImageURL: r.ImageURL,
			Metadata: metadata, version: r.Version,
		}
	}
	return profiles, nil
}

// A profileCache keeps the profiles that were read last, for as long as it is notified of every
// change of one: see listen.
//
// A read in flight may find something older than a change whose notification arrives before the
// read returns. So a change also takes the id from those that the reads in flight may keep. A read
// that begins later sees the change. Of two reads at a time, whichever ends last, an older version
// never replaces a newer one.
type profileCache struct {
	read func(context.Context, []uuid.UUID) (map[uuid.UUID]Profile, error) // from the database
	// Of profiles that are not kept.
	reads    coalescer[Profile]
	queries  *db.Queries
	database *pgdb.Database
	log      *slog.Logger
	metrics  profileMetrics

	patience time.Duration      // of the listener; see listenPatience
	stop     context.CancelFunc // ends the listener; nil: there is none
	listener sync.WaitGroup

	mu        sync.Mutex                         // the library's could not guard inFlight too
	listening bool                               // else nothing is kept; guarded by mu
	kept      *simplelru.LRU[uuid.UUID, Profile] // nil: nothing ever is; guarded by mu
	bytes     int                                // the sizes of those; guarded by mu
	bytesMax  int
	inFlight  map[*profileRead]struct{} // guarded by mu
}

// A profileRead is a read in flight.
type profileRead struct {
	keep map[uuid.UUID]int64 // the least versions to keep; others are not; guarded by mu
}

// newProfileCache makes a cache of up to size profiles, which keeps nothing before it listens.
func newProfileCache(l *Ledger, size int) *profileCache {
	c := &profileCache{
		read: l.readProfiles, queries: l.queries, database: l.database, log: l.log, metrics: newProfileMetrics(),
		patience: listenPatience, bytesMax: size * profileBytes, inFlight: make(map[*profileRead]struct{}),
	}
	c.reads.fetch = c.fetch
	// The only error is that of a size of zero: then nothing listens, and nothing is kept.
	c.kept, _ = simplelru.NewLRU(size, func(_ uuid.UUID, p Profile) { c.bytes -= p.size() })
	return c
}

// lookUp returns the profiles that are kept, and the ids of the others.
func (c *profileCache) lookUp(ids []uuid.UUID) (found map[uuid.UUID]Profile, missing []uuid.UUID) {
	found = make(map[uuid.UUID]Profile, len(ids))
	asked := make(map[uuid.UUID]struct{}, len(ids))
	c.mu.Lock()
	for _, id := range ids {
		if _, ok := asked[id]; ok {
			continue
		}
		asked[id] = struct{}{}
		if p, ok := c.get(id); ok {
			found[id] = p
		} else {
			missing = append(missing, id)
		}
	}
	c.mu.Unlock()
	c.metrics.hits.Add(float64(len(found)))
	c.metrics.misses.Add(float64(len(missing)))
	return found, missing
}

// get returns a profile that is kept. The caller holds mu.
func (c *profileCache) get(id uuid.UUID) (Profile, bool) {
	if !c.listening {
		return Profile{}, false
	}
	return c.kept.Get(id)
}

// fetch reads profiles and keeps those that did not change meanwhile.
func (c *profileCache) fetch(ctx context.Context, ids []uuid.UUID) (profiles map[uuid.UUID]Profile, err error) {
	r := c.begin(ids)
	defer func() { c.end(r, profiles) }()
	return c.read(ctx, ids)
}

// begin is called before the database is read.
func (c *profileCache) begin(ids []uuid.UUID) *profileRead {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &profileRead{keep: make(map[uuid.UUID]int64, len(ids))}
	for _, id := range ids {
		r.keep[id] = 0
	}
	c.inFlight[r] = struct{}{}
	return r
}

// end is called with the rows of the database.
func (c *profileCache) end(r *profileRead, profiles map[uuid.UUID]Profile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.inFlight, r)
	if !c.listening {
		return
	}
	for id, p := range profiles {
		for other := range c.inFlight {
			if least, ok := other.keep[id]; ok {
				other.keep[id] = max(least, p.version)
			}
		}
		if k, ok := c.kept.Peek(id); ok && k.version > p.version {
			continue
		}
		c.kept.Remove(id)
		if least, ok := r.keep[id]; ok && p.version >= least {
			c.kept.Add(id, p)
			c.bytes += p.size()
		}
	}
	for c.bytes > c.bytesMax {
		c.kept.RemoveOldest()
	}
}

// changed forgets a profile that has changed, before any read that begins later.
func (c *profileCache) changed(id uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for r := range c.inFlight {
		delete(r.keep, id)
	}
	if c.listening && c.kept.Remove(id) {
		c.metrics.invalidations.Inc()
	}
}

// listens sets whether every change is notified from now on. What was kept is forgotten, and the
// reads in flight keep nothing.
func (c *profileCache) listens(listening bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listening = listening
	for r := range c.inFlight {
		clear(r.keep)
	}
	c.kept.Purge()
	c.metrics.listening.Set(map[bool]float64{true: 1}[listening])
}

// profileMetrics are what a profileCache counts.
type profileMetrics struct {
	hits, misses, invalidations prometheus.Counter
	listening                   prometheus.Gauge
}

func newProfileMetrics() profileMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return profileMetrics{
		hits:          counter("ledger_profile_cache_hits_total", "Profiles that were answered from memory."),
		misses:        counter("ledger_profile_cache_misses_total", "Profiles that the database was asked for."),
		invalidations: counter("ledger_profile_cache_invalidations_total", "Profiles in memory that were forgotten because they changed."),
		listening: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ledger_profile_cache_listening",
			Help: "Whether changes are heard of (1). While they are not (0), profiles are read from the database.",
		}),
	}
}

// register hands the metrics to a registry.
func (m *profileMetrics) register(registry prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.hits, m.misses, m.invalidations, m.listening} {
		if err := registry.Register(c); err != nil {
			return err
		}
	}
	return nil
}
