package server_test

import (
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/server"
)

// change updates an account by a mask; without one, with all that is set.
func change(t *testing.T, c client, account *transfersv1.Account, paths ...string) *transfersv1.Account {
	t.Helper()
	return mustCall(t, c, "AccountService/UpdateAccount", updateRequest(account, paths...), &transfersv1.UpdateAccountResponse{}).GetAccount()
}

func updateRequest(account *transfersv1.Account, paths ...string) *transfersv1.UpdateAccountRequest {
	req := &transfersv1.UpdateAccountRequest{Account: account}
	if paths != nil {
		req.UpdateMask = &fieldmaskpb.FieldMask{Paths: paths}
	}
	return req
}

func getAccount(t *testing.T, c client, id string) *transfersv1.Account {
	t.Helper()
	return mustCall(t, c, "AccountService/GetAccount", &transfersv1.GetAccountRequest{AccountId: id}, &transfersv1.GetAccountResponse{}).GetAccount()
}

func TestPoliciesAreSetAndCleared(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		req := &transfersv1.CreateAccountRequest{
			AccountId: uuid.NewString(), InitialBalance: "10", MaxBalance: proto.String("1000.5"), MaxTransferAmount: proto.String("20"),
			Limits: []*transfersv1.Limit{
				{Window: durationpb.New(24 * time.Hour), MaxAmount: proto.String("50"), MaxCount: proto.Int64(0)},
				{Window: durationpb.New(1500 * time.Millisecond), MaxCount: proto.Int64(3)},
			},
		}
		res := mustCall(t, c, "AccountService/CreateAccount", req, &transfersv1.CreateAccountResponse{})
		requireReplay(t, c, "AccountService/CreateAccount", req, res)
		account := res.GetAccount()
		id := account.GetAccountId()
		want := proto.CloneOf(account)
		want.MaxBalance, want.MaxTransferAmount = proto.String("1000.50"), proto.String("20.00")
		want.Limits = []*transfersv1.Limit{proto.CloneOf(req.GetLimits()[0]), req.GetLimits()[1]}
		want.Limits[0].MaxAmount = proto.String("50.00")
		requireEqual(t, account, want)

		end := timestamppb.New(time.Date(2999, 1, 1, 0, 0, 0, 5000, time.UTC))
		account = change(t, c, &transfersv1.Account{
			AccountId: id, MaxTransferAmount: proto.String("5"), DebitBlock: &transfersv1.Block{Reason: "fraud?", EndTime: end},
			CreditBlock: &transfersv1.Block{Reason: "sanctions"}, Limits: []*transfersv1.Limit{{Window: durationpb.New(time.Hour), MaxAmount: proto.String("0")}},
		})
		want.MaxTransferAmount = proto.String("5.00")
		want.DebitBlock, want.CreditBlock = &transfersv1.Block{Reason: "fraud?", EndTime: end}, &transfersv1.Block{Reason: "sanctions"}
		want.Limits = []*transfersv1.Limit{{Window: durationpb.New(time.Hour), MaxAmount: proto.String("0.00")}}
		want.Version, want.UpdateTime = want.GetVersion()+1, account.GetUpdateTime()
		requireEqual(t, account, want)
		requireEqual(t, getAccount(t, c, id), want)

		account = change(t, c, &transfersv1.Account{AccountId: id, MaxBalance: proto.String("77")}, "max_transfer_amount", "credit_block")
		want.MaxTransferAmount, want.CreditBlock = nil, nil
		want.Version, want.UpdateTime = want.GetVersion()+1, account.GetUpdateTime()
		requireEqual(t, account, want)
		account = change(t, c, &transfersv1.Account{AccountId: id}, "max_balance", "debit_block", "limits")
		want.MaxBalance, want.DebitBlock, want.Limits = nil, nil, nil
		want.Version, want.UpdateTime = want.GetVersion()+1, account.GetUpdateTime()
		requireEqual(t, account, want)
		requireEqual(t, getAccount(t, c, id), want)
	})
}

func TestPolicyRefusals(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		rich := open(t, c, "1000")
		end := time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)
		hour := durationpb.New(time.Hour)
		cases := []struct {
			reason  string
			policy  *transfersv1.Account // of an account with 100, beside one of 10 that it paid
			in      bool                 // the account is the payee
			amount  string
			figures []string
		}{
			{"DEBITS_BLOCKED", &transfersv1.Account{DebitBlock: &transfersv1.Block{Reason: "fraud?"}}, false, "1", []string{"block_reason", "fraud?"}},
			{
				"CREDITS_BLOCKED", &transfersv1.Account{CreditBlock: &transfersv1.Block{Reason: "später", EndTime: timestamppb.New(end)}}, true, "1",
				[]string{"block_reason", "später", "block_end_time", "2999-01-01T00:00:00Z"},
			},
			{"TRANSFER_CAP_EXCEEDED", &transfersv1.Account{MaxTransferAmount: proto.String("5")}, false, "5.01", []string{"seen", "5.01", "allowed", "5.00"}},
			{"INSUFFICIENT_FUNDS", &transfersv1.Account{MinBalance: proto.String("-10")}, false, "100.01", []string{"seen", "90.00", "allowed", "-10.00"}},
			{"MAX_BALANCE_EXCEEDED", &transfersv1.Account{MaxBalance: proto.String("95")}, true, "5.01", []string{"seen", "90.00", "allowed", "95.00"}},
			{
				"AMOUNT_LIMIT_EXCEEDED", &transfersv1.Account{Limits: []*transfersv1.Limit{{Window: hour, MaxAmount: proto.String("30")}}}, false, "20.01",
				[]string{"seen", "10.00", "allowed", "30.00", "window", "3600s"},
			},
			{
				"COUNT_LIMIT_EXCEEDED", &transfersv1.Account{Limits: []*transfersv1.Limit{{Window: hour, MaxCount: proto.Int64(1)}}}, false, "1",
				[]string{"seen", "1", "allowed", "1", "window", "3600s"},
			},
		}
		for _, tc := range cases {
			account := open(t, c, "100")
			create(t, c, transferRequest(account, rich, "10"))
			tc.policy.AccountId = account.GetAccountId()
			change(t, c, tc.policy)
			req := transferRequest(account, rich, tc.amount)
			if tc.in {
				req = transferRequest(rich, account, tc.amount)
			}
			requireRefusal(t, c, req, connect.CodeFailedPrecondition, tc.reason, tc.figures...)
			requireBalances(t, c, account, "90.00 90.00 0.00 0.00")
		}
		// For a hold the figures of insufficient funds are those of the available balance.
		account := open(t, c, "100")
		hold(t, c, account, rich, "60")
		requireRefusal(t, c, transferRequest(account, rich, "41"), connect.CodeFailedPrecondition, "INSUFFICIENT_FUNDS", "seen", "40.00", "allowed", "0.00")
	})
}
