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

// An issuing is a ledger with two callers, who may do everything, but that one may not issue money,
// and what they pay with.
type issuing struct {
	may, mayNot      client
	all              *fixture // for the first of them
	equity, account  string
	held, returned   string                             // a hold on the equity account, and a payment to it
	paid, heldBefore *transfersv1.CreateTransferRequest // what was called for the payment from it and the hold
}

func newIssuing(t *testing.T) *issuing {
	t.Helper()
	g := newGuarded(t)
	_, all := g.key(t, access.Params{Grants: everythingBut()})
	_, some := g.key(t, access.Params{Grants: everythingBut("money.issue")})
	s := &issuing{all: g.as("Bearer " + all)}
	s.may, s.mayNot = s.all.protocol(t, "connect+proto"), g.as("Bearer "+some).protocol(t, "connect+proto")
	currencies := mustCall(t, s.may, "LedgerService/ListCurrencies", &transfersv1.ListCurrenciesRequest{}, &transfersv1.ListCurrenciesResponse{})
	for _, c := range currencies.GetCurrencies() {
		if c.GetCode() == "USD" {
			s.equity = c.GetEquityAccountId()
		}
	}
	opened := mustCall(t, s.may, "AccountService/CreateAccount", &transfersv1.CreateAccountRequest{InitialBalance: "100"}, &transfersv1.CreateAccountResponse{})
	s.account = opened.GetAccount().GetAccountId()
	s.heldBefore = s.pay(func(r *transfersv1.CreateTransferRequest) { r.Hold = true })
	s.held = mustCall(t, s.may, "TransferService/CreateTransfer", s.heldBefore, &transfersv1.CreateTransferResponse{}).GetTransfer().GetTransferId()
	s.paid = s.pay(func(r *transfersv1.CreateTransferRequest) { r.TransferId = uuid.NewString() })
	mustCall(t, s.may, "TransferService/CreateTransfer", s.paid, &transfersv1.CreateTransferResponse{})
	s.returned = mustCall(t, s.mayNot, "TransferService/CreateTransfer", s.back(), &transfersv1.CreateTransferResponse{}).GetTransfer().GetTransferId()
	return s
}

// pay is a payment from the equity account.
func (s *issuing) pay(with func(*transfersv1.CreateTransferRequest)) *transfersv1.CreateTransferRequest {
	r := &transfersv1.CreateTransferRequest{FromAccountId: s.equity, ToAccountId: s.account, Amount: "5"}
	with(r)
	return r
}

// back is a payment to it.
func (s *issuing) back() *transfersv1.CreateTransferRequest {
	return &transfersv1.CreateTransferRequest{FromAccountId: s.account, ToAccountId: s.equity, Amount: "7"}
}

// An issue is a call that lets an equity account pay.
type issue struct {
	what, method string
	req, res     proto.Message
}

// issues are all the ways, but those with a result for each item.
func (s *issuing) issues() []issue {
	transfer := func(what string, with func(*transfersv1.CreateTransferRequest)) issue {
		return issue{what, "TransferService/CreateTransfer", s.pay(with), &transfersv1.CreateTransferResponse{}}
	}
	return []issue{
		transfer("plain", func(*transfersv1.CreateTransferRequest) {}),
		transfer("hold", func(r *transfersv1.CreateTransferRequest) { r.Hold = true }),
		transfer("scheduled", func(r *transfersv1.CreateTransferRequest) {
			r.ExecuteTime = timestamppb.New(time.Now().Add(time.Hour))
		}),
		transfer("repeated", func(r *transfersv1.CreateTransferRequest) { r.TransferId = s.paid.GetTransferId() }),
		transfer("dry run", func(r *transfersv1.CreateTransferRequest) { r.ValidateOnly = true }),
		{"group", "TransferService/BatchCreateTransfers", &transfersv1.BatchCreateTransfersRequest{
			Atomic: true, Transfers: []*transfersv1.CreateTransferRequest{s.back(), s.pay(func(*transfersv1.CreateTransferRequest) {})},
		}, &transfersv1.BatchCreateTransfersResponse{}},
		{"capture", "TransferService/PostTransfer", &transfersv1.PostTransferRequest{TransferId: s.held}, &transfersv1.PostTransferResponse{}},
		{"reversal", "TransferService/ReverseTransfer", &transfersv1.ReverseTransferRequest{TransferId: s.returned}, &transfersv1.ReverseTransferResponse{}},
		{"forced", "TransferService/ReverseTransfer", &transfersv1.ReverseTransferRequest{TransferId: s.returned, Force: true}, &transfersv1.ReverseTransferResponse{}},
		{"opening", "AccountService/CreateAccount", &transfersv1.CreateAccountRequest{InitialBalance: "0.01"}, &transfersv1.CreateAccountResponse{}},
		{"negative floor", "AccountService/CreateAccount", &transfersv1.CreateAccountRequest{MinBalance: "-1"}, &transfersv1.CreateAccountResponse{}},
		{"schedule", "ScheduleService/CreateSchedule", &transfersv1.CreateScheduleRequest{
			FromAccountId: s.equity, ToAccountId: s.account, Amount: "5", Recurrence: &transfersv1.CreateScheduleRequest_Interval{Interval: durationpb.New(time.Hour)},
		}, &transfersv1.CreateScheduleResponse{}},
		{"lower floor", "AccountService/UpdateAccount", &transfersv1.UpdateAccountRequest{
			Account: &transfersv1.Account{AccountId: s.account, MinBalance: proto.String("-5")}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"min_balance"}},
		}, &transfersv1.UpdateAccountResponse{}},
	}
}

// TestMoneyIssue: without money.issue no way to pay lets an equity account pay: plain, held,
// scheduled, in a batch, in a group, by import, by schedule, by capture, by reversal, as a
// repetition, or as a dry run. Nothing moves and nothing is recorded.
func TestMoneyIssue(t *testing.T) {
	t.Parallel()
	s := newIssuing(t)
	before, version := s.all.counts(t), accountOf(t, s.may, s.account)
	for _, c := range s.issues() {
		_, err := s.mayNot.call(t.Context(), c.method, c.req, c.res)
		requirePermission(t, c.what, err, "money.issue")
	}
	batch := &transfersv1.BatchCreateTransfersResponse{}
	mustCall(t, s.mayNot, "TransferService/BatchCreateTransfers", &transfersv1.BatchCreateTransfersRequest{
		Transfers: []*transfersv1.CreateTransferRequest{s.pay(func(*transfersv1.CreateTransferRequest) {}), s.heldBefore},
	}, batch)
	imported := &transfersv1.ImportTransfersResponse{}
	mustCall(t, s.mayNot, "TransferService/ImportTransfers", &transfersv1.ImportTransfersRequest{
		Transfers: []*transfersv1.CreateTransferRequest{s.pay(func(r *transfersv1.CreateTransferRequest) {
			r.EffectiveTime = timestamppb.New(time.Now().Add(-time.Hour))
		})},
	}, imported)
	results := append(batch.GetResults(), imported.GetResults()...)
	if len(results) != 3 {
		t.Errorf("there are %d results", len(results))
	}
	for i, r := range results {
		if r.GetError().GetCode() != int32(connect.CodePermissionDenied) || !strings.Contains(r.GetError().GetMessage(), "money.issue") {
			t.Errorf("item %d: %v", i, r)
		}
	}
	if after := s.all.counts(t); after != before {
		t.Errorf("refused calls left %v where %v were", after, before)
	}
	if now := accountOf(t, s.may, s.account); !proto.Equal(now, version) {
		t.Errorf("the account was %v and is %v", version, now)
	}
	for _, c := range s.issues() { // with the permission all of them are possible
		if c.what != "forced" { // the one before it has moved all
			mustCall(t, s.may, c.method, c.req, c.res)
		}
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
