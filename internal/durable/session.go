package durable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"internaltransfers/gen/db"
	"internaltransfers/internal/pgdb"
)

const (
	watchInterval = time.Second     // between looks whether a slow COMMIT is still under way
	watchTimeout  = 2 * time.Second // of one look
	watchMisses   = 2               // looks in a row without it, until its connection is given up
)

// ErrWaitCancelled: a transaction is committed here, but does not wait for a standby any more.
var ErrWaitCancelled = errors.New("the wait for a synchronous standby was cancelled")

// errCommitting keeps the driver from cancelling a COMMIT.
var errCommitting = errors.New("a COMMIT is not cancelled")

// sessionKey is where a connection keeps its session.
const sessionKey = "session"

// A session is the state of a connection of a pool, beside the driver's.
//
// With synchronous replication a COMMIT returns, and other sessions see the transaction, when a
// standby has it. Cancelling that wait makes the transaction visible to all at once, while the
// standby may not have it: after a failover it never was. So a COMMIT under way is never cancelled.
// The driver would do so when the context ends, and when the connection breaks on our side alone.
// When the time is over, the caller gets an unknown outcome, and the COMMIT goes on by itself. Its
// connection is out of the pool, but counts there, so that no more of them wait than the pool has.
//
// Others can cancel the wait all the same: an operator by pg_cancel_backend or
// pg_terminate_backend, and a server that crashes and comes back alone. Then the COMMIT succeeded
// with a warning, or the connection breaks. Neither is taken for success, and what is read from now
// on goes through the gate.
type session struct {
	pool       *Pool
	conn       *pgconn.PgConn
	backend    db.SessionWorksParams
	committing atomic.Bool // a COMMIT is under way, or was when the connection broke
	cancelled  atomic.Bool // the server said that it does not wait for a standby any more

	// left is closed when a COMMIT without a waiting caller has ended; nil: there is none. It
	// belongs to the user of the connection.
	left <-chan struct{}
}

// sessionOf is the session of a connection of a pool.
func sessionOf(conn *pgx.Conn) *session {
	return conn.PgConn().CustomData()[sessionKey].(*session)
}

// attach gives the connection that is made by a configuration its session.
func (p *Pool) attach(_ context.Context, config *pgx.ConnConfig) error {
	s := &session{pool: p}
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if s.committing.Load() {
			return nil, errCommitting // the driver dials again to cancel what is under way
		}
		return dial(ctx, network, address)
	}
	config.OnNotice = s.noticed
	config.AfterConnect = func(_ context.Context, conn *pgconn.PgConn) error {
		s.conn = conn
		conn.CustomData()[sessionKey] = s
		return nil
	}
	return nil
}

// begin finds out which server the connection has reached.
func (p *Pool) begin(ctx context.Context, conn *pgx.Conn) error {
	s := sessionOf(conn)
	self, err := p.queries.SessionGet(ctx, conn)
	if err != nil {
		return fmt.Errorf("ask for the session: %w", err)
	}
	s.backend = db.SessionWorksParams{Pid: self.Pid, Begun: self.Begun}
	p.gate.connected(self.Life)
	return nil
}

// noticed is called with each notice of the server. It recognizes the warning by the function that
// it comes from: its text may be translated, and its code is that of any warning.
func (s *session) noticed(_ *pgconn.PgConn, n *pgconn.Notice) {
	if n.Routine == "SyncRepWaitForLSN" {
		s.cancelled.Store(true)
		s.pool.gate.doubt()
	}
}

// wasCancelled reports whether the wait of the COMMIT before was cancelled.
func (s *session) wasCancelled() bool { return s.cancelled.Swap(false) }

// finish makes a round trip with a COMMIT, which nothing cancels. When ctx ends first, it returns
// an AmbiguousCommitError. The connection then cannot be used any more, only be given back.
func finish[T any](ctx context.Context, s *session, roundTrip func(context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	if err := ctx.Err(); err != nil {
		return result{}.value, err // nothing was sent
	}
	s.committing.Store(true)
	done, left := make(chan result, 1), make(chan struct{})
	go func() {
		defer close(left)
		value, err := Safely(context.WithoutCancel(ctx), roundTrip)
		done <- result{value, s.concluded(err)}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		s.left = left
		go s.watch(left)
		return result{}.value, AmbiguousCommitError{fmt.Errorf("a COMMIT is under way still: %w", context.Cause(ctx))}
	}
}

// Safely makes a panic an error: it is a bug, but a panic in this goroutine would end the process.
func Safely[T any](ctx context.Context, f func(context.Context) (T, error)) (value T, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: panic: %v\n%s", ErrInvariant, v, debug.Stack())
		}
	}()
	return f(ctx)
}

// concluded returns how a round trip with a COMMIT ended.
func (s *session) concluded(err error) error {
	if !s.conn.IsClosed() {
		s.committing.Store(false)
	}
	if s.wasCancelled() && err == nil {
		err = ErrWaitCancelled
	}
	if err != nil && unanswered(err) {
		s.pool.gate.doubt()
	}
	return err
}

// watch waits for a COMMIT whose caller has left, until left is closed. The backend may wait for a
// standby for hours. When it does not work any more, or the server is gone or hangs, the connection
// is closed, without a message that could reach the backend.
func (s *session) watch(left <-chan struct{}) {
	p := s.pool
	p.commitsLeft.Inc()
	defer p.commitsLeft.Dec()
	ctx := context.Background()
	p.log.WarnContext(ctx, "a COMMIT takes longer than its callers wait; is a synchronous standby away?",
		slog.Int64("pid", int64(s.backend.Pid)))
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for missed := 0; missed < watchMisses; {
		select {
		case <-left:
			p.log.InfoContext(ctx, "a COMMIT that took long has ended", slog.Int64("pid", int64(s.backend.Pid)))
			return
		case <-p.ending.Done():
			missed = watchMisses // the backend goes on without us
		case <-ticker.C:
			if s.works() {
				missed = 0
			} else {
				missed++
			}
		}
	}
	_ = s.conn.Conn().Close()
	<-left
	p.log.WarnContext(ctx, "a COMMIT that took long is waited for no longer, and its outcome unknown",
		slog.Int64("pid", int64(s.backend.Pid)))
}

// works checks by another connection whether the backend is still at it.
func (s *session) works() bool {
	p := s.pool
	ctx, cancel := context.WithTimeout(context.Background(), watchTimeout)
	defer cancel()
	conn, err := p.database.Connect(ctx, pgdb.Reading)
	if _, refused := errors.AsType[*pgconn.PgError](err); refused {
		return true // there is a server, with too many connections, say
	}
	if err != nil {
		return false
	}
	defer pgdb.HangUp(conn)
	works, err := p.queries.SessionWorks(ctx, conn, s.backend)
	return err == nil && works
}

// giveBack calls release as soon as nothing is under way on the connection.
func (s *session) giveBack(release func()) {
	if s.left == nil {
		release()
		return
	}
	go func() {
		<-s.left
		s.left = nil
		release()
	}()
}
