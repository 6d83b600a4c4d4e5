package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"
)

// freshDatabase is the database that a full one is compared with.
const freshDatabase = "bench_fresh"

// freshSystem starts another server, on a new and empty database of the same PostgreSQL.
func (s *system) freshSystem(ctx context.Context) (*system, error) {
	name := pgx.Identifier{freshDatabase}.Sanitize()
	if _, err := s.probe.conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return nil, err
	}
	target, err := url.Parse(s.databaseURL)
	if err != nil {
		return nil, errors.New("the database URL is not a URL")
	}
	target.Path = "/" + freshDatabase
	drop := func() error {
		_, err := s.probe.conn.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
		if err != nil {
			return fmt.Errorf("drop %s: %w", freshDatabase, err)
		}
		return nil
	}
	server, err := startServer(ctx, s.options, target.String())
	if err != nil {
		return nil, errors.Join(err, drop())
	}
	return &system{
		options: s.options, base: "http://" + server.address, databaseURL: target.String(), server: server,
		probe: probe{
			conn: s.probe.conn, postgresPID: s.probe.postgresPID,
			serverPID: server.cmd.Process.Pid, metricsURL: server.metricsURL(),
		},
		undo: []func() error{drop, server.stop},
	}, nil
}
