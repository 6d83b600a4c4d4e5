package server

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/grpcreflect"

	"internaltransfers/internal/postgres"
)

// TestServeFinishesCallsInFlight ends a server while calls are in its handlers, over HTTP/1.1 and
// HTTP/2.
func TestServeFinishesCallsInFlight(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	s := &Server{logger: slog.New(slog.DiscardHandler), endWatches: func() {}}
	if err := s.config.setDefaults(); err != nil {
		t.Fatal(err)
	}
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-release
		_, _ = io.WriteString(w, r.Proto)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener) }()
	var calls sync.WaitGroup
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(proto == "HTTP/1.1")
		protocols.SetUnencryptedHTTP2(proto == "HTTP/2.0")
		client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
		for range 3 {
			calls.Go(func() {
				res, err := client.Get("http://" + listener.Addr().String())
				if err != nil {
					t.Errorf("%s: %v", proto, err)
					return
				}
				defer res.Body.Close()
				if body, err := io.ReadAll(res.Body); err != nil || string(body) != proto {
					t.Errorf("%s: %q, %v", proto, body, err)
				}
			})
			<-entered
		}
	}
	cancel()
	for !s.draining.Load() { // a moment: Serve is on its way there
		select {
		case err := <-served:
			t.Fatalf("Serve returned %v with calls in flight", err)
		default:
		}
	}
	recorder := httptest.NewRecorder()
	s.ready(recorder, httptest.NewRequest(http.MethodGet, "/readycheck", nil))
	if recorder.Code != http.StatusServiceUnavailable {
		t.Errorf("ready while draining: %d", recorder.Code)
	}
	close(release)
	calls.Wait()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		t.Error("the listener is still open")
	}
}

// TestServeGivesUpOnCallsThatNeverEnd shows that a drain is bounded.
func TestServeGivesUpOnCallsThatNeverEnd(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	s := &Server{logger: slog.New(slog.DiscardHandler), config: Config{DrainTimeout: time.Millisecond}, endWatches: func() {}}
	if err := s.config.setDefaults(); err != nil {
		t.Fatal(err)
	}
	s.handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener) }()
	go func() {
		if res, err := http.Get("http://" + listener.Addr().String()); err == nil {
			res.Body.Close()
		}
	}()
	<-entered
	cancel()
	if err := <-served; err == nil {
		t.Error("Serve says that no call was cut off")
	}
}

func newTestServer(t *testing.T, config Config) *Server {
	t.Helper()
	config.Ledger = new(postgres.Ledger)
	config.AllowedHosts = append(config.AllowedHosts, "example.com") // of httptest.NewRequest
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLogLines(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := newTestServer(t, Config{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	cases := []struct {
		path, body string
		lines      int
		want       []string
	}{
		{"/transfers.v1.AccountService/GetAccount", `{"accountId":"secret"}`, 1,
			[]string{"level=INFO", "/transfers.v1.AccountService/GetAccount", "protocol=connect", "code=invalid_argument", "request_id=id-1"}},
		{"/api/v1/account/get", `{"accountId":"secret"}`, 1, []string{"level=INFO", "protocol=rest", "code=invalid_argument", "request_id=id-1"}},
		{"/api/v1/account/get", `{"secret"`, 1, []string{"level=INFO", "status=400", "request_id=id-1"}},
		{"/api/v1/nothing", `secret`, 1, []string{"level=INFO", "status=404", "request_id=id-1"}},
		{"/api/v1/currencies", `{"code":"XYZ","scale":2}`, 2,
			[]string{"level=ERROR", "code=internal", "request_id=id-1", "panic", "stack="}},
	}
	for _, tc := range cases {
		log.Reset()
		req := httptest.NewRequest(http.MethodPost, tc.path, strings.NewReader(tc.body))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Request-Id", "id-1")
		recorder := httptest.NewRecorder()
		s.ServeHTTP(recorder, req)
		if recorder.Header().Get("X-Request-Id") != "id-1" {
			t.Errorf("%s: headers %v", tc.path, recorder.Header())
		}
		if got := strings.Count(log.String(), "\n"); got != tc.lines {
			t.Errorf("%s: %d lines, want %d:\n%s", tc.path, got, tc.lines, log.String())
		}
		for _, want := range tc.want {
			if !strings.Contains(log.String(), want) {
				t.Errorf("%s: no %s in\n%s", tc.path, want, log.String())
			}
		}
		if strings.Contains(log.String(), "secret") {
			t.Errorf("the log has what the request says:\n%s", log.String())
		}
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		allowed []string
		origin  string
		want    string
	}{
		{nil, "https://a.test", ""},
		{[]string{"https://a.test"}, "https://a.test", "https://a.test"},
		{[]string{"https://a.test"}, "https://b.test", ""},
	} {
		s := newTestServer(t, Config{AllowedOrigins: tc.allowed, Logger: slog.New(slog.DiscardHandler)})
		for _, method := range []string{http.MethodOptions, http.MethodGet} {
			req := httptest.NewRequest(method, "/healthcheck", nil)
			req.Header.Set("Origin", tc.origin)
			if method == http.MethodOptions {
				req.Header.Set("Access-Control-Request-Method", http.MethodPatch)
				req.Header.Set("Access-Control-Request-Headers", "content-type,x-request-id")
			}
			recorder := httptest.NewRecorder()
			s.ServeHTTP(recorder, req)
			header := recorder.Header()
			if got := header.Get("Access-Control-Allow-Origin"); got != tc.want {
				t.Errorf("%v %s %s: allowed %q, want %q", tc.allowed, method, tc.origin, got, tc.want)
			}
			exposed := header.Get("Access-Control-Expose-Headers")
			if method == http.MethodGet && tc.want != "" && (!strings.Contains(exposed, replayedHeader) || !strings.Contains(exposed, requestIDHeader)) {
				t.Errorf("exposed %q", exposed)
			}
		}
	}
}

func TestReflectionListsTheServices(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Config{Logger: slog.New(slog.DiscardHandler)})
	listener := httptest.NewUnstartedServer(s)
	listener.EnableHTTP2 = true
	listener.StartTLS()
	defer listener.Close()
	stream := grpcreflect.NewClient(listener.Client(), listener.URL).NewStream(t.Context())
	names, err := stream.ListServices()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, name := range names {
		got = append(got, string(name))
	}
	for _, want := range []string{"transfers.v1.AccountService", "transfers.v1.TransferService", "transfers.v1.LedgerService", "grpc.health.v1.Health"} {
		if !strings.Contains(strings.Join(got, " "), want) {
			t.Errorf("%v has no %s", got, want)
		}
	}
	if _, err := stream.Close(); err != nil {
		t.Error(err)
	}
}

func TestNewRefusesBadConfig(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]Config{
		"no ledger": {}, "time": {Ledger: new(postgres.Ledger), RequestTimeout: -1}, "proof": {Ledger: new(postgres.Ledger), CheckTimeout: -1}, "size": {Ledger: new(postgres.Ledger), MaxRequestBytes: -1},
		"connections": {Ledger: new(postgres.Ledger), MaxConnections: -1}, "drain": {Ledger: new(postgres.Ledger), DrainTimeout: -1},
	} {
		if _, err := New(config); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestSlowBodies holds back half a body; the server responds all the same, and no handler is
// called.
func TestSlowBodies(t *testing.T) {
	s := newTestServer(t, Config{RequestTimeout: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	listener := httptest.NewServer(s)
	defer listener.Close()
	for _, path := range []string{"/api/v1/accounts", "/transfers.v1.AccountService/CreateAccount"} {
		conn, err := net.Dial("tcp", listener.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusRequestTimeout && res.StatusCode != http.StatusGatewayTimeout {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
	}
}
