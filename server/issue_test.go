package server_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/access"
)

// everythingBut is a grant of all permissions but these.
func everythingBut(without ...string) []access.Grant {
	all := access.Permissions(math.MaxUint32).Names()
	return []access.Grant{{Permissions: slices.DeleteFunc(all, func(name string) bool { return slices.Contains(without, name) })}}
}

// requirePermission fails unless a call was refused for want of that permission.
func requirePermission(t *testing.T, what string, err *connect.Error, permission string) {
	t.Helper()
	if err == nil || err.Code() != connect.CodePermissionDenied {
		t.Errorf("%s: %v", what, err)
		return
	}
	if reason, metadata := infoOf(err); reason != "PERMISSION_MISSING" || metadata["permission"] != permission {
		t.Errorf("%s: %s %v", what, reason, metadata)
	}
}

// TestMoneyIssue: without money.issue no way to pay lets an equity account pay: plain, held,
// scheduled, swept, conditional, in a batch, in a group, by import, by schedule, by capture, by
// reversal, as a repetition, or as a dry run. Nothing moves and nothing is recorded.
func TestMoneyIssue(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	_, all := g.key(t, access.Params{Grants: everythingBut()})
	_, some := g.key(t, access.Params{Grants: everythingBut("money.issue")})
	may, may2 := g.as("Bearer "+all).protocol(t, "connect+proto"), g.as("Bearer "+some)
	mayNot := may2.protocol(t, "connect+proto")
	currencies := mustCall(t, may, "LedgerService/ListCurrencies", &transfersv1.ListCurrenciesRequest{}, &transfersv1.ListCurrenciesResponse{})
	equity := ""
	for _, c := range currencies.GetCurrencies() {
		if c.GetCode() == "USD" {
			equity = c.GetEquityAccountId()
		}
	}
	account := mustCall(t, may, "AccountService/CreateAccount", &transfersv1.CreateAccountRequest{InitialBalance: "100"}, &transfersv1.CreateAccountResponse{}).GetAccount().GetAccountId()
	pay := func() *transfersv1.CreateTransferRequest {
		return &transfersv1.CreateTransferRequest{FromAccountId: equity, ToAccountId: account, Amount: "5"}
	}
	hold := pay()
	hold.Hold = true
	held := mustCall(t, may, "TransferService/CreateTransfer", hold, &transfersv1.CreateTransferResponse{}).GetTransfer()
	paid := pay()
	paid.TransferId = uuid.NewString()
	mustCall(t, may, "TransferService/CreateTransfer", paid, &transfersv1.CreateTransferResponse{})
	back := &transfersv1.CreateTransferRequest{FromAccountId: account, ToAccountId: equity, Amount: "7"}
	returned := mustCall(t, mayNot, "TransferService/CreateTransfer", back, &transfersv1.CreateTransferResponse{}).GetTransfer()
	dry := pay()
	dry.ValidateOnly = true
	later := pay()
	later.ExecuteTime = timestamppb.New(time.Now().Add(time.Hour))
	imported := pay()
	imported.EffectiveTime = timestamppb.New(time.Now().Add(-time.Hour))
	before, version := g.as("Bearer "+all).counts(t), accountOf(t, may, account)
	for what, c := range map[string]struct {
		method   string
		req, res proto.Message
	}{
		"plain":          {"TransferService/CreateTransfer", pay(), &transfersv1.CreateTransferResponse{}},
		"hold":           {"TransferService/CreateTransfer", hold, &transfersv1.CreateTransferResponse{}},
		"scheduled":      {"TransferService/CreateTransfer", later, &transfersv1.CreateTransferResponse{}},
		"repeated":       {"TransferService/CreateTransfer", paid, &transfersv1.CreateTransferResponse{}},
		"dry run":        {"TransferService/CreateTransfer", dry, &transfersv1.CreateTransferResponse{}},
		"group":          {"TransferService/BatchCreateTransfers", &transfersv1.BatchCreateTransfersRequest{Atomic: true, Transfers: []*transfersv1.CreateTransferRequest{back, pay()}}, &transfersv1.BatchCreateTransfersResponse{}},
		"capture":        {"TransferService/PostTransfer", &transfersv1.PostTransferRequest{TransferId: held.GetTransferId()}, &transfersv1.PostTransferResponse{}},
		"reversal":       {"TransferService/ReverseTransfer", &transfersv1.ReverseTransferRequest{TransferId: returned.GetTransferId()}, &transfersv1.ReverseTransferResponse{}},
		"forced":         {"TransferService/ReverseTransfer", &transfersv1.ReverseTransferRequest{TransferId: returned.GetTransferId(), Force: true}, &transfersv1.ReverseTransferResponse{}},
		"opening":        {"AccountService/CreateAccount", &transfersv1.CreateAccountRequest{InitialBalance: "0.01"}, &transfersv1.CreateAccountResponse{}},
		"negative floor": {"AccountService/CreateAccount", &transfersv1.CreateAccountRequest{MinBalance: "-1"}, &transfersv1.CreateAccountResponse{}},
		"schedule": {"ScheduleService/CreateSchedule", &transfersv1.CreateScheduleRequest{
			FromAccountId: equity, ToAccountId: account, Amount: "5", Recurrence: &transfersv1.CreateScheduleRequest_Interval{Interval: durationpb.New(time.Hour)},
		}, &transfersv1.CreateScheduleResponse{}},
		"lower floor": {"AccountService/UpdateAccount", &transfersv1.UpdateAccountRequest{
			Account: &transfersv1.Account{AccountId: account, MinBalance: proto.String("-5")}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"min_balance"}},
		}, &transfersv1.UpdateAccountResponse{}},
	} {
		_, err := mayNot.call(t.Context(), c.method, c.req, c.res)
		requirePermission(t, what, err, "money.issue")
	}
	for what, c := range map[string]struct {
		method   string
		req, res proto.Message
		results  func(proto.Message) []*transfersv1.TransferResult
	}{
		"batch": {"TransferService/BatchCreateTransfers", &transfersv1.BatchCreateTransfersRequest{Transfers: []*transfersv1.CreateTransferRequest{pay(), pay()}},
			&transfersv1.BatchCreateTransfersResponse{}, func(m proto.Message) []*transfersv1.TransferResult {
				return m.(*transfersv1.BatchCreateTransfersResponse).GetResults()
			}},
		"import": {"TransferService/ImportTransfers", &transfersv1.ImportTransfersRequest{Transfers: []*transfersv1.CreateTransferRequest{imported}},
			&transfersv1.ImportTransfersResponse{}, func(m proto.Message) []*transfersv1.TransferResult {
				return m.(*transfersv1.ImportTransfersResponse).GetResults()
			}},
	} {
		for i, r := range c.results(mustCall(t, mayNot, c.method, c.req, c.res)) {
			if r.GetError().GetCode() != int32(connect.CodePermissionDenied) || !strings.Contains(r.GetError().GetMessage(), "money.issue") {
				t.Errorf("item %d of a %s: %v", i, what, r)
			}
		}
	}
	if after := g.as("Bearer " + all).counts(t); after != before {
		t.Errorf("refused calls left %v where %v were", after, before)
	}
	if now := accountOf(t, may, account); !proto.Equal(now, version) {
		t.Errorf("the account was %v and is %v", version, now)
	}
	// All of them are possible with the permission.
	for _, m := range []struct {
		method   string
		req, res proto.Message
	}{
		{"TransferService/PostTransfer", &transfersv1.PostTransferRequest{TransferId: held.GetTransferId()}, &transfersv1.PostTransferResponse{}},
		{"TransferService/ReverseTransfer", &transfersv1.ReverseTransferRequest{TransferId: returned.GetTransferId()}, &transfersv1.ReverseTransferResponse{}},
		{"TransferService/CreateTransfer", paid, &transfersv1.CreateTransferResponse{}},
	} {
		mustCall(t, may, m.method, m.req, m.res)
	}
}

func accountOf(t *testing.T, c client, id string) *transfersv1.Account {
	t.Helper()
	return mustCall(t, c, "AccountService/GetAccount", &transfersv1.GetAccountRequest{AccountId: id}, &transfersv1.GetAccountResponse{}).GetAccount()
}

// TestPolicyPermissions: what restricts an account needs accounts.policy, on opening and later, and
// a forced reversal transfers.force. The rest of an account does not.
func TestPolicyPermissions(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	_, secret := g.key(t, access.Params{Grants: everythingBut("accounts.policy", "transfers.force")})
	c := g.as("Bearer "+secret).protocol(t, "rest")
	account := mustCall(t, c, "AccountService/CreateAccount", &transfersv1.CreateAccountRequest{DisplayName: "x", InitialBalance: "5"}, &transfersv1.CreateAccountResponse{}).GetAccount().GetAccountId()
	for what, req := range map[string]*transfersv1.CreateAccountRequest{
		"floor": {MinBalance: "1"}, "ceiling": {MaxBalance: proto.String("9")}, "cap": {MaxTransferAmount: proto.String("9")},
		"limit": {Limits: []*transfersv1.Limit{{Window: durationpb.New(time.Hour), MaxAmount: proto.String("5")}}},
	} {
		_, err := c.call(t.Context(), "AccountService/CreateAccount", req, &transfersv1.CreateAccountResponse{})
		requirePermission(t, "opened with a "+what, err, "accounts.policy")
	}
	for _, change := range []*transfersv1.Account{
		{MinBalance: proto.String("1")}, {MaxBalance: proto.String("9")}, {Status: transfersv1.Account_FROZEN},
		{DebitBlock: &transfersv1.Block{Reason: "x"}}, {DisplayName: "y", Status: transfersv1.Account_FROZEN},
	} {
		change.AccountId = account
		_, err := c.call(t.Context(), "AccountService/UpdateAccount", &transfersv1.UpdateAccountRequest{Account: change}, &transfersv1.UpdateAccountResponse{})
		requirePermission(t, change.String(), err, "accounts.policy")
	}
	mustCall(t, c, "AccountService/UpdateAccount", &transfersv1.UpdateAccountRequest{
		Account: &transfersv1.Account{AccountId: account, DisplayName: "z", Metadata: map[string]string{"a": "b"}},
	}, &transfersv1.UpdateAccountResponse{})
	_, err := c.call(t.Context(), "TransferService/ReverseTransfer",
		&transfersv1.ReverseTransferRequest{TransferId: uuid.NewString(), Force: true}, &transfersv1.ReverseTransferResponse{})
	requirePermission(t, "force", err, "transfers.force")
}
