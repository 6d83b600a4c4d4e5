package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/gen/transfers/v1/transfersv1connect"
)

// A restCaller speaks the REST routes. Connect generates no client for these.
type restCaller struct {
	base string
	http connect.HTTPClient
}

var jsonHeader = http.Header{"Content-Type": {"application/json"}, "User-Agent": {"internaltransfers-bench"}}

// call makes one request. A nil body means none.
func (c *restCaller) call(ctx context.Context, method, path string, body, answer proto.Message) error {
	target, err := url.Parse(c.base + path)
	if err != nil {
		return err
	}
	request := (&http.Request{
		Method: method, URL: target, Host: target.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: jsonHeader,
	}).WithContext(ctx)
	if body != nil {
		text, err := protojson.Marshal(body)
		if err != nil {
			return err
		}
		request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	}
	response, err := c.http.Do(request)
	if err != nil {
		return connect.NewError(connect.CodeUnavailable, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return connect.NewError(connect.CodeUnavailable, err)
	}
	if response.StatusCode != http.StatusOK {
		return restError(response.StatusCode, text)
	}
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(text, answer)
}

// restError reads the google.rpc.Status of an error.
func restError(code int, body []byte) error {
	var s status.Status
	if err := protojson.Unmarshal(body, &s); err != nil || s.GetCode() == 0 {
		return connect.NewError(connect.CodeUnknown, fmt.Errorf("HTTP %d: %.200s", code, body))
	}
	failed := connect.NewError(connect.Code(s.GetCode()), errors.New(s.GetMessage()))
	for _, detail := range s.GetDetails() {
		if wrapped, err := connect.NewErrorDetail(detail); err == nil {
			failed.AddDetail(wrapped)
		}
	}
	return failed
}

// restAccounts has the methods that workloads call; the others would panic.
type restAccounts struct {
	transfersv1connect.AccountServiceClient
	*restCaller
}

func (c *restAccounts) GetAccount(ctx context.Context, req *transfersv1.GetAccountRequest) (*transfersv1.GetAccountResponse, error) {
	answer := &transfersv1.GetAccountResponse{Account: &transfersv1.Account{}}
	return answer, c.call(ctx, http.MethodGet, "/api/v1/accounts/"+req.GetAccountId(), nil, answer.Account)
}

// restTransfers has the methods that workloads call; the others would panic.
type restTransfers struct {
	transfersv1connect.TransferServiceClient
	*restCaller
}

func (c *restTransfers) CreateTransfer(ctx context.Context, req *transfersv1.CreateTransferRequest) (*transfersv1.CreateTransferResponse, error) {
	answer := &transfersv1.CreateTransferResponse{Transfer: &transfersv1.Transfer{}}
	return answer, c.call(ctx, http.MethodPost, "/api/v1/transfers", req, answer.Transfer)
}

func (c *restTransfers) BatchCreateTransfers(ctx context.Context, req *transfersv1.BatchCreateTransfersRequest) (*transfersv1.BatchCreateTransfersResponse, error) {
	answer := &transfersv1.BatchCreateTransfersResponse{}
	return answer, c.call(ctx, http.MethodPost, "/api/v1/transfers:batch", req, answer)
}

func (c *restTransfers) GetTransfer(ctx context.Context, req *transfersv1.GetTransferRequest) (*transfersv1.GetTransferResponse, error) {
	answer := &transfersv1.GetTransferResponse{Transfer: &transfersv1.Transfer{}}
	return answer, c.call(ctx, http.MethodGet, "/api/v1/transfers/"+req.GetTransferId(), nil, answer.Transfer)
}
