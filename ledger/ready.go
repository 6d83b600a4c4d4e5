package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	readyTimeout = 2 * time.Second // of one probe
	readyKept    = time.Second     // how long what it found is good
)

// ReadyToWrite returns nil when a transfer would be taken now: the database can be reached, is no standby and not
// read-only, lets us write, and has a commit confirmed by its synchronous standbys, if it has any. Else the error wraps
// ErrUnavailable and says why in plain words. What was found a second ago is good enough, and callers at a time share it.
func (l *Ledger) ReadyToWrite(ctx context.Context) error { return l.writable.look(ctx) }

// ReadyToRead returns nil when something would be read now, and else an error likewise.
func (l *Ledger) ReadyToRead(ctx context.Context) error { return l.readable.look(ctx) }

// tryToWrite does what a batch does, but for changing anything.
func (l *Ledger) tryToWrite(ctx context.Context) error {
	conn, err := l.writers.Acquire(ctx)
	if stat := l.writers.Stat(); err != nil && stat.AcquiredConns() == stat.MaxConns() {
		return unready(err, "all connections for writing wait, for a synchronous standby or for who has locked a table")
	}
	if err != nil {
		return unready(err, "the database cannot be reached, or is a standby")
	}
	defer conn.Release()
	if err := l.queries.WriteProbe(ctx, conn); err != nil {
		return unready(err, "the database does not take a write in time: it hangs, or somebody has locked a table")
	}
	if err := l.barrier(ctx, conn.Conn(), ""); err != nil {
		return unready(err, "commits are not confirmed in time by a synchronous standby")
	}
	return nil
}

// tryToRead reads something.
func (l *Ledger) tryToRead(ctx context.Context) error {
	if _, err := l.queries.ReadProbe(ctx, l.readers); err != nil {
		return unready(err, "the database cannot be read in time")
	}
	return nil
}

// An unreadyError says why the ledger is not ready.
type unreadyError struct {
	why   string
	cause error // not for everybody's eyes
}

func (e *unreadyError) Error() string { return e.why }

func (e *unreadyError) Unwrap() []error { return []error{ErrUnavailable, e.cause} }

// logged says what lies behind.
func logged(err error) slog.Attr {
	if e, ok := errors.AsType[*unreadyError](err); ok {
		err = e.cause
	}
	return slog.Any("error", err)
}

// unready says why a probe failed: what the server says is wrong, or else what most likely is.
func unready(err error, likely string) error {
	pg, _ := errors.AsType[*pgconn.PgError](err)
	switch {
	case pg == nil:
	case pg.Code == stateReadOnly:
		likely = "the database is read-only"
	case pg.Code == stateNoPrivilege:
		likely = "the database refuses our role: " + pg.Message
	default:
		likely = fmt.Sprintf("the database refuses: %s (SQLSTATE %s)", pg.Message, pg.Code)
	}
	return &unreadyError{likely, err}
}

// A probe finds out whether something works. Whoever asks while it does gets what it finds, so that there is one at a time
// however many ask, and however long it hangs.
type probe struct {
	name string
	try  func(context.Context) error
	log  *slog.Logger

	mu      sync.Mutex
	last    *verdict // guarded by mu
	pending *verdict // nil: nobody tries; guarded by mu
}

// A verdict is what a probe found.
type verdict struct {
	done chan struct{} // closed when the rest is set
	at   time.Time
	err  error
}

func newProbe(name string, log *slog.Logger, try func(context.Context) error) *probe {
	return &probe{name: name, try: try, log: log, last: &verdict{}}
}

// look returns what was found lately, or is found now.
func (p *probe) look(ctx context.Context) error {
	v := p.verdict()
	select {
	case <-v.done:
		return v.err
	case <-ctx.Done():
		return unready(ctx.Err(), "it is still being tried")
	}
}

// verdict is the latest one while it is good, else the one to come.
func (p *probe) verdict() *verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.last.at) < readyKept {
		return p.last
	}
	if p.pending == nil {
		p.pending = &verdict{done: make(chan struct{})}
		go p.find(p.pending)
	}
	return p.pending
}

// find tries once, and says so when what it finds has changed.
func (p *probe) find(v *verdict) {
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	_, v.err = safely(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, p.try(ctx) })
	p.mu.Lock()
	defer p.mu.Unlock()
	switch before := p.last.err; {
	case v.err != nil && before == nil:
		p.log.WarnContext(ctx, "not ready", slog.String("to", p.name), slog.Any("because", v.err), logged(v.err))
	case v.err == nil && before != nil:
		p.log.InfoContext(ctx, "ready again", slog.String("to", p.name))
	}
	v.at = time.Now()
	p.last, p.pending = v, nil
	close(v.done)
}
