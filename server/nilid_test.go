package server_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/server"
)

// TestNilUUIDIsNoID: nothing has the nil UUID, so every field that takes a UUID refuses it, in all
// messages. The largest UUID is an ordinary one.
func TestNilUUIDIsNoID(t *testing.T) {
	t.Parallel()
	fields := 0
	protoregistry.GlobalFiles.RangeFilesByPackage("transfers.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Messages().Len() {
			message := file.Messages().Get(i)
			for j := range message.Fields().Len() {
				field := message.Fields().Get(j)
				rules, _ := proto.GetExtension(field.Options(), validate.E_Field).(*validate.FieldRules)
				if !rules.GetString().GetUuid() && !rules.GetRepeated().GetItems().GetString().GetUuid() {
					continue
				}
				fields++
				for id, refused := range map[uuid.UUID]bool{uuid.Nil: true, uuid.Max: false, uuid.New(): false} {
					if got := refuses(t, message, field, id); got != refused {
						t.Errorf("%s refuses %s: %t", field.FullName(), id, got)
					}
				}
			}
		}
		return true
	})
	if fields < 40 {
		t.Errorf("only %d fields take a UUID", fields)
	}
}

// refuses reports whether a message is invalid for the id in one of its fields.
func refuses(t *testing.T, message protoreflect.MessageDescriptor, field protoreflect.FieldDescriptor, id uuid.UUID) bool {
	t.Helper()
	m := dynamicpb.NewMessage(message)
	if field.IsList() {
		m.Mutable(field).List().Append(protoreflect.ValueOfString(id.String()))
	} else {
		m.Set(field, protoreflect.ValueOfString(id.String()))
	}
	err := protovalidate.Validate(m)
	if err == nil {
		return false
	}
	var invalid *protovalidate.ValidationError
	if !errors.As(err, &invalid) {
		t.Fatal(err)
	}
	for _, v := range invalid.Violations {
		if strings.HasPrefix(protovalidate.FieldPathString(v.Proto.GetField()), string(field.Name())) {
			return true
		}
	}
	return false
}

// TestNilAccountIsInvalid: a transfer from or to the nil UUID is not recorded, alone or among
// others.
func TestNilAccountIsInvalid(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		a, b := open(t, c, "100"), open(t, c, "")
		nobody := &transfersv1.Account{AccountId: uuid.Nil.String()}
		unrecorded := func(req *transfersv1.CreateTransferRequest) {
			t.Helper()
			_, failed := c.call(t.Context(), "TransferService/GetTransfer", &transfersv1.GetTransferRequest{TransferId: req.GetTransferId()}, &transfersv1.GetTransferResponse{})
			requireInfo(t, failed, connect.CodeNotFound, "TRANSFER_NOT_FOUND")
		}
		for field, req := range map[string]*transfersv1.CreateTransferRequest{
			"from_account_id": transferRequest(nobody, b, "1"), "to_account_id": transferRequest(a, nobody, "1"),
		} {
			_, failed := c.call(t.Context(), "TransferService/CreateTransfer", req, &transfersv1.CreateTransferResponse{})
			requireField(t, failed, field)
			unrecorded(req)

			good := transferRequest(a, b, "1")
			results := mustCall(t, c, "TransferService/BatchCreateTransfers", &transfersv1.BatchCreateTransfersRequest{
				Transfers: []*transfersv1.CreateTransferRequest{req, good},
			}, &transfersv1.BatchCreateTransfersResponse{}).GetResults()
			requireItemField(t, results[0], field)
			if results[1].GetTransfer().GetStatus() != transfersv1.Transfer_SUCCESS {
				t.Errorf("beside it: %v", results[1])
			}
			unrecorded(req)

			group := &transfersv1.BatchCreateTransfersRequest{Atomic: true, Transfers: []*transfersv1.CreateTransferRequest{transferRequest(a, b, "1"), req}}
			_, failed = c.call(t.Context(), "TransferService/BatchCreateTransfers", group, &transfersv1.BatchCreateTransfersResponse{})
			requireField(t, failed, "transfers[1]."+field)
			unrecorded(group.GetTransfers()[0])

			req.EffectiveTime = timestamppb.New(a.GetCreateTime().AsTime())
			results = mustCall(t, c, "TransferService/ImportTransfers", &transfersv1.ImportTransfersRequest{
				Transfers: []*transfersv1.CreateTransferRequest{req},
			}, &transfersv1.ImportTransfersResponse{}).GetResults()
			requireItemField(t, results[0], field)
			unrecorded(req)
		}
	})
}

// requireItemField fails the test unless an item is invalid for a field.
func requireItemField(t *testing.T, result *transfersv1.TransferResult, field string) {
	t.Helper()
	for _, detail := range result.GetError().GetDetails() {
		var bad errdetails.BadRequest
		if detail.UnmarshalTo(&bad) == nil && len(bad.GetFieldViolations()) == 1 && bad.GetFieldViolations()[0].GetField() == field {
			return
		}
	}
	t.Errorf("want an error of %s: %s", field, fmt.Sprint(result))
}
