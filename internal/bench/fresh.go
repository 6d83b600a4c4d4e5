package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"

	"internaltransfers/internal/localpg"
)

// freshDatabase is the database that a full one is compared with.
const freshDatabase = "bench_fresh"

// freshSystem starts another server, on a new and empty database of the same PostgreSQL.
func (s *system) freshSystem(ctx context.Context) (*system, error) {
	name := pgx.Identifier{freshDatabase}.Sanitize()
	if _, err := s.probe.conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return nil, err
	}
	drop := func() error {
		_, err := s.probe.conn.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
		if err != nil {
			return fmt.Errorf("drop %s: %w", freshDatabase, err)
		}
		return nil
	}
	databaseURL, serverURL, err := s.freshURLs(ctx)
	if err != nil {
		return nil, errors.Join(err, drop())
	}
	server, err := startServer(ctx, s.options, serverURL)
	if err != nil {
		return nil, errors.Join(err, drop())
	}
	return &system{
		options: s.options, base: "http://" + server.address, databaseURL: databaseURL, serverURL: serverURL, server: server,
		probe: probe{
			conn: s.probe.conn, postgresPID: s.probe.postgresPID,
			serverPID: server.cmd.Process.Pid, metricsURL: server.metricsURL(),
		},
		undo: []func() error{drop, server.stop},
	}, nil
}

// freshURLs returns the URLs of the new database. In a private PostgreSQL it makes the ledger;
// elsewhere the server does.
func (s *system) freshURLs(ctx context.Context) (databaseURL, serverURL string, err error) {
	if databaseURL, err = freshURL(s.databaseURL); err != nil {
		return "", "", err
	}
	if serverURL, err = freshURL(s.serverURL); err != nil || s.postgres == nil {
		return databaseURL, serverURL, err
	}
	owner, err := freshURL(s.postgres.RoleURL(localpg.Owner))
	if err != nil {
		return "", "", err
	}
	return databaseURL, serverURL, prepare(ctx, databaseURL, owner)
}

func freshURL(databaseURL string) (string, error) {
	target, err := url.Parse(databaseURL)
	if err != nil {
		return "", errors.New("the database URL is not a URL")
	}
	target.Path = "/" + freshDatabase
	return target.String(), nil
}
