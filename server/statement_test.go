package server_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/server"
)

// streamOver makes a call whose response is a stream, and returns the error that it ended with.
func streamOver[Req, Res any](t *testing.T, c *rpcClient, method string, req *Req, each func(*Res)) (http.Header, *connect.Error) {
	t.Helper()
	options := slices.Clone(c.options)
	if c.json {
		options = append(options, connect.WithProtoJSON())
	}
	raw := connect.NewClient[Req, Res](c.http, c.url+"/transfers.v1."+method, options...)
	stream, err := raw.CallServerStream(t.Context(), connect.NewRequest(req))
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	defer stream.Close()
	for stream.Receive() {
		each(stream.Msg())
	}
	var failed *connect.Error
	if err := stream.Err(); err != nil && !errors.As(err, &failed) {
		t.Fatalf("%s: %v", method, err)
	}
	return stream.ResponseHeader(), failed
}

// statement calls GetStatement and reads all pages of it.
func statement(t *testing.T, c client, req *transfersv1.GetStatementRequest) *transfersv1.GetStatementResponse {
	t.Helper()
	req = proto.CloneOf(req)
	all := &transfersv1.GetStatementResponse{}
	for {
		page := mustCall(t, c, "AccountService/GetStatement", req, &transfersv1.GetStatementResponse{})
		if all.Statement != nil {
			requireEqual(t, page.GetStatement(), all.GetStatement())
		}
		all.Statement = page.GetStatement()
		all.Entries = append(all.Entries, page.GetEntries()...)
		if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
			return all
		}
	}
}

// streamedStatement reads the statement by StreamStatement.
func streamedStatement(t *testing.T, c *rpcClient, req *transfersv1.GetStatementRequest) (*transfersv1.GetStatementResponse, *connect.Error) {
	t.Helper()
	all := &transfersv1.GetStatementResponse{}
	_, failed := streamOver(t, c, "AccountService/StreamStatement", &transfersv1.StreamStatementRequest{
		AccountId: req.GetAccountId(), StartTime: req.GetStartTime(), EndTime: req.GetEndTime(), Basis: req.GetBasis(), Position: req.Position,
	}, func(part *transfersv1.StreamStatementResponse) {
		if (part.GetStatement() == nil) == (all.GetStatement() == nil) {
			t.Fatalf("the head is not once and first: %v", part)
		}
		if part.GetStatement() != nil {
			all.Statement = part.GetStatement()
		}
		all.Entries = append(all.Entries, part.GetEntries().GetEntries()...)
	})
	return all, failed
}

// exported reads the statement by ExportStatement, with the name of the file.
func exported(t *testing.T, c *rpcClient, req *transfersv1.GetStatementRequest) (name, text string, failed *connect.Error) {
	t.Helper()
	var file bytes.Buffer
	header, failed := streamOver(t, c, "AccountService/ExportStatement", &transfersv1.ExportStatementRequest{
		AccountId: req.GetAccountId(), StartTime: req.GetStartTime(), EndTime: req.GetEndTime(), Basis: req.GetBasis(), Position: req.Position,
	}, func(part *httpbody.HttpBody) {
		if part.GetContentType() != "text/csv; charset=utf-8" {
			t.Errorf("content type %q", part.GetContentType())
		}
		file.Write(part.GetData())
	})
	_, params, _ := mime.ParseMediaType(header.Get("Content-Disposition"))
	return params["filename"], file.String(), failed
}

// csvPath returns the statement's URL over REST.
func csvPath(req *transfersv1.GetStatementRequest) string {
	query := url.Values{"basis": {req.GetBasis().String()}}
	for name, at := range map[string]*timestamppb.Timestamp{"start_time": req.GetStartTime(), "endTime": req.GetEndTime()} {
		if at != nil {
			query.Set(name, at.AsTime().Format(time.RFC3339Nano))
		}
	}
	if req.Position != nil {
		query.Set("position", fmt.Sprint(req.GetPosition()))
	}
	return "/api/v1/accounts/" + req.GetAccountId() + "/statement.csv?" + query.Encode()
}

// statementCSV returns the file of a statement, written as simply as possible.
func statementCSV(t *testing.T, s *transfersv1.GetStatementResponse) string {
	t.Helper()
	moment := func(at *timestamppb.Timestamp) string {
		if at == nil {
			return ""
		}
		return at.AsTime().Format("2006-01-02T15:04:05.000000Z")
	}
	head := s.GetStatement()
	rows := [][]string{
		strings.Split("type,time,sequence,transfer_id,counterparty_account_id,amount,balance,currency,reference,create_time,effective_time", ","),
		{"opening_balance", moment(head.GetStartTime()), "", "", "", "", head.GetOpeningBalance(), head.GetCurrency(), "", "", ""},
	}
	for _, e := range s.GetEntries() {
		at := e.GetCreateTime()
		if e.EffectiveTime != nil && head.GetBasis() == transfersv1.StatementBasis_STATEMENT_BASIS_EFFECTIVE_TIME {
			at = e.GetEffectiveTime()
		}
		rows = append(rows, []string{
			"entry", moment(at), fmt.Sprint(e.GetSequence()), e.GetTransferId(), e.GetCounterpartyAccountId(), e.GetAmount(), e.GetBalance(),
			e.GetCurrency(), e.GetReference(), moment(e.GetCreateTime()), moment(e.GetEffectiveTime()),
		})
	}
	rows = append(rows, []string{
		"closing_balance", moment(head.GetEndTime()), "", "", "", "", head.GetClosingBalance(), head.GetCurrency(), "", "", "",
	})
	var file bytes.Buffer
	w := csv.NewWriter(&file)
	w.UseCRLF = true
	if err := w.WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	return file.String()
}

// historyOf makes an account with entries of each side, some of them backdated.
func historyOf(t *testing.T, c client) *transfersv1.Account {
	t.Helper()
	a, b := open(t, c, "100"), open(t, c, "100")
	day := time.Date(2020, 2, 29, 1, 2, 3, 4000, time.UTC)
	for i := range 7 {
		req := transferRequest(a, b, fmt.Sprintf("%d.5", i+1))
		if i%3 == 1 {
			req = transferRequest(b, a, fmt.Sprintf("%d.5", i+1))
		}
		if i%2 == 0 {
			req.EffectiveTime = timestamppb.New(day.Add(time.Duration(-i%4) * time.Second))
		}
		req.Reference = []string{"", `a,"b"`, "é – x", "plain"}[i%4]
		create(t, c, req)
	}
	return a
}

var bases = []transfersv1.StatementBasis{
	transfersv1.StatementBasis_STATEMENT_BASIS_CREATE_TIME, transfersv1.StatementBasis_STATEMENT_BASIS_EFFECTIVE_TIME,
}

// TestStatementIsTheSameEveryWay reads a statement by each method over each protocol.
func TestStatementIsTheSameEveryWay(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	account := historyOf(t, f.protocol(t, "connect+proto"))
	for _, basis := range bases {
		req := &transfersv1.GetStatementRequest{
			AccountId: account.GetAccountId(), StartTime: timestamppb.New(time.Date(2020, 2, 29, 1, 2, 2, 0, time.UTC)), Basis: basis,
		}
		want := statement(t, f.protocol(t, "grpc"), req)
		head := want.GetStatement()
		if head.GetPosition() != 8 || len(want.GetEntries()) != 8-int(basis-1)*2 || head.GetEntryCount() != int64(len(want.GetEntries())) ||
			head.GetBasis() != basis || head.GetAccountId() != account.GetAccountId() {
			t.Fatalf("%v with %d entries", head, len(want.GetEntries()))
		}
		req.EndTime, req.Position = head.GetEndTime(), proto.Int64(head.GetPosition())
		file := statementCSV(t, want)
		filename := "statement-" + account.GetAccountId() + "-8.csv"
		eachProtocol(t, f, func(t *testing.T, c client) {
			requireEqual(t, statement(t, c, req), want)
			req := proto.CloneOf(req)
			for req.PageSize = 1; req.GetPageSize() < 10; req.PageSize++ {
				requireEqual(t, statement(t, c, req), want)
			}
			rpc, ok := c.(*rpcClient)
			if !ok {
				return
			}
			got, failed := streamedStatement(t, rpc, req)
			if failed != nil {
				t.Fatal(failed)
			}
			requireEqual(t, got, want)
			if name, text, failed := exported(t, rpc, req); failed != nil || text != file || name != filename {
				t.Errorf("%s: %v\ngot  %q\nwant %q", name, failed, text, file)
			}
		})
		res, text := f.send(t, http.MethodGet, csvPath(req), "")
		_, params, _ := mime.ParseMediaType(res.Header.Get("Content-Disposition"))
		if res.StatusCode != http.StatusOK || text != file || params["filename"] != filename ||
			res.Header.Get("Content-Type") != "text/csv; charset=utf-8" || res.Header.Get("X-Request-Id") == "" {
			t.Errorf("%d %v\ngot  %q\nwant %q", res.StatusCode, res.Header, text, file)
		}
	}
}

// TestCSVIsInert: a caller's text is no formula in a spreadsheet, and can be read back.
func TestCSVIsInert(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	c := f.protocol(t, "connect+json")
	a, b := open(t, c, "100"), open(t, c, "")
	inert := [][2]string{
		{"=1+1", "'=1+1"}, {"+1", "'+1"}, {"-1", "'-1"}, {"@sum", "'@sum"}, {"\tx", "'\tx"}, {"\rx", "'\rx"}, {"\nx", "'\nx"},
		{"＝1+1", "'＝1+1"}, {"＋1", "'＋1"}, {"－1", "'－1"}, {"＠sum", "'＠sum"}, {" =1", "' =1"}, {"\ufeff=1", "'\ufeff=1"},
		{`"=1"`, `'"=1"`}, {"a;=1", "a;'=1"}, {"a\n=1", "a\n'=1"},
	}
	for _, plain := range []string{"a\nb", "a\r\nb", "a\rb", "x=1", "'", "a;b", "a,b"} {
		inert = append(inert, [2]string{plain, plain})
	}
	for _, reference := range inert {
		req := transferRequest(a, b, "1")
		req.Reference = reference[0]
		create(t, c, req)
	}
	_, text := f.send(t, http.MethodGet, csvPath(&transfersv1.GetStatementRequest{AccountId: a.GetAccountId(), StartTime: a.GetCreateTime()}), "")
	for i, reference := range inert {
		want := reference[1]
		quoted := want
		if strings.ContainsAny(want, "\",\r\n") {
			quoted = `"` + strings.ReplaceAll(want, `"`, `""`) + `"`
		}
		if !strings.Contains(text, fmt.Sprintf(",-1.00,%d.00,USD,%s,20", 99-i, quoted)) {
			t.Errorf("%q is not there as %q", reference[0], quoted)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) != len(inert)+4 { // with the opening balance's transfer and the three lines around
		t.Errorf("%d lines, %v", len(rows), err)
	}
	if lines := strings.Count(text, "\r\n"); lines < len(rows) || !strings.HasSuffix(text, ",,\r\n") {
		t.Errorf("%d line breaks in %q", lines, text)
	}
}

// TestStatementErrors: the errors of every method and protocol name what is wrong with a request,
// and the field.
func TestStatementErrors(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	account := open(t, f.protocol(t, "grpc"), "1")
	good := &transfersv1.GetStatementRequest{AccountId: account.GetAccountId(), StartTime: account.GetCreateTime()}
	ahead := timestamppb.New(time.Now().Add(time.Hour))
	for field, change := range map[string]func(*transfersv1.GetStatementRequest){
		"":           func(r *transfersv1.GetStatementRequest) { r.AccountId = uuid.NewString() },
		"account_id": func(r *transfersv1.GetStatementRequest) { r.AccountId = "x" },
		"start_time": func(r *transfersv1.GetStatementRequest) { r.StartTime = nil },
		"end_time":   func(r *transfersv1.GetStatementRequest) { r.EndTime = ahead },
		"position":   func(r *transfersv1.GetStatementRequest) { r.Position = proto.Int64(2) },
		"basis":      func(r *transfersv1.GetStatementRequest) { r.Basis = 7 },
	} {
		req := proto.CloneOf(good)
		change(req)
		require := func(t *testing.T, failed *connect.Error) {
			t.Helper()
			if field == "" {
				requireInfo(t, failed, connect.CodeNotFound, "ACCOUNT_NOT_FOUND", "account_id", req.GetAccountId())
			} else {
				requireField(t, failed, field)
			}
		}
		eachProtocol(t, f, func(t *testing.T, c client) {
			rpc, ok := c.(*rpcClient)
			if !ok && field == "basis" {
				return // the client does not know its name
			}
			_, failed := c.call(t.Context(), "AccountService/GetStatement", req, &transfersv1.GetStatementResponse{})
			require(t, failed)
			if ok {
				_, failed = streamedStatement(t, rpc, req)
				require(t, failed)
				_, _, failed = exported(t, rpc, req)
				require(t, failed)
			}
		})
		res, text := f.send(t, http.MethodGet, csvPath(req), "")
		if disposition := res.Header.Get("Content-Disposition"); disposition != "" || res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: an error as a file: %v", field, res.Header)
		}
		require(t, restFailure(res.StatusCode, []byte(text)))
	}
	for _, c := range []struct {
		path, want string
		status     int
	}{
		{csvPath(good) + "&position=x", "position", http.StatusBadRequest},
		{csvPath(good) + "&page_size=1", "page_size", http.StatusBadRequest},
		{csvPath(good) + "&start_time=now", "start_time", http.StatusBadRequest},
	} {
		if res, text := f.send(t, http.MethodGet, c.path, ""); res.StatusCode != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s: %d %s", c.path, res.StatusCode, text)
		}
	}
	if res, _ := f.send(t, http.MethodPost, csvPath(good), "{}"); res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET" {
		t.Errorf("POST: %d %v", res.StatusCode, res.Header)
	}
	if res, text := f.send(t, http.MethodGet, csvPath(good), "", "X-Server-Timeout", "0.000000001"); res.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("a client in a hurry: %d %s", res.StatusCode, text)
	}
}

func TestGetAccountAsOf(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		a, b := open(t, c, "100"), open(t, c, "")
		moved := create(t, c, transferRequest(a, b, "1.5")).GetCreateTime().AsTime()
		held := hold(t, c, a, b, "2").GetCreateTime().AsTime()
		at := func(account *transfersv1.Account, when time.Time) string {
			got := mustCall(t, c, "AccountService/GetAccount", &transfersv1.GetAccountRequest{
				AccountId: account.GetAccountId(), AsOf: timestamppb.New(when),
			}, &transfersv1.GetAccountResponse{}).GetAccount()
			return fmt.Sprint(got.GetBalance(), " ", got.GetAvailable(), " ", got.GetHeld(), " ", got.GetIncoming(), " v", got.GetVersion())
		}
		for _, want := range []struct {
			when time.Time
			a, b string
		}{
			{moved.Add(-time.Microsecond), "100.00 100.00 0.00 0.00 v4", "0.00 0.00 0.00 0.00 v3"},
			{moved, "98.50 98.50 0.00 0.00 v4", "1.50 1.50 0.00 0.00 v3"},
			{held.Add(-time.Microsecond), "98.50 98.50 0.00 0.00 v4", "1.50 1.50 0.00 0.00 v3"},
			{held, "98.50 96.50 2.00 0.00 v4", "1.50 1.50 0.00 2.00 v3"},
		} {
			if gotA, gotB := at(a, want.when), at(b, want.when); gotA != want.a || gotB != want.b {
				t.Errorf("at %s: %s and %s, want %s and %s", want.when, gotA, gotB, want.a, want.b)
			}
		}
		req := &transfersv1.GetAccountRequest{AccountId: a.GetAccountId(), AsOf: timestamppb.New(time.Now().Add(time.Hour))}
		_, failed := c.call(t.Context(), "AccountService/GetAccount", req, &transfersv1.GetAccountResponse{})
		requireField(t, failed, "as_of")
		req.AsOf = timestamppb.New(a.GetCreateTime().AsTime().Add(-time.Microsecond))
		requireFailure(t, c, "AccountService/GetAccount", req, connect.CodeNotFound, "ACCOUNT_NOT_FOUND", "account_id", a.GetAccountId())
	})
}

// TestStreamHostileBodies: a body that is no request is the client's fault, and the error says so.
func TestStreamHostileBodies(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{MaxRequestBytes: 1000})
	envelope := func(flags byte, size int, text string) string {
		return string([]byte{flags, byte(size >> 24), byte(size >> 16), byte(size >> 8), byte(size)}) + text
	}
	good := `{"accountId":"` + uuid.NewString() + `","startTime":"2020-01-01T00:00:00Z"}`
	for name, c := range map[string]struct{ body, code string }{
		"nothing":           {"", "unimplemented"},
		"no envelope":       {"x", "invalid_argument"},
		"half an envelope":  {envelope(0, 100, "{"), "invalid_argument"},
		"no JSON":           {envelope(0, 1, "x"), "invalid_argument"},
		"a wrong field":     {envelope(0, 7, `{"x":1}`), "invalid_argument"},
		"no fields":         {envelope(0, 2, `{}`), "invalid_argument"},
		"too large":         {envelope(0, 1001, strings.Repeat(" ", 1001)), "resource_exhausted"},
		"said to be huge":   {envelope(0, 1<<31-1, "{"), "resource_exhausted"},
		"two messages":      {envelope(0, len(good), good) + envelope(0, len(good), good), "unimplemented"},
		"not compressed":    {envelope(1, len(good), good), "invalid_argument"},
		"an end of stream":  {envelope(2, 2, `{}`), "unimplemented"},
		"a good one to see": {envelope(0, len(good), good), "not_found"},
	} {
		for _, method := range []string{"StreamStatement", "ExportStatement"} {
			res, text := f.send(t, http.MethodPost, "/transfers.v1.AccountService/"+method, c.body, "Content-Type", "application/connect+json")
			if res.StatusCode != http.StatusOK || !strings.Contains(text, `"code":"`+c.code+`"`) {
				t.Errorf("%s, %s: %d %q, want %s", method, name, res.StatusCode, text, c.code)
			}
		}
	}
}
