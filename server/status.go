package server

import (
	"context"

	"connectrpc.com/connect"

	transfersv1 "internaltransfers/gen/transfers/v1"
)

// GetStatus says how the ledger is.
func (s *ledgerService) GetStatus(
	_ context.Context, _ *transfersv1.GetStatusRequest,
) (*transfersv1.GetStatusResponse, error) {
	return nil, connect.NewError(connect.CodeUnimplemented, nil)
}

// GetActivity counts what was made lately.
func (s *ledgerService) GetActivity(
	_ context.Context, _ *transfersv1.GetActivityRequest,
) (*transfersv1.GetActivityResponse, error) {
	return nil, connect.NewError(connect.CodeUnimplemented, nil)
}
