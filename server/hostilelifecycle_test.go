package server_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/server"
)

// invalidOptions returns transfers with impossible options, by the field that must be named.
func invalidOptions(a, b *transfersv1.Account) []invalidRequest {
	past, future := timestamppb.New(time.Unix(1, 0)), timestamppb.New(time.Now().Add(1000*time.Hour))
	year1 := timestamppb.New(time.Time{}.Add(100 * time.Nanosecond))
	var requests []invalidRequest
	add := func(field string, set func(*transfersv1.CreateTransferRequest)) {
		req := transferRequest(a, b, "1")
		set(req)
		requests = append(requests, invalidRequest{"TransferService/CreateTransfer", req, field})
	}
	add("hold_ttl", func(r *transfersv1.CreateTransferRequest) { r.HoldTtl = durationpb.New(time.Hour) })
	add("expire_time", func(r *transfersv1.CreateTransferRequest) { r.ExpireTime = future })
	add("hold_ttl", func(r *transfersv1.CreateTransferRequest) {
		r.Hold, r.ExpireTime, r.HoldTtl = true, future, durationpb.New(time.Hour)
	})
	for _, ttl := range []*durationpb.Duration{
		{}, durationpb.New(-time.Second), durationpb.New(time.Microsecond), {Seconds: 3155760000, Nanos: 1}, {Seconds: 315576000000},
	} {
		add("hold_ttl", func(r *transfersv1.CreateTransferRequest) { r.Hold, r.HoldTtl = true, ttl })
	}
	for _, moment := range []*timestamppb.Timestamp{past, year1} {
		add("expire_time", func(r *transfersv1.CreateTransferRequest) { r.Hold, r.ExpireTime = true, moment })
		add("execute_time", func(r *transfersv1.CreateTransferRequest) { r.ExecuteTime = moment })
	}
	add("effective_time", func(r *transfersv1.CreateTransferRequest) { r.EffectiveTime = year1 })
	add("effective_time", func(r *transfersv1.CreateTransferRequest) { r.EffectiveTime = future })
	add("effective_time", func(r *transfersv1.CreateTransferRequest) { r.Hold, r.EffectiveTime = true, past })
	add("execute_time", func(r *transfersv1.CreateTransferRequest) { r.Hold, r.ExecuteTime = true, future })
	add("execute_time", func(r *transfersv1.CreateTransferRequest) {
		r.ExecuteTime, r.FromBalanceAtLeast = future, proto.String("1")
	})
	add("expected_from_version", func(r *transfersv1.CreateTransferRequest) { r.ExpectedFromVersion = proto.Int64(0) })
	add("expected_to_version", func(r *transfersv1.CreateTransferRequest) { r.ExpectedToVersion = proto.Int64(-1) })
	add("from_balance_at_least", func(r *transfersv1.CreateTransferRequest) { r.FromBalanceAtLeast = proto.String("") })
	add("from_balance_at_most", func(r *transfersv1.CreateTransferRequest) { r.FromBalanceAtMost = proto.String("1e3") })
	add("to_balance_at_least", func(r *transfersv1.CreateTransferRequest) { r.ToBalanceAtLeast = proto.String(strings.Repeat("9", 39)) })
	add("to_balance_at_most", func(r *transfersv1.CreateTransferRequest) { r.ToBalanceAtMost = proto.String("NaN") })
	return requests
}

// invalidFollowers returns calls about a hold and about groups.
func invalidFollowers(a, b *transfersv1.Account, held string) []invalidRequest {
	var requests []invalidRequest
	batch := func(field string, req *transfersv1.BatchCreateTransfersRequest) {
		req.Transfers = []*transfersv1.CreateTransferRequest{transferRequest(a, b, "1"), transferRequest(a, b, "1")}
		if strings.HasSuffix(field, "validate_only") {
			req.Transfers[1].ValidateOnly = true
		} else {
			req.Transfers[1].UpTo = true
			req.Transfers[1].HoldTtl = durationpb.New(time.Hour)
		}
		requests = append(requests, invalidRequest{"TransferService/BatchCreateTransfers", req, field})
	}
	batch("group_id", &transfersv1.BatchCreateTransfersRequest{GroupId: uuid.NewString()})
	batch("group_id", &transfersv1.BatchCreateTransfersRequest{Atomic: true, GroupId: "x"})
	batch("group_id", &transfersv1.BatchCreateTransfersRequest{Atomic: true, GroupId: uuid.Nil.String()})
	batch("transfers[1].validate_only", &transfersv1.BatchCreateTransfersRequest{})
	batch("transfers[1].validate_only", &transfersv1.BatchCreateTransfersRequest{Atomic: true, ValidateOnly: true})
	batch("transfers[1].hold_ttl", &transfersv1.BatchCreateTransfersRequest{Atomic: true})
	requests = append(requests, invalidRequest{"TransferService/BatchCreateTransfers", &transfersv1.BatchCreateTransfersRequest{
		GroupId: uuid.NewString(), Transfers: []*transfersv1.CreateTransferRequest{transferRequest(a, b, "-1")},
	}, "group_id"})
	for _, id := range []string{"x", ""} {
		requests = append(requests,
			invalidRequest{"TransferService/PostTransfer", &transfersv1.PostTransferRequest{TransferId: id}, "transfer_id"},
			invalidRequest{"TransferService/VoidTransfer", &transfersv1.VoidTransferRequest{TransferId: id}, "transfer_id"},
			invalidRequest{"TransferService/ReverseTransfer", &transfersv1.ReverseTransferRequest{TransferId: id}, "transfer_id"})
	}
	for _, id := range []string{"x", uuid.Nil.String()} {
		requests = append(requests,
			invalidRequest{"TransferService/PostTransfer", &transfersv1.PostTransferRequest{TransferId: held, CaptureId: id}, "capture_id"},
			invalidRequest{"TransferService/ReverseTransfer", &transfersv1.ReverseTransferRequest{TransferId: held, ReversalId: id}, "reversal_id"})
	}
	for _, amount := range []string{"0", "-1", "0.001", "1e2", strings.Repeat("9", 39)} {
		requests = append(requests,
			invalidRequest{"TransferService/PostTransfer", &transfersv1.PostTransferRequest{TransferId: held, Amount: amount}, "amount"},
			invalidRequest{"TransferService/ReverseTransfer", &transfersv1.ReverseTransferRequest{TransferId: held, Amount: amount}, "amount"})
	}
	list := func(field string, req *transfersv1.ListTransfersRequest) {
		requests = append(requests, invalidRequest{"TransferService/ListTransfers", req, field})
	}
	list("group_id", &transfersv1.ListTransfersRequest{GroupId: "x"})
	list("group_id", &transfersv1.ListTransfersRequest{GroupId: held, ParentTransferId: held})
	list("group_id", &transfersv1.ListTransfersRequest{GroupId: held, AccountId: a.GetAccountId()})
	list("parent_transfer_id", &transfersv1.ListTransfersRequest{ParentTransferId: "x"})
	list("parent_transfer_id", &transfersv1.ListTransfersRequest{ParentTransferId: held, StartTime: a.GetCreateTime()})
	return append(requests,
		invalidRequest{"TransferService/PostTransfer", &transfersv1.PostTransferRequest{TransferId: held, Reference: "a\x00"}, "reference"},
		invalidRequest{"TransferService/ReverseTransfer", &transfersv1.ReverseTransferRequest{TransferId: held, Metadata: map[string]string{"": ""}}, `metadata[""]`})
}

// invalidPolicies returns policies that no account can have.
func invalidPolicies(a *transfersv1.Account) []invalidRequest {
	hour, one := durationpb.New(time.Hour), proto.Int64(1)
	limits := map[string][]*transfersv1.Limit{
		"limits[0]":            {{Window: hour}},
		"limits[0].window":     {{MaxCount: one}},
		"limits[1].window":     {{Window: hour, MaxCount: one}, {Window: durationpb.New(time.Millisecond), MaxCount: one}},
		"limits[2].window":     {{Window: hour, MaxCount: one}, {Window: hour, MaxCount: one}, {Window: durationpb.New(367 * 24 * time.Hour), MaxCount: one}},
		"limits[0].max_count":  {{Window: hour, MaxCount: proto.Int64(-1)}},
		"limits[0].max_amount": {{Window: hour, MaxAmount: proto.String("-1")}},
		"limits[1].max_amount": {{Window: hour, MaxCount: one}, {Window: hour, MaxAmount: proto.String("0.001")}},
		"limits":               slices.Repeat([]*transfersv1.Limit{{Window: hour, MaxCount: one}}, 9),
	}
	var requests []invalidRequest
	opened := func(field string, req *transfersv1.CreateAccountRequest) {
		requests = append(requests, invalidRequest{"AccountService/CreateAccount", req, field})
	}
	changed := func(field string, account *transfersv1.Account, paths ...string) {
		account.AccountId = a.GetAccountId()
		requests = append(requests, invalidRequest{"AccountService/UpdateAccount", updateRequest(account, paths...), field})
	}
	for field, list := range limits {
		opened(field, &transfersv1.CreateAccountRequest{Limits: list})
		changed("account."+field, &transfersv1.Account{Limits: list})
	}
	opened("max_balance", &transfersv1.CreateAccountRequest{MaxBalance: proto.String("x")})
	opened("max_balance", &transfersv1.CreateAccountRequest{MaxBalance: proto.String("0.001")})
	opened("max_balance", &transfersv1.CreateAccountRequest{MaxBalance: proto.String("4.99"), InitialBalance: "5"})
	opened("max_transfer_amount", &transfersv1.CreateAccountRequest{MaxTransferAmount: proto.String("0")})
	opened("max_transfer_amount", &transfersv1.CreateAccountRequest{MaxTransferAmount: proto.String("0.001")})
	changed("account.max_balance", &transfersv1.Account{MaxBalance: proto.String("0.001")})
	changed("account.max_balance", &transfersv1.Account{MaxBalance: proto.String("")}, "max_balance")
	changed("account.max_transfer_amount", &transfersv1.Account{MaxTransferAmount: proto.String("-1")})
	changed("account.debit_block.reason", &transfersv1.Account{DebitBlock: &transfersv1.Block{}})
	changed("account.credit_block.reason", &transfersv1.Account{CreditBlock: &transfersv1.Block{Reason: strings.Repeat("é", 201)}})
	changed("account.credit_block.reason", &transfersv1.Account{CreditBlock: &transfersv1.Block{Reason: "a\x00"}})
	changed("account.debit_block.end_time", &transfersv1.Account{DebitBlock: &transfersv1.Block{Reason: "r", EndTime: timestamppb.New(time.Time{})}})
	changed("update_mask", &transfersv1.Account{}, "debit_block.reason")
	changed("update_mask", &transfersv1.Account{}, "limits", "held")
	return requests
}

func TestInvalidLifecycle(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	grpc := f.protocol(t, "grpc")
	a, b := open(t, grpc, "10"), open(t, grpc, "")
	held := hold(t, grpc, a, b, "5")
	before := f.counts(t)
	eachProtocol(t, f, func(t *testing.T, c client) {
		for _, tc := range slices.Concat(invalidOptions(a, b), invalidFollowers(a, b, held.GetTransferId()), invalidPolicies(a)) {
			_, failed := c.call(t.Context(), tc.method, tc.req, answerTo(tc.method))
			if failed == nil {
				t.Errorf("%s %v: no error", tc.method, tc.req)
				continue
			}
			t.Run(tc.field, func(t *testing.T) { requireField(t, failed, tc.field) })
		}
	})
	requireEqual(t, getTransfer(t, grpc, held.GetTransferId()), held)
	if after := f.counts(t); after != before {
		t.Errorf("refused requests left something: %v, before %v", after, before)
	}
}

// TestImpossibleTimes sends times and durations that only binary messages can carry, alone and
// within a batch.
func TestImpossibleTimes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	c := f.protocol(t, "grpc")
	a, b := open(t, c, "10"), open(t, c, "")
	before := f.counts(t)
	var times []*timestamppb.Timestamp
	var durations []*durationpb.Duration
	for _, seconds := range []int64{math.MinInt64, -1 << 40, 1 << 40, math.MaxInt64} {
		times = append(times, &timestamppb.Timestamp{Seconds: seconds, Nanos: math.MaxInt32})
		durations = append(durations, &durationpb.Duration{Seconds: seconds, Nanos: math.MinInt32})
	}
	times = append(times, &timestamppb.Timestamp{Seconds: 1, Nanos: -1})
	durations = append(durations, &durationpb.Duration{Seconds: 60, Nanos: -1}, &durationpb.Duration{Seconds: 60, Nanos: 2e9})
	var requests []invalidRequest
	add := func(field string, set func(*transfersv1.CreateTransferRequest)) {
		req := transferRequest(a, b, "1")
		set(req)
		requests = append(requests, invalidRequest{"TransferService/CreateTransfer", req, field}, invalidRequest{
			"TransferService/BatchCreateTransfers",
			&transfersv1.BatchCreateTransfersRequest{Atomic: true, Transfers: []*transfersv1.CreateTransferRequest{req}}, "transfers[0]." + field,
		})
	}
	for _, moment := range times {
		add("expire_time", func(r *transfersv1.CreateTransferRequest) { r.Hold, r.ExpireTime = true, moment })
		add("execute_time", func(r *transfersv1.CreateTransferRequest) { r.ExecuteTime = moment })
		add("effective_time", func(r *transfersv1.CreateTransferRequest) { r.EffectiveTime = moment })
		block := &transfersv1.Block{Reason: "r", EndTime: moment}
		requests = append(requests, invalidRequest{
			"AccountService/UpdateAccount",
			&transfersv1.UpdateAccountRequest{Account: &transfersv1.Account{AccountId: a.GetAccountId(), DebitBlock: block}}, "account.debit_block.end_time",
		})
	}
	for _, duration := range durations {
		add("hold_ttl", func(r *transfersv1.CreateTransferRequest) { r.Hold, r.HoldTtl = true, duration })
		requests = append(requests, invalidRequest{"AccountService/CreateAccount", &transfersv1.CreateAccountRequest{
			Limits: []*transfersv1.Limit{{Window: duration, MaxCount: proto.Int64(1)}},
		}, "limits[0].window"})
	}
	for _, tc := range requests {
		_, failed := c.call(t.Context(), tc.method, tc.req, answerTo(tc.method))
		if failed == nil {
			t.Errorf("%s %v: no error", tc.method, tc.req)
			continue
		}
		t.Run(tc.field, func(t *testing.T) { requireField(t, failed, tc.field) })
	}
	if after := f.counts(t); after != before {
		t.Errorf("refused requests left something: %v, before %v", after, before)
	}
}

// hostileLifecycle returns requests about a transfer, a hold, over REST.
func hostileLifecycle(held, account string) []hostileRequest {
	path := func(verb string) string { return "/api/v1/transfers/" + held + verb }
	other := `{"transfer_id": "` + uuid.NewString() + `"}`
	return []hostileRequest{
		{"id that is no UUID", "POST", "/api/v1/transfers/x:post", `{}`, nil, 400, "transfer_id"},
		{"empty id", "POST", "/api/v1/transfers/:void", `{}`, nil, 400, "transfer_id"},
		{"id that is no UTF-8", "POST", "/api/v1/transfers/%ff:reverse", `{}`, nil, 400, "transfer_id"},
		{"id with a percent sign", "POST", "/api/v1/transfers/%25:reverse", `{}`, nil, 400, "transfer_id"},
		{"id with NUL", "POST", "/api/v1/transfers/%00:void", `{}`, nil, 400, "transfer_id"},
		{"two verbs", "POST", path(":post:void"), `{}`, nil, 404, "route"},
		{"unknown verb", "POST", path(":refund"), `{}`, nil, 404, "route"},
		{"verb in upper case", "POST", path(":VOID"), `{}`, nil, 404, "route"},
		{"verb without an id", "POST", "/api/v1/transfers:void", `{}`, nil, 404, "route"},
		{"reading a verb", "GET", path(":void"), "", nil, 405, "POST"},
		{"posting to no verb", "POST", path(""), `{}`, nil, 405, "GET"},
		{"parameter", "POST", path(":void") + "?validate_only=true", `{}`, nil, 400, "validate_only"},
		{"another id in the body", "POST", path(":post"), other, nil, 400, "transfer_id"},
		{"another id in the body by its other name", "POST", path(":void"), strings.Replace(other, "transfer_id", "transferId", 1), nil, 400, "transfer_id"},
		{"another id in the body, escaped", "POST", path(":void"), strings.Replace(other, "transfer_id", `transfer\u005fid`, 1), nil, 400, "transfer_id"},
		{"another account in a patch", "PATCH", "/api/v1/accounts/" + account, `{"accountId": "` + uuid.NewString() + `", "displayName": "n"}`, nil, 400, "account.account_id"},
		{"no type", "POST", path(":void"), `{}`, []string{"Content-Type", ""}, 415, "application/json"},
		{"no body and no type", "POST", path(":post"), "", nil, 415, "application/json"},
		{"a form without a body", "POST", path(":void"), "", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "application/json"},
		{"half an object", "POST", path(":post"), `{"amount":`, nil, 400, "amount"},
		{"array", "POST", path(":post"), `[]`, nil, 400, ""},
		{"deep nesting", "POST", path(":post"), `{"amount": ` + strings.Repeat("[", 20_000), nil, 400, "amount"},
		{"unknown field", "POST", path(":post"), `{"finall": true}`, nil, 400, "finall"},
		{"amount as true", "POST", path(":post"), `{"amount": true}`, nil, 400, "amount"},
		{"amount below zero", "POST", path(":reverse"), `{"amount": -1}`, nil, 400, "amount"},
		{"precise amount", "POST", path(":post"), `{"amount": 0.001}`, nil, 400, "amount"},
		{"final as text", "POST", path(":post"), `{"final": "yes"}`, nil, 400, "final"},
		{"force as number", "POST", path(":reverse"), `{"force": 1}`, nil, 400, "force"},
		{"id as number", "POST", path(":void"), `{"transfer_id": 5}`, nil, 400, "transfer_id"},
		{"field of another method", "POST", path(":void"), `{"amount": 1}`, nil, 400, "amount"},
		{"hold as text", "POST", "/api/v1/transfers", `{"hold": "yes"}`, nil, 400, "hold"},
		{"duration as number", "POST", "/api/v1/transfers", `{"hold": true, "hold_ttl": 5}`, nil, 400, "hold_ttl"},
		{"duration without a unit", "POST", "/api/v1/transfers", `{"hold": true, "holdTtl": "5"}`, nil, 400, "hold_ttl"},
		{"time as number", "POST", "/api/v1/transfers", `{"execute_time": 5}`, nil, 400, "execute_time"},
		{"condition as true", "POST", "/api/v1/transfers", `{"from_balance_at_least": true}`, nil, 400, "from_balance_at_least"},
		{"version as fraction", "POST", "/api/v1/transfers", `{"expected_from_version": 1.5}`, nil, 400, "expected_from_version"},
		{"limits as object", "PATCH", "/api/v1/accounts/" + account, `{"limits": {}}`, nil, 400, "account.limits"},
		{"limit as number", "PATCH", "/api/v1/accounts/" + account, `{"limits": [5]}`, nil, 400, "account.limits[0]"},
		{"amount of a limit as true", "PATCH", "/api/v1/accounts/" + account, `{"limits": [{"max_amount": true}]}`, nil, 400, "account.limits[0].max_amount"},
		{"block as text", "PATCH", "/api/v1/accounts/" + account, `{"debit_block": "no"}`, nil, 400, "account.debit_block"},
		{"validate_only as text", "PATCH", "/api/v1/accounts/" + account + "?validate_only=yes", `{"display_name": "n"}`, nil, 400, "validate_only"},
		{"group twice", "GET", "/api/v1/transfers?group_id=" + held + "&groupId=" + held, "", nil, 400, "group_id"},
	}
}

func TestHostileLifecycle(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	c := f.protocol(t, "grpc")
	a, b := open(t, c, "1000"), open(t, c, "")
	held := hold(t, c, a, b, "5")
	before, accountBefore := f.counts(t), getAccount(t, c, a.GetAccountId())
	for _, tc := range hostileLifecycle(held.GetTransferId(), a.GetAccountId()) {
		t.Run(tc.name, func(t *testing.T) {
			res, text := f.send(t, tc.method, tc.path, tc.body, tc.header...)
			if res.StatusCode != tc.status {
				t.Errorf("status %d, want %d: %s", res.StatusCode, tc.status, text)
			}
			requireClientError(t, res, text, tc.field)
		})
	}
	requireEqual(t, getTransfer(t, c, held.GetTransferId()), held)
	requireEqual(t, getAccount(t, c, a.GetAccountId()), accountBefore)
	if after := f.counts(t); after != before {
		t.Errorf("refused requests left something: %v, before %v", after, before)
	}
}
