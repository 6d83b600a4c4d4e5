package server

import (
	"context"

	"connectrpc.com/connect"

	transfersv1 "internaltransfers/gen/transfers/v1"
)

// WatchTransfers streams the changes of transfers.
func (s *ledgerService) WatchTransfers(
	_ context.Context, _ *transfersv1.WatchTransfersRequest, _ *connect.ServerStream[transfersv1.WatchTransfersResponse],
) error {
	return connect.NewError(connect.CodeUnimplemented, nil)
}

// WatchAccount streams the changes of an account.
func (s *accountService) WatchAccount(
	_ context.Context, _ *transfersv1.WatchAccountRequest, _ *connect.ServerStream[transfersv1.WatchAccountResponse],
) error {
	return connect.NewError(connect.CodeUnimplemented, nil)
}

// ListEvents reads a page of events.
func (s *ledgerService) ListEvents(
	_ context.Context, _ *transfersv1.ListEventsRequest,
) (*transfersv1.ListEventsResponse, error) {
	return nil, connect.NewError(connect.CodeUnimplemented, nil)
}
