package webhook

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"internaltransfers/gen/db"
	"internaltransfers/internal/events"
)

// A Backlog is what the endpoints of a status have yet to be sent.
type Backlog struct {
	Endpoints int64
	Pending   int64         // deliveries
	Behind    int64         // positions of events, from the cursor of the endpoint furthest behind
	Oldest    time.Duration // the age of the oldest event that has not reached one; 0: there is none
}

// Backlogs reads the backlogs of the endpoints that are not deleted, by their status. lag is that
// of the events now.
func (s *Store) Backlogs(ctx context.Context, lag *events.Lag) (map[Status]Backlog, error) {
	rows, err := db.New().WebhookBacklogs(ctx, s.Pool, endpointsMax)
	if err != nil {
		return nil, err
	}
	backlogs := make(map[Status]Backlog, len(rows))
	for i := range rows {
		r := &rows[i]
		b := Backlog{Endpoints: r.EndpointCount, Pending: r.PendingCount, Behind: max(0, lag.Reached-r.CursorPosition)}
		if r.OldestPosition <= lag.End {
			age, err := db.New().EventAge(ctx, s.Pool, r.OldestPosition)
			switch {
			case err == nil:
				b.Oldest = max(0, age.Now.Sub(age.EventTime))
			case !errors.Is(err, pgx.ErrNoRows):
				return nil, err
			}
		}
		backlogs[Status(r.Status)] = b
	}
	return backlogs, nil
}
