package postgres

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"internaltransfers/internal/durable"
)

// shortageMost is how long a shortage is reported after the last batch that met it. When no calls
// come any more, nothing else shows that it is over.
const shortageMost = 10 * time.Second

// A shortage remembers whether the last batch failed because the database is short of something. A
// probe that writes nothing does not notice a full disk.
type shortage struct{ last atomic.Pointer[shortageMet] }

type shortageMet struct {
	err  error
	time time.Time
}

// note takes what became of a batch. Errors of other kinds tell nothing about resources.
func (s *shortage) note(err error, now time.Time) {
	var pg *pgconn.PgError
	switch {
	case err == nil:
		if s.last.Load() != nil {
			s.last.Store(nil)
		}
	case errors.As(err, &pg) && durable.IsShortage(pg):
		s.last.Store(&shortageMet{err, now})
	}
}

// lately returns the error of the last batch if that failed for want of resources, and not long
// ago.
func (s *shortage) lately(now time.Time) error {
	if met := s.last.Load(); met != nil && now.Sub(met.time) < shortageMost {
		return met.err
	}
	return nil
}
