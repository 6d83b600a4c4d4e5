package server

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// accountNow reads an account.
func (s *accountService) accountNow(ctx context.Context, req *transfersv1.GetAccountRequest) (ledger.Account, error) {
	id, err := parseID("account_id", req.GetAccountId())
	if err != nil {
		return ledger.Account{}, err
	}
	return s.ledger.GetAccount(ctx, id)
}

// accountAt reads an account as it was at a moment.
func (s *accountService) accountAt(ctx context.Context, req *transfersv1.GetAccountRequest) (ledger.Account, error) {
	id, err := parseID("account_id", req.GetAccountId())
	if err != nil {
		return ledger.Account{}, err
	}
	if req.GetAsOf().CheckValid() != nil {
		return ledger.Account{}, invalidField("as_of", "must be a time in the years 0001 to 9999")
	}
	return s.ledger.GetAccountAt(ctx, id, req.GetAsOf().AsTime())
}

// GetStatement reads a page of a statement.
func (s *accountService) GetStatement(
	ctx context.Context, req *transfersv1.GetStatementRequest,
) (*transfersv1.GetStatementResponse, error) {
	filter, err := statementFilter(req, req.Position)
	if err != nil {
		return nil, err
	}
	statement, entries, token, err := s.ledger.GetStatement(ctx, filter,
		pageOf(req))
	if err != nil {
		return nil, err
	}
	return &transfersv1.GetStatementResponse{
		Statement: statementToProto(&statement), Entries: entriesToProto(entries), NextPageToken: token,
	}, nil
}

// StreamStatement reads a whole statement.
func (s *accountService) StreamStatement(
	ctx context.Context, req *transfersv1.StreamStatementRequest, stream *connect.ServerStream[transfersv1.StreamStatementResponse],
) error {
	filter, err := statementFilter(req, req.Position)
	if err != nil {
		return err
	}
	return s.readStatement(ctx, filter, func(statement *postgres.Statement) error {
		return stream.Send(&transfersv1.StreamStatementResponse{
			Part: &transfersv1.StreamStatementResponse_Statement{Statement: statementToProto(statement)},
		})
	}, func(entries []ledger.Entry) error {
		return stream.Send(&transfersv1.StreamStatementResponse{
			Part: &transfersv1.StreamStatementResponse_Entries{
				Entries: &transfersv1.StatementEntries{Entries: entriesToProto(entries)},
			},
		})
	})
}

// ExportStatement reads a whole statement as CSV.
func (s *accountService) ExportStatement(
	ctx context.Context, req *transfersv1.ExportStatementRequest, stream *connect.ServerStream[httpbody.HttpBody],
) error {
	return s.exportStatement(ctx, req, stream.Conn())
}

// exportOverREST does the same for a REST request.
func (s *accountService) exportOverREST(ctx context.Context, conn connect.StreamingHandlerConn) error {
	req := &transfersv1.ExportStatementRequest{}
	if err := conn.Receive(req); err != nil {
		return err
	}
	return s.exportStatement(ctx, req, conn)
}

func (s *accountService) exportStatement(
	ctx context.Context, req *transfersv1.ExportStatementRequest, conn connect.StreamingHandlerConn,
) error {
	filter, err := statementFilter(req, req.Position)
	if err != nil {
		return err
	}
	var file statementFile
	send := func() error { return conn.Send(&httpbody.HttpBody{ContentType: csvType, Data: file.take()}) }
	err = s.readStatement(ctx, filter, func(statement *postgres.Statement) error {
		conn.ResponseHeader().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="statement-%s-%d.csv"`,
			statement.AccountID, statement.Position))
		file.begin(statement)
		return send()
	}, func(entries []ledger.Entry) error {
		file.add(entries)
		return send()
	})
	if err != nil {
		return err
	}
	file.end()
	return send()
}

// readStatement reads a statement's head and then its entries, some at a time.
func (s *accountService) readStatement(
	ctx context.Context, filter postgres.StatementFilter, head func(*postgres.Statement) error, some func([]ledger.Entry) error,
) error {
	open := func() (*postgres.StatementReader, error) {
		ctx, cancel := withinStep(ctx)
		defer cancel()
		return s.ledger.OpenStatement(ctx, filter)
	}
	reader, err := open()
	if err != nil {
		return err
	}
	statement := reader.Statement()
	if err := head(&statement); err != nil {
		return err
	}
	next := func() ([]ledger.Entry, error) {
		ctx, cancel := withinStep(ctx)
		defer cancel()
		return reader.Next(ctx)
	}
	for {
		entries, err := next()
		if err != nil || len(entries) == 0 {
			return err
		}
		if err := some(entries); err != nil {
			return err
		}
	}
}

// A statementRequest is the request of any of the three methods of statements.
type statementRequest interface {
	GetAccountId() string
	GetStartTime() *timestamppb.Timestamp
	GetEndTime() *timestamppb.Timestamp
	GetBasis() transfersv1.StatementBasis
}

func statementFilter(req statementRequest, position *int64) (postgres.StatementFilter, error) {
	id, err := parseID("account_id", req.GetAccountId())
	if err != nil {
		return postgres.StatementFilter{}, err
	}
	start, end, err := parseRange(req.GetStartTime(), req.GetEndTime())
	return postgres.StatementFilter{
		AccountID: id, Start: start, End: end, Position: position,
		Effective: req.GetBasis() == transfersv1.StatementBasis_STATEMENT_BASIS_EFFECTIVE_TIME,
	}, err
}

func statementToProto(s *postgres.Statement) *transfersv1.Statement {
	basis := transfersv1.StatementBasis_STATEMENT_BASIS_CREATE_TIME
	if s.Effective {
		basis = transfersv1.StatementBasis_STATEMENT_BASIS_EFFECTIVE_TIME
	}
	return &transfersv1.Statement{
		AccountId:      s.AccountID.String(),
		Currency:       s.Currency,
		StartTime:      timestamppb.New(s.Start),
		EndTime:        timestamppb.New(s.End),
		Basis:          basis,
		Position:       s.Position,
		OpeningBalance: amountText(s.Opening, s.Scale),
		ClosingBalance: amountText(s.Closing, s.Scale),
		TotalCredits:   amountText(s.Credits, s.Scale),
		TotalDebits:    amountText(s.Debits, s.Scale),
		EntryCount:     s.Entries,
	}
}

func entriesToProto(entries []ledger.Entry) []*transfersv1.Entry {
	messages := make([]*transfersv1.Entry, len(entries))
	for i := range entries {
		messages[i] = entryToProto(&entries[i])
	}
	return messages
}
