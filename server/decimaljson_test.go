package server

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	transfersv1 "internaltransfers/gen/transfers/v1"
)

const digits38 = "12345678901234567890123456789012345678"

func TestQuoteDecimals(t *testing.T) {
	t.Parallel()
	transfer := planOf((&transfersv1.CreateTransferRequest{}).ProtoReflect().Descriptor())
	batch := planOf((&transfersv1.BatchCreateTransfersRequest{}).ProtoReflect().Descriptor())
	account := planOf((&transfersv1.CreateAccountRequest{}).ProtoReflect().Descriptor())
	post := planOf((&transfersv1.PostTransferRequest{}).ProtoReflect().Descriptor())
	update := planOf((&transfersv1.UpdateAccountRequest{}).ProtoReflect().Descriptor())
	cases := []struct {
		plan     *jsonPlan
		in, want string // an empty want: unchanged
	}{
		{transfer, `{"amount":20.10}`, `{"amount":"20.10"}`},
		{transfer, `{"amount":"20.10"}`, ``},
		{transfer, ` { "amount" : 0 , "reference" : "x" } `, ` { "amount" : "0" , "reference" : "x" } `},
		{transfer, `{"amount":-1.5e+3}`, `{"amount":"-1.5e+3"}`},
		{transfer, `{"am\u006funt":7}`, `{"am\u006funt":"7"}`},
		{transfer, `{"amount":` + digits38 + `.5}`, `{"amount":"` + digits38 + `.5"}`},
		{transfer, `{"reference":5,"metadata":{"amount":5}}`, ``},
		{transfer, `{"amount":[5]}`, ``},
		{transfer, `{"amount":{"amount":5}}`, ``},
		{transfer, `{"x":{"amount":5}}`, ``},
		{transfer, `{"reference":"\"amount\":5","amount":5}`, `{"reference":"\"amount\":5","amount":"5"}`},
		{transfer, `{"amount":null}`, ``},
		{transfer, `{"amount":5`, `{"amount":"5"`},
		{transfer, `{"amount":01}`, `{"amount":"0"1}`},
		{transfer, `{"amount":1.}`, ``},
		{transfer, `{"amount":5,}`, `{"amount":"5",}`},
		{transfer, `{"amount":5}x`, `{"amount":"5"}x`},
		{transfer, `{"amount":5 "reference":"x"}`, `{"amount":"5" "reference":"x"}`},
		{transfer, `{"amount":-}`, ``},
		{transfer, `5`, ``},
		{transfer, ``, ``},
		{account, `{"initial_balance":1,"min_balance":2}`, `{"initial_balance":"1","min_balance":"2"}`},
		{account, `{"initialBalance":1,"minBalance":2}`, `{"initialBalance":"1","minBalance":"2"}`},
		{transfer, `{"from_balance_at_least":1,"toBalanceAtMost":-2.5,"expected_from_version":3}`, `{"from_balance_at_least":"1","toBalanceAtMost":"-2.5","expected_from_version":3}`},
		{post, `{"amount":1.10,"final":true}`, `{"amount":"1.10","final":true}`},
		{account, `{"limits":[{"window":"60s","max_amount":5,"max_count":6},{"maxAmount":7}],"maxBalance":8,"max_transfer_amount":9}`,
			`{"limits":[{"window":"60s","max_amount":"5","max_count":6},{"maxAmount":"7"}],"maxBalance":"8","max_transfer_amount":"9"}`},
		{update, `{"account":{"minBalance":-3,"balance":4,"version":5},"expectedVersion":6}`, `{"account":{"minBalance":"-3","balance":4,"version":5},"expectedVersion":6}`},
		{batch, `{"transfers":[{"amount":1},{},{"amount":2}],"atomic":true}`, `{"transfers":[{"amount":"1"},{},{"amount":"2"}],"atomic":true}`},
		{batch, `{"transfers":[[{"amount":1}]]}`, ``},
		{batch, `{"transfers":{"amount":1}}`, ``},
		{batch, `{"transfers":[` + strings.Repeat("[", 2*jsonDepthMax) + strings.Repeat("]", 2*jsonDepthMax) + `,{"amount":1}]}`, ``},
	}
	for _, tc := range cases {
		want := tc.want
		if want == "" {
			want = tc.in
		}
		if got, err := quoteDecimals([]byte(tc.in), tc.plan); string(got) != want || err != nil {
			t.Errorf("%s\n got %s\nwant %s", tc.in, got, want)
		}
	}
}

func TestUnmarshalJSONNamesTheField(t *testing.T) {
	t.Parallel()
	cases := []struct {
		message proto.Message
		in      string
		field   string
	}{
		{&transfersv1.CreateTransferRequest{}, `{"amount":true}`, "amount"},
		{&transfersv1.CreateTransferRequest{}, "{\n \"reference\": \"ü\", \"fromAccountId\":\n 5}", "from_account_id"},
		{&transfersv1.CreateTransferRequest{}, `{"amont":1}`, "amont"},
		{&transfersv1.CreateTransferRequest{}, `{"amount":1,"amount":2}`, "amount"},
		{&transfersv1.CreateTransferRequest{}, `{"metadata":{"k":1}}`, `metadata["k"]`},
		{&transfersv1.CreateTransferRequest{}, `{"amount":NaN}`, "amount"},
		{&transfersv1.CreateTransferRequest{}, `{"amount":1,"reference":`, "reference"},
		{&transfersv1.CreateTransferRequest{}, `{"amount":1`, ""},
		{&transfersv1.CreateTransferRequest{}, `{"amount":1}}`, ""},
		{&transfersv1.CreateTransferRequest{}, ``, ""},
		{&transfersv1.BatchCreateTransfersRequest{}, `{"transfers":[{"amount":1},{"amount":1},{"amount":1},{"amount":{}}]}`, "transfers[3].amount"},
		{&transfersv1.BatchCreateTransfersRequest{}, `{"transfers":[{},5]}`, "transfers[1]"},
		{&transfersv1.UpdateAccountRequest{}, `{"account":{"status":"NOPE"}}`, "account.status"},
		{&transfersv1.UpdateAccountRequest{}, `{"updateMask":"display_name"}`, "update_mask"},
		{&transfersv1.UpdateAccountRequest{}, `{"account":{"limits":[{"window":"1s"},{"window":5}]}}`, "account.limits[1].window"},
		{&transfersv1.CreateTransferRequest{}, `{"holdTtl":"soon"}`, "hold_ttl"},
		{&transfersv1.ListTransfersRequest{}, `{"startTime":"x"}`, "start_time"},
		{&transfersv1.ListTransfersRequest{}, `{"page_size":"x"}`, "page_size"},
	}
	for _, tc := range cases {
		err := unmarshalJSON([]byte(tc.in), tc.message)
		var failed *decodeError
		if !errors.As(err, &failed) || failed.field != tc.field || failed.reason == "" || strings.Contains(failed.reason, "proto:") {
			t.Errorf("%s: %#v, want field %q", tc.in, err, tc.field)
		}
	}
}

func TestMarshalJSON(t *testing.T) {
	t.Parallel()
	base := []byte("before ")
	got, err := marshalJSON(base, &transfersv1.ListAccountsResponse{Accounts: []*transfersv1.Account{{AccountId: "a b", DisplayName: "<é>"}}})
	want := `before {"accounts":[{"accountId":"a b","currency":"","balance":"","available":"","held":"","incoming":"",` +
		`"status":"STATUS_UNSPECIFIED","displayName":"<é>","imageUrl":"","metadata":{},"version":"0","limits":[]}],"nextPageToken":""}`
	if err != nil || string(got) != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
}

// FuzzDecimalJSON checks that quoting makes JSON no more and no less valid, changes nothing but
// numbers at decimal fields, and loses no digit of these.
func FuzzDecimalJSON(f *testing.F) {
	for _, seed := range []string{
		`{"transfers":[{"amount":20.10,"reference":"x","metadata":{"amount":"1"}},{"amount":"5"}],"atomic":false}`,
		`{"transfers":[{"amount":` + digits38 + `}]}`, `{"transfers":[{"am\u006funt":1e400}]}`, `{"transfers":[{"amount":01}]}`,
		`{"transfers":[{"amount":1}`, `{"transfers":[[1,{"amount":-0}]],"amount":3}`, `[{"amount":1}]`, "\xff", `"`, `{"a":"\`, ``,
		`{"transfers":[{"amount":1 2}]}`, `{"transfers":[{"amount":-}]}`, `{"transfers":null}`, strings.Repeat(`{"transfers":[`, 60),
	} {
		f.Add(seed)
	}
	plan := planOf((&transfersv1.BatchCreateTransfersRequest{}).ProtoReflect().Descriptor())
	f.Fuzz(func(t *testing.T, in string) {
		quoted, err := quoteDecimals([]byte(in), plan)
		if err != nil {
			return
		}
		out := string(quoted)
		if json.Valid([]byte(in)) != json.Valid([]byte(out)) {
			t.Fatalf("validity changed\n in %q\nout %q", in, out)
		}
		requireOnlyQuotes(t, in, out)
		if path := jsonPathAt([]byte(in), plan, len(in)/2); len(path) > 10*len(in)+10 {
			t.Fatalf("path %q", path)
		}
		// What goes in as a number arrives as the same digits.
		var asNumber, asText transfersv1.BatchCreateTransfersRequest
		if unmarshalJSON([]byte(in), &asNumber) == nil {
			if err := unmarshalJSON([]byte(out), &asText); err != nil || !proto.Equal(&asNumber, &asText) {
				t.Fatalf("%v\n in %q\nout %q", err, in, out)
			}
		}
	})
}

// requireOnlyQuotes checks that out is in with quotes around some numbers.
func requireOnlyQuotes(t *testing.T, in, out string) {
	t.Helper()
	i := 0
	for o := 0; o < len(out); o++ {
		if i < len(in) && out[o] == in[i] {
			i++
			continue
		}
		end := strings.IndexByte(out[o+1:], '"')
		if out[o] != '"' || end < 1 {
			t.Fatalf("more than quotes changed at %d\n in %q\nout %q", o, in, out)
		}
		number := out[o+1 : o+1+end]
		if strings.Trim(number, "0123456789+-.eE") != "" || !strings.HasPrefix(in[i:], number) {
			t.Fatalf("%q is quoted\n in %q\nout %q", number, in, out)
		}
		i += len(number)
		o += end + 1
	}
	if i != len(in) {
		t.Fatalf("lost %q\nout %q", in[i:], out)
	}
}
