package pgtest

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// NewHAProxy starts an HAProxy in mode tcp before the database with this URL and returns its
// address. Sessions that are silent for the idle time are cut.
func NewHAProxy(t testing.TB, database string, idle time.Duration) (through string) {
	t.Helper()
	config, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	network, address := pgconn.NetworkAddress(config.Host, config.Port)
	if network == "unix" {
		address = "unix@" + address
	}
	c := newChild(t, "haproxy", nil)
	c.write(t, "haproxy.cfg", fmt.Sprintf(`defaults
  mode tcp
  timeout connect 5s
  timeout client %[1]dms
  timeout server %[1]dms
listen pg
  bind unix@%[2]s mode 777
  server pg %[3]s
`, idle.Milliseconds(), c.socket(), address))
	c.arguments = []string{"-db", "-f", filepath.Join(c.dir, "haproxy.cfg")}
	c.start(t)
	return c.url(t, database)
}
