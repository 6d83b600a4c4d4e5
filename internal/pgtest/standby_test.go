package pgtest

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
)

// A standby has what its primary commits. A synchronous one that hangs keeps commits waiting, and
// one that comes back lets them end. A promoted one takes writes and has all that was committed.
func TestStandby(t *testing.T) {
	t.Parallel()
	primary := NewServer(t)
	standby := NewStandby(t, primary)
	Synchronous(t, primary)
	conn := connect(t, primary.URL())
	mustExec(t, conn, "CREATE TABLE kept (n int)")
	mustExec(t, conn, "SET synchronous_commit = remote_apply")
	mustExec(t, conn, "INSERT INTO kept VALUES (1)")
	if n := number(t, connect(t, standby.URL()), "SELECT count(*) FROM kept"); n != 1 {
		t.Errorf("the standby has %d rows, want 1", n)
	}

	standby.Freeze()
	committed := make(chan error, 1)
	go func() {
		_, err := conn.Exec(t.Context(), "INSERT INTO kept VALUES (2)")
		committed <- err
	}()
	await(t, primary, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep')")
	if n := number(t, connect(t, primary.URL()), "SELECT count(*) FROM kept"); n != 1 {
		t.Errorf("what waits for the standby is seen: %d rows, want 1", n)
	}
	standby.Thaw()
	if err := <-committed; err != nil {
		t.Errorf("the commit that waited: %v", err)
	}

	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	standby.Promote(t)
	promoted := connect(t, standby.URL())
	mustExec(t, promoted, "INSERT INTO kept VALUES (3)")
	if n := number(t, promoted, "SELECT count(*) FROM kept"); n != 3 {
		t.Errorf("the promoted standby has %d rows, want 3", n)
	}
	if _, err := pgx.Connect(context.Background(), primary.URL()); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("connecting to the killed primary: %v", err)
	}
}
