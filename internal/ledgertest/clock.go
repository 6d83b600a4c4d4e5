package ledgertest

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Clock is the clock of a database, which stands still until it is stepped.
type Clock struct {
	t    testing.TB
	conn *pgx.Conn
}

// StopClock gives the database a clock of the test's own, in place of the one that decides in
// production. It begins at the next whole second, when all that is there already is older.
func StopClock(t testing.TB, url string) *Clock {
	t.Helper()
	c := &Clock{t, Connect(t, url)}
	c.exec("CREATE TABLE test_clock (now timestamptz NOT NULL)")
	c.exec("GRANT SELECT ON test_clock TO PUBLIC")
	c.exec("INSERT INTO test_clock VALUES (date_trunc('second', clock_timestamp()) + interval '1 second')")
	c.exec("CREATE OR REPLACE FUNCTION ledger_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE " +
		"AS 'SELECT now FROM test_clock'")
	return c
}

func (c *Clock) exec(sql string, args ...any) {
	c.t.Helper()
	if _, err := c.conn.Exec(context.Background(), sql, args...); err != nil {
		c.t.Fatalf("%s: %v", sql, err)
	}
}

// Step lets time pass, or with a negative duration sets the clock back.
func (c *Clock) Step(d time.Duration) {
	c.t.Helper()
	c.exec("UPDATE test_clock SET now = now + $1::bigint * interval '1 microsecond'", d.Microseconds())
}

// Set sets the clock.
func (c *Clock) Set(now time.Time) {
	c.t.Helper()
	c.exec("UPDATE test_clock SET now = $1", now)
}

// Now is the time of the clock.
func (c *Clock) Now() time.Time {
	c.t.Helper()
	var now time.Time
	if err := c.conn.QueryRow(context.Background(), "SELECT now FROM test_clock").Scan(&now); err != nil {
		c.t.Fatalf("read the clock: %v", err)
	}
	return now
}
