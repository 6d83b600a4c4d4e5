package events

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/internal/stored"
	"internaltransfers/ledger"
)

// An Type says what changed.
type Type string

// The types of events.
const (
	TransferCreated Type = "TRANSFER_CREATED" // recorded, perhaps refused
	TransferChanged Type = "TRANSFER_CHANGED" // captured, ended, executed or reversed
	AccountCreated  Type = "ACCOUNT_CREATED"  // opened
	AccountChanged  Type = "ACCOUNT_CHANGED"  // its profile, policy or status; not its balance
)

// An Event is one committed change. All its readers share it: none may change it.
type Event struct {
	Position int64 // in the one order of all events; they grow, not by one
	Type     Type
	Time     time.Time        // by the database's clock
	Transfer *ledger.Transfer // as it was right after the change; nil: see Account
	Account  *ledger.Account  // likewise
}

// size is about how much memory the event takes, in bytes.
func (e *Event) size() int {
	size := 1 << 10
	var metadata map[string]string
	if t := e.Transfer; t != nil {
		size += len(t.Reference)
		metadata = t.Metadata
	} else {
		size += len(e.Account.DisplayName) + len(e.Account.ImageURL)
		metadata = e.Account.Metadata
	}
	for key, value := range metadata {
		size += len(key) + len(value) + 64
	}
	return size
}

// An Filter chooses events. An event passes when it passes every field; zero fields pass
// everything.
type Filter struct {
	Types      []Type
	AccountIDs []uuid.UUID             // that a transfer is from or to, or that changed
	Currencies []string                // of the transfer or account
	Statuses   []ledger.TransferStatus // of the transfer, right after the change; no account passes
	Reference  string                  // of the transfer; no account passes; nor does one below
	GroupID    uuid.UUID
	ParentID   uuid.UUID
}

// All reports whether the filter lets everything through.
func (f *Filter) All() bool {
	return len(f.Types)+len(f.AccountIDs)+len(f.Currencies)+len(f.Statuses) == 0 && f.Reference == "" &&
		f.GroupID == uuid.Nil && f.ParentID == uuid.Nil
}

// Passes reports whether the filter lets the event through.
func (f *Filter) Passes(e *Event) bool {
	if len(f.Types) > 0 && !slices.Contains(f.Types, e.Type) {
		return false
	}
	if t := e.Transfer; t != nil {
		return f.passesTransfer(t)
	}
	a := e.Account
	return len(f.Statuses) == 0 && f.Reference == "" && f.GroupID == uuid.Nil && f.ParentID == uuid.Nil &&
		(len(f.AccountIDs) == 0 || slices.Contains(f.AccountIDs, a.ID)) &&
		(len(f.Currencies) == 0 || slices.Contains(f.Currencies, a.Currency))
}

func (f *Filter) passesTransfer(t *ledger.Transfer) bool {
	return (len(f.AccountIDs) == 0 || slices.Contains(f.AccountIDs, t.From) || slices.Contains(f.AccountIDs, t.To)) &&
		(len(f.Currencies) == 0 || slices.Contains(f.Currencies, t.Currency)) &&
		(len(f.Statuses) == 0 || slices.Contains(f.Statuses, t.Status)) &&
		(f.Reference == "" || f.Reference == t.Reference) &&
		(f.GroupID == uuid.Nil || f.GroupID == t.Group()) &&
		(f.ParentID == uuid.Nil || t.Detail != nil && f.ParentID == t.Detail.ParentID)
}

// PageMax bounds the events that are read at a time.
const PageMax = 1000

// Last returns a position near the end: a caller that follows from there, and then reads the
// ledger, misses nothing. It is the end, unless a transaction that may have written events does not
// end.
func (s *Stream) Last(ctx context.Context) (int64, error) {
	return s.horizon.wait(ctx)
}

// Read reads a page of events after a position, 0 for the first ones, oldest first: at most limit
// of them, 1 to 1,000. next is where the following page begins. more reports whether it has any
// already.
func (s *Stream) Read(ctx context.Context, after int64, limit int) (events []*Event, next int64, more bool, err error) {
	seen, err := s.horizon.observe(ctx)
	if err != nil {
		return nil, after, false, err
	}
	if err := checkPosition(after, seen.last); err != nil {
		return nil, after, false, err
	}
	// A full page need not wait for what comes behind it.
	if events, next, err = s.between(ctx, after, seen.reached, limit); err != nil || len(events) == limit {
		return events, next, true, err
	}
	end, err := s.horizon.wait(ctx)
	if err != nil {
		return nil, after, false, err
	}
	some, next, err := s.between(ctx, next, end, limit-len(events))
	return append(events, some...), next, next < end, err
}

// checkPosition refuses a position that no event has had.
func checkPosition(after, last int64) error {
	if after > last {
		return &ledger.InvalidError{Field: "after", Reason: "is not a cursor that this ledger gave"}
	}
	return nil
}

// between reads events after one position up to another, which is not beyond the horizon.
// next is up to where it has read everything.
func (s *Stream) between(ctx context.Context, after, last int64, limit int) (events []*Event, next int64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, durable.ReadTimeout, ledger.ErrUnavailable)
	defer cancel()
	if limit < 1 || limit > PageMax {
		return nil, after, &ledger.InvalidError{Field: "page_size", Reason: fmt.Sprintf("must be 1 to %d", PageMax)}
	}
	if after >= last {
		return nil, after, nil
	}
	page := db.EventsOfTransfersParams{AfterPosition: after, LastPosition: last, RowLimit: int32(limit)}
	for _, read := range []func(context.Context, db.EventsOfTransfersParams) ([]*Event, error){
		s.transferEvents, s.transferChangeEvents, s.accountEvents,
	} {
		some, err := read(ctx, page)
		if err != nil {
			if err = durable.ReadError(ctx, "read events", err); errors.Is(context.Cause(ctx), ledger.ErrUnavailable) {
				err = fmt.Errorf("%w: %w", ledger.ErrUnavailable, err) // it is slow
			}
			return nil, after, err
		}
		events = append(events, some...)
		if len(some) == limit {
			// For all three sources, what lies behind the last of these belongs to the next page.
			page.LastPosition = some[limit-1].Position
		}
	}
	slices.SortFunc(events, func(a, b *Event) int { return cmp.Compare(a.Position, b.Position) })
	if len(events) > limit {
		events = events[:limit]
		page.LastPosition = events[limit-1].Position
	}
	for len(events) > 0 && events[len(events)-1].Position > page.LastPosition {
		events = events[:len(events)-1]
	}
	return events, page.LastPosition, nil
}

// ReadTransfer reads the history of one transfer as Read does. A transfer that does not exist
// is a NotFoundError.
func (s *Stream) ReadTransfer(ctx context.Context, id uuid.UUID, after int64, limit int) (
	events []*Event, next int64, more bool, err error,
) {
	end, err := s.horizon.wait(ctx)
	if err != nil {
		return nil, after, false, err
	}
	rows, err := db.New().TransfersGet(ctx, s.pool, []uuid.UUID{id})
	if err != nil {
		return nil, after, false, durable.ReadError(ctx, "read a transfer", err)
	}
	if len(rows) == 0 {
		return nil, after, false, &ledger.NotFoundError{Kind: "transfer", ID: id}
	}
	if made := rows[0].TransferFull.Position; after < made {
		if events, _, err = s.between(ctx, made-1, min(made, end), 1); err != nil {
			return nil, after, false, err
		}
	}
	changes, err := db.New().EventsOfOneTransfer(ctx, s.pool, db.EventsOfOneTransferParams{
		TransferID: id, AfterPosition: after, LastPosition: end, RowLimit: int32(limit),
	})
	if err != nil {
		return nil, after, false, durable.ReadError(ctx, "read the history of a transfer", err)
	}
	for i := range changes {
		e, err := s.changeEvent(ctx, &changes[i].TransferFull, &changes[i].TransferChange)
		if err != nil {
			return nil, after, false, err
		}
		events = append(events, e)
	}
	if more = len(events) > limit || len(changes) == limit; !more {
		return events, max(end, after), false, nil
	}
	events = events[:min(len(events), limit)]
	return events, events[len(events)-1].Position, true, nil
}

// transferEvents reads transfers that were made.
func (s *Stream) transferEvents(ctx context.Context, page db.EventsOfTransfersParams) ([]*Event, error) {
	rows, err := db.New().EventsOfTransfers(ctx, s.pool, page)
	if err != nil {
		return nil, err
	}
	events := make([]*Event, 0, len(rows))
	for i := range rows {
		r := &rows[i]
		if r.Changed {
			asItWas(&r.TransferFull, &db.TransferChange{
				Status: *r.Status, ErrorReason: r.ErrorReason, FromBalance: r.FromBalance, ToBalance: r.ToBalance,
				Version: *r.Version, UpdateTime: *r.UpdateTime, OpenAmount: r.OpenAmount, PostedAmount: r.PostedAmount,
				ReversedAmount: r.ReversedAmount, Refusal: r.Refusal,
			})
		}
		t, err := s.currencies.Transfer(ctx, s.pool, &r.TransferFull)
		if err != nil {
			return nil, err
		}
		events = append(events, &Event{
			Position: r.TransferFull.Position, Type: TransferCreated, Time: t.CreateTime, Transfer: &t,
		})
	}
	return events, nil
}

// transferChangeEvents reads changes of transfers.
func (s *Stream) transferChangeEvents(ctx context.Context, page db.EventsOfTransfersParams) ([]*Event, error) {
	rows, err := db.New().EventsOfTransferChanges(ctx, s.pool, db.EventsOfTransferChangesParams(page))
	if err != nil {
		return nil, err
	}
	events := make([]*Event, 0, len(rows))
	for i := range rows {
		e, err := s.changeEvent(ctx, &rows[i].TransferFull, &rows[i].TransferChange)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

func (s *Stream) changeEvent(ctx context.Context, f *db.TransferFull, c *db.TransferChange) (*Event, error) {
	asItWas(f, c)
	t, err := s.currencies.Transfer(ctx, s.pool, f)
	if err != nil {
		return nil, err
	}
	return &Event{Position: c.Position, Type: TransferChanged, Time: c.ChangeTime, Transfer: &t}, nil
}

// asItWas makes of a transfer's row the transfer as of a change.
func asItWas(f *db.TransferFull, c *db.TransferChange) {
	f.Status, f.ErrorReason, f.FromBalance, f.ToBalance = c.Status, c.ErrorReason, c.FromBalance, c.ToBalance
	f.Version, f.UpdateTime = c.Version, c.UpdateTime
	f.OpenAmount, f.PostedAmount, f.ReversedAmount, f.Refusal = c.OpenAmount, c.PostedAmount, c.ReversedAmount, c.Refusal
}

// accountEvents reads the changes of accounts.
func (s *Stream) accountEvents(ctx context.Context, page db.EventsOfTransfersParams) ([]*Event, error) {
	rows, err := db.New().EventsOfAccounts(ctx, s.pool, db.EventsOfAccountsParams(page))
	if err != nil {
		return nil, err
	}
	events := make([]*Event, 0, len(rows))
	for i := range rows {
		c := &rows[i].AccountChange
		currency, err := s.currencies.Get(ctx, s.pool, rows[i].Currency)
		if err != nil {
			return nil, err
		}
		a, err := stored.Account(&db.Account{
			AccountID: c.AccountID, Currency: currency.Code, Balance: c.Balance, Held: c.Held, Incoming: c.Incoming,
			MinBalance: c.MinBalance, MaxBalance: c.MaxBalance, Policy: c.Policy, Status: c.Status, Version: c.Version,
			CreateTime: rows[i].CreateTime, UpdateTime: c.UpdateTime, DisplayName: c.DisplayName, ImageURL: c.ImageURL,
			Metadata: c.Metadata,
		}, currency.Scale)
		if err != nil {
			return nil, err
		}
		e := &Event{Position: c.Position, Type: AccountChanged, Time: c.UpdateTime, Account: &a}
		if c.Opened {
			e.Type = AccountCreated
		}
		events = append(events, e)
	}
	return events, nil
}

// At reads the event at a position; nil: there is none.
func (s *Stream) At(ctx context.Context, position int64) (*Event, error) {
	if position < 1 {
		return nil, nil
	}
	events, _, err := s.between(ctx, position-1, position, 1)
	if err != nil || len(events) == 0 {
		return nil, err
	}
	return events[0], nil
}

// Accounts are those that the event is about: one, or the two of a transfer.
func (e *Event) Accounts() []uuid.UUID {
	if e.Transfer != nil {
		return []uuid.UUID{e.Transfer.From, e.Transfer.To}
	}
	return []uuid.UUID{e.Account.ID}
}
