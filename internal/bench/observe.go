package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// An observation is the state of the counters of database and processes. The difference of two is
// what a leg used.
type observation struct {
	WALBytes   int64 // written ahead by the whole database server
	PageImages int64 // whole pages in that log: the first change of each page after a checkpoint
	Commits    int64 // transactions; the database's own statistics, which lag by up to a second
	Self       time.Duration
	Server     time.Duration
	Postgres   time.Duration
	Machine    time.Duration // all processors' time that was not idle
	Batches    batchSizes
}

func (o observation) since(before observation) observation {
	return observation{
		o.WALBytes - before.WALBytes, o.PageImages - before.PageImages, o.Commits - before.Commits,
		o.Self - before.Self, o.Server - before.Server, o.Postgres - before.Postgres,
		o.Machine - before.Machine, o.Batches.times(-1, before.Batches),
	}
}

func (o observation) plus(other observation) observation {
	return observation{
		o.WALBytes + other.WALBytes, o.PageImages + other.PageImages, o.Commits + other.Commits,
		o.Self + other.Self, o.Server + other.Server, o.Postgres + other.Postgres,
		o.Machine + other.Machine, o.Batches.times(1, other.Batches),
	}
}

// A probe reads the counters. Parts that are not known (a foreign server, no database URL) are
// zero.
type probe struct {
	conn        *pgx.Conn // nil: no database is known
	serverPID   int       // 0: not ours
	postgresPID int
	metricsURL  string // of the server; empty: not known
}

const countersSQL = `
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint,
       (SELECT wal_fpi FROM pg_stat_wal),
       (SELECT sum(xact_commit)::bigint FROM pg_stat_database WHERE datname IN (current_database(), '` + freshDatabase + `'))`

func (p *probe) observe(ctx context.Context) (o observation, err error) {
	o.Self = selfCPU()
	o.Machine = machineCPU()
	o.Server = processCPU(p.serverPID)
	o.Postgres = treeCPU(p.postgresPID)
	if p.metricsURL != "" {
		if o.Batches, err = readBatchSizes(ctx, p.metricsURL); err != nil {
			return o, err
		}
	}
	if p.conn == nil {
		return o, nil
	}
	if err := p.conn.QueryRow(ctx, countersSQL).Scan(&o.WALBytes, &o.PageImages, &o.Commits); err != nil {
		return o, fmt.Errorf("read the database's counters: %w", err)
	}
	return o, nil
}

// settingNames are the settings that matter most for the figures.
var settingNames = []string{
	"server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "data_checksums",
	"wal_compression", "max_wal_size", "checkpoint_timeout", "shared_buffers", "max_connections",
}

const settingsSQL = `
SELECT array_agg(name), array_agg(current_setting(name))
FROM unnest($1::text[]) AS name`

// settings reads the database's settings.
func (p *probe) settings(ctx context.Context) (map[string]string, error) {
	if p.conn == nil {
		return nil, nil
	}
	var names, values []string
	if err := p.conn.QueryRow(ctx, settingsSQL, settingNames).Scan(&names, &values); err != nil {
		return nil, fmt.Errorf("read the database's settings: %w", err)
	}
	settings := map[string]string{}
	for i, name := range names {
		settings[name] = values[i]
	}
	return settings, nil
}
