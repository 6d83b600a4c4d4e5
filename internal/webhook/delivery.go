package webhook

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/internal/events"
	"internaltransfers/internal/paging"
	"internaltransfers/ledger"
)

// DeliveryStatus is where a delivery is in its life. The names are those of
// transfers.v1.WebhookDelivery.Status.
type DeliveryStatus string

// The statuses of a delivery.
const (
	DeliveryPending   DeliveryStatus = "PENDING"
	DeliveryDelivered DeliveryStatus = "DELIVERED"
	DeliveryDead      DeliveryStatus = "DEAD" // all attempts failed
)

const (
	// pendingMax is the number of pending deliveries at which an endpoint takes no more
	// events.
	pendingMax = 10_000

	redeliverMax     = 1000   // events in one call
	redeliverScanMax = 10_000 // events that one call looks at
)

// A Delivery is an event that did not reach an endpoint at the first attempt, or that a
// caller has redelivered.
type Delivery struct {
	Position    int64 // of the event
	Status      DeliveryStatus
	Attempts    int32
	NextAttempt *time.Time // nil: when an earlier event is through, or never
	LastAttempt *time.Time // nil: never
	Failure     string     // how the last attempt failed; empty: it did not
}

// DeliveryFilter chooses deliveries.
type DeliveryFilter struct {
	EndpointID uuid.UUID
	Status     DeliveryStatus // empty: any
}

// ListDeliveries lists the deliveries of an endpoint, newest first, and returns the token of
// the next page; empty: this is the last. The error is a NotFoundError when there is no such
// endpoint.
func (s *Store) ListDeliveries(ctx context.Context, f DeliveryFilter, page paging.Page) ([]Delivery, string, error) {
	limit, err := page.Limit()
	if err != nil {
		return nil, "", err
	}
	before, err := s.Tokens.Key("deliveries", f, page.Token)
	if err != nil {
		return nil, "", err
	}
	if before == nil {
		before = &paging.Key{Position: math.MaxInt64}
		if _, err := s.Get(ctx, f.EndpointID); err != nil {
			return nil, "", err
		}
	}
	rows, err := db.New().WebhookDeliveryList(ctx, s.Pool, db.WebhookDeliveryListParams{
		EndpointID: f.EndpointID, BeforePosition: before.Position, Status: string(f.Status), RowLimit: limit + 1,
	})
	if err != nil {
		return nil, "", durable.ReadError(ctx, "list deliveries", err)
	}
	size := func(r *db.WebhookDeliveryListRow) int { return deliveryBytes + len(r.WebhookDelivery.LastFailure) }
	rows, next := paging.Trim(rows, limit, page, size, func(last *db.WebhookDeliveryListRow) string {
		return s.Tokens.Token("deliveries", f, paging.Key{Position: last.WebhookDelivery.Position})
	})
	deliveries := make([]Delivery, 0, len(rows))
	for i := range rows {
		d := &rows[i].WebhookDelivery
		deliveries = append(deliveries, Delivery{
			Position: d.Position, Status: DeliveryStatus(d.Status), Attempts: d.Attempts, NextAttempt: d.NextAttemptTime,
			LastAttempt: d.LastAttemptTime, Failure: d.LastFailure,
		})
	}
	return deliveries, next, nil
}

// Redeliver has events delivered to an endpoint again: the one at first when last is nil,
// else all from first to last that pass the endpoint's filter, at most 1,000. It returns how many,
// and where to go on when the range has more (0: it has not). Events behind the endpoint's cursor
// are still to be delivered and are left out.
func (s *Store) Redeliver(ctx context.Context, id uuid.UUID, first int64, last *int64) (count int, next int64, err error) {
	if last != nil && *last < first {
		return 0, 0, &ledger.InvalidError{Field: "last_cursor", Reason: "must not be before first_cursor"}
	}
	e, err := s.Get(ctx, id)
	if err != nil {
		return 0, 0, err
	}
	var again deliveryRows
	if last == nil {
		event, err := s.Events.At(ctx, first)
		if err != nil {
			return 0, 0, err
		}
		if event == nil {
			return 0, 0, &ledger.InvalidError{Field: "first_cursor", Reason: "is not the cursor of an event"}
		}
		if first <= e.Cursor {
			again.add(event)
		}
	} else if next, err = s.collectAgain(ctx, &again, &e, first, min(*last, e.Cursor)); err != nil {
		return 0, 0, err
	}
	_, err = s.change(ctx, id, func(tx pgx.Tx) error {
		if len(again.positions) == 0 {
			return nil
		}
		err := db.New().WebhookDeliveriesAgain(ctx, tx, db.WebhookDeliveriesAgainParams{
			EndpointID: id, Positions: again.positions, AccountIDs: again.accounts, Others: again.others,
		})
		if err != nil {
			return err
		}
		if pending, err := db.New().WebhookPendingCount(ctx, tx, id); err != nil {
			return err
		} else if pending > max(pendingMax, e.Pending) {
			return &ledger.StateError{Kind: endpointKind, ID: id, Reason: tooManyPending, Detail: fmt.Sprintf(
				"more than %d deliveries would be pending", pendingMax)}
		}
		if err := db.New().WebhookDeliveriesFreeAll(ctx, tx, id); err != nil {
			return err
		}
		return db.New().WebhookTouch(ctx, tx, id)
	})
	if err != nil {
		return 0, 0, err
	}
	return len(again.positions), next, nil
}

// collectAgain adds the events of a range that pass the endpoint's filter, and returns where it
// stopped short of its end.
func (s *Store) collectAgain(ctx context.Context, again *deliveryRows, e *Endpoint, first, last int64) (int64, error) {
	after := max(first, 1) - 1
	for range redeliverScanMax / events.PageMax {
		if after >= last {
			return 0, nil
		}
		events, end, _, err := s.Events.Read(ctx, after, events.PageMax)
		if err != nil {
			return 0, err
		}
		for _, event := range events {
			switch {
			case event.Position > last:
				return 0, nil
			case !e.Filter.Passes(event):
			case len(again.positions) == redeliverMax:
				return event.Position, nil
			default:
				again.add(event)
			}
		}
		if end <= after {
			return 0, nil
		}
		after = end
	}
	if after >= last {
		return 0, nil
	}
	return after + 1, nil
}

// deliveryRows are the columns of deliveries that are written.
type deliveryRows struct {
	positions        []int64
	accounts, others []uuid.UUID
}

func (r *deliveryRows) add(e *events.Event) {
	accounts := append(e.Accounts(), uuid.Nil)
	r.positions = append(r.positions, e.Position)
	r.accounts = append(r.accounts, accounts[0])
	r.others = append(r.others, accounts[1])
}
