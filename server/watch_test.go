package server_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/gen/transfers/v1/transfersv1connect"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/server"
)

// A watcher reads a stream of events.
type watcher[Res any] struct {
	t      *testing.T
	stream *connect.ServerStreamForClient[Res]
	drop   context.CancelFunc // goes away
}

// watchOver opens a stream, which is dropped at the test's end.
func watchOver[Req, Res any](t *testing.T, c *rpcClient, method string, req *Req) *watcher[Res] {
	t.Helper()
	options := slices.Clone(c.options)
	if c.json {
		options = append(options, connect.WithProtoJSON())
	}
	ctx, drop := context.WithCancel(context.Background())
	stream, err := connect.NewClient[Req, Res](c.http, c.url+"/transfers.v1."+method, options...).
		CallServerStream(ctx, connect.NewRequest(req))
	if err != nil {
		drop()
		t.Fatalf("%s: %v", method, err)
	}
	t.Cleanup(func() {
		drop()
		_ = stream.Close() // it was dropped
	})
	return &watcher[Res]{t, stream, drop}
}

// next waits for the next message.
func (w *watcher[Res]) next() *Res {
	w.t.Helper()
	if !w.stream.Receive() {
		w.t.Fatalf("the stream ended: %v", w.stream.Err())
	}
	return w.stream.Msg()
}

// end returns the error that the stream ends with, whatever comes before.
func (w *watcher[Res]) end() *connect.Error {
	w.t.Helper()
	for w.stream.Receive() {
	}
	failed := new(connect.Error)
	if err := w.stream.Err(); !errors.As(err, &failed) {
		w.t.Fatalf("the stream ended with %v", err)
	}
	return failed
}

// watchFixture returns a server whose streams have frequent heartbeats.
func watchFixture(t *testing.T) *fixture {
	t.Helper()
	return serve(t, server.Config{Ledger: openLedger(t, postgres.Config{
		DatabaseURL: pgtest.NewDatabase(t), Heartbeat: 20 * time.Millisecond,
	})})
}

func openWith(t *testing.T, c client, balance string) string {
	t.Helper()
	return mustCall(t, c, "AccountService/CreateAccount", &transfersv1.CreateAccountRequest{InitialBalance: balance},
		&transfersv1.CreateAccountResponse{}).GetAccount().GetAccountId()
}

// payOver moves money, or is refused.
func payOver(t *testing.T, c client, req *transfersv1.CreateTransferRequest) string {
	t.Helper()
	req.TransferId = uuid.NewString()
	if _, err := c.call(t.Context(), "TransferService/CreateTransfer", req, &transfersv1.CreateTransferResponse{}); err != nil &&
		err.Code() != connect.CodeFailedPrecondition {
		t.Fatal(err)
	}
	return req.GetTransferId()
}

// A transfer made while a stream watches reaches it, over every protocol that has streams; and
// again a stream that resumes.
func TestWatchTransfers(t *testing.T) {
	t.Parallel()
	f := watchFixture(t)
	c := f.protocol(t, "connect+proto")
	a, b := openWith(t, c, "100"), openWith(t, c, "0")
	for _, protocol := range f.protocols() {
		rpc, ok := protocol.(*rpcClient)
		if !ok {
			continue
		}
		t.Run(rpc.label, func(t *testing.T) {
			w := watchOver[transfersv1.WatchTransfersRequest, transfersv1.WatchTransfersResponse](
				t, rpc, "LedgerService/WatchTransfers", &transfersv1.WatchTransfersRequest{})
			first := w.next()
			start := first.GetCursor()
			if start == "" || len(first.GetEvents()) > 0 {
				t.Errorf("the first message is %v", first)
			}
			id := payOver(t, c, &transfersv1.CreateTransferRequest{FromAccountId: a, ToAccountId: b, Amount: "1"})
			message := w.next()
			for len(message.GetEvents()) == 0 {
				message = w.next()
			}
			event := message.GetEvents()[0]
			if event.GetTransfer().GetTransferId() != id || event.GetType() != transfersv1.Event_TRANSFER_CREATED ||
				event.GetTransfer().GetAmount() != "1.00" || event.GetEventTime() == nil {
				t.Errorf("got %v", event)
			}
			again := watchOver[transfersv1.WatchTransfersRequest, transfersv1.WatchTransfersResponse](
				t, rpc, "LedgerService/WatchTransfers", &transfersv1.WatchTransfersRequest{After: start})
			if begins := again.next(); begins.GetCursor() != start || len(begins.GetEvents()) > 0 {
				t.Errorf("resumed, the first message is %v", begins)
			}
			requireEqual(t, again.next().GetEvents()[0], event)
		})
	}
}

// Each filter passes the transfers that ListTransfers lists with it.
func TestWatchFilters(t *testing.T) {
	t.Parallel()
	f := watchFixture(t)
	c := f.protocol(t, "connect+proto").(*rpcClient)
	a, b, other := openWith(t, c, "100"), openWith(t, c, "100"), openWith(t, c, "100")
	plain := payOver(t, c, &transfersv1.CreateTransferRequest{FromAccountId: a, ToAccountId: b, Amount: "1"})
	refused := payOver(t, c, &transfersv1.CreateTransferRequest{FromAccountId: a, ToAccountId: b, Amount: "1000"})
	referred := payOver(t, c, &transfersv1.CreateTransferRequest{FromAccountId: b, ToAccountId: a, Amount: "2", Reference: "rent"})
	elsewhere := payOver(t, c, &transfersv1.CreateTransferRequest{FromAccountId: other, ToAccountId: b, Amount: "3"})
	hold := payOver(t, c, &transfersv1.CreateTransferRequest{FromAccountId: other, ToAccountId: a, Amount: "5", Hold: true})
	capture := mustCall(t, c, "TransferService/PostTransfer", &transfersv1.PostTransferRequest{TransferId: hold},
		&transfersv1.PostTransferResponse{}).GetCapture().GetTransferId()
	last := payOver(t, c, &transfersv1.CreateTransferRequest{FromAccountId: b, ToAccountId: other, Amount: "1"})
	end := lastCursor(t, c)
	for name, test := range map[string]struct {
		filter *transfersv1.WatchTransfersRequest
		want   []string
	}{
		"account":   {&transfersv1.WatchTransfersRequest{AccountId: a}, []string{plain, refused, referred, hold, capture, hold}},
		"status":    {&transfersv1.WatchTransfersRequest{Status: transfersv1.Transfer_FAILED}, []string{refused}},
		"init":      {&transfersv1.WatchTransfersRequest{Status: transfersv1.Transfer_INIT}, []string{hold}},
		"currency":  {&transfersv1.WatchTransfersRequest{Currency: "EUR"}, nil},
		"reference": {&transfersv1.WatchTransfersRequest{Reference: "rent"}, []string{referred}},
		"parent":    {&transfersv1.WatchTransfersRequest{ParentTransferId: hold}, []string{capture}},
		"group":     {&transfersv1.WatchTransfersRequest{GroupId: uuid.NewString()}, nil},
		"two": {
			&transfersv1.WatchTransfersRequest{AccountId: other, Status: transfersv1.Transfer_SUCCESS},
			[]string{elsewhere, capture, hold, last},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.filter.After = "0"
			w := watchOver[transfersv1.WatchTransfersRequest, transfersv1.WatchTransfersResponse](
				t, c, "LedgerService/WatchTransfers", test.filter)
			var got []string
			for cursor := int64(0); cursor < end; {
				message := w.next()
				for _, e := range message.GetEvents() {
					if from := e.GetTransfer().GetFromAccountId(); from == a || from == b || from == other {
						got = append(got, e.GetTransfer().GetTransferId())
					}
				}
				cursor = cursorOf(t, message.GetCursor())
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, not %v", got, test.want)
			}
		})
	}
}

func cursorOf(t *testing.T, text string) int64 {
	t.Helper()
	cursor, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return cursor
}

// lastCursor returns the cursor of the last event.
func lastCursor(t *testing.T, c client) int64 {
	t.Helper()
	page := mustCall(t, c, "LedgerService/ListEvents", &transfersv1.ListEventsRequest{PageSize: 1000}, &transfersv1.ListEventsResponse{})
	return cursorOf(t, page.GetCursor())
}

// A stream that watches an account gets the account as it is, its own changes, and its transfers;
// nothing of others.
func TestWatchAccount(t *testing.T) {
	t.Parallel()
	f := watchFixture(t)
	c := f.protocol(t, "connect+json").(*rpcClient)
	a, b, other := openWith(t, c, "100"), openWith(t, c, "100"), openWith(t, c, "100")
	w := watchOver[transfersv1.WatchAccountRequest, transfersv1.WatchAccountResponse](
		t, c, "AccountService/WatchAccount", &transfersv1.WatchAccountRequest{AccountId: a})
	if first := w.next(); first.GetAccount().GetBalance() != "100.00" || first.GetCursor() == "" {
		t.Errorf("the first message is %v", first)
	}
	next := func() *transfersv1.WatchAccountResponse {
		for {
			if message := w.next(); len(message.GetEvents()) > 0 {
				return message
			} else if message.GetAccount() != nil {
				t.Errorf("a heartbeat is %v", message)
			}
		}
	}
	payOver(t, c, &transfersv1.CreateTransferRequest{FromAccountId: b, ToAccountId: other, Amount: "1"})
	payOver(t, c, &transfersv1.CreateTransferRequest{FromAccountId: b, ToAccountId: a, Amount: "2"})
	if m := next(); len(m.GetEvents()) != 1 || m.GetEvents()[0].GetTransfer().GetToBalance() != "102.00" || m.GetAccount().GetBalance() != "102.00" {
		t.Errorf("a payment comes as %v", m)
	}
	mustCall(t, c, "AccountService/UpdateAccount", &transfersv1.UpdateAccountRequest{
		Account: &transfersv1.Account{AccountId: a, Status: transfersv1.Account_FROZEN},
	}, &transfersv1.UpdateAccountResponse{})
	if m := next(); m.GetEvents()[0].GetType() != transfersv1.Event_ACCOUNT_CHANGED ||
		m.GetEvents()[0].GetAccount().GetStatus() != transfersv1.Account_FROZEN || m.GetAccount().GetStatus() != transfersv1.Account_FROZEN {
		t.Errorf("a freeze comes as %v", m)
	}
	failed := watchOver[transfersv1.WatchAccountRequest, transfersv1.WatchAccountResponse](
		t, c, "AccountService/WatchAccount", &transfersv1.WatchAccountRequest{AccountId: uuid.NewString()}).end()
	if failed.Code() != connect.CodeNotFound {
		t.Errorf("an account that is not there: %v", failed)
	}
}

// ListEvents returns the same by page over every protocol, and the history of one transfer.
func TestListEvents(t *testing.T) {
	t.Parallel()
	f := watchFixture(t)
	c := f.protocol(t, "connect+proto")
	start := strconv.FormatInt(lastCursor(t, c), 10) // after the equity accounts
	a, b := openWith(t, c, "100"), openWith(t, c, "100")
	hold := payOver(t, c, &transfersv1.CreateTransferRequest{FromAccountId: a, ToAccountId: b, Amount: "5", Hold: true})
	mustCall(t, c, "TransferService/VoidTransfer", &transfersv1.VoidTransferRequest{TransferId: hold}, &transfersv1.VoidTransferResponse{})
	all := mustCall(t, c, "LedgerService/ListEvents", &transfersv1.ListEventsRequest{After: start}, &transfersv1.ListEventsResponse{})
	// Two openings, each with its transfer, the hold, and its end.
	if len(all.GetEvents()) != 6 || all.GetMore() {
		t.Fatalf("the events are %v", all)
	}
	eachProtocol(t, f, func(t *testing.T, c client) {
		list := func(req *transfersv1.ListEventsRequest) (got []*transfersv1.Event) {
			if req.GetAfter() == "" {
				req.After = start
			}
			for more := true; more; {
				page := mustCall(t, c, "LedgerService/ListEvents", req, &transfersv1.ListEventsResponse{})
				got, more, req.After = append(got, page.GetEvents()...), page.GetMore(), page.GetCursor()
			}
			return got
		}
		for name, test := range map[string]struct {
			req  *transfersv1.ListEventsRequest
			want []*transfersv1.Event
		}{
			"pages":    {&transfersv1.ListEventsRequest{PageSize: 1}, all.GetEvents()},
			"behind":   {&transfersv1.ListEventsRequest{After: all.GetEvents()[3].GetCursor()}, all.GetEvents()[4:]},
			"type":     {&transfersv1.ListEventsRequest{Type: transfersv1.Event_TRANSFER_CHANGED, PageSize: 1}, all.GetEvents()[5:]},
			"account":  {&transfersv1.ListEventsRequest{AccountId: b, PageSize: 2}, all.GetEvents()[2:]},
			"transfer": {&transfersv1.ListEventsRequest{TransferId: hold, PageSize: 1}, all.GetEvents()[4:]},
			"currency": {&transfersv1.ListEventsRequest{Currency: "EUR"}, nil},
		} {
			got := list(test.req)
			if len(got) != len(test.want) {
				t.Errorf("%s: %d events, not %d", name, len(got), len(test.want))
				continue
			}
			for i := range got {
				requireEqual(t, got[i], test.want[i])
			}
		}
	})
}

// An invalid start of a stream is refused, naming the field.
func TestWatchHostile(t *testing.T) {
	t.Parallel()
	f := watchFixture(t)
	c := f.protocol(t, "connect+proto").(*rpcClient)
	for field, req := range map[string]*transfersv1.WatchTransfersRequest{
		"after":              {After: "999999999999999999"},
		"account_id":         {AccountId: "nobody"},
		"group_id":           {GroupId: uuid.Nil.String()},
		"parent_transfer_id": {ParentTransferId: uuid.Nil.String()},
		"currency":           {Currency: "usd"},
		"reference":          {Reference: strings.Repeat("x", 201)},
		"status":             {Status: 9},
	} {
		failed := watchOver[transfersv1.WatchTransfersRequest, transfersv1.WatchTransfersResponse](
			t, c, "LedgerService/WatchTransfers", req).end()
		if failed.Code() != connect.CodeInvalidArgument || !strings.Contains(failed.Message(), field) {
			t.Errorf("%s: %v", field, failed)
		}
	}
	for _, after := range []string{"-1", "1.5", "x", "9999999999999999999999"} {
		failed := watchOver[transfersv1.WatchTransfersRequest, transfersv1.WatchTransfersResponse](
			t, c, "LedgerService/WatchTransfers", &transfersv1.WatchTransfersRequest{After: after}).end()
		if failed.Code() != connect.CodeInvalidArgument {
			t.Errorf("after %s: %v", after, failed)
		}
		reply, body := f.send(t, http.MethodGet, "/api/v1/events?after="+after, "")
		if reply.StatusCode != http.StatusBadRequest || !strings.Contains(body, "after") {
			t.Errorf("a list after %s: %d %s", after, reply.StatusCode, body)
		}
	}
}

// A server that drains ends the streams so that their readers go on elsewhere, and does not wait
// for them.
func TestDrainEndsWatches(t *testing.T) {
	t.Parallel()
	l := openLedger(t, postgres.Config{DatabaseURL: pgtest.NewDatabase(t)})
	s, err := server.New(server.Config{Ledger: l, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener) }()
	http1 := newClient(func(p *http.Protocols) { p.SetHTTP1(true) })
	client := transfersv1connect.NewLedgerServiceClient(http1, "http://"+listener.Addr().String())
	stream, err := client.WatchTransfers(t.Context(), &transfersv1.WatchTransfersRequest{})
	if err != nil || !stream.Receive() {
		t.Fatal(err, stream)
	}
	stop()
	for stream.Receive() {
	}
	if connect.CodeOf(stream.Err()) != connect.CodeUnavailable {
		t.Errorf("the stream ended with %v", stream.Err())
	}
	_ = stream.Close() // it has ended
	http1.CloseIdleConnections()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// A thousand readers of one server, each of one account, under load: each gets all that it wants,
// and a reader takes little memory, on both sides together.
func TestThousandWatchers(t *testing.T) {
	const watchers, accounts, payments, bytesMax = 1000, 20, 400, 128 << 10
	f := newFixture(t, server.Config{})
	c := f.protocol(t, "grpc").(*rpcClient)
	ids := make([]string, accounts)
	for i := range ids {
		ids[i] = openWith(t, c, "1000")
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := heap()
	var open, told sync.WaitGroup
	for i := range watchers {
		w := watchOver[transfersv1.WatchAccountRequest, transfersv1.WatchAccountResponse](
			t, c, "AccountService/WatchAccount", &transfersv1.WatchAccountRequest{AccountId: ids[i%accounts]})
		open.Add(1)
		told.Go(func() {
			w.stream.Receive()
			open.Done()
			// Each account pays and is paid as often as the others.
			for n := 0; n < 2*payments/accounts; {
				if !w.stream.Receive() {
					t.Errorf("a stream ended after %d events: %v", n, w.stream.Err())
					return
				}
				n += len(w.stream.Msg().GetEvents())
			}
		})
	}
	open.Wait()
	if after := heap(); after > before+watchers*bytesMax {
		t.Errorf("%d readers take %d MiB", watchers, (after-before)>>20)
	}
	var payers sync.WaitGroup
	for worker := range 8 {
		payers.Go(func() {
			for i := worker; i < payments; i += 8 {
				payOver(t, c, &transfersv1.CreateTransferRequest{
					FromAccountId: ids[i%accounts], ToAccountId: ids[(i+1)%accounts], Amount: "1",
				})
			}
		})
	}
	payers.Wait()
	told.Wait()
}
