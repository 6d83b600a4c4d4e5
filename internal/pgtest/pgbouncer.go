package pgtest

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// A PgBouncer is a connection pooler in front of databases of the test's.
type PgBouncer struct {
	child     *child
	databases []string          // their own URLs
	settings  map[string]string // of pgbouncer.ini
}

// NewPgBouncer starts a PgBouncer before the databases with these URLs, with these settings, such
// as pool_mode. The default is the mode session. The URLs' users may log in.
func NewPgBouncer(t testing.TB, settings map[string]string, databases ...string) *PgBouncer {
	t.Helper()
	p := &PgBouncer{databases: databases, settings: map[string]string{
		"pool_mode":         "session",
		"default_pool_size": "30",
		"auth_type":         "trust",
		"admin_users":       "admin",
	}}
	maps.Copy(p.settings, settings)
	p.child = newChild(t, "pgbouncer", map[string]string{"userlist.txt": p.users(t)})
	p.configure(t)
	p.child.arguments = []string{filepath.Join(p.child.dir, "pgbouncer.ini")}
	if os.Geteuid() == 0 {
		p.child.arguments = append(p.child.arguments, "-u", unprivileged())
	}
	p.child.start(t)
	return p
}

// users lists the names and passwords of the URLs' users, with which PgBouncer logs in to
// PostgreSQL.
func (p *PgBouncer) users(t testing.TB) string {
	t.Helper()
	lines := []string{`"admin" ""`}
	for _, database := range p.databases {
		user := parse(database).User
		password, _ := user.Password()
		lines = append(lines, fmt.Sprintf("%q %q", user.Username(), password))
	}
	return strings.Join(slices.Compact(lines), "\n") + "\n"
}

// configure writes pgbouncer.ini.
func (p *PgBouncer) configure(t testing.TB) {
	t.Helper()
	var ini strings.Builder
	ini.WriteString("[databases]\n")
	for _, database := range p.databases {
		config, err := pgx.ParseConfig(database)
		if err != nil {
			t.Fatalf("pgtest: %v", err)
		}
		fmt.Fprintf(&ini, "%s = host=%s port=%d\n", config.Database, config.Host, config.Port)
	}
	ini.WriteString("[pgbouncer]\n")
	for name, value := range p.settings {
		fmt.Fprintf(&ini, "%s = %s\n", name, value)
	}
	dir := p.child.dir
	fmt.Fprintf(&ini, "unix_socket_dir = %s\nlisten_port = %d\nauth_file = %s\n",
		dir, socketPort, filepath.Join(dir, "userlist.txt"))
	p.child.write(t, "pgbouncer.ini", ini.String())
}

// URL returns the address of a database through the pooler.
func (p *PgBouncer) URL(t testing.TB, database string) string {
	t.Helper()
	return p.child.url(t, database)
}

// Set changes a setting of the pooler while it runs, as an operator does by editing the file and
// reloading it.
func (p *PgBouncer) Set(t testing.TB, name, value string) {
	t.Helper()
	p.settings[name] = value
	p.configure(t)
	p.Command(t, "RELOAD")
}

// Command has the pooler's console execute a command.
func (p *PgBouncer) Command(t testing.TB, command string) {
	t.Helper()
	console := url.URL{
		Scheme: "postgres", User: url.User("admin"), Path: "/pgbouncer",
		RawQuery: "host=" + p.child.dir + "&port=" + strconv.Itoa(socketPort) + "&default_query_exec_mode=simple_protocol",
	}
	conn, err := pgx.Connect(t.Context(), console.String())
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), command); err != nil {
		t.Fatalf("pgtest: %s: %v", command, err)
	}
}

// Kill ends the pooler as a crash does, with all its sessions.
func (p *PgBouncer) Kill() { p.child.kill() }

// Start starts it again after Kill.
func (p *PgBouncer) Start(t testing.TB) {
	t.Helper()
	p.child.start(t)
}

// url returns the address of a database through the child.
func (c *child) url(t testing.TB, database string) string {
	t.Helper()
	u := parse(database)
	query := u.Query()
	query.Set("host", c.dir)
	query.Set("port", strconv.Itoa(socketPort))
	query.Set("sslmode", "disable")
	u.Host = ""
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	return u.String()
}
