package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// requireReady fails the test unless a ledger is ready, or is not for a reason that says so.
func requireReady(t testing.TB, ready func(context.Context) error, reason string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := ready(ctx)
	switch {
	case reason == "" && err != nil:
		t.Errorf("not ready: %v", err)
	case reason != "" && (!errors.Is(err, ledger.ErrUnavailable) || !strings.Contains(err.Error(), reason)):
		t.Errorf("ready says %v, want ErrUnavailable that says %q", err, reason)
	}
}

// Ready to write means that a write would be taken, whatever keeps it from that. Reading is another
// matter.
func TestReady(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		hinder      func(t *testing.T, admin *pgx.Conn, name string)
		write, read string
	}{
		{"well", func(*testing.T, *pgx.Conn, string) {}, "", ""},
		{"read-only", func(t *testing.T, admin *pgx.Conn, name string) {
			ledgertest.Execute(t, admin, "ALTER DATABASE "+name+" SET default_transaction_read_only = on")
		}, "read-only", ""},
		{"locked", func(t *testing.T, admin *pgx.Conn, _ string) {
			ledgertest.Execute(t, admin, "BEGIN")
			ledgertest.Execute(t, admin, "LOCK TABLE account IN SHARE MODE")
		}, "in time", ""},
		{"locked entirely", func(t *testing.T, admin *pgx.Conn, _ string) {
			ledgertest.Execute(t, admin, "BEGIN")
			ledgertest.Execute(t, admin, "LOCK TABLE account, transfer")
		}, "in time", "in time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			database := pgtest.NewDatabase(t)
			c.hinder(t, ledgertest.Connect(t, database), ledgertest.Must(pgx.ParseConfig(database)).Database)
			l := ledgertest.OpenPrivate(t, database, postgres.Config{Logger: ledgertest.Silent})
			requireReady(t, l.ReadyToWrite, c.write)
			requireReady(t, l.ReadyToRead, c.read)
		})
	}
}

// What is dropped while a server runs is named, and it is ready again once it is there.
func TestReadyWithoutPart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ drop, restore, write, read string }{
		{"ALTER TABLE transfer RENAME CONSTRAINT transfer_pkey TO old", "ALTER TABLE transfer RENAME CONSTRAINT old TO transfer_pkey",
			"the table transfer lacks the constraint transfer_pkey", ""},
		{"ALTER TRIGGER account_keep_changed ON account RENAME TO old", "ALTER TRIGGER old ON account RENAME TO account_keep_changed",
			"the table account lacks the trigger account_keep_changed", ""},
		{"REVOKE SELECT ON transfer_full FROM ledger_writer", "GRANT SELECT ON transfer_full TO ledger_writer", "", "lacks a right"},
		{"ALTER VIEW transfer_full RENAME TO old", "ALTER VIEW old RENAME TO transfer_full", "lacks the view transfer_full",
			"tables are not where they were"},
	} {
		t.Run(c.drop, func(t *testing.T) {
			t.Parallel()
			database := pgtest.NewDatabase(t)
			l := ledgertest.OpenPrivate(t, database, postgres.Config{Logger: ledgertest.Silent})
			requireReady(t, l.ReadyToWrite, "")
			admin := ledgertest.Connect(t, database)
			ledgertest.Execute(t, admin, c.drop)
			requireReady(t, l.ReadyToWrite, c.write)
			requireReady(t, l.ReadyToRead, c.read)
			ledgertest.Execute(t, admin, c.restore)
			requireReady(t, l.ReadyToWrite, "")
			requireReady(t, l.ReadyToRead, "")
		})
	}
}

// A database that is away is ready for nothing, and ready again by itself when it comes back.
func TestReadyWithoutDatabase(t *testing.T) {
	t.Parallel()
	server := pgtest.NewServer(t)
	l := ledgertest.OpenPrivate(t, server.URL(), postgres.Config{Logger: ledgertest.Silent})
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	requireReady(t, l.ReadyToWrite, "reached")
	requireReady(t, l.ReadyToRead, "reached")
	pgtest.Restart(t, server)
	requireAvailable(t, func() error { return l.ReadyToWrite(t.Context()) })
	requireAvailable(t, func() error { return l.ReadyToRead(t.Context()) })
}

// A stalled standby takes no write, and reading goes on.
func TestReadyWithStalledStandby(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	requireReady(t, p.ledger.ReadyToWrite, "")
	p.standby.Freeze()
	requireReady(t, p.ledger.ReadyToWrite, "standby")
	requireReady(t, p.ledger.ReadyToRead, "")
	p.standby.Thaw()
	requireAvailable(t, func() error { return p.ledger.ReadyToWrite(t.Context()) })
}
