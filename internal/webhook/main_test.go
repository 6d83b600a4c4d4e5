package webhook_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"internaltransfers/internal/events"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/internal/webhook"
	"internaltransfers/ledger"
	"internaltransfers/server"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var decimalOne = decimal.New(1, 0)

const (
	patience = 3 * time.Minute       // for what must happen
	interval = 10 * time.Millisecond // of the deliverers' rounds
)

// A rig is a ledger whose clock stands still, with a session beside it.
type rig struct {
	t        *testing.T
	database string
	ledger   *postgres.Ledger
	conn     *pgx.Conn
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, database: pgtest.NewDatabase(t)}
	r.ledger = r.openLedger()
	var err error
	if r.conn, err = pgx.Connect(t.Context(), pgtest.Superuser(r.database)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.conn.Close(context.Background()) })
	r.exec("CREATE TABLE test_clock (now timestamptz NOT NULL)")
	r.exec("GRANT SELECT ON test_clock TO PUBLIC")
	r.exec("INSERT INTO test_clock VALUES (date_trunc('second', clock_timestamp()) + interval '1 second')")
	r.exec("CREATE OR REPLACE FUNCTION ledger_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE " +
		"AS 'SELECT now FROM test_clock'")
	return r
}

// openLedger opens one more ledger on the database.
func (r *rig) openLedger() *postgres.Ledger {
	r.t.Helper()
	l, err := postgres.Open(context.Background(), postgres.Config{
		DatabaseURL: r.database, Heartbeat: 10 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := l.Close(context.Background()); err != nil {
			r.t.Errorf("close the ledger: %v", err)
		}
	})
	return l
}

func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	if _, err := r.conn.Exec(context.Background(), sql, args...); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
}

// step lets time pass.
func (r *rig) step(d time.Duration) {
	r.t.Helper()
	r.exec("UPDATE test_clock SET now = now + $1::bigint * interval '1 microsecond'", d.Microseconds())
}

func (r *rig) config() webhook.Config {
	return webhook.Config{
		Store: r.ledger.Webhooks, Encode: server.EventJSON, AllowPrivate: true, Interval: interval,
		Logger: slog.New(slog.DiscardHandler),
	}
}

// deliver starts a deliverer, which the test's end closes.
func (r *rig) deliver(config webhook.Config) *webhook.Deliverer {
	r.t.Helper()
	d, err := webhook.Start(config)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			r.t.Errorf("close the deliverer: %v", err)
		}
	})
	return d
}

func (r *rig) account() uuid.UUID {
	r.t.Helper()
	a, _, err := r.ledger.CreateAccount(r.t.Context(), ledger.AccountParams{
		InitialBalance: decimal.RequireFromString("1000"),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return a.ID
}

func (r *rig) pay(from, to uuid.UUID) ledger.Transfer {
	r.t.Helper()
	transfer, _, err := r.ledger.Transfer(r.t.Context(), ledger.TransferParams{From: from, To: to, Amount: decimalOne})
	if err != nil {
		r.t.Fatal(err)
	}
	return transfer
}

// endpoint makes an endpoint for transfers, and has the receiver verify with its secret.
func (r *rig) endpoint(to *receiver, filter events.Filter) webhook.Endpoint {
	r.t.Helper()
	if filter.Types == nil {
		filter.Types = []events.Type{events.TransferCreated}
	}
	e, secret, err := r.ledger.Webhooks.Create(r.t.Context(), webhook.Params{URL: to.URL, Filter: filter})
	if err != nil {
		r.t.Fatal(err)
	}
	to.verifyWith(secret)
	return e
}

func (r *rig) get(id uuid.UUID) webhook.Endpoint {
	r.t.Helper()
	e, err := r.ledger.Webhooks.Get(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

// deliveries returns the deliveries of an endpoint, the oldest first.
func (r *rig) deliveries(id uuid.UUID) []webhook.Delivery {
	r.t.Helper()
	var all []webhook.Delivery
	for token := ""; ; {
		page, next, err := r.ledger.Webhooks.ListDeliveries(r.t.Context(), webhook.DeliveryFilter{EndpointID: id}, paging.Page{Size: 1000, Token: token})
		if err != nil {
			r.t.Fatal(err)
		}
		for _, d := range page {
			all = append([]webhook.Delivery{d}, all...)
		}
		if token = next; token == "" {
			return all
		}
	}
}

// until waits until a condition holds.
func (r *rig) until(what string, so func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !so() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			r.t.Fatalf("it did not come to that: %s", what)
		}
	}
}

// A message is what a receiver got.
type message struct {
	ID, Signature string
	Header        http.Header
	Type          string `json:"type"`
	Timestamp     string `json:"timestamp"`
	Data          struct {
		Cursor   string
		Type     string
		Transfer *struct{ TransferID, FromAccountID, ToAccountID string }
		Account  *struct{ AccountID string }
	} `json:"data"`
}

// transfer returns the id of the message's transfer.
func (m *message) transfer() string {
	if m.Data.Transfer == nil {
		return ""
	}
	return m.Data.Transfer.TransferID
}

// position returns the position of the message's event.
func (m *message) position() int64 {
	position, _ := strconv.ParseInt(m.Data.Cursor, 10, 64)
	return position
}

// A receiver verifies every message, and responds as the test sets it.
type receiver struct {
	*httptest.Server
	t      *testing.T
	got    chan message
	answer func(w http.ResponseWriter, m message) // nil: 200

	mu      sync.Mutex
	secrets []string
}

// receive starts a receiver.
func receive(t *testing.T, answer func(w http.ResponseWriter, m message)) *receiver {
	t.Helper()
	r := &receiver{t: t, got: make(chan message, 10_000), answer: answer}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// opener returns a function that releases the responses that wait for a gate. The test's end does
// so too, before it waits for them.
func (r *receiver) opener(gate chan struct{}) func() {
	open := sync.OnceFunc(func() { close(gate) })
	r.t.Cleanup(open)
	return open
}

// status returns every message with a status.
func status(code int) func(http.ResponseWriter, message) {
	return func(w http.ResponseWriter, _ message) { w.WriteHeader(code) }
}

// verifyWith adds a secret: all messages must be signed with one of the secrets.
func (r *receiver) verifyWith(secret []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets = append(r.secrets, webhook.SecretText(secret))
}

// forget drops all secrets.
func (r *receiver) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets = nil
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // it was cut off
	}
	if req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json" || req.UserAgent() != "internaltransfers" {
		r.t.Errorf("%s %v", req.Method, req.Header)
	}
	m := message{ID: req.Header.Get("webhook-id"), Signature: req.Header.Get("webhook-signature"), Header: req.Header}
	if err := json.Unmarshal(body, &m); err != nil || m.ID != "evt_"+m.Data.Cursor {
		r.t.Errorf("message %s: %s: %v", m.ID, body, err)
	}
	if !r.verified(body, req.Header) {
		r.t.Errorf("message %s is not signed with any of the secrets", m.ID)
	}
	r.got <- m
	if r.answer != nil {
		r.answer(w, m)
	}
}

func (r *receiver) verified(body []byte, header http.Header) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, secret := range r.secrets {
		if signedWith(r.t, secret, body, header) {
			return true
		}
	}
	return false
}

// signedWith verifies a signature with the specification's own library.
func signedWith(t *testing.T, secret string, body []byte, header http.Header) bool {
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Error(err)
		return false
	}
	return verifier.Verify(body, header) == nil
}

// next waits for the next message.
func (r *receiver) next(t *testing.T) message {
	t.Helper()
	select {
	case m := <-r.got:
		return m
	case <-time.After(patience):
		t.Fatal("no message came")
		return message{}
	}
}

// none fails when there was a message.
func (r *receiver) none(t *testing.T) {
	t.Helper()
	select {
	case m := <-r.got:
		t.Errorf("unexpected message %+v", m)
	default:
	}
}
