package postgres

import (
	"context"
	"slices"
	"sync"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/ledger"
)

const (
	readsInFlight = 2    // set reads of one kind at a time
	readBatchMax  = 1000 // ids in one of them

	// readRepeats is how often a set read is made again when its session was ended. All that were
	// idle may have been, and each of them fails once.
	readRepeats = 10
)

// A coalescer turns reads of single rows that come at the same time into set reads: while one is in
// flight, callers queue, and the next read is for all of them. There is no timer, and nothing is
// cached: a read begins after its callers' calls, so each sees every write that returned before.
type coalescer[V any] struct {
	fetch func(context.Context, []uuid.UUID) (map[uuid.UUID]V, error)

	mu       sync.Mutex
	waiting  []*read[V] // guarded by mu
	inFlight int        // guarded by mu
}

// A read is what one caller waits for.
type read[V any] struct {
	id    uuid.UUID
	done  chan struct{} // closed when the results below are set
	value V
	found bool
	err   error
}

// get reads the row with the id, and reports whether there is one.
func (c *coalescer[V]) get(ctx context.Context, id uuid.UUID) (value V, found bool, err error) {
	if ctx.Err() != nil {
		return value, false, ctx.Err()
	}
	r := &read[V]{id: id, done: make(chan struct{})}
	c.mu.Lock()
	c.waiting = append(c.waiting, r)
	if c.inFlight < readsInFlight {
		c.inFlight++
		go c.run()
	}
	c.mu.Unlock()
	select {
	case <-r.done:
		return r.value, r.found, r.err
	case <-ctx.Done():
		return value, false, ctx.Err()
	}
}

// getAll reads the rows with the ids, which differ, and returns those that exist.
func (c *coalescer[V]) getAll(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]V, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	reads := make([]*read[V], len(ids))
	for i, id := range ids {
		reads[i] = &read[V]{id: id, done: make(chan struct{})}
	}
	c.mu.Lock()
	c.waiting = append(c.waiting, reads...)
	if c.inFlight < readsInFlight {
		c.inFlight++
		go c.run()
	}
	c.mu.Unlock()
	values := make(map[uuid.UUID]V, len(ids))
	for _, r := range reads {
		select {
		case <-r.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if r.err != nil {
			return nil, r.err
		}
		if r.found {
			values[r.id] = r.value
		}
	}
	return values, nil
}

// run reads until the queue is empty.
func (c *coalescer[V]) run() {
	for {
		c.mu.Lock()
		n := min(len(c.waiting), readBatchMax)
		if n == 0 {
			c.inFlight--
			c.mu.Unlock()
			return
		}
		reads := slices.Clone(c.waiting[:n])
		c.waiting = slices.Delete(c.waiting, 0, n)
		c.mu.Unlock()
		c.answer(reads)
	}
}

func (c *coalescer[V]) answer(reads []*read[V]) {
	// The read is shared, so no caller's context ends it.
	ctx, cancel := context.WithTimeout(context.Background(), durable.ReadTimeout)
	defer cancel()
	ids := make([]uuid.UUID, 0, len(reads))
	for _, r := range reads {
		ids = append(ids, r.id)
	}
	fetch := func(ctx context.Context) (map[uuid.UUID]V, error) { return c.fetch(ctx, ids) }
	values, err := durable.Safely(ctx, fetch)
	// Nothing of it was returned yet.
	for n := 0; n < readRepeats && durable.SessionEnded(err) && ctx.Err() == nil; n++ {
		values, err = durable.Safely(ctx, fetch)
	}
	for _, r := range reads {
		r.value, r.found = values[r.id]
		r.err = err
		close(r.done)
	}
}

// fetchAccounts reads accounts by id.
func (l *Ledger) fetchAccounts(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]ledger.Account, error) {
	rows, err := l.queries.AccountsGet(ctx, l.pool, ids)
	if err != nil {
		return nil, durable.ReadError(ctx, "read accounts", err)
	}
	accounts := make(map[uuid.UUID]ledger.Account, len(rows))
	for i := range rows {
		r := &rows[i]
		a, err := l.currencies.Account(ctx, l.pool, &r.Account, r.ExpiredHeld, r.ExpiredIncoming)
		if err != nil {
			return nil, err
		}
		accounts[a.ID] = a
	}
	return accounts, nil
}

// fetchTransfers reads transfers by id.
func (l *Ledger) fetchTransfers(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]ledger.Transfer, error) {
	rows, err := unwrap(l.queries.TransfersGet(ctx, l.pool, ids))
	if err != nil {
		return nil, durable.ReadError(ctx, "read transfers", err)
	}
	transfers, err := l.shownTransfers(ctx, rows)
	if err != nil {
		return nil, err
	}
	byID := make(map[uuid.UUID]ledger.Transfer, len(transfers))
	for i := range transfers {
		byID[transfers[i].ID] = transfers[i]
	}
	return byID, nil
}

// shownTransfers converts rows that were read to be returned. A hold that has expired reserves
// nothing, to the instant, like in the balances of its accounts, though it stays INIT until a batch
// ends it.
func (l *Ledger) shownTransfers(ctx context.Context, rows []db.TransferFull) ([]ledger.Transfer, error) {
	transfers := make([]ledger.Transfer, 0, len(rows))
	var expiring []*ledger.TransferDetail
	for i := range rows {
		t, err := l.currencies.Transfer(ctx, l.pool, &rows[i])
		if err != nil {
			return nil, err
		}
		transfers = append(transfers, t)
		if d := t.Detail; d != nil && d.Kind == ledger.KindHold && d.Open.Valid && d.DueTime != nil {
			expiring = append(expiring, d)
		}
	}
	if len(expiring) == 0 {
		return transfers, nil
	}
	now, err := l.queries.Clock(ctx, l.pool)
	if err != nil {
		return nil, durable.ReadError(ctx, "read the clock", err)
	}
	for _, d := range expiring {
		if !d.DueTime.After(now) {
			d.Open.Decimal = decimal.Zero
		}
	}
	return transfers, nil
}
