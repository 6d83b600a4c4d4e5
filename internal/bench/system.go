package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"internaltransfers/internal/localpg"
	"internaltransfers/internal/pgdb"
)

// A system is what is measured: a server and its database, private or foreign.
type system struct {
	options     *Options
	base        string // URL of the server
	databaseURL string // for statistics, baselines and databases beside it; empty: not known
	serverURL   string // of the same database, for the server
	probe       probe
	server      *serverProcess  // nil: a foreign one
	postgres    *localpg.Server // nil: a foreign one
	dataDir     string          // of postgres
	syncTime    time.Duration   // of a page, on dataDir's disk
	undo        []func() error  // in order; stop does it backwards
}

// startSystem starts what the options leave out: a PostgreSQL, and a server on it.
func startSystem(ctx context.Context, options *Options) (_ *system, err error) {
	s := &system{options: options, base: strings.TrimSuffix(options.Target, "/"), databaseURL: options.DatabaseURL}
	s.serverURL = s.databaseURL
	s.probe.metricsURL = options.Metrics
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	if s.base == "" && s.databaseURL == "" {
		if err := s.startPostgres(ctx); err != nil {
			return nil, err
		}
	}
	if s.base == "" {
		if s.server, err = startServer(ctx, options, s.serverURL); err != nil {
			return nil, err
		}
		s.undo = append(s.undo, s.server.stop)
		s.base = "http://" + s.server.address
		s.probe.serverPID, s.probe.metricsURL = s.server.cmd.Process.Pid, s.server.metricsURL()
		s.say("server at %s, metrics and profiles at http://%s", s.base, s.server.admin)
	}
	if err := awaitReady(ctx, s.base); err != nil {
		return nil, fmt.Errorf("the server is not ready: %w", err)
	}
	if s.databaseURL == "" {
		return s, nil
	}
	database, err := pgdb.Open(ctx, pgdb.Target{URL: s.databaseURL, Schema: baselineSchema}, pgdb.Measuring)
	if err == nil {
		s.probe.conn, err = database.Connect(ctx, pgdb.Measuring)
	}
	if err != nil {
		return nil, fmt.Errorf("connect for statistics: %w", err)
	}
	s.undo = append(s.undo, func() error { return s.probe.conn.Close(context.Background()) })
	return s, nil
}

func (s *system) startPostgres(ctx context.Context) error {
	s.dataDir = s.options.DataDir
	if s.dataDir == "" {
		dir, err := os.MkdirTemp("", "internaltransfers-bench-")
		if err != nil {
			return err
		}
		s.undo = append(s.undo, func() error { return os.RemoveAll(dir) })
		// PostgreSQL does not run as root; the user that it runs as instead must be able to enter.
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
		s.dataDir = filepath.Join(dir, "data")
		if s.syncTime, err = measureSync(dir); err != nil {
			return err
		}
	}
	postgres, err := localpg.Start(ctx, localpg.Config{DataDir: s.dataDir, BinDir: s.options.PgBin})
	if err != nil {
		return err
	}
	s.postgres, s.probe.postgresPID = postgres, postgres.PID()
	s.databaseURL, s.serverURL = postgres.URL(), postgres.RoleURL(localpg.Writer)
	s.undo = append(s.undo, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), stopMax)
		defer cancel()
		return postgres.Stop(ctx)
	})
	if s.syncTime == 0 {
		if s.syncTime, err = measureSync(s.dataDir); err != nil {
			return err
		}
	}
	return prepare(ctx, s.databaseURL, postgres.RoleURL(localpg.Owner))
}

// prepare makes a ledger in a private database, with the URLs of its superuser and owner, for the
// writer to serve.
func prepare(ctx context.Context, superuser, owner string) error {
	_, err := pgdb.Prepare(ctx, pgdb.Target{URL: superuser}, owner, slog.New(slog.DiscardHandler))
	return err
}

// stop ends what was started, last first.
func (s *system) stop() error {
	var err error
	for i := len(s.undo) - 1; i >= 0; i-- {
		err = errors.Join(err, s.undo[i]())
	}
	s.undo = nil
	return err
}

const (
	stopMax      = time.Minute // for a process to end
	tailLinesMax = 30          // of a server's log, for the error of its exit
)

// A serverProcess is a server that was started for the measurement.
type serverProcess struct {
	cmd     *exec.Cmd
	address string        // host:port
	admin   string        // host:port of its metrics and profiles; it is logged before address
	exited  chan struct{} // closed when it has ended
	err     error         // of its end; after exited

	mu   sync.Mutex
	tail []string // the last lines of its log
}

// startServer starts "serve" on a free port and waits until it listens. Its options are the
// environment's.
func startServer(ctx context.Context, options *Options, databaseURL string) (*serverProcess, error) {
	if options.Executable == "" {
		return nil, errors.New("without a --target the program to serve with must be known")
	}
	cmd := exec.Command(options.Executable, "serve") // no context: stop lets it drain
	cmd.Env = append(withoutVariable(os.Environ(), "DATABASE_URL_FILE"),
		"DATABASE_URL="+databaseURL, "LISTEN_ADDR=127.0.0.1:0", "ADMIN_ADDR=127.0.0.1:0", "LOG_FORMAT=json", "LOG_LEVEL=info",
		// CheckLedger at the end reads every row.
		"REQUEST_TIMEOUT=1h")
	cmd.Env = append(cmd.Env, options.ServerEnv...)
	cmd.SysProcAttr = withParent()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	p := &serverProcess{cmd: cmd, exited: make(chan struct{})}
	started, listening := make(chan error, 1), make(chan string, 1)
	go func() {
		// The kernel ends the process when the thread that started it ends, so this one stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.follow(stderr, listening)
			p.err = cmd.Wait()
		}
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	select {
	case p.address = <-listening:
		return p, nil
	case <-p.exited:
		return nil, fmt.Errorf("the server ended: %w\n%s", p.err, p.lastLines())
	case <-ctx.Done():
		return nil, errors.Join(context.Cause(ctx), p.stop())
	}
}

// metricsURL returns the URL of the server's metrics.
func (p *serverProcess) metricsURL() string {
	if p.admin == "" {
		return ""
	}
	return "http://" + p.admin + "/metrics"
}

func withoutVariable(environment []string, name string) []string {
	var kept []string
	for _, variable := range environment {
		if !strings.HasPrefix(variable, name+"=") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// follow reads the server's log until it ends.
func (p *serverProcess) follow(stderr io.Reader, listening chan<- string) {
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		p.hear(lines.Bytes(), listening)
		p.mu.Lock()
		if p.tail = append(p.tail, lines.Text()); len(p.tail) > tailLinesMax {
			p.tail = p.tail[1:]
		}
		p.mu.Unlock()
	}
	// After a line that is too long the rest is not worth reading, but a full pipe would stop the
	// server.
	_, _ = io.Copy(io.Discard, stderr)
}

// hear notes the addresses that the server logs when it begins.
func (p *serverProcess) hear(text []byte, listening chan<- string) {
	var line struct {
		Msg, Address string
		Admin        string `json:"admin_address"`
	}
	if json.Unmarshal(text, &line) != nil {
		return
	}
	if line.Admin != "" && p.admin == "" {
		p.admin = line.Admin
	}
	if line.Msg == "listening" {
		select {
		case listening <- line.Address:
		default: // it has reported it before
		}
	}
}

func (p *serverProcess) lastLines() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.tail, "\n")
}

// stop makes the server drain and end, and returns how it ended.
func (p *serverProcess) stop() error {
	select {
	case <-p.exited:
		return fmt.Errorf("the server ended before it was told to: %w\n%s", p.err, p.lastLines())
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the server: %w", err)
	}
	killed := time.AfterFunc(stopMax, func() { _ = p.cmd.Process.Kill() })
	defer killed.Stop()
	<-p.exited
	if p.err != nil {
		return fmt.Errorf("the server: %w\n%s", p.err, p.lastLines())
	}
	return nil
}
