package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/internal/events"
	"internaltransfers/ledger"
)

// errLost: the endpoint has another owner, or was changed since it was read. Nothing was
// recorded.
var errLost = errors.New("the webhook endpoint is held no longer")

// claimMax is how many free endpoints an owner takes at a time, so that several owners
// share them.
const claimMax = 16

// A leasedEndpoint is an endpoint as its owner delivers to it.
//
// The owner has the endpoint by a lease: the owner's id, and the time at which it ends unless it is
// renewed, by the database's clock. The lease only keeps two owners from doing the same work. That
// nothing is lost, and the order along accounts, do not depend on it: a record is written only
// while its owner still has the endpoint in the same version, in one transaction, and an event is
// posted only after all earlier ones of its accounts were delivered, by this owner or by those that
// recorded it. An owner that lost its lease and has not noticed yet can only repeat.
type leasedEndpoint struct {
	ID      uuid.UUID
	Version int64 // grows with each change
	URL     string
	Filter  events.Filter
	Cursor  int64
	Secrets [][]byte // that messages are signed with now
}

// lease renews the leases of an owner, leases enabled endpoints that are free, some at a
// time, and returns all that it has, and the time by the database's clock.
func (s *Store) lease(ctx context.Context, holder uuid.UUID, lease time.Duration) (
	held []leasedEndpoint, now time.Time, err error,
) {
	if now, err = db.New().Clock(ctx, s.Pool); err != nil {
		return nil, now, durable.ReadError(ctx, "read the clock", err)
	}
	err = db.New().WebhooksRenew(ctx, s.Pool, db.WebhooksRenewParams{
		Holder: holder, Lease: interval(lease), RenewBefore: interval(lease * 2 / 3),
	})
	if err != nil {
		return nil, now, durable.ReadError(ctx, "renew the leases of endpoints", err)
	}
	err = db.New().WebhooksClaim(ctx, s.Pool, db.WebhooksClaimParams{
		Holder: holder, Lease: interval(lease), RowLimit: claimMax,
	})
	if err != nil {
		return nil, now, durable.ReadError(ctx, "lease endpoints", err)
	}
	rows, err := db.New().WebhooksHeld(ctx, s.Pool, db.WebhooksHeldParams{Holder: holder, RowLimit: 2 * endpointsMax})
	if err != nil {
		return nil, now, durable.ReadError(ctx, "read the endpoints that are held", err)
	}
	held = make([]leasedEndpoint, 0, len(rows))
	for i := range rows {
		r := &rows[i]
		filter, err := decodeFilter(r.Filter)
		if err != nil {
			return nil, now, fmt.Errorf("endpoint %s: %w", r.EndpointID, err)
		}
		h := leasedEndpoint{
			ID: r.EndpointID, Version: r.Version, URL: r.URL, Filter: filter, Cursor: r.CursorPosition,
			Secrets: [][]byte{r.Secret},
		}
		if r.OldSecret != nil {
			h.Secrets = append(h.Secrets, r.OldSecret)
		}
		held = append(held, h)
	}
	return held, now, nil
}

// hasten brings forward pending deliveries that wait longer for their next attempt than
// delaysMax allows, by the number of attempts made: those were put off before the clock was set
// back.
func (s *Store) hasten(ctx context.Context, delaysMax []time.Duration) error {
	micros := make([]int64, 0, len(delaysMax))
	for _, d := range delaysMax {
		micros = append(micros, d.Microseconds())
	}
	if err := db.New().WebhookDeliveriesHasten(ctx, s.Pool, micros); err != nil {
		return durable.ReadError(ctx, "hasten deliveries", err)
	}
	return nil
}

// release frees an owner's endpoints for others at once.
func (s *Store) release(ctx context.Context, holder uuid.UUID) error {
	if err := db.New().WebhooksRelease(ctx, s.Pool, holder); err != nil {
		return durable.ReadError(ctx, "release endpoints", err)
	}
	return nil
}

// backlog returns how many deliveries of an endpoint are pending, and the accounts that they
// are about.
func (s *Store) backlog(ctx context.Context, id uuid.UUID) (pending int64, accounts map[uuid.UUID]bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, durable.ReadTimeout, ledger.ErrUnavailable)
	defer cancel()
	if pending, err = db.New().WebhookPendingCount(ctx, s.Pool, id); err != nil {
		return 0, nil, durable.ReadError(ctx, "count pending deliveries", err)
	}
	ids, err := db.New().WebhookAccountsAllPending(ctx, s.Pool, db.WebhookAccountsAllPendingParams{
		EndpointID: id, RowLimit: int32(2*pending) + 2*redeliverMax,
	})
	if err != nil {
		return 0, nil, durable.ReadError(ctx, "read the accounts of pending deliveries", err)
	}
	accounts = make(map[uuid.UUID]bool, len(ids))
	for _, id := range ids {
		accounts[id] = true
	}
	return pending, accounts, nil
}

// A dueDelivery is a pending delivery to try now.
type dueDelivery struct {
	Position int64
	Attempts int // before this one
	Accounts []uuid.UUID
}

// due returns deliveries of an endpoint that are to be tried now, the longest due first,
// at most limit, and none of those under way.
func (s *Store) due(ctx context.Context, id uuid.UUID, underWay []int64, limit int) ([]dueDelivery, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, durable.ReadTimeout, ledger.ErrUnavailable)
	defer cancel()
	rows, err := db.New().WebhookDeliveriesDue(ctx, s.Pool, db.WebhookDeliveriesDueParams{
		EndpointID: id, UnderWay: append([]int64{}, underWay...), RowLimit: int32(limit),
	})
	if err != nil {
		return nil, durable.ReadError(ctx, "read due deliveries", err)
	}
	due := make([]dueDelivery, 0, len(rows))
	for i := range rows {
		d := dueDelivery{Position: rows[i].Position, Attempts: int(rows[i].Attempts), Accounts: []uuid.UUID{rows[i].AccountID}}
		if rows[i].OtherAccountID.Valid {
			d.Accounts = append(d.Accounts, rows[i].OtherAccountID.UUID)
		}
		due = append(due, d)
	}
	return due, nil
}

// A record is what an owner writes at a time.
type record struct {
	Holder    uuid.UUID
	ID        uuid.UUID // of the endpoint
	Version   int64     // in which the owner has it
	Lease     time.Duration
	Cursor    int64            // every event up to here was delivered, or is stored by now
	Succeeded bool             // an attempt did since the last record
	Failure   string           // of an attempt since; empty: none failed
	Gone      bool             // the endpoint wants no more: it is disabled
	Stored    []storedDelivery // events that become pending deliveries
	Tried     []triedDelivery  // pending deliveries that were tried
}

// A storedDelivery is an event that becomes a pending delivery.
type storedDelivery struct {
	Event   *events.Event
	Failure string        // of the first attempt; empty: not tried, waits for earlier events
	Delay   time.Duration // until the next attempt, if it was tried
}

// A triedDelivery is what became of an attempt at a pending delivery.
type triedDelivery struct {
	dueDelivery
	Status  DeliveryStatus // PENDING: it is tried again after Delay
	Failure string
	Delay   time.Duration
}

// record writes a record whole, and renews the lease. It returns which of the accounts of
// Stored and Tried still have pending deliveries, and by how many the pending ones grew. The error
// is errLost when the owner no longer has the endpoint in this version.
func (s *Store) record(ctx context.Context, r *record) (pending map[uuid.UUID]bool, more int64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, durable.ReadTimeout, ledger.ErrUnavailable)
	defer cancel()
	if len(r.Stored) == 0 && len(r.Tried) == 0 {
		return nil, 0, s.advance(ctx, s.Pool, r)
	}
	err = s.Pool.Change(ctx, durable.ReadCommitted, func(tx pgx.Tx) error {
		if err := s.advance(ctx, tx, r); err != nil {
			return err
		}
		accounts := r.accounts()
		if more, err = s.writeDeliveries(ctx, tx, r); err != nil {
			return err
		}
		err := db.New().WebhookDeliveriesFree(ctx, tx, db.WebhookDeliveriesFreeParams{EndpointID: r.ID, AccountIDs: accounts})
		if err != nil {
			return err
		}
		still, err := db.New().WebhookAccountsPending(ctx, tx, db.WebhookAccountsPendingParams{EndpointID: r.ID, AccountIDs: accounts})
		if err != nil {
			return err
		}
		pending = make(map[uuid.UUID]bool, len(accounts))
		for _, id := range accounts {
			pending[id] = false
		}
		for _, id := range still {
			pending[id] = true
		}
		return nil
	})
	if err != nil && !errors.Is(err, errLost) {
		err = durable.ReadError(ctx, "record deliveries", err)
	}
	return pending, more, err
}

// accounts are those of everything in the record, each once.
func (r *record) accounts() []uuid.UUID {
	var ids []uuid.UUID
	seen := make(map[uuid.UUID]bool)
	add := func(some []uuid.UUID) {
		for _, id := range some {
			if !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
	}
	for i := range r.Stored {
		add(r.Stored[i].Event.Accounts())
	}
	for i := range r.Tried {
		add(r.Tried[i].Accounts)
	}
	return ids
}

func (s *Store) advance(ctx context.Context, conn db.DBTX, r *record) error {
	n, err := db.New().WebhookAdvance(ctx, conn, db.WebhookAdvanceParams{
		EndpointID: r.ID, Holder: r.Holder, Version: r.Version, CursorPosition: r.Cursor, Succeeded: r.Succeeded,
		Failure: r.Failure, Gone: r.Gone, Lease: interval(r.Lease),
	})
	switch {
	case err != nil:
		return durable.ReadError(ctx, "advance an endpoint", err)
	case n == 0:
		return errLost
	}
	return nil
}

// writeDeliveries returns by how many the pending deliveries grew.
func (s *Store) writeDeliveries(ctx context.Context, tx pgx.Tx, r *record) (more int64, err error) {
	if len(r.Stored) > 0 {
		var rows deliveryRows
		p := db.WebhookDeliveriesInsertParams{EndpointID: r.ID}
		for i := range r.Stored {
			stored := &r.Stored[i]
			rows.add(stored.Event)
			delay := int64(-1)
			if stored.Failure != "" {
				delay = stored.Delay.Microseconds()
			}
			p.Delays, p.Failures = append(p.Delays, delay), append(p.Failures, stored.Failure)
		}
		p.Positions, p.AccountIDs, p.Others = rows.positions, rows.accounts, rows.others
		if more, err = db.New().WebhookDeliveriesInsert(ctx, tx, p); err != nil {
			return 0, err
		}
	}
	if len(r.Tried) > 0 {
		p := db.WebhookDeliveriesTriedParams{EndpointID: r.ID}
		for i := range r.Tried {
			t := &r.Tried[i]
			if t.Status != DeliveryPending {
				more--
			}
			p.Positions, p.Statuses = append(p.Positions, t.Position), append(p.Statuses, string(t.Status))
			p.Delays, p.Failures = append(p.Delays, t.Delay.Microseconds()), append(p.Failures, t.Failure)
		}
		if err = db.New().WebhookDeliveriesTried(ctx, tx, p); err != nil {
			return 0, err
		}
	}
	return more, nil
}
