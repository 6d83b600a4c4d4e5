package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"internaltransfers/gen/db"
	"internaltransfers/internal/access"
	"internaltransfers/internal/durable"
	"internaltransfers/internal/events"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/proof"
	"internaltransfers/internal/stored"
	"internaltransfers/internal/webhook"
	"internaltransfers/ledger"
)

// pageTokenKey names the setting that holds the key of page tokens.
const pageTokenKey = "page_token_key"

// Config says how a ledger uses its database. Zero fields have the defaults named.
type Config struct {
	DatabaseURL     string                // a postgres:// URL or a keyword=value string
	Schema          string                // that holds the ledger; default: see pgdb.Target
	ReadConns       int32                 // connections for reading; default 8
	BatchesInFlight int                   // batches applied at a time, a connection each; default 2
	BatchMax        int                   // transfers in one, more in an atomic call; default 1,000
	QueueMax        int                   // queued transfers, half for one account; default 32,768
	BatchTimeout    time.Duration         // of one batch with all its retries; default 10 s
	Workers         int                   // for what is due, on ReadConns; default: none
	WorkerBatch     int                   // items of a kind in a round, at most 1,000; default 100
	WorkerInterval  time.Duration         // the longest until one looks again; default 1 s
	FollowersMax    int                   // that follow events at a time; default 4,096
	Heartbeat       time.Duration         // the longest silence of Follow; default 10 s
	ProfileCache    int                   // profiles kept, up to 1 KiB each; default: none
	Logger          *slog.Logger          // default: slog.Default()
	Metrics         prometheus.Registerer // gets the ledger's metrics; default: none
}

func (c Config) withDefaults() Config {
	c.ReadConns = cmp.Or(c.ReadConns, 8)
	c.BatchesInFlight = cmp.Or(c.BatchesInFlight, 2)
	c.BatchMax = cmp.Or(c.BatchMax, 1000)
	c.QueueMax = cmp.Or(c.QueueMax, 32_768)
	c.BatchTimeout = cmp.Or(c.BatchTimeout, 10*time.Second)
	c.WorkerBatch = min(cmp.Or(c.WorkerBatch, 100), madeMax)
	c.WorkerInterval = cmp.Or(c.WorkerInterval, time.Second)
	c.FollowersMax = cmp.Or(c.FollowersMax, 4096)
	c.Heartbeat = cmp.Or(c.Heartbeat, 10*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

// sessions is how many lasting sessions the ledger has with its database.
func (c Config) sessions() int {
	n := int(c.ReadConns) + c.BatchesInFlight
	if c.ProfileCache > 0 {
		n++
	}
	return n
}

// A Ledger keeps accounts and transfers in a Postgres database. Its methods may be called
// concurrently. Several ledgers, in one process or many, may share a database.
type Ledger struct {
	// What others do with the same sessions. They are closed with the ledger.
	Events   *events.Stream
	Webhooks *webhook.Store
	Proofs   *proof.Prover

	config     Config
	log        *slog.Logger
	queries    *db.Queries
	database   *pgdb.Database
	pool       *durable.Pool
	currencies *stored.Currencies
	tokens     paging.Signer
	metrics    *metrics
	batcher    *batcher
	workers    workers
	searches   chan struct{} // has an item for each search at work

	accountReads  coalescer[ledger.Account]
	transferReads coalescer[ledger.Transfer]
	profiles      *profileCache
	status        status
	shortage      shortage
	activity      activity
}

// Open connects to the database and starts the batcher. The error wraps ErrUnavailable when the
// database is away, and is a pgdb.RefusedError when it cannot be used as it is.
func Open(ctx context.Context, config Config) (*Ledger, error) {
	config = config.withDefaults()
	l := &Ledger{config: config, log: config.Logger, queries: db.New(), metrics: newMetrics()}
	var err error
	l.database, err = pgdb.Open(ctx, pgdb.Target{URL: config.DatabaseURL, Schema: config.Schema}, pgdb.Reading)
	if refused, ok := errors.AsType[*pgdb.RefusedError](err); ok {
		return nil, refused // it is there, but needs an operator
	}
	if err != nil {
		return nil, durable.ReadError(ctx, "open the database", err)
	}
	if err := l.database.RequireSessions(ctx, config.sessions()); err != nil {
		return nil, durable.ReadError(ctx, "open sessions", err)
	}
	l.pool, err = durable.Open(ctx, l.database, durable.Config{
		Batches: int32(config.BatchesInFlight), Others: config.ReadConns, Timeout: config.BatchTimeout, Log: l.log,
		CommitsLeft: l.metrics.commitsLeft,
	})
	if err != nil {
		return nil, err
	}
	l.accountReads.fetch, l.transferReads.fetch = l.fetchAccounts, l.fetchTransfers
	l.currencies = stored.NewCurrencies(l.database.Begun)
	l.Proofs = &proof.Prover{Pool: l.pool, Log: l.log, Seconds: l.metrics.proofSeconds}
	l.Events = events.New(l.pool, l.currencies, events.Config{
		FollowersMax: config.FollowersMax, Heartbeat: config.Heartbeat, Log: l.log,
	})
	l.searches = make(chan struct{}, searchesMax)
	l.profiles = newProfileCache(l, config.ProfileCache)
	l.status = status{pace: newPace(), countedMax: countedMax}
	l.activity = activity{pace: newPace(), seconds: make(map[int64]ActivityStep)}
	key, err := l.queries.SettingGet(ctx, l.pool.Others, pageTokenKey) // it never changes
	if err != nil {
		l.pool.Close()
		return nil, durable.ReadError(ctx, "read the key of page tokens", err)
	}
	l.database.LogTo(config.Logger)
	l.tokens = paging.Signer{Secret: key}
	l.Webhooks = &webhook.Store{Pool: l.pool, Events: l.Events, Tokens: l.tokens}
	l.warnIfNotDurable(ctx)
	l.batcher = newBatcher(l.runBatch, config.BatchesInFlight, config.BatchMax, config.QueueMax)
	if config.Metrics != nil {
		err := errors.Join(l.metrics.register(config.Metrics, l.batcher), l.profiles.metrics.register(config.Metrics),
			config.Metrics.Register(&gauges{ledger: l, pace: newPace()}))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("register metrics: %w", err), l.Close(ctx))
		}
	}
	if config.ProfileCache > 0 {
		l.profiles.start()
	}
	l.startWorkers()
	return l, nil
}

// warnIfNotDurable warns when the server may lose what it has committed. Only an operator can set
// these, and some do on purpose, for a test.
func (l *Ledger) warnIfNotDurable(ctx context.Context) {
	d, err := l.queries.DurabilityGet(ctx, l.pool.Others)
	if err == nil && (d.Fsync != "on" || d.FullPageWrites != "on") {
		l.log.WarnContext(ctx, "the database may lose committed transfers when its machine goes down",
			slog.String("fsync", d.Fsync), slog.String("full_page_writes", d.FullPageWrites))
	}
}

// Close refuses new transfers, applies those that wait, and closes the connections. When ctx ends
// first, it returns ctx's error and leaves the rest to the end of the process; outcomes that were
// returned are committed in any case.
func (l *Ledger) Close(ctx context.Context) error {
	closed := make(chan struct{})
	go func() {
		l.Events.Close()
		l.workers.close()
		l.batcher.close()
		l.profiles.close()
		l.pool.Close()
		close(closed)
	}()
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Database names the database, the server and the schema, without the password.
func (l *Ledger) Database() string { return l.database.String() }

// OpenKeys opens the API keys in the ledger's database. The caller closes them.
func (l *Ledger) OpenKeys(ctx context.Context) (*access.Keyring, error) {
	return access.Open(ctx, access.Config{Database: l.database, Logger: l.config.Logger})
}

// RoleExcess names the role of the ledger's sessions, and what it is or may do that a server need
// not; excess is empty when there is nothing.
func (l *Ledger) RoleExcess() (role, excess string) { return l.database.Role(), l.database.Excess() }
