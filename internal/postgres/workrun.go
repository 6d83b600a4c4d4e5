package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/ledger"
)

const (
	asideFor   = time.Minute // how long an item that failed by itself is left alone
	lookFactor = 16          // transfers read for each of a round, to skip other workers' ones
)

// kindOccurrence is the metrics' name for the transfers of schedules.
const kindOccurrence = "OCCURRENCE"

// A claim is the items of a worker's round.
type claim struct {
	now       time.Time
	transfers []db.TransfersClaimRow // pending ones that are due
	orders    []claimedOrder
	commands  []ledger.Command // one for each transfer, then one for each occurrence
	full      bool             // more may be due than this
	settled   bool             // something was done
}

// A claimedOrder is a schedule that is due, with the occurrences to make.
type claimedOrder struct {
	*scheduleState
	due []time.Time
}

// runOnce executes due items, up to the worker's limit of each kind. It reports whether it was
// full, so that more may be due, and returns how long it is until the next item is. When there is
// an error, some items may have been executed.
//
// A round is one transaction, which claims items, waits while a batch executes them on another
// connection, and moves the schedules on. That an item is executed once does not depend on the
// claims but on the batch, which decides under the locks of the accounts. The claims only keep
// workers, of all servers, from doing the same work.
func (w *worker) runOnce(ctx context.Context) (full bool, wait time.Duration, err error) {
	var later error // of items that are to be tried again; the others are kept
	err = w.ledger.pool.Change(ctx, durable.ReadCommitted, func(tx pgx.Tx) error {
		c, err := w.claim(ctx, tx)
		if err != nil {
			return err
		}
		if later, err = w.applyClaimed(ctx, c); err != nil {
			return err
		}
		orders := make([]*scheduleState, 0, len(c.orders))
		for i := range c.orders {
			orders = append(orders, c.orders[i].scheduleState)
		}
		if err := w.ledger.advance(ctx, tx, orders, c.now); err != nil {
			return err
		}
		outlook, err := w.ledger.queries.WorkOutlook(ctx, tx, c.now)
		if err != nil {
			return fmt.Errorf("look what is due next: %w", err)
		}
		w.ledger.metrics.workerLag.Set(outlook.Now.Sub(outlook.OldestDue).Seconds())
		full, wait = c.full && c.settled, outlook.NextDue.Sub(outlook.Now)
		return nil
	})
	return full, wait, errors.Join(err, later)
}

// claim chooses items that no other worker has claimed.
func (w *worker) claim(ctx context.Context, tx pgx.Tx) (*claim, error) {
	queries := w.ledger.queries
	begun, err := queries.WorkBegin(ctx, tx, strconv.FormatInt(w.patience().Milliseconds(), 10))
	if err != nil {
		return nil, fmt.Errorf("begin a round: %w", err)
	}
	c, aside := &claim{now: begun.Now}, w.skipped()
	c.transfers, err = queries.TransfersClaim(ctx, tx, db.TransfersClaimParams{
		Now: c.now, Aside: aside, LookLimit: int32(lookFactor * w.limit), RowLimit: int32(w.limit),
	})
	if err != nil {
		return nil, fmt.Errorf("look for transfers that are due: %w", err)
	}
	for i := range c.transfers {
		c.commands = append(c.commands, ledger.NewExecuteDue(c.transfers[i].TransferID))
	}
	rows, err := queries.SchedulesClaim(ctx, tx, db.SchedulesClaimParams{Now: c.now, Aside: aside, RowLimit: int32(w.limit)})
	if err != nil {
		return nil, fmt.Errorf("look for schedules that are due: %w", err)
	}
	c.full = len(c.transfers) == w.limit || len(rows) == w.limit
	for i := range rows {
		if err := w.plan(ctx, tx, c, &rows[i].Schedule); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// plan chooses the occurrences to make of a schedule that is due. When some are to be left out, it
// only moves the schedule on: see scheduleState.
func (w *worker) plan(ctx context.Context, tx pgx.Tx, c *claim, r *db.Schedule) error {
	s, err := w.ledger.standingOf(ctx, tx, r)
	if err != nil {
		return w.failed(ctx, r.ScheduleID, err)
	}
	if s.missed(c.now) {
		if err := w.ledger.countMade(ctx, tx, s, c.now); err != nil {
			return err
		}
	}
	if s.missed(c.now) {
		if next, ok := s.caughtUp(c.now); !ok || !next.Equal(*s.Next) {
			s.moveTo(next, ok)
			c.orders = append(c.orders, claimedOrder{s, nil})
			c.full, c.settled = true, true
			return nil
		}
	}
	room := w.limit - (len(c.commands) - len(c.transfers))
	due := s.due(c.now, room)
	c.full = c.full || len(due) == room
	for _, at := range due {
		command, err := ledger.NewCommand(s.occurrence(at))
		if err != nil {
			return fmt.Errorf("%w: an occurrence of schedule %s: %w", durable.ErrInvariant, s.ID, err)
		}
		c.commands = append(c.commands, command)
	}
	c.orders = append(c.orders, claimedOrder{s, due})
	return nil
}

// applyClaimed has a batch execute the claimed items, and notes what became of them. later is why
// some are to be tried again.
func (w *worker) applyClaimed(ctx context.Context, c *claim) (later, err error) {
	if len(c.commands) == 0 {
		return nil, nil
	}
	outcomes, err := w.ledger.submit(&call{ctx: ctx, commands: c.commands}, false)
	if err != nil {
		return nil, err
	}
	for i := range c.transfers {
		o := &outcomes[i]
		w.ledger.metrics.settled.WithLabelValues(c.transfers[i].Kind, labelOf(o)).Inc()
		if o.Err != nil {
			later = errors.Join(later, w.failed(ctx, c.transfers[i].TransferID, o.Err))
		} else if !o.Replayed {
			c.settled = true
		}
	}
	outcomes = outcomes[len(c.transfers):]
	for _, order := range c.orders {
		later = errors.Join(later, w.count(ctx, c, order, outcomes[:len(order.due)]))
		outcomes = outcomes[len(order.due):]
	}
	return later, nil
}

// count counts the occurrences of a schedule that were made, refused ones too. One that is to be
// tried again holds up those after it, which are then found made.
func (w *worker) count(ctx context.Context, c *claim, order claimedOrder, outcomes []ledger.Outcome) error {
	for i := range outcomes {
		o := &outcomes[i]
		w.ledger.metrics.settled.WithLabelValues(kindOccurrence, labelOf(o)).Inc()
		var conflict *ledger.ConflictError
		if errors.As(o.Err, &conflict) {
			// Another caller has used the id for another transfer. It will never be free, and the
			// schedule goes on.
			w.ledger.log.ErrorContext(ctx, "an occurrence's transfer_id is taken", slog.String("schedule_id", order.ID.String()),
				slog.String("transfer_id", conflict.ID))
		} else if o.Err != nil {
			return w.failed(ctx, order.ID, o.Err)
		}
		order.made()
		c.settled = true
	}
	return nil
}

// failed returns the error of an item when it is not the item's own: then the whole round is to be
// tried again later. Else the item alone is put aside for a while, so that it neither keeps the
// workers busy nor delays other items.
func (w *worker) failed(ctx context.Context, id uuid.UUID, err error) error {
	var overloaded *ledger.OverloadedError
	away := errors.Is(err, ledger.ErrUnavailable) && !durable.Hindered(err)
	if away || errors.Is(err, ledger.ErrClosed) || errors.As(err, &overloaded) || ctx.Err() != nil {
		return err
	}
	w.ledger.log.ErrorContext(ctx, "an item that is due cannot be settled, and is put aside for a while",
		slog.String("id", id.String()), slog.Duration("for", asideFor), slog.Any("error", err))
	w.retryAt[id] = time.Now().Add(asideFor)
	return nil
}

// skipped returns the items that are put aside.
func (w *worker) skipped() []uuid.UUID {
	ids := make([]uuid.UUID, 0, len(w.retryAt))
	now := time.Now()
	for id, until := range w.retryAt {
		if now.Before(until) {
			ids = append(ids, id)
		} else {
			delete(w.retryAt, id)
		}
	}
	return ids
}
