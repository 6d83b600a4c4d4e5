package main

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/gen/transfers/v1/transfersv1connect"
	"internaltransfers/internal/pgtest"
)

// soak is how long each load below runs before it is checked.
var soak = flag.Duration("soak", time.Second, "how long each load test of the program runs")

const callers = 64

// A load is many callers that move money between some accounts through servers, and remember every
// response.
type load struct {
	accounts []string
	http     *http.Client
	servers  atomic.Pointer[[]string] // addresses; each call takes one of them

	mu      sync.Mutex
	answers map[string]*transfersv1.Transfer // by transfer id: acknowledged, SUCCESS or FAILED
	unknown map[string]*transfersv1.CreateTransferRequest
	errors  []error        // that no caller should get
	enough  map[int]func() // called once, in its own goroutine, when so many transfers succeeded
}

// newLoad opens n accounts with 1,000.00 each.
func newLoad(t *testing.T, address string, n int) *load {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: callers}
	t.Cleanup(transport.CloseIdleConnections)
	l := &load{
		http:    &http.Client{Transport: transport},
		answers: make(map[string]*transfersv1.Transfer),
		unknown: make(map[string]*transfersv1.CreateTransferRequest),
	}
	l.servers.Store(&[]string{address})
	client := transfersv1connect.NewAccountServiceClient(l.http, "http://"+address)
	var wg sync.WaitGroup
	var mu sync.Mutex
	limit := make(chan struct{}, callers)
	for range n {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			r, err := client.CreateAccount(t.Context(), &transfersv1.CreateAccountRequest{InitialBalance: "1000"})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			l.accounts = append(l.accounts, r.GetAccount().GetAccountId())
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return l
}

// run lets the callers go until ctx ends. When crashes are expected, calls may be lost on the way.
func (l *load) run(ctx context.Context, crashes bool) {
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			var last *transfersv1.CreateTransferRequest
			for ctx.Err() == nil {
				request := last
				// One call in eight is a repeat of the one before: a storm of retries.
				if last == nil || random.IntN(8) > 0 {
					request = l.request(random)
				}
				last = request
				l.call(ctx, request, crashes, random.IntN(2))
			}
		})
	}
	wg.Wait()
}

func (l *load) request(random *rand.Rand) *transfersv1.CreateTransferRequest {
	from := random.IntN(len(l.accounts))
	to := (from + 1 + random.IntN(len(l.accounts)-1)) % len(l.accounts)
	return &transfersv1.CreateTransferRequest{
		TransferId: uuid.NewString(), FromAccountId: l.accounts[from], ToAccountId: l.accounts[to], Amount: "7.01",
	}
}

// call makes one transfer and remembers its outcome. It is not bound to the load's end: it waits
// for a response.
func (l *load) call(ctx context.Context, request *transfersv1.CreateTransferRequest, crashes bool, choice int) {
	servers := *l.servers.Load()
	client := transfersv1connect.NewTransferServiceClient(l.http, "http://"+servers[choice%len(servers)])
	callCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	response, err := client.CreateTransfer(callCtx, request)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch code := connect.CodeOf(err); {
	case err == nil:
		l.remember(response.GetTransfer())
	case code == connect.CodeFailedPrecondition:
		// Refused, and recorded: the money check below reads it back.
		l.remember(&transfersv1.Transfer{TransferId: request.GetTransferId(), Status: transfersv1.Transfer_FAILED})
	case crashes && (code == connect.CodeUnavailable || code == connect.CodeUnknown || code == connect.CodeCanceled):
		l.unknown[request.GetTransferId()] = request
	default:
		l.errors = append(l.errors, err)
	}
}

// remember keeps a response; a later one under the same id must be the same.
func (l *load) remember(t *transfersv1.Transfer) {
	before := l.answers[t.GetTransferId()]
	if before != nil && (before.GetStatus() != t.GetStatus() || before.GetFromBalance() != t.GetFromBalance()) {
		l.errors = append(l.errors, errors.New("two answers for transfer "+t.GetTransferId()))
	}
	l.answers[t.GetTransferId()] = t
	if f := l.enough[len(l.answers)]; f != nil {
		delete(l.enough, len(l.answers))
		go f()
	}
}

// verify proves that every response is in the ledger as it was given, that calls without a response
// can be settled by repeating them, and that the ledger is sound.
func (l *load) verify(t *testing.T, address string) {
	t.Helper()
	for _, err := range l.errors {
		t.Errorf("a caller got: %v", err)
	}
	l.errors = nil
	transfers := transfersv1connect.NewTransferServiceClient(l.http, "http://"+address)
	for id, request := range l.unknown {
		response, err := transfers.CreateTransfer(t.Context(), request)
		if err != nil && connect.CodeOf(err) != connect.CodeFailedPrecondition {
			t.Fatalf("repeat transfer %s: %v", id, err)
		}
		if before := l.answers[id]; before != nil && (before.GetStatus() == transfersv1.Transfer_SUCCESS) != (err == nil) {
			t.Errorf("transfer %s was returned as %s, and now %v %v", id, before.GetStatus(), response, err)
		}
	}
	l.verifyAnswers(t, transfers)
	check, err := transfersv1connect.NewLedgerServiceClient(l.http, "http://"+address).
		CheckLedger(t.Context(), &transfersv1.CheckLedgerRequest{})
	if err != nil || !check.GetOk() {
		t.Errorf("check: %v %v", check, err)
	}
	if len(l.answers) == 0 {
		t.Error("no transfer had a response")
	}
	t.Logf("%d responses, %d without", len(l.answers), len(l.unknown))
}

// verifyAnswers reads back every transfer that had a response.
func (l *load) verifyAnswers(t *testing.T, transfers transfersv1connect.TransferServiceClient) {
	t.Helper()
	var wg sync.WaitGroup
	limit := make(chan struct{}, callers)
	for id, want := range l.answers {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			r, err := transfers.GetTransfer(t.Context(), &transfersv1.GetTransferRequest{TransferId: id})
			got := r.GetTransfer()
			if err != nil {
				t.Errorf("an acknowledged transfer is lost: %s: %v", id, err)
			} else if got.GetStatus() != want.GetStatus() ||
				(want.FromBalance != nil && got.GetFromBalance() != want.GetFromBalance()) {
				t.Errorf("transfer %s was returned as %v and is %v", id, want, got)
			}
		})
	}
	wg.Wait()
}

// TestKilledServer: kill -9 of the server, and with it of its Postgres, under load loses nothing
// that had a response.
func TestKilledServer(t *testing.T) {
	env := []string{"DATA_DIR=" + privateData(t), "PG_BIN=" + os.Getenv("PG_BIN")}
	p := serve(t, env...)
	l := newLoad(t, p.address, 8)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), *soak)
		stop := context.AfterFunc(ctx, p.kill)
		l.run(ctx, true)
		stop()
		cancel()
		p.kill()
		p = serve(t, env...)
		l.servers.Store(&[]string{p.address})
	}
	l.verify(t, p.address)
	p.terminate(t)
}

// TestSIGTERMDrains: every call that the server accepted gets a response; none is applied in
// silence.
func TestSIGTERMDrains(t *testing.T) {
	url := pgtest.NewDatabase(t)
	p := serve(t, "DATABASE_URL="+url)
	l := newLoad(t, p.address, 2)
	ctx, cancel := context.WithTimeout(t.Context(), *soak)
	defer cancel()
	drained := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(drained)
		p.terminate(t)
	})
	// The callers go on a little after the signal, into the closing server.
	late, cancelLate := context.WithTimeout(t.Context(), *soak+200*time.Millisecond)
	defer cancelLate()
	l.run(late, true)
	<-drained
	p = serve(t, "DATABASE_URL="+url)
	transfers := transfersv1connect.NewTransferServiceClient(l.http, "http://"+p.address)
	for id := range l.unknown {
		_, err := transfers.GetTransfer(t.Context(), &transfersv1.GetTransferRequest{TransferId: id})
		if l.answers[id] == nil && connect.CodeOf(err) != connect.CodeNotFound {
			t.Errorf("transfer %s was applied without a response: %v", id, err)
		}
	}
	l.verify(t, p.address)
	p.terminate(t)
}

// TestTwoServers: two processes on one database, on one account, on two in both directions, and on
// many: no deadlock, no error, no lost or doubled money; then one of them is killed.
func TestTwoServers(t *testing.T) {
	for _, c := range []struct {
		name     string
		accounts int
	}{{"two accounts", 2}, {"hot accounts", 5}, {"many accounts", 500}} {
		t.Run(c.name, func(t *testing.T) {
			url := pgtest.NewDatabase(t)
			first, second := serve(t, "DATABASE_URL="+url), serve(t, "DATABASE_URL="+url)
			l := newLoad(t, first.address, c.accounts)
			l.servers.Store(&[]string{first.address, second.address})
			ctx, cancel := context.WithTimeout(t.Context(), *soak)
			l.run(ctx, false)
			cancel()
			l.verify(t, second.address)

			ctx, cancel = context.WithTimeout(t.Context(), *soak)
			context.AfterFunc(ctx, first.kill)
			l.run(ctx, true)
			cancel()
			<-first.exited
			l.verify(t, second.address)
			second.terminate(t)
		})
	}
}
