package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"internaltransfers/internal/pgdb"
)

const (
	// listenPatience is how long it may take to begin to listen, how long the connection may be
	// silent before a ping, and how long that ping may take.
	listenPatience     = 5 * time.Second
	listenBackoffFirst = 100 * time.Millisecond // before the second attempt; doubles each time
	listenBackoffMax   = 10 * time.Second
)

// errNoNotifications: a connection listens, but what it listens for does not come.
var errNoNotifications = errors.New("notifications do not arrive: does a connection pooler in transaction mode stand between?")

// start begins to listen for changed profiles, on a connection of its own.
func (c *profileCache) start() {
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.listener.Go(func() { c.listen(ctx) })
}

// close ends that.
func (c *profileCache) close() {
	if c.stop != nil {
		c.stop()
		c.listener.Wait()
	}
}

// listen has the cache keep profiles while notifications of their changes arrive, until ctx ends.
// When they stop, or cannot be had, it logs that once and tries again.
func (c *profileCache) listen(ctx context.Context) {
	backoff, said := listenBackoffFirst, false
	for {
		heard, err := c.receive(ctx)
		if heard {
			backoff, said = listenBackoffFirst, false
		}
		if ctx.Err() != nil {
			return
		}
		if !said {
			c.log.WarnContext(ctx, "profiles are not cached", slog.Any("error", err))
			said = true
		}
		timer := time.NewTimer(backoff)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		backoff = min(2*backoff, listenBackoffMax)
	}
}

// receive listens until the connection breaks or ctx ends, and reports whether it ever did.
func (c *profileCache) receive(ctx context.Context) (heard bool, err error) {
	conn, err := c.connect(ctx)
	if err != nil {
		return false, err
	}
	defer pgdb.HangUp(conn)
	// Changes after this point are notified.
	c.listens(true)
	defer c.listens(false) // before hanging up, which takes a while when the other end is gone
	c.log.InfoContext(ctx, "profiles are cached")
	for {
		id, err := c.next(ctx, conn)
		if err != nil {
			return true, err
		}
		c.changed(id)
	}
}

// connect opens a connection that listens, and tries it.
func (c *profileCache) connect(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	conn, err := c.database.Connect(ctx, pgdb.Reading)
	if err != nil {
		return nil, err
	}
	channel, err := c.queries.ProfileChannel(ctx, conn)
	if err == nil {
		_, err = conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize())
	}
	if err == nil {
		err = c.try(ctx, conn)
	}
	if err != nil {
		pgdb.HangUp(conn)
		return nil, fmt.Errorf("listen: %w", err)
	}
	return conn, nil
}

// try sends a notification and waits for it. A connection pooler may take LISTEN and pass nothing
// on; it may pass on what its own client does, so another connection sends. That one is not of a
// pool, which may be exhausted.
func (c *profileCache) try(ctx context.Context, conn *pgx.Conn) error {
	sender, err := c.database.Connect(ctx, pgdb.Reading)
	if err != nil {
		return err
	}
	defer pgdb.HangUp(sender)
	nobody := uuid.NewString() // no account has this id, so that other listeners forget nothing
	if err := c.queries.ProfileNotify(ctx, sender, nobody); err != nil {
		return err
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		switch {
		case pgconn.Timeout(err):
			return errNoNotifications
		case err != nil:
			return err
		case n.Payload == nobody:
			return nil
		}
	}
}

// next waits for the next change. After patience of silence it pings: a host that lost power never
// hangs up.
func (c *profileCache) next(ctx context.Context, conn *pgx.Conn) (uuid.UUID, error) {
	for {
		waiting, cancel := context.WithTimeout(ctx, c.patience)
		n, err := conn.WaitForNotification(waiting)
		cancel()
		if err == nil {
			if id, err := uuid.Parse(n.Payload); err == nil {
				return id, nil
			}
			continue // any session may notify, of anything
		}
		if ctx.Err() != nil || !pgconn.Timeout(err) {
			return uuid.Nil, fmt.Errorf("wait for changes: %w", err)
		}
		if err := c.ping(ctx, conn); err != nil {
			return uuid.Nil, fmt.Errorf("ping: %w", err)
		}
	}
}

func (c *profileCache) ping(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	return c.database.Try(ctx, conn)
}
