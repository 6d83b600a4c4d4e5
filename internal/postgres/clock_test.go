package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A testClock is the clock of a database, which stands still until it is stepped.
type testClock struct {
	t    testing.TB
	conn *pgx.Conn
}

// stopClock gives the database a clock of the test's own, in place of the one that decides in
// production. It begins at the next whole second, when all that is there already is older.
func stopClock(t testing.TB, url string) *testClock {
	t.Helper()
	c := &testClock{t, connect(t, url)}
	c.exec("CREATE TABLE test_clock (now timestamptz NOT NULL)")
	c.exec("GRANT SELECT ON test_clock TO PUBLIC")
	c.exec("INSERT INTO test_clock VALUES (date_trunc('second', clock_timestamp()) + interval '1 second')")
	c.exec("CREATE OR REPLACE FUNCTION ledger_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE " +
		"AS 'SELECT now FROM test_clock'")
	return c
}

func (c *testClock) exec(sql string, args ...any) {
	c.t.Helper()
	if _, err := c.conn.Exec(context.Background(), sql, args...); err != nil {
		c.t.Fatalf("%s: %v", sql, err)
	}
}

// step lets time pass, or with a negative duration sets the clock back.
func (c *testClock) step(d time.Duration) {
	c.t.Helper()
	c.exec("UPDATE test_clock SET now = now + $1::bigint * interval '1 microsecond'", d.Microseconds())
}

// set sets the clock.
func (c *testClock) set(now time.Time) {
	c.t.Helper()
	c.exec("UPDATE test_clock SET now = $1", now)
}

// now is the time of the clock.
func (c *testClock) now() time.Time {
	c.t.Helper()
	var now time.Time
	if err := c.conn.QueryRow(context.Background(), "SELECT now FROM test_clock").Scan(&now); err != nil {
		c.t.Fatalf("read the clock: %v", err)
	}
	return now
}
