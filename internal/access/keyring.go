package access

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"internaltransfers/gen/db"
	"internaltransfers/internal/pgdb"
)

const (
	// refreshInterval is how soon a change of keys by another server takes effect here.
	refreshInterval = 2 * time.Second
	// refreshTimeout bounds one look at the keys.
	refreshTimeout = 5 * time.Second
	// unknownInterval is the shortest time between two looks for a key that is not known. Callers
	// with made-up keys cause no more.
	unknownInterval = 200 * time.Millisecond
	// staleMax is how long the keys are good while the database is away.
	staleMax = 60 * time.Second
	// flushInterval is how late the last use of a key is written.
	flushInterval = time.Minute
	// sessionsMax is how many sessions with the database there are.
	sessionsMax = 2
)

// Config is what a Keyring is opened with.
type Config struct {
	Database *pgdb.Database // that the keys are in; they have sessions of their own
	Logger   *slog.Logger   // default: none
}

// A Keyring has all usable keys in memory, and changes them in the database.
type Keyring struct {
	pool    *pgdb.Pool
	queries *db.Queries
	logger  *slog.Logger
	session []byte // the key that signs sessions

	current   atomic.Pointer[keys]
	mu        sync.Mutex // one refresh at a time
	lookedFor time.Time  // when a key that is not known was last looked for; guarded by mu

	stop    context.CancelFunc
	stopped chan struct{}
}

// keys are those that are usable, as they were read at a moment.
type keys struct {
	byID  map[uuid.UUID]*Caller
	state db.ApiKeysStateRow // differs after each change
	read  atomic.Int64       // when they were last known to be current, in Unix nanoseconds
}

// Open reads the keys and keeps them current until Close.
func Open(ctx context.Context, config Config) (*Keyring, error) {
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	pool, err := config.Database.Pool(ctx, pgdb.Writing, sessionsMax, pgdb.Hooks{})
	if err != nil {
		return nil, fmt.Errorf("open the keys: %w", err)
	}
	k := &Keyring{pool: pool, queries: db.New(), logger: config.Logger, stopped: make(chan struct{})}
	if err := k.load(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	ctx, k.stop = context.WithCancel(context.WithoutCancel(ctx))
	go k.keepCurrent(ctx)
	return k, nil
}

// Close writes the last uses of the keys, and closes the sessions with the database.
func (k *Keyring) Close() {
	k.stop()
	<-k.stopped
	k.pool.Close()
}

// load reads the keys for the first time, and the key that signs sessions.
func (k *Keyring) load(ctx context.Context) error {
	secret, err := k.queries.SettingGet(ctx, k.pool, "page_token_key")
	if err != nil {
		return err
	}
	k.session = sessionKey(secret)
	return k.refresh(ctx)
}

// refresh reads the keys again if they have changed.
func (k *Keyring) refresh(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.refreshLocked(ctx)
}

func (k *Keyring) refreshLocked(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	began, before := time.Now(), k.current.Load()
	// The state comes first: a change after it is seen the next time.
	state, err := k.queries.ApiKeysState(ctx, k.pool)
	if err != nil {
		return fmt.Errorf("look for changes of keys: %w", err)
	}
	if before != nil && before.state == state {
		before.read.Store(began.UnixNano())
		return nil
	}
	rows, err := k.queries.ApiKeysUsable(ctx, k.pool, keysMax)
	if err != nil {
		return fmt.Errorf("read the keys: %w", err)
	}
	now := &keys{byID: make(map[uuid.UUID]*Caller, len(rows)), state: state}
	for i := range rows {
		row := &rows[i].ApiKey
		if before != nil {
			if known := before.byID[row.ApiKeyID]; known != nil && known.version == row.Version {
				now.byID[row.ApiKeyID] = known
				continue
			}
		}
		caller, err := callerOf(row)
		if err != nil {
			k.logger.ErrorContext(ctx, "a key cannot be used", "api_key_id", row.ApiKeyID, "error", err)
			continue
		}
		now.byID[row.ApiKeyID] = caller
	}
	now.read.Store(began.UnixNano())
	k.current.Store(now)
	if before != nil {
		for id, caller := range before.byID {
			if now.byID[id] != caller {
				close(caller.ended)
			}
		}
	}
	return nil
}

// keepCurrent refreshes the keys and writes their last uses, until ctx ends.
func (k *Keyring) keepCurrent(ctx context.Context) {
	defer close(k.stopped)
	refresh, flush := time.NewTicker(refreshInterval), time.NewTicker(flushInterval)
	defer refresh.Stop()
	defer flush.Stop()
	failed := false
	for {
		select {
		case <-refresh.C:
			err := k.refresh(ctx)
			if err != nil && !failed && ctx.Err() == nil {
				k.logger.WarnContext(ctx, "keys cannot be read", "error", err)
			}
			failed = err != nil
		case <-flush.C:
			k.flush(ctx)
		case <-ctx.Done():
			k.flush(context.WithoutCancel(ctx))
			return
		}
	}
}

// flush writes when keys were last used. It is a convenience: what fails is written the next time.
func (k *Keyring) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	var p db.ApiKeysUsedParams
	written := make(map[*Caller]*use)
	for id, caller := range k.current.Load().byID {
		last := caller.lastUse.Load()
		if last == caller.flushed {
			continue
		}
		written[caller] = last
		p.ApiKeyIds = append(p.ApiKeyIds, id)
		p.UseTimes = append(p.UseTimes, time.Unix(last.second, 0))
		p.Addresses = append(p.Addresses, last.address.String())
	}
	if len(written) == 0 {
		return
	}
	if err := k.queries.ApiKeysUsed(ctx, k.pool, p); err != nil {
		k.logger.DebugContext(ctx, "the last uses of keys were not written", "error", err)
		return
	}
	for caller, last := range written {
		caller.flushed = last
	}
}

// Authenticate returns the caller with a secret, who calls from an address. The error is
// ErrMissing, ErrInvalid, ErrExpired, ErrUnavailable or a NetworkError.
func (k *Keyring) Authenticate(ctx context.Context, secret string, address netip.Addr) (*Caller, error) {
	if secret == "" {
		return nil, ErrMissing
	}
	id, hash, ok := parseSecret(secret)
	if !ok {
		return nil, ErrInvalid
	}
	return k.find(ctx, id, hash, address)
}

// find returns the key with an id and a hash of its secret.
func (k *Keyring) find(ctx context.Context, id uuid.UUID, hash [sha256.Size]byte, address netip.Addr) (*Caller, error) {
	now := time.Now()
	known := k.current.Load()
	if now.UnixNano()-known.read.Load() > int64(staleMax) {
		return nil, ErrUnavailable
	}
	caller := known.byID[id]
	if caller == nil {
		if caller = k.lookFor(ctx, id); caller == nil {
			return nil, ErrInvalid
		}
	}
	return caller, caller.verify(hash, address, now)
}

// lookFor looks whether another server has just made a key. It returns nil when there is none, and
// for callers that come too soon after others.
func (k *Keyring) lookFor(ctx context.Context, id uuid.UUID) *Caller {
	if !k.mu.TryLock() {
		return nil
	}
	defer k.mu.Unlock()
	if now := time.Now(); now.Sub(k.lookedFor) >= unknownInterval {
		k.lookedFor = now
		if err := k.refreshLocked(ctx); err != nil && !errors.Is(err, context.Canceled) {
			k.logger.DebugContext(ctx, "a key was not looked for", "error", err)
		}
	}
	return k.current.Load().byID[id]
}

// Has reports whether a key can be used, with whatever secret.
func (k *Keyring) Has(id uuid.UUID) bool { return k.current.Load().byID[id] != nil }

// IsEmpty reports whether no key can be used.
func (k *Keyring) IsEmpty() bool { return len(k.current.Load().byID) == 0 }
