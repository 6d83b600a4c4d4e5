package server

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"

	"internaltransfers/ledger"
)

func TestConnectError(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("12359cc6-6ea6-41a6-9c52-79734acbf191")
	driver := errors.New("FATAL: password of postgres://secret")
	cases := []struct {
		err      error
		code     connect.Code
		reason   string
		metadata map[string]string
		retry    bool
		text     string
	}{
		{&ledger.InvalidError{Field: "amount", Reason: "is odd"}, connect.CodeInvalidArgument, "INVALID_ARGUMENT", nil, false, "amount: is odd"},
		{ledger.ErrPageToken, connect.CodeInvalidArgument, "INVALID_ARGUMENT", nil, false, "page_token: is not one"},
		{&decodeError{field: "amount", reason: "is no text"}, connect.CodeInvalidArgument, "INVALID_ARGUMENT", nil, false, "amount: is no text"},
		{&ledger.NotFoundError{Kind: "account", ID: id}, connect.CodeNotFound, "ACCOUNT_NOT_FOUND", map[string]string{"account_id": id.String()}, false, id.String()},
		{&ledger.ConflictError{Kind: "currency", ID: "USD"}, connect.CodeAlreadyExists, "CURRENCY_ALREADY_EXISTS", map[string]string{"code": "USD"}, false, "USD"},
		{&ledger.ConflictError{Kind: "transfer", ID: id.String()}, connect.CodeAlreadyExists, "TRANSFER_ALREADY_EXISTS", map[string]string{"transfer_id": id.String()}, false, "other fields"},
		{&ledger.VersionError{ID: id, Expected: 1, Actual: 2}, connect.CodeAborted, "VERSION_MISMATCH", map[string]string{"expected_version": "1", "actual_version": "2"}, false, "version 2"},
		{&ledger.StateError{ID: id, Reason: "ACCOUNT_NOT_EMPTY", Detail: "it has 5"}, connect.CodeFailedPrecondition, "ACCOUNT_NOT_EMPTY", map[string]string{"account_id": id.String()}, false, "it has 5"},
		{&ledger.OverloadedError{RetryAfter: time.Second}, connect.CodeResourceExhausted, "OVERLOADED", nil, true, "retry"},
		{fmt.Errorf("%w: %w", ledger.ErrUnavailable, driver), connect.CodeUnavailable, "DATABASE_UNAVAILABLE", nil, true, "database"},
		{ledger.ErrClosed, connect.CodeUnavailable, "SHUTTING_DOWN", nil, true, "shutting down"},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), connect.CodeDeadlineExceeded, "DEADLINE_EXCEEDED", nil, false, "deadline"},
		{context.Canceled, connect.CodeCanceled, "CANCELED", nil, false, "gave up"},
		{&transferError{cause: context.DeadlineExceeded, idField: "transfer_id", transferID: "T"}, connect.CodeDeadlineExceeded, "DEADLINE_EXCEEDED", map[string]string{"transfer_id": "T"}, false, "transfer T may"},
		{&transferError{cause: ledger.ErrUnavailable, idField: "capture_id", transferID: "T"}, connect.CodeUnavailable, "DATABASE_UNAVAILABLE", map[string]string{"transfer_id": "T"}, true, "with this capture_id"},
		{unknownOutcome(context.DeadlineExceeded, false, "reversal_id", id), connect.CodeDeadlineExceeded, "DEADLINE_EXCEEDED", map[string]string{"transfer_id": id.String()}, false, "with this reversal_id"},
		{unknownOutcome(context.DeadlineExceeded, true, "reversal_id", id), connect.CodeDeadlineExceeded, "DEADLINE_EXCEEDED", map[string]string{"transfer_id": ""}, false, "passed; repeat the call"},
		{unknownOutcome(context.Canceled, false, "transfer_id", uuid.Nil), connect.CodeCanceled, "CANCELED", map[string]string{"transfer_id": ""}, false, "gave up; repeat the call"},
		{&transferError{cause: &ledger.OverloadedError{}, transferID: "T"}, connect.CodeResourceExhausted, "OVERLOADED", nil, true, ""},
		{driver, connect.CodeInternal, "INTERNAL", nil, false, internalMessage},
		{&refusedError{transfer: ledger.Transfer{ID: id, Reason: ledger.InsufficientFunds, Amount: decimal.New(5, 0), Scale: 2, Currency: "USD", FromBalance: decimal.NewNullDecimal(decimal.Zero)}},
			connect.CodeFailedPrecondition, "INSUFFICIENT_FUNDS", map[string]string{"amount": "5.00", "from_balance": "0.00", "currency": "USD"}, false, "cannot pay 5.00 USD"},
	}
	for _, tc := range cases {
		failed := connectError(fmt.Errorf("wrapped: %w", tc.err))
		if failed.Code() != tc.code || !strings.Contains(failed.Message(), tc.text) || strings.Contains(failed.Message(), "secret") {
			t.Errorf("%v: %v, want %s %q", tc.err, failed, tc.code, tc.text)
		}
		var info *errdetails.ErrorInfo
		retry := false
		for _, detail := range failed.Details() {
			value, err := detail.Value()
			if err != nil {
				t.Fatal(err)
			}
			switch v := value.(type) {
			case *errdetails.ErrorInfo:
				info = v
			case *errdetails.RetryInfo:
				retry = true
			}
		}
		if info.GetReason() != tc.reason || retry != tc.retry {
			t.Errorf("%v: %v, retry %v", tc.err, info, retry)
		}
		for key, want := range tc.metadata {
			if info.GetMetadata()[key] != want {
				t.Errorf("%v: metadata %s = %q, want %q", tc.err, key, info.GetMetadata()[key], want)
			}
		}
	}
}

// TestErrorsFitIntoHeaders: gRPC sends an error in headers, and nginx takes 4 KiB of them by
// default.
func TestErrorsFitIntoHeaders(t *testing.T) {
	t.Parallel()
	const headersMax, others = 4 << 10, 300 // others: type, date, request id and so on
	many := func(n int, field, reason string) error {
		invalid := &invalidError{}
		for range n {
			invalid.violations = append(invalid.violations, violation{field, reason})
		}
		return invalid
	}
	blocked := &refusedError{transfer: ledger.Transfer{
		Reason: ledger.DebitsBlocked, Amount: decimal.RequireFromString(digits38), Scale: 18, Currency: "USD",
		FromBalance: decimal.NewNullDecimal(decimal.RequireFromString("-" + digits38)),
		ToBalance:   decimal.NewNullDecimal(decimal.RequireFromString(digits38)),
		Detail: &ledger.TransferDetail{Refusal: map[string]string{
			"block_reason": strings.Repeat("本", 200), "block_end_time": "2026-01-31T12:00:00.000000Z",
		}},
	}}
	for _, c := range []struct {
		err  error
		want string
	}{
		{many(1000, strings.Repeat("é", 5000), strings.Repeat("ÿ", 5000)), "and 999 more"},
		{many(1000, "transfers[7].amount", "must be greater than zero"), "and 990 more"},
		{many(10, "transfers[7].amount", "must be greater than zero"), "than zero"},
		{blocked, "本本本"},
	} {
		failed := connectError(c.err)
		status, err := proto.Marshal(rpcStatus(failed))
		if err != nil {
			t.Fatal(err)
		}
		size := others + base64.StdEncoding.EncodedLen(len(status))
		for _, b := range []byte(failed.Message()) {
			if size++; b < ' ' || b > '~' || b == '%' {
				size += 2 // it is written as %XX
			}
		}
		if size > headersMax || !strings.Contains(failed.Message(), c.want) || strings.Contains(failed.Message(), "and 0 more") {
			t.Errorf("%d bytes: %s", size, failed.Message())
		}
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"abc": "abc", "abcd": "abcd", "abcde": "abcd…", "abcé": "abc…", "\xff": "\ufffd"} {
		if got := clip(in, 4); got != want {
			t.Errorf("clip(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestAmountText(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in    string
		scale int32
		want  string
	}{
		{"20", 2, "20.00"}, {"20.1", 2, "20.10"}, {"20.100", 2, "20.10"}, {"-0.5", 2, "-0.50"}, {"0.001", 2, "0.001"},
		{"7", 0, "7"}, {"7.5", 0, "7.5"}, {"1e3", 2, "1000.00"}, {digits38, 18, digits38 + ".000000000000000000"},
	} {
		if got := amountText(decimal.RequireFromString(tc.in), tc.scale); got != tc.want {
			t.Errorf("amountText(%s, %d) = %s, want %s", tc.in, tc.scale, got, tc.want)
		}
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	for given, kept := range map[string]bool{
		"": false, "a": true, "order 7/ü": false, "order 7~": true, strings.Repeat("x", 128): true, strings.Repeat("x", 129): false, "a\x7f": false, "a\tb": false,
	} {
		got := requestID(given)
		if (got == given) != kept || (!kept && uuid.Validate(got) != nil) {
			t.Errorf("requestID(%q) = %q", given, got)
		}
	}
}
