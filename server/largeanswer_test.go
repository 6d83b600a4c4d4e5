package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
	"internaltransfers/server"
)

// grpcLimit is the default limit of a gRPC client on a message.
const grpcLimit = 4 << 20

// A grpcClient is Google's, with all its defaults.
type grpcClient struct {
	t    *testing.T
	conn *grpc.ClientConn
}

func (f *fixture) grpc(t *testing.T) *grpcClient {
	t.Helper()
	conn, err := grpc.NewClient(strings.TrimPrefix(f.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // nothing is sent any more
	return &grpcClient{t, conn}
}

func (c *grpcClient) call(method string, request, response proto.Message) error {
	return c.conn.Invoke(c.t.Context(), "/transfers.v1."+method, request, response)
}

func (c *grpcClient) mustCall(method string, request, response proto.Message) {
	c.t.Helper()
	if err := c.call(method, request, response); err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
	if size := proto.Size(response); size > grpcLimit {
		c.t.Fatalf("%s has %d bytes, which this client should have refused", method, size)
	}
}

// A largePage is a page of a list, whatever it lists.
type largePage interface {
	proto.Message
	GetNextPageToken() string
}

// pages reads a whole list page by page. It returns the number of pages.
func pages[P largePage](c *grpcClient, method string, request func(token string) proto.Message, page func() P, take func(P)) (n int) {
	c.t.Helper()
	for token := ""; ; n++ {
		p := page()
		c.mustCall(method, request(token), p)
		take(p)
		if token = p.GetNextPageToken(); token == "" {
			return n + 1
		}
	}
}

// largeMetadata returns the most that a caller may keep with a transfer, an account or a schedule:
// more than 100 KB.
func largeMetadata() map[string]string {
	metadata := make(map[string]string, 50)
	for i := range 50 {
		metadata[fmt.Sprintf("%02d%s", i, strings.Repeat("ж", 62))] = strings.Repeat("本", 500)
	}
	return metadata
}

// large is a ledger whose lists are long in bytes: a few items exceed a client's limit. They are
// made beside the API.
type large struct {
	*grpcClient
	ledger    *postgres.Ledger
	accounts  [2]uuid.UUID
	transfers []uuid.UUID // with large metadata
	hold      uuid.UUID   // with large metadata and many captures
}

const largeItems = 55 // with 82 KB each

func newLarge(t *testing.T) *large {
	t.Helper()
	f := newFixture(t, server.Config{})
	l := &large{grpcClient: f.grpc(t), ledger: f.ledger}
	for i := range l.accounts {
		account, _, err := f.ledger.CreateAccount(t.Context(), ledger.AccountParams{InitialBalance: decimal.NewFromInt(100_000)})
		if err != nil {
			t.Fatal(err)
		}
		l.accounts[i] = account.ID
	}
	return l
}

// makeTransfers makes transfers, and a hold with its captures.
func (l *large) makeTransfers() {
	l.t.Helper()
	batch := make([]ledger.TransferParams, largeItems+1)
	for i := range batch {
		batch[i] = ledger.TransferParams{
			ID: uuid.New(), From: l.accounts[0], To: l.accounts[1], Amount: decimal.NewFromInt(100), Metadata: largeMetadata(),
		}
		l.transfers = append(l.transfers, batch[i].ID)
	}
	l.hold = batch[largeItems].ID
	batch[largeItems].Options = &ledger.TransferOptions{Hold: true}
	if _, err := l.ledger.TransferBatch(l.t.Context(), batch, ledger.BatchOptions{}); err != nil {
		l.t.Fatal(err)
	}
	for range largeItems {
		if _, _, _, err := l.ledger.Post(l.t.Context(), ledger.PostParams{
			HoldID: l.hold, Amount: decimal.NewNullDecimal(decimal.NewFromInt(1)), Metadata: map[string]string{"small": "yes"},
		}); err != nil {
			l.t.Fatal(err)
		}
	}
}

// TestAnswersAbove4MiB: a client with gRPC's default limit reads every list to its end, however
// large the items are.
func TestAnswersAbove4MiB(t *testing.T) {
	t.Parallel()
	l := newLarge(t)
	l.makeTransfers()
	t.Run("ListTransfers", func(t *testing.T) {
		seen := map[string]bool{}
		n := pages(l.grpcClient, "TransferService/ListTransfers", func(token string) proto.Message {
			return &transfersv1.ListTransfersRequest{AccountId: l.accounts[0].String(), PageSize: 1000, PageToken: token}
		}, func() *transfersv1.ListTransfersResponse { return &transfersv1.ListTransfersResponse{} },
			func(page *transfersv1.ListTransfersResponse) {
				for _, transfer := range page.GetTransfers() {
					seen[transfer.GetTransferId()] = true
				}
			})
		for _, id := range l.transfers {
			if !seen[id.String()] {
				t.Errorf("transfer %s is on none of %d pages", id, n)
			}
		}
		if want := 2*largeItems + 2; len(seen) != want || n < 2 {
			t.Errorf("%d transfers on %d pages, want %d", len(seen), n, want)
		}
	})
	t.Run("ListEvents", func(t *testing.T) { l.listEvents(t, &transfersv1.ListEventsRequest{}, 3*largeItems+1+4) })
	t.Run("ListEvents of a transfer", func(t *testing.T) {
		l.listEvents(t, &transfersv1.ListEventsRequest{TransferId: l.hold.String()}, largeItems+1)
	})
	t.Run("WatchTransfers", func(t *testing.T) { l.watch(t) })
}

// listEvents reads all events of a filter. There must be at least this many, and few more.
func (l *large) listEvents(t *testing.T, request *transfersv1.ListEventsRequest, least int) {
	t.Helper()
	seen, pages := map[string]bool{}, 0
	request.PageSize = 1000
	for more := true; more; pages++ {
		var page transfersv1.ListEventsResponse
		l.mustCall("LedgerService/ListEvents", request, &page)
		for _, e := range page.GetEvents() {
			if seen[e.GetCursor()] {
				t.Fatalf("event %s comes twice", e.GetCursor())
			}
			seen[e.GetCursor()] = true
		}
		request.After, more = page.GetCursor(), page.GetMore()
	}
	if len(seen) < least || pages < 2 {
		t.Errorf("%d events on %d pages, want %d", len(seen), pages, least)
	}
}

// watch reads all events of transfers as a stream.
func (l *large) watch(t *testing.T) {
	t.Helper()
	stream, err := l.conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/transfers.v1.LedgerService/WatchTransfers")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(&transfersv1.WatchTransfersRequest{After: "0"}); err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for seen := 0; seen < 2*largeItems+3; {
		var message transfersv1.WatchTransfersResponse
		if err := stream.RecvMsg(&message); err != nil {
			t.Fatalf("after %d events: %v", seen, err)
		}
		seen += len(message.GetEvents())
	}
}

// TestAccountsAbove4MiB: lists of accounts and schedules end by their bytes. Profiles are not a
// list, so too many of them are refused with an error that says what to do.
func TestAccountsAbove4MiB(t *testing.T) {
	t.Parallel()
	l := newLarge(t)
	ids := make([]string, 0, largeItems)
	for range largeItems {
		account, _, err := l.ledger.CreateAccount(t.Context(), ledger.AccountParams{Metadata: largeMetadata()})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, account.ID.String())
		if _, _, err := l.ledger.CreateSchedule(t.Context(), ledger.ScheduleParams{
			From: l.accounts[0], To: l.accounts[1], Amount: decimal.NewFromInt(1), Interval: time.Hour,
			Start: time.Now().Add(time.Hour), Metadata: largeMetadata(),
		}); err != nil {
			t.Fatal(err)
		}
	}
	accounts, schedules := 0, 0
	n := pages(l.grpcClient, "AccountService/ListAccounts", func(token string) proto.Message {
		return &transfersv1.ListAccountsRequest{PageSize: 1000, PageToken: token}
	}, func() *transfersv1.ListAccountsResponse { return &transfersv1.ListAccountsResponse{} },
		func(page *transfersv1.ListAccountsResponse) { accounts += len(page.GetAccounts()) })
	if n < 2 || accounts < largeItems+2 {
		t.Errorf("%d accounts on %d pages", accounts, n)
	}
	n = pages(l.grpcClient, "ScheduleService/ListSchedules", func(token string) proto.Message {
		return &transfersv1.ListSchedulesRequest{PageSize: 1000, PageToken: token}
	}, func() *transfersv1.ListSchedulesResponse { return &transfersv1.ListSchedulesResponse{} },
		func(page *transfersv1.ListSchedulesResponse) { schedules += len(page.GetSchedules()) })
	if n < 2 || schedules != largeItems {
		t.Errorf("%d schedules on %d pages", schedules, n)
	}
	var profiles transfersv1.GetProfilesResponse
	err := l.call("AccountService/GetProfiles", &transfersv1.GetProfilesRequest{AccountIds: ids}, &profiles)
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "ask for fewer") {
		t.Errorf("GetProfiles: %v", err)
	}
	l.mustCall("AccountService/GetProfiles", &transfersv1.GetProfilesRequest{AccountIds: ids[:20]}, &profiles)
	if len(profiles.GetProfiles()) != 20 {
		t.Errorf("%d profiles", len(profiles.GetProfiles()))
	}
}

// TestBatchAbove4MiB: a client with gRPC's default limit gets the outcome of a batch, however long
// its results are, because the batch is done.
func TestBatchAbove4MiB(t *testing.T) {
	t.Parallel()
	l := newLarge(t)
	request := &transfersv1.BatchCreateTransfersRequest{}
	for range largeItems {
		request.Transfers = append(request.Transfers, &transfersv1.CreateTransferRequest{
			TransferId: uuid.NewString(), FromAccountId: l.accounts[0].String(), ToAccountId: l.accounts[1].String(),
			Amount: "1", Reference: "large", Metadata: largeMetadata(),
		})
	}
	var answer transfersv1.BatchCreateTransfersResponse
	l.mustCall("TransferService/BatchCreateTransfers", request, &answer)
	if !answer.GetAbridged() || len(answer.GetResults()) != largeItems {
		t.Fatalf("%d results, abridged: %t", len(answer.GetResults()), answer.GetAbridged())
	}
	for i, result := range answer.GetResults() {
		transfer := result.GetTransfer()
		if transfer.GetTransferId() != request.GetTransfers()[i].GetTransferId() || transfer.GetAmount() != "1.00" ||
			transfer.GetStatus() != transfersv1.Transfer_SUCCESS || len(transfer.GetMetadata()) > 0 {
			t.Fatalf("result %d is %v", i, transfer)
		}
	}
	var whole transfersv1.GetTransferResponse
	l.mustCall("TransferService/GetTransfer", &transfersv1.GetTransferRequest{
		TransferId: request.GetTransfers()[0].GetTransferId(),
	}, &whole)
	if len(whole.GetTransfer().GetMetadata()) != 50 {
		t.Errorf("the ledger did not keep what the result lacks: %v", whole.GetTransfer())
	}
}
