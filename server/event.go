package server

import (
	"context"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/events"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

const (
	messageEventsMax = 500       // events in one message of a stream
	messageBytesMax  = 512 << 10 // and about how large it may be: clients take 4 MiB
	eventsDefault    = 50        // on a page
	eventsLooked     = 1000      // read at a time, for those that pass a filter

	lastWordTime = 2 * time.Second // for the draining status to reach a stream's client
)

// WatchTransfers streams the changes of transfers.
func (s *ledgerService) WatchTransfers(
	ctx context.Context, req *transfersv1.WatchTransfersRequest, stream *connect.ServerStream[transfersv1.WatchTransfersResponse],
) error {
	filter := &events.Filter{
		Types:     []events.Type{events.TransferCreated, events.TransferChanged},
		Reference: req.GetReference(), Currencies: listOf(req.GetCurrency()),
	}
	if req.GetStatus() != transfersv1.Transfer_STATUS_UNSPECIFIED {
		filter.Statuses = []ledger.TransferStatus{ledger.TransferStatus(req.GetStatus().String())}
	}
	account, err := parseID("account_id", req.GetAccountId())
	if err != nil {
		return err
	}
	filter.AccountIDs = listOf(account)
	if filter.GroupID, err = parseID("group_id", req.GetGroupId()); err != nil {
		return err
	}
	if filter.ParentID, err = parseID("parent_transfer_id", req.GetParentTransferId()); err != nil {
		return err
	}
	if err := stream.Send(nil); err != nil { // sends the headers at once
		return err
	}
	after, err := watchFrom(ctx, s.ledger, req.GetAfter())
	if err != nil {
		return err
	}
	send := func(events []*transfersv1.Event, cursor string) error {
		return stream.Send(&transfersv1.WatchTransfersResponse{Events: events, Cursor: cursor})
	}
	if err := send(nil, cursorText(after)); err != nil {
		return err
	}
	return watch(ctx, s.watches, s.ledger, after, filter, send)
}

// WatchAccount streams the changes of an account.
func (s *accountService) WatchAccount(
	ctx context.Context, req *transfersv1.WatchAccountRequest, stream *connect.ServerStream[transfersv1.WatchAccountResponse],
) error {
	id, err := parseID("account_id", req.GetAccountId())
	if err != nil {
		return err
	}
	if err := stream.Send(nil); err != nil { // as in WatchTransfers
		return err
	}
	after, err := watchFrom(ctx, s.ledger, req.GetAfter())
	if err != nil {
		return err
	}
	send := func(events []*transfersv1.Event, cursor string) error {
		// Read after the events, so that it is not older than they are.
		ctx, cancel := withinStep(ctx)
		defer cancel()
		account, err := s.ledger.GetAccount(ctx, id)
		if err != nil {
			return err
		}
		return stream.Send(&transfersv1.WatchAccountResponse{
			Events: events, Cursor: cursor, Account: accountToProto(&account),
		})
	}
	if err := send(nil, cursorText(after)); err != nil {
		return err
	}
	return watch(ctx, s.watches, s.ledger, after, &events.Filter{AccountIDs: []uuid.UUID{id}},
		func(events []*transfersv1.Event, cursor string) error {
			if len(events) == 0 {
				return stream.Send(&transfersv1.WatchAccountResponse{Cursor: cursor})
			}
			return send(events, cursor)
		})
}

// watchFrom returns the position after which a stream begins. Without a cursor that is the last
// event.
func watchFrom(ctx context.Context, l *postgres.Ledger, after string) (int64, error) {
	if after != "" {
		return parseCursor("after", after)
	}
	ctx, cancel := withinStep(ctx)
	defer cancel()
	return l.Events.Last(ctx)
}

// watch sends events until the client goes or the server drains. It never ends without an error.
func watch(
	ctx, watches context.Context, l *postgres.Ledger, after int64, filter *events.Filter,
	send func(events []*transfersv1.Event, cursor string) error,
) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	told := make(chan struct{})
	stop := context.AfterFunc(watches, func() {
		defer close(told)
		cancel(ledger.ErrClosed)
		// A client that takes nothing gets only a short wait.
		if control := callOf(ctx).control; control != nil {
			_ = control.SetWriteDeadline(time.Now().Add(lastWordTime)) // as in limitWrites
		}
	})
	defer func() {
		if !stop() {
			<-told // the connection is the handler's only until it returns
		}
	}()
	err := l.Events.Follow(ctx, after, filter, func(events []*events.Event, position int64) error {
		if len(events) == 0 {
			return send(nil, cursorText(position))
		}
		for len(events) > 0 {
			message, rest := fill(events, messageEventsMax, messageBytesMax)
			end := position
			if len(rest) > 0 {
				end = events[len(events)-len(rest)-1].Position
			}
			if err := send(message, cursorText(end)); err != nil {
				return err
			}
			events = rest
		}
		return nil
	})
	if ctx.Err() != nil && watches.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// fill converts the first of the events, up to a number and to the one with which they reach a
// size. It returns them and the other events.
func fill(events []*events.Event, most, bytes int) (message []*transfersv1.Event, rest []*events.Event) {
	message = make([]*transfersv1.Event, 0, min(len(events), most))
	for size := 0; len(events) > 0 && len(message) < most && size < bytes; events = events[1:] {
		event := eventToProto(events[0])
		size += proto.Size(event)
		message = append(message, event)
	}
	return message, events
}

// ListEvents reads a page of events.
func (s *ledgerService) ListEvents(
	ctx context.Context, req *transfersv1.ListEventsRequest,
) (*transfersv1.ListEventsResponse, error) {
	after, err := parseCursor("after", req.GetAfter())
	if err != nil {
		return nil, err
	}
	account, err := parseID("account_id", req.GetAccountId())
	if err != nil {
		return nil, err
	}
	transfer, err := parseID("transfer_id", req.GetTransferId())
	if err != nil {
		return nil, err
	}
	size := int(req.GetPageSize())
	if size == 0 {
		size = eventsDefault
	}
	var page eventPage
	if transfer != uuid.Nil {
		if account != uuid.Nil || req.GetType() != transfersv1.Event_TYPE_UNSPECIFIED || req.GetCurrency() != "" {
			return nil, invalidField("transfer_id", "must be the only filter")
		}
		page.events, page.next, page.more, err = s.ledger.Events.ReadTransfer(ctx, transfer, after, size)
	} else {
		filter := &events.Filter{AccountIDs: listOf(account), Currencies: listOf(req.GetCurrency())}
		if req.GetType() != transfersv1.Event_TYPE_UNSPECIFIED {
			filter.Types = []events.Type{events.Type(req.GetType().String())}
		}
		page, err = s.listEvents(ctx, after, size, filter)
	}
	if err != nil {
		return nil, err
	}
	events, rest := fill(page.events, size, pageBytesMax)
	if len(rest) > 0 {
		page.next, page.more = page.events[len(events)-1].Position, true
	}
	return &transfersv1.ListEventsResponse{Events: events, Cursor: cursorText(page.next), More: page.more}, nil
}

// An eventPage is a page of events, where it ended, and whether there are more behind it.
type eventPage struct {
	events []*events.Event
	next   int64
	more   bool
}

// looksMax bounds how many pages of events are read for one response, most of which may not pass
// its filter.
const looksMax = 20

// listEvents reads events until a page is full, or enough were looked at.
func (s *ledgerService) listEvents(ctx context.Context, after int64, size int, filter *events.Filter) (eventPage, error) {
	page := eventPage{next: after, more: true}
	limit := eventsLooked
	if filter.All() {
		limit = size
	}
	for looks := 0; page.more && len(page.events) < size && looks < looksMax; looks++ {
		events, next, more, err := s.ledger.Events.Read(ctx, page.next, limit)
		if err != nil {
			return eventPage{}, err
		}
		page.next, page.more = next, more
		for i, e := range events {
			if !filter.Passes(e) {
				continue
			}
			page.events = append(page.events, e)
			if len(page.events) == size {
				if i < len(events)-1 {
					page.next, page.more = e.Position, true
				}
				break
			}
		}
	}
	return page, nil
}

// eventToProto converts an event.
func eventToProto(e *events.Event) *transfersv1.Event {
	message := &transfersv1.Event{
		Cursor:    cursorText(e.Position),
		Type:      transfersv1.Event_Type(transfersv1.Event_Type_value[string(e.Type)]),
		EventTime: timestamppb.New(e.Time),
	}
	if e.Transfer != nil {
		message.Transfer = transferToProto(e.Transfer)
	} else {
		message.Account = accountToProto(e.Account)
	}
	return message
}

func cursorText(position int64) string { return strconv.FormatInt(position, 10) }

// parseCursor reads a cursor; empty: that before the first event.
func parseCursor(field, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	position, err := strconv.ParseInt(text, 10, 64)
	if err != nil || position < 0 {
		return 0, invalidField(field, "must be a cursor, a decimal number")
	}
	return position, nil
}

// listOf returns a list of the value; of none, if it is zero.
func listOf[T comparable](value T) []T {
	var zero T
	if value == zero {
		return nil
	}
	return []T{value}
}
