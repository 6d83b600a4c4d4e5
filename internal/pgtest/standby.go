package pgtest

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"internaltransfers/internal/localpg"
)

// StandbyName is the name by which a server from NewStandby is known to its primary, for
// synchronous_standby_names.
const StandbyName = "standby"

// clusterDir is where localpg keeps a cluster below a data directory.
const clusterDir = "pgdata"

// notCopied are the parts of a cluster that a base backup leaves out: they are of the running
// server, or the standby gets them from the primary.
var notCopied = []string{
	"pg_wal", "pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans",
}

// A Standby is a streaming standby of a server from NewServer. It is a server like others: it has a
// URL, can be killed and restarted, and ends with the test.
type Standby struct {
	*localpg.Server
	relay *relay
}

// NewStandby starts a standby of a server, with all its data. It is asynchronous until Synchronous
// is called.
func NewStandby(t testing.TB, primary *localpg.Server) *Standby {
	t.Helper()
	source, err := url.Parse(primary.TCPURL())
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	s := &Standby{relay: newRelay(t, source.Host)}
	dir := testDir(t)
	if err := backUp(t.Context(), primary, dir, s.relay.conninfo(source)); err != nil {
		t.Fatalf("pgtest: back up the primary: %v", err)
	}
	s.Server = startServer(t, config(dir))
	await(t, primary, "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')")
	return s
}

// Synchronous has the primary's commits wait for its standby, and returns when they do.
func Synchronous(t testing.TB, primary *localpg.Server) {
	t.Helper()
	setStandbys(t, primary, "FIRST 1 ("+StandbyName+")")
	await(t, primary, "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')")
}

// Asynchronous has the primary's commits wait for no standby, including those that wait already.
func Asynchronous(t testing.TB, primary *localpg.Server) {
	t.Helper()
	setStandbys(t, primary, "")
}

func setStandbys(t testing.TB, primary *localpg.Server, names string) {
	t.Helper()
	query(t, primary, nil, "ALTER SYSTEM SET synchronous_standby_names = '"+names+"'")
	query(t, primary, nil, "SELECT pg_reload_conf()")
	await(t, primary, "SELECT current_setting('synchronous_standby_names') = '"+names+"'")
	// Commits go by what the checkpointer has read. It was signaled before the session above began,
	// and reads before it does anything else.
	query(t, primary, nil, "CHECKPOINT")
}

// Freeze holds up the traffic between the primary and the standby, until Thaw is called.
func (s *Standby) Freeze() { s.relay.freeze(true) }

// Thaw lets the traffic go on.
func (s *Standby) Thaw() { s.relay.freeze(false) }

// Promote makes the standby a primary. What was held up never arrives.
func (s *Standby) Promote(t testing.TB) {
	t.Helper()
	s.relay.close()
	query(t, s.Server, nil, "SELECT pg_promote()")
}

// backUp copies a running server into an empty directory, as a standby of it.
func backUp(ctx context.Context, primary *localpg.Server, dir, conninfo string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, statementMax)
	defer cancel()
	conn, err := pgx.Connect(ctx, primary.URL())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if _, err := conn.Exec(ctx, "SELECT pg_backup_start('standby', true)"); err != nil {
		return err
	}
	if err := copyTree(primary.DataDir(), dir, notCopied...); err != nil {
		return err
	}
	var label string
	if err := conn.QueryRow(ctx, "SELECT labelfile FROM pg_backup_stop(false)").Scan(&label); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"backup_label":   label,
		"standby.signal": "",
		// In place of the primary's settings.
		"postgresql.auto.conf": "primary_conninfo = '" + conninfo + "'\nwal_retrieve_retry_interval = '100ms'\n",
	} {
		path := filepath.Join(dir, clusterDir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
		if err := ownLike(path, filepath.Join(primary.DataDir(), clusterDir)); err != nil {
			return err
		}
	}
	return nil
}

// query runs a statement in a session of its own, and reads one value if there is a place for it.
func query(t testing.TB, server *localpg.Server, value any, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), statementMax)
	defer cancel()
	conn, err := pgx.Connect(ctx, server.URL())
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if value == nil {
		_, err = conn.Exec(ctx, sql)
	} else {
		err = conn.QueryRow(ctx, sql).Scan(value)
	}
	if err != nil {
		t.Fatalf("pgtest: %s: %v", sql, err)
	}
}

// await returns when a condition holds.
func await(t testing.TB, server *localpg.Server, condition string) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(statementMax); ; <-ticker.C {
		var holds bool
		if query(t, server, &holds, condition); holds {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("pgtest: after %s it still does not hold that %s", statementMax, condition)
		}
	}
}
