package server_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/pgtest"
	"internaltransfers/server"
)

// advanceClock sets the database's clock ahead of the real one.
func (f *fixture) advanceClock(t *testing.T, by time.Duration) {
	t.Helper()
	f.setClock(t, fmt.Sprintf("clock_timestamp() + interval '%d microseconds'", by.Microseconds()))
}

// setClock makes the ledger's clock return an expression, after statements that this needs.
func (f *fixture) setClock(t *testing.T, expression string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.Superuser(f.database))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	statements = append(statements, "CREATE OR REPLACE FUNCTION ledger_now() RETURNS timestamptz LANGUAGE sql "+
		"VOLATILE PARALLEL SAFE AS $$ SELECT "+expression+" $$")
	for _, statement := range statements {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

// balances of an account are its balance, available, held and incoming.
func balances(t *testing.T, c client, a *transfersv1.Account) string {
	t.Helper()
	got := mustCall(t, c, "AccountService/GetAccount", &transfersv1.GetAccountRequest{AccountId: a.GetAccountId()},
		&transfersv1.GetAccountResponse{}).GetAccount()
	return fmt.Sprint(got.GetBalance(), " ", got.GetAvailable(), " ", got.GetHeld(), " ", got.GetIncoming())
}

func requireBalances(t *testing.T, c client, a *transfersv1.Account, want string) {
	t.Helper()
	if got := balances(t, c, a); got != want {
		t.Errorf("balance, available, held and incoming of %s are %s, want %s", a.GetAccountId(), got, want)
	}
}

func create(t *testing.T, c client, req *transfersv1.CreateTransferRequest) *transfersv1.Transfer {
	t.Helper()
	return mustCall(t, c, "TransferService/CreateTransfer", req, &transfersv1.CreateTransferResponse{}).GetTransfer()
}

// hold reserves an amount for an hour.
func hold(t *testing.T, c client, from, to *transfersv1.Account, amount string) *transfersv1.Transfer {
	t.Helper()
	req := transferRequest(from, to, amount)
	req.Hold, req.HoldTtl = true, durationpb.New(time.Hour)
	return create(t, c, req)
}

func getTransfer(t *testing.T, c client, id string) *transfersv1.Transfer {
	t.Helper()
	return mustCall(t, c, "TransferService/GetTransfer", &transfersv1.GetTransferRequest{TransferId: id}, &transfersv1.GetTransferResponse{}).GetTransfer()
}

func post(t *testing.T, c client, req *transfersv1.PostTransferRequest) *transfersv1.PostTransferResponse {
	t.Helper()
	return mustCall(t, c, "TransferService/PostTransfer", req, &transfersv1.PostTransferResponse{})
}

func void(t *testing.T, c client, id string) *transfersv1.Transfer {
	t.Helper()
	return mustCall(t, c, "TransferService/VoidTransfer", &transfersv1.VoidTransferRequest{TransferId: id}, &transfersv1.VoidTransferResponse{}).GetTransfer()
}

func reverse(t *testing.T, c client, req *transfersv1.ReverseTransferRequest) *transfersv1.Transfer {
	t.Helper()
	return mustCall(t, c, "TransferService/ReverseTransfer", req, &transfersv1.ReverseTransferResponse{}).GetReversal()
}

// requireReplay repeats a call: its response must equal the first one, marked as a replay.
func requireReplay(t *testing.T, c client, method string, req, before proto.Message) {
	t.Helper()
	again := answerTo(method)
	header, err := c.call(t.Context(), method, req, again)
	if err != nil || header.Get("Idempotency-Replayed") != "true" {
		t.Fatalf("%s again: %v, headers %v", method, err, header)
	}
	requireEqual(t, again, before)
}

// requireFailure makes a call that must fail, and returns the error's text.
func requireFailure(t *testing.T, c client, method string, req proto.Message, code connect.Code, reason string, metadata ...string) string {
	t.Helper()
	_, failed := c.call(t.Context(), method, req, answerTo(method))
	requireInfo(t, failed, code, reason, metadata...)
	return failed.Message()
}

func TestHoldIsPostedInParts(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		a, b := open(t, c, "100"), open(t, c, "")
		req := transferRequest(a, b, "30")
		req.Hold, req.HoldTtl, req.Reference = true, durationpb.New(90*time.Second), "order"
		res := mustCall(t, c, "TransferService/CreateTransfer", req, &transfersv1.CreateTransferResponse{})
		held := res.GetTransfer()
		want := &transfersv1.Transfer{
			TransferId: req.GetTransferId(), FromAccountId: a.GetAccountId(), ToAccountId: b.GetAccountId(), Amount: "30.00", Currency: "USD",
			Status: transfersv1.Transfer_INIT, FromBalance: proto.String("100.00"), ToBalance: proto.String("0.00"), Reference: "order",
			CreateTime: held.GetCreateTime(), UpdateTime: held.GetCreateTime(), Version: 1, Kind: transfersv1.Transfer_HOLD,
			ExpireTime: timestamppb.New(held.GetCreateTime().AsTime().Add(90 * time.Second)),
			HeldAmount: proto.String("30.00"), PostedAmount: proto.String("0.00"),
		}
		requireEqual(t, held, want)
		requireEqual(t, getTransfer(t, c, req.GetTransferId()), want)
		requireReplay(t, c, "TransferService/CreateTransfer", req, res)
		requireBalances(t, c, a, "100.00 70.00 30.00 0.00")
		requireBalances(t, c, b, "0.00 0.00 0.00 30.00")

		part := &transfersv1.PostTransferRequest{
			TransferId: req.GetTransferId(), CaptureId: uuid.NewString(), Amount: "10", Reference: "first", Metadata: map[string]string{"k": "v"},
		}
		posted := post(t, c, part)
		requireEqual(t, posted.GetCapture(), &transfersv1.Transfer{
			TransferId: part.GetCaptureId(), FromAccountId: a.GetAccountId(), ToAccountId: b.GetAccountId(), Amount: "10.00", Currency: "USD",
			Status: transfersv1.Transfer_SUCCESS, FromBalance: proto.String("90.00"), ToBalance: proto.String("10.00"), Reference: "first",
			Metadata: part.GetMetadata(), CreateTime: posted.GetCapture().GetCreateTime(), UpdateTime: posted.GetCapture().GetCreateTime(),
			Version: 1, Kind: transfersv1.Transfer_CAPTURE, ParentTransferId: req.GetTransferId(),
		})
		want.Version, want.HeldAmount, want.PostedAmount = 2, proto.String("20.00"), proto.String("10.00")
		want.FromBalance, want.ToBalance, want.UpdateTime = proto.String("90.00"), proto.String("10.00"), posted.GetCapture().GetCreateTime()
		requireEqual(t, posted.GetTransfer(), want)
		requireReplay(t, c, "TransferService/PostTransfer", part, posted)

		over := &transfersv1.PostTransferRequest{TransferId: req.GetTransferId(), CaptureId: uuid.NewString(), Amount: "20.01"}
		requireFailure(t, c, "TransferService/PostTransfer", over, connect.CodeFailedPrecondition, "HOLD_AMOUNT_EXCEEDED",
			"transfer_id", over.GetCaptureId(), "parent_transfer_id", req.GetTransferId(), "seen", "20.01", "allowed", "20.00")

		last := post(t, c, &transfersv1.PostTransferRequest{TransferId: req.GetTransferId(), Amount: "5.5", Final: true})
		if got := last.GetTransfer(); got.GetStatus() != transfersv1.Transfer_SUCCESS || got.GetHeldAmount() != "0.00" || got.GetPostedAmount() != "15.50" {
			t.Errorf("after the last capture: %v", got)
		}
		if last.GetCapture().GetReference() != "order" {
			t.Errorf("the reference is not the hold's: %v", last.GetCapture())
		}
		requireBalances(t, c, a, "84.50 84.50 0.00 0.00")
		requireBalances(t, c, b, "15.50 15.50 0.00 0.00")

		late := &transfersv1.PostTransferRequest{TransferId: req.GetTransferId(), CaptureId: uuid.NewString()}
		requireFailure(t, c, "TransferService/PostTransfer", late, connect.CodeFailedPrecondition, "ALREADY_POSTED", "parent_transfer_id", req.GetTransferId())
		if got := getTransfer(t, c, late.GetCaptureId()); got.GetErrorReason().String() != "ALREADY_POSTED" || got.GetKind() != transfersv1.Transfer_CAPTURE {
			t.Errorf("recorded: %v", got)
		}
		requireFailure(t, c, "TransferService/VoidTransfer", &transfersv1.VoidTransferRequest{TransferId: req.GetTransferId()},
			connect.CodeFailedPrecondition, "ALREADY_POSTED", "transfer_id", req.GetTransferId())
		requireListed(t, c, &transfersv1.ListTransfersRequest{ParentTransferId: req.GetTransferId(), Status: transfersv1.Transfer_SUCCESS},
			last.GetCapture().GetTransferId(), part.GetCaptureId())
	})
}

// requireListed checks which transfers a list has, in order.
func requireListed(t *testing.T, c client, req *transfersv1.ListTransfersRequest, want ...string) {
	t.Helper()
	list := mustCall(t, c, "TransferService/ListTransfers", req, &transfersv1.ListTransfersResponse{}).GetTransfers()
	got := make([]string, 0, len(list))
	for _, transfer := range list {
		got = append(got, transfer.GetTransferId())
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v lists %v, want %v", req, got, want)
	}
}

func TestHoldIsPostedWhole(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		a, b := open(t, c, "100"), open(t, c, "")
		req := &transfersv1.PostTransferRequest{TransferId: hold(t, c, a, b, "30").GetTransferId()}
		posted := post(t, c, req)
		if got := posted.GetTransfer(); got.GetStatus() != transfersv1.Transfer_SUCCESS || got.GetPostedAmount() != "30.00" {
			t.Errorf("%v", got)
		}
		requireReplay(t, c, "TransferService/PostTransfer", req, posted)
		requireBalances(t, c, b, "30.00 30.00 0.00 0.00")
	})
}

func TestHoldIsVoided(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		a, b := open(t, c, "100"), open(t, c, "")
		req := transferRequest(a, b, "30")
		req.Hold = true
		held := create(t, c, req)
		if held.GetExpireTime() != nil {
			t.Errorf("a hold without an end expires: %v", held)
		}
		post(t, c, &transfersv1.PostTransferRequest{TransferId: held.GetTransferId(), Amount: "10"})
		voided := void(t, c, held.GetTransferId())
		if voided.GetStatus() != transfersv1.Transfer_FAILED || voided.GetErrorReason() != transfersv1.Transfer_VOIDED ||
			voided.GetHeldAmount() != "0.00" || voided.GetPostedAmount() != "10.00" {
			t.Errorf("%v", voided)
		}
		requireReplay(t, c, "TransferService/VoidTransfer", &transfersv1.VoidTransferRequest{TransferId: held.GetTransferId()},
			&transfersv1.VoidTransferResponse{Transfer: voided})
		requireBalances(t, c, a, "90.00 90.00 0.00 0.00")
		requireFailure(t, c, "TransferService/PostTransfer", &transfersv1.PostTransferRequest{TransferId: held.GetTransferId()},
			connect.CodeFailedPrecondition, "ALREADY_VOIDED", "parent_transfer_id", held.GetTransferId())
		// The call that made the hold was a success, and stays one.
		requireReplay(t, c, "TransferService/CreateTransfer", req, &transfersv1.CreateTransferResponse{Transfer: voided})
	})
}

func TestHoldExpires(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	var ahead time.Duration
	eachProtocol(t, f, func(t *testing.T, c client) {
		a, b := open(t, c, "100"), open(t, c, "")
		held, other := hold(t, c, a, b, "30"), hold(t, c, a, b, "20")
		requireBalances(t, c, a, "100.00 50.00 50.00 0.00")
		ahead += time.Hour
		f.advanceClock(t, ahead)
		requireBalances(t, c, a, "100.00 100.00 0.00 0.00")
		requireBalances(t, c, b, "0.00 0.00 0.00 0.00")
		requireFailure(t, c, "TransferService/PostTransfer", &transfersv1.PostTransferRequest{TransferId: held.GetTransferId()},
			connect.CodeFailedPrecondition, "HOLD_EXPIRED", "parent_transfer_id", held.GetTransferId())
		requireFailure(t, c, "TransferService/VoidTransfer", &transfersv1.VoidTransferRequest{TransferId: other.GetTransferId()},
			connect.CodeFailedPrecondition, "HOLD_EXPIRED", "transfer_id", other.GetTransferId())
		got := getTransfer(t, c, held.GetTransferId())
		if got.GetStatus() != transfersv1.Transfer_FAILED || got.GetErrorReason() != transfersv1.Transfer_HOLD_EXPIRED || got.GetHeldAmount() != "0.00" {
			t.Errorf("%v", got)
		}
		create(t, c, transferRequest(a, b, "100"))
	})
}

func TestScheduledTransferIsCancelled(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		a, b := open(t, c, ""), open(t, c, "")
		req := transferRequest(a, b, "5")
		req.ExecuteTime = timestamppb.New(time.Now().Add(1000 * time.Hour).Truncate(time.Microsecond))
		res := mustCall(t, c, "TransferService/CreateTransfer", req, &transfersv1.CreateTransferResponse{})
		got := res.GetTransfer()
		if got.GetStatus() != transfersv1.Transfer_INIT || got.GetKind() != transfersv1.Transfer_SCHEDULED ||
			!proto.Equal(got.GetExecuteTime(), req.GetExecuteTime()) || got.GetExpireTime() != nil || got.HeldAmount != nil || got.PostedAmount != nil {
			t.Fatalf("%v", got)
		}
		requireReplay(t, c, "TransferService/CreateTransfer", req, res)
		requireBalances(t, c, a, "0.00 0.00 0.00 0.00")
		requireFailure(t, c, "TransferService/PostTransfer", &transfersv1.PostTransferRequest{TransferId: req.GetTransferId()},
			connect.CodeFailedPrecondition, "NOT_PENDING", "parent_transfer_id", req.GetTransferId())
		requireFailure(t, c, "TransferService/ReverseTransfer", &transfersv1.ReverseTransferRequest{TransferId: req.GetTransferId()},
			connect.CodeFailedPrecondition, "NOT_REVERSIBLE", "parent_transfer_id", req.GetTransferId())
		cancelled := void(t, c, req.GetTransferId())
		if cancelled.GetStatus() != transfersv1.Transfer_FAILED || cancelled.GetErrorReason() != transfersv1.Transfer_VOIDED {
			t.Errorf("%v", cancelled)
		}
		requireReplay(t, c, "TransferService/CreateTransfer", req, &transfersv1.CreateTransferResponse{Transfer: cancelled})
	})
}

func TestWhatIsNotThereOrNotPending(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		a, b := open(t, c, "100"), open(t, c, "")
		plain := create(t, c, transferRequest(a, b, "10")).GetTransferId()
		requireFailure(t, c, "TransferService/VoidTransfer", &transfersv1.VoidTransferRequest{TransferId: plain},
			connect.CodeFailedPrecondition, "NOT_PENDING", "transfer_id", plain)
		requireFailure(t, c, "TransferService/PostTransfer", &transfersv1.PostTransferRequest{TransferId: plain, Amount: "1"},
			connect.CodeFailedPrecondition, "NOT_PENDING", "parent_transfer_id", plain)
		nothing := uuid.NewString()
		for method, req := range map[string]proto.Message{
			"TransferService/PostTransfer":    &transfersv1.PostTransferRequest{TransferId: nothing},
			"TransferService/VoidTransfer":    &transfersv1.VoidTransferRequest{TransferId: nothing},
			"TransferService/ReverseTransfer": &transfersv1.ReverseTransferRequest{TransferId: nothing, Amount: "1"},
		} {
			requireFailure(t, c, method, req, connect.CodeNotFound, "TRANSFER_NOT_FOUND", "transfer_id", nothing)
		}
		held := hold(t, c, a, b, "10").GetTransferId()
		requireFailure(t, c, "TransferService/PostTransfer", &transfersv1.PostTransferRequest{TransferId: held, CaptureId: plain},
			connect.CodeAlreadyExists, "TRANSFER_ALREADY_EXISTS", "transfer_id", plain)
	})
}

func TestReverseTransfer(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		a, b := open(t, c, "100"), open(t, c, "")
		paid := create(t, c, transferRequest(a, b, "20"))
		part := &transfersv1.ReverseTransferRequest{
			TransferId: paid.GetTransferId(), ReversalId: uuid.NewString(), Amount: "5", Reference: "goods came back", Metadata: map[string]string{"k": "v"},
		}
		reversal := reverse(t, c, part)
		requireEqual(t, reversal, &transfersv1.Transfer{
			TransferId: part.GetReversalId(), FromAccountId: b.GetAccountId(), ToAccountId: a.GetAccountId(), Amount: "5.00", Currency: "USD",
			Status: transfersv1.Transfer_SUCCESS, FromBalance: proto.String("15.00"), ToBalance: proto.String("85.00"),
			Reference: part.GetReference(), Metadata: part.GetMetadata(), CreateTime: reversal.GetCreateTime(), UpdateTime: reversal.GetCreateTime(),
			Version: 1, Kind: transfersv1.Transfer_REVERSAL, ParentTransferId: paid.GetTransferId(),
		})
		requireReplay(t, c, "TransferService/ReverseTransfer", part, &transfersv1.ReverseTransferResponse{Reversal: reversal})
		if got := getTransfer(t, c, paid.GetTransferId()).GetReversedAmount(); got != "5.00" {
			t.Errorf("reversed %s", got)
		}
		over := &transfersv1.ReverseTransferRequest{TransferId: paid.GetTransferId(), ReversalId: uuid.NewString(), Amount: "15.01"}
		requireFailure(t, c, "TransferService/ReverseTransfer", over, connect.CodeFailedPrecondition, "ALREADY_REVERSED",
			"transfer_id", over.GetReversalId(), "parent_transfer_id", paid.GetTransferId())
		requireFailure(t, c, "TransferService/ReverseTransfer", &transfersv1.ReverseTransferRequest{TransferId: part.GetReversalId()},
			connect.CodeFailedPrecondition, "NOT_REVERSIBLE")

		create(t, c, transferRequest(b, a, "14"))
		rest := &transfersv1.ReverseTransferRequest{TransferId: paid.GetTransferId()}
		requireFailure(t, c, "TransferService/ReverseTransfer", rest, connect.CodeFailedPrecondition, "INSUFFICIENT_FUNDS",
			"from_account_id", b.GetAccountId(), "seen", "1.00", "allowed", "0.00")
		rest.Force = true
		forced := reverse(t, c, rest)
		if forced.GetAmount() != "15.00" || forced.GetFromBalance() != "-14.00" {
			t.Errorf("forced: %v", forced)
		}
		requireReplay(t, c, "TransferService/ReverseTransfer", rest, &transfersv1.ReverseTransferResponse{Reversal: forced})
		requireListed(t, c, &transfersv1.ListTransfersRequest{ParentTransferId: paid.GetTransferId(), Status: transfersv1.Transfer_SUCCESS},
			forced.GetTransferId(), part.GetReversalId())
	})
}

// TestLifecycleByHand makes the new calls with amounts as JSON numbers, over REST and over Connect.
func TestLifecycleByHand(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	c := f.protocol(t, "grpc")
	a, b := open(t, c, "100"), open(t, c, "")
	send := func(path, fields string) {
		t.Helper()
		if res, text := f.send(t, http.MethodPost, path, "{"+fields+"}"); res.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %d %s", path, fields, res.StatusCode, text)
		}
	}
	accounts := `, "from_account_id": "` + a.GetAccountId() + `", "to_account_id": "` + b.GetAccountId() + `"`
	for _, rest := range []bool{true, false} {
		held, scheduled, backdated := uuid.NewString(), uuid.NewString(), uuid.NewString()
		createTransfer := func(id, fields string) {
			path := "/transfers.v1.TransferService/CreateTransfer"
			if rest {
				path = "/api/v1/transfers"
			}
			send(path, `"transfer_id": "`+id+`"`+accounts+fields)
		}
		about := func(id, method, verb, fields string) {
			if rest {
				send("/api/v1/transfers/"+id+verb, fields)
			} else {
				send("/transfers.v1.TransferService/"+method, `"transferId": "`+id+`", `+fields)
			}
		}
		createTransfer(held, `, "amount": 10.5, "hold": true, "hold_ttl": "3600s", "from_balance_at_least": 1, "toBalanceAtMost": 99.5`)
		createTransfer(scheduled, `, "amount": 1, "execute_time": "2999-01-01T00:00:00Z"`)
		createTransfer(backdated, `, "amount": 3, "effective_time": "2020-01-01T00:00:00Z"`)
		about(held, "PostTransfer", ":post", `"amount": 2.50, "final": true`)
		about(scheduled, "VoidTransfer", ":void", `"validateOnly": false`)
		about(backdated, "ReverseTransfer", ":reverse", `"amount": 0.5`)
		if got := getTransfer(t, c, held); got.GetPostedAmount() != "2.50" {
			t.Errorf("%v", got)
		}
		if got := getTransfer(t, c, scheduled); got.GetErrorReason() != transfersv1.Transfer_VOIDED {
			t.Errorf("%v", got)
		}
		if got := getTransfer(t, c, backdated); got.GetReversedAmount() != "0.50" || got.GetEffectiveTime().AsTime().Year() != 2020 {
			t.Errorf("%v", got)
		}
	}
	// The transfer may be named in the body too, and there may be no body at all.
	id := hold(t, c, a, b, "1").GetTransferId()
	send("/api/v1/transfers/"+id+":post", `"transferId": "`+strings.ToUpper(id)+`", "amount": "0.5"`)
	if res, text := f.send(t, http.MethodPost, "/api/v1/transfers/"+id+":void", "", "Content-Type", "application/json"); res.StatusCode != http.StatusOK {
		t.Errorf("%d %s", res.StatusCode, text)
	}
}
