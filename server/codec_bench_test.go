package server

import (
	"fmt"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
)

// A benchCall is a call as the codecs see it: the request as a client writes it in JSON, and the
// response.
type benchCall struct {
	name       string
	text       string
	newRequest func() proto.Message
	answer     proto.Message
}

// benchCalls returns one transfer and a batch of 1,000.
func benchCalls() []benchCall {
	texts := make([]string, 1000)
	batch := &transfersv1.BatchCreateTransfersResponse{}
	for i := range texts {
		texts[i] = benchTransferJSON()
		batch.Results = append(batch.Results, &transfersv1.TransferResult{
			Result: &transfersv1.TransferResult_Transfer{Transfer: benchTransfer()},
		})
	}
	return []benchCall{
		{
			"one", benchTransferJSON(), func() proto.Message { return &transfersv1.CreateTransferRequest{} },
			&transfersv1.CreateTransferResponse{Transfer: benchTransfer()},
		},
		{
			"batch", `{"transfers":[` + strings.Join(texts, ",") + `]}`,
			func() proto.Message { return &transfersv1.BatchCreateTransfersRequest{} }, batch,
		},
	}
}

// benchTransferJSON returns a request whose amount is a JSON number.
func benchTransferJSON() string {
	return fmt.Sprintf(`{"transferId":%q,"fromAccountId":%q,"toAccountId":%q,"amount":20.10,"currency":"USD"}`,
		uuid.NewString(), uuid.NewString(), uuid.NewString())
}

func benchTransfer() *transfersv1.Transfer {
	return &transfersv1.Transfer{
		TransferId: uuid.NewString(), FromAccountId: uuid.NewString(), ToAccountId: uuid.NewString(), Amount: "20.10",
		Currency: "USD", Status: transfersv1.Transfer_SUCCESS, FromBalance: new("79.90"), ToBalance: new("20.10"),
		CreateTime: timestamppb.Now(), UpdateTime: timestamppb.Now(), Version: 1,
	}
}

// benchUnmarshal reads requests into fresh messages, as the server does.
func benchUnmarshal(b *testing.B, codec connect.Codec, encode func(benchCall) ([]byte, error)) {
	for _, call := range benchCalls() {
		b.Run(call.name, func(b *testing.B) {
			data, err := encode(call)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if err := codec.Unmarshal(data, call.newRequest()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkUnmarshalJSON(b *testing.B) {
	benchUnmarshal(b, connectJSON{name: "json"}, func(call benchCall) ([]byte, error) { return []byte(call.text), nil })
}

func BenchmarkUnmarshalProto(b *testing.B) {
	benchUnmarshal(b, connectProto{}, func(call benchCall) ([]byte, error) {
		request := call.newRequest()
		if err := unmarshalJSON([]byte(call.text), request); err != nil {
			return nil, err
		}
		return proto.Marshal(request)
	})
}

// benchMarshal writes responses.
func benchMarshal(b *testing.B, codec connect.Codec) {
	for _, call := range benchCalls() {
		b.Run(call.name, func(b *testing.B) {
			for b.Loop() {
				data, err := codec.Marshal(call.answer)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(data)))
			}
		})
	}
}

func BenchmarkMarshalJSON(b *testing.B) { benchMarshal(b, connectJSON{name: "json"}) }

func BenchmarkMarshalProto(b *testing.B) { benchMarshal(b, connectProto{}) }

// BenchmarkValidate checks one transfer by the rules in the proto; in a batch each item is checked
// like this.
func BenchmarkValidate(b *testing.B) {
	validator, err := newValidator()
	if err != nil {
		b.Fatal(err)
	}
	request := &transfersv1.CreateTransferRequest{}
	if err := unmarshalJSON([]byte(benchTransferJSON()), request); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := validator.Validate(request); err != nil {
			b.Fatal(err)
		}
	}
}
